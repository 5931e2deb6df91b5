// What the browser tests share: a hub, servers of pages, a proxy that can cut connections, the browser.
// Nothing here waits for a time to pass: every wait is for something to happen, and TIMEOUT only turns a hang into a failure.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";

export const TIMEOUT = 30000;
const { chromium } = createRequire(process.env.SSE_MODULES)("playwright-core");

// ---- cleaning up ----

const endings = []; // what ends the things of the test that runs, the newest first

function onEnd(fn) {
  endings.unshift(fn);
}

// A test with a page of its own; everything that it starts ends with it.
export function browserTest(name, fn) {
  test(name, { timeout: 2 * TIMEOUT }, async () => {
    try {
      await fn();
    } finally {
      for (const end of endings.splice(0)) await end();
    }
  });
}

const scratch = mkdtempSync(join(tmpdir(), "sse-browser-"));
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(scratch, { recursive: true, force: true });
});

let files = 0;
export function temporaryFile(content) {
  const path = join(scratch, String(files++));
  writeFileSync(path, content);
  return path;
}

// ---- the hub ----

function firstLine(child) {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (piece) => {
      text += piece;
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`sse-server ended with ${code}`)));
  });
}

export async function startHub(args, port = 0) {
  const child = spawn(join(process.env.SSE_BIN, "sse-server"), ["--listen", `127.0.0.1:${port}`, "--log-level=warn", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  const ended = new Promise((resolve) => child.on("exit", () => resolve(children.delete(child))));
  const kill = () => (child.kill("SIGKILL"), ended);
  onEnd(kill);
  const url = (await firstLine(child)).replace("listening on ", "");
  return { url, port: Number(new URL(url).port), kill };
}

// A hub over TLS, with a certificate that it has signed itself: its pages are opened with ignoreHTTPSErrors.
let tls;
export async function startTlsHub(args, port) {
  if (!tls) {
    const [key, cert] = [temporaryFile(""), temporaryFile("")];
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
    const name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    execFileSync("openssl", ["req", ...kind, ...name, "-keyout", key, "-out", cert], { stdio: "ignore" });
    tls = [`--tls-cert=${cert}`, `--tls-key=${key}`];
  }
  const hub = await startHub([...tls, ...args], port);
  assert.match(hub.url, /^https:/);
  return hub;
}

// Does sse-server have this option?
export function takes(option) {
  return execFileSync(join(process.env.SSE_BIN, "sse-server"), ["--help"], { encoding: "utf8" }).includes(option);
}

// A JSON Web Token, signed with HS256.
export function webToken(claims, secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

// Again while the stream's ring is full (429): its worker may be waiting for a slow subscriber.
export async function publish(hub, stream, data, { type, id, token, wire } = {}) {
  const query = new URLSearchParams({ stream, ...(type && { event: type }), ...(id && { id }) });
  const headers = { "Content-Type": wire ? "text/event-stream" : "text/plain", ...(token && { Authorization: `Bearer ${token}` }) };
  const once = async () => {
    const answer = await fetch(`${hub.url}/events?${query}`, { method: "POST", body: data, headers });
    const text = await answer.text();
    assert.ok(answer.status === 200 || answer.status === 429, text);
    return answer.status === 200;
  };
  await until("there is room", once);
}

export async function publishNumbers(hub, stream, first, n) {
  let body = "";
  for (let i = first; i < first + n; i++) body += `data: ${i}\n\n`;
  await publish(hub, stream, body, { wire: true });
}

export async function streamOf(hub, name) {
  const list = await (await fetch(`${hub.url}/streams`)).json();
  return list.find((stream) => stream.name === name);
}

// Ask until it is so.
export async function until(what, condition) {
  const end = Date.now() + TIMEOUT;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise(setImmediate);
  }
}

// ---- other servers ----

function listen(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

// A page of another origin than the hub's. GET /hold is answered when the test calls release().
export async function startOrigin() {
  let release, asked;
  const held = new Promise((resolve) => (release = resolve));
  const holds = new Promise((resolve) => (asked = resolve));
  const server = http.createServer(async (request, answer) => {
    if (request.url === "/hold") {
      asked();
      await held;
    }
    answer.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end("<!DOCTYPE html><title>another origin</title>");
  });
  const port = await listen(server);
  onEnd(() => (release(), server.closeAllConnections?.(), server.close()));
  return { url: `http://127.0.0.1:${port}`, release, holds };
}

// In front of the hub: cut() breaks all connections, and while it is shut no new ones get through.
export async function startProxy(hub) {
  const sockets = new Set();
  let shut = false;
  const server = net.createServer((client) => {
    if (shut) return client.destroy();
    const upstream = net.connect(hub.port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => (sockets.delete(socket), client.destroy(), upstream.destroy()));
    }
    client.pipe(upstream).pipe(client);
  });
  const port = await listen(server);
  const cut = () => sockets.forEach((socket) => socket.resetAndDestroy?.() ?? socket.destroy());
  onEnd(() => (cut(), server.close()));
  return {
    url: `http://127.0.0.1:${port}`,
    cutAndShut: () => ((shut = true), cut()),
    open: () => (shut = false),
  };
}

// In front of the hub, with its routes below /hub/, as a reverse proxy may have them.
export async function startPrefix(hub) {
  const server = http.createServer((request, answer) => {
    const path = request.url.replace(/^\/hub\//, "/");
    if (path === request.url) return answer.writeHead(404).end("not below /hub/");
    const { method, headers } = request;
    const onward = http.request({ host: "127.0.0.1", port: hub.port, method, path, headers }, (reply) => {
      answer.writeHead(reply.statusCode, reply.headers);
      answer.flushHeaders(); // an event stream may have no body for long
      reply.on("error", () => answer.destroy());
      reply.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  const port = await listen(server);
  onEnd(() => (server.closeAllConnections?.(), server.close()));
  return `http://127.0.0.1:${port}/hub/`;
}

// ---- the browser ----

let browser;

async function theBrowser() {
  browser ??= await chromium.launch({
    executablePath: process.env.SSE_CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"],
  });
  return browser;
}

after(() => browser?.close());

// A page in a context of its own. page.faults: what went wrong in it; page.requests: what it asked for.
export async function newPage(options = {}) {
  const context = await (await theBrowser()).newContext(options);
  onEnd(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  page.faults = [];
  page.requests = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("dialog", (dialog) => (page.faults.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on("request", (request) => page.requests.push(request.url()));
  return page;
}

// Collect what an EventSource gets in window.got, until wait() has seen enough.
export async function follow(page, url, types = []) {
  await page.evaluate(
    ([url, types]) => {
      window.got = [];
      window.source = new EventSource(url);
      const take = (event) => got.push({ type: event.type, data: event.data, id: event.lastEventId });
      for (const type of ["message", "gap", ...types]) source.addEventListener(type, take);
      source.onopen = () => got.push({ type: "open" });
      source.onerror = () => got.push({ type: "error", state: source.readyState });
    },
    [url, types],
  );
}

export const got = (page) => page.evaluate(() => got);

export async function waitFor(page, type, data) {
  await page.waitForFunction(([type, data]) => got.some((e) => e.type === type && (data === undefined || e.data === data)), [
    type,
    data,
  ]);
}
