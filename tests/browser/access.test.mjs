// The page's doors: tokens, hostile data, what it may load.
import assert from "node:assert/strict";
import { browserTest, follow, got, newPage, publish, startHub, startPrefix, streamOf, temporaryFile, waitFor } from "./support.mjs";

browserTest("tokens: asked for, entered, used for reading and publishing", async () => {
  const readers = temporaryFile("read-token\n");
  const writers = temporaryFile("write-token\n");
  const hub = await startHub(["--stream=s", `--subscribe-token-file=${readers}`, `--publish-token-file=${writers}`]);
  const page = await newPage();
  await page.goto(hub.url + "/");
  await page.getByRole("alert").filter({ hasText: "(401)" }).waitFor();
  const enter = page.getByRole("button", { name: "Enter a token" });
  await enter.click();
  await page.keyboard.type("wrong"); // the field has the focus
  await page.getByRole("button", { name: "Use", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "not known" }).waitFor();
  await page.getByLabel("Token", { exact: true }).fill("read-token");
  await page.keyboard.press("Enter");
  await page.getByRole("checkbox", { name: "s", exact: true }).check();
  await page.locator("#watch-state[data-state=open]").waitFor();
  assert.ok(await enter.isHidden());

  await page.locator("#publish-stream").fill("s");
  await page.getByLabel("Data").fill("with a token");
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText("Not published (403)").waitFor();
  await page.getByLabel("Token for publishing").fill("write-token");
  await page.getByRole("button", { name: "Use", exact: true }).click();
  await page.getByText("In use.").waitFor();
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText("Published as").waitFor();
  await page.locator("#events pre", { hasText: "with a token" }).waitFor();

  await page.reload(); // they are kept for this tab
  await page.getByRole("checkbox", { name: "s", exact: true }).waitFor();
  assert.ok(page.requests.every((url) => !url.includes("token")), "no token is in an address");
  assert.deepEqual(page.faults, []);
});

browserTest("tokens: an EventSource without one is refused for good", async () => {
  const hub = await startHub(["--stream=s", `--subscribe-token-file=${temporaryFile("read-token\n")}`]);
  const page = await newPage();
  await page.goto(hub.url + "/healthz");
  await follow(page, "/events?stream=s");
  await waitFor(page, "error");
  assert.deepEqual(await got(page), [{ type: "error", state: 2 }]);
});

const hostile = [
  "<img src=x onerror=alert(1)>",
  "<script>alert(2)</script>",
  "\"'><svg onload=alert(3)>",
  "javascript:alert(4)",
  "</pre></li></ol><h1>broken out</h1>",
  "&lt;b&gt; ${alert(5)} {{7*7}}",
  "\u202egnp.exe \u2066",
  "__proto__",
  "constructor",
];

browserTest("whatever streams, types, ids and data hold, it is text", async () => {
  const hub = await startHub(hostile.flatMap((name) => ["--stream", name]));
  const page = await newPage();
  await page.goto(hub.url + "/");
  await page.locator("#streams tr").nth(hostile.length - 1).waitFor();
  const elements = await page.locator("*").evaluateAll((all) => new Set(all.map((e) => e.tagName)).size);
  for (const name of hostile) await page.getByRole("checkbox", { name, exact: true }).check();
  await page.locator("#watch-state[data-state=open]").waitFor();
  for (const text of hostile) await publish(hub, text, text, { type: text, id: text });
  await publish(hub, hostile[0], '{"missed":"<img src=x onerror=alert(6)>"}', { type: "gap" });
  await publish(hub, hostile[0], "null", { type: "gap" });
  await publish(hub, hostile[0], "\0\x01\x7f end");
  await page.locator("#events pre", { hasText: "end" }).waitFor();
  assert.deepEqual((await page.locator("#streams bdi").allTextContents()).sort(), [...hostile].sort());
  const data = await page.locator("#events pre").allTextContents();
  const streams = await page.locator("#events .stream").allTextContents();
  const types = await page.locator("#events .type").allTextContents();
  const ids = await page.locator("#events .id").allTextContents();
  for (const text of hostile) {
    assert.ok(data.includes(text) && streams.includes(text) && types.includes(text) && ids.includes(text), text);
  }
  assert.equal(await page.locator("main h1, main img, main svg, main script").count(), 0);
  assert.ok((await page.locator("*").evaluateAll((all) => new Set(all.map((e) => e.tagName)).size)) <= elements + 7);
  assert.deepEqual(page.faults, []);

  await page.locator("#publish-stream").fill(hostile[1] + "none");
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText("Not published (404)").waitFor();
  assert.deepEqual(page.faults, []);
});

browserTest("loads nothing from elsewhere, and runs nothing that is not its own", async () => {
  const hub = await startHub(["--stream=s"]);
  const page = await newPage();
  const answer = await page.goto(hub.url + "/");
  await page.getByRole("checkbox", { name: "s", exact: true }).check();
  await page.locator("#watch-state[data-state=open]").waitFor();
  for (const url of page.requests) assert.ok(url.startsWith(hub.url + "/") || url.startsWith("data:"), url);
  const policy = answer.headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(answer.headers()["x-content-type-options"], "nosniff");
  // Markup that got in, by whatever means, would not run, load or send anything.
  const violations = await page.evaluate(async (elsewhere) => {
    const seen = [];
    document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
    const div = document.createElement("div");
    div.innerHTML = `<img src="${elsewhere}/x.png" onerror="window.broken = 1"><a onclick="window.broken = 1" id=bad>x</a>`;
    document.body.append(div);
    const script = document.createElement("script");
    script.textContent = "window.broken = 1";
    document.body.append(script);
    document.getElementById("bad").click();
    await fetch(elsewhere).catch(() => {});
    while (seen.length < 4) await new Promise(requestAnimationFrame);
    return { seen: [...new Set(seen)].sort(), broken: window.broken };
  }, "http://127.0.0.1:9");
  assert.equal(violations.broken, undefined);
  assert.deepEqual(violations.seen, ["connect-src", "img-src", "script-src-attr", "script-src-elem"]);
  assert.equal((await streamOf(hub, "s")).subscribers, 1);
});

browserTest("works below a path of a proxy", async () => {
  const hub = await startHub(["--stream=s"]);
  const page = await newPage();
  await page.goto(await startPrefix(hub));
  await page.getByRole("checkbox", { name: "s", exact: true }).check();
  await page.locator("#watch-state[data-state=open]").waitFor();
  await page.locator("#publish-stream").fill("s");
  await page.getByLabel("Data").fill("through it");
  await page.getByRole("button", { name: "Publish" }).click();
  await page.locator("#events pre", { hasText: "through it" }).waitFor();
  assert.deepEqual(page.faults, []);
});

browserTest("cannot be framed, and can be switched off", async () => {
  const hub = await startHub(["--stream=s"]);
  const off = await startHub(["--stream=s", "--no-page"]);
  for (const path of ["/", "/page.js", "/page.css", "/feed.js", "/index.html"]) {
    assert.equal((await fetch(hub.url + path)).status, 200, path);
    const head = await fetch(hub.url + path, { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), "");
    assert.equal((await fetch(off.url + path)).status, 404, path);
  }
  const page = await newPage();
  await page.goto(off.url + "/healthz");
  await page.evaluate((url) => document.body.append(Object.assign(document.createElement("iframe"), { src: url })), hub.url + "/");
  await page.waitForFunction(() => performance.getEntriesByType("resource").length > 0);
  assert.equal(page.frames().some((frame) => frame.url() === hub.url + "/"), false);
});
