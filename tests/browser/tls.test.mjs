// The page over TLS, and with what TLS is for: tokens.
import assert from "node:assert/strict";
import { browserTest, newPage, startTlsHub, takes, temporaryFile, webToken } from "./support.mjs";

async function open(hub, token) {
  const page = await newPage({ ignoreHTTPSErrors: true });
  await page.goto(hub.url + "/");
  if (!token) return page;
  await page.getByRole("alert").filter({ hasText: "(401)" }).waitFor();
  await enter(page, "Token", token);
  return page;
}

async function enter(page, label, token) {
  await page.getByLabel(label, { exact: label === "Token" }).fill(token);
  await page.keyboard.press("Enter");
}

async function watch(page, stream) {
  await page.getByRole("checkbox", { name: stream, exact: true }).check();
  await page.locator("#watch-state[data-state=open]").waitFor();
}

async function publish(page, stream, data) {
  await page.locator("#publish-stream").fill(stream);
  await page.getByLabel("Data").fill(data);
  await page.getByRole("button", { name: "Publish" }).click();
}

const shown = (page, data) => page.locator("#events pre", { hasText: data }).waitFor();

browserTest("over TLS: watches, publishes, sees the server go and come back", async () => {
  const args = ["--stream=s", "--retry=50"];
  let hub = await startTlsHub(args);
  const page = await open(hub);
  await watch(page, "s");
  await publish(page, "s", "before");
  await shown(page, "before");
  await hub.kill();
  await page.locator("#watch-state[data-state=waiting]").waitFor();
  hub = await startTlsHub(args, hub.port);
  await page.locator("#watch-state[data-state=open]").waitFor();
  await publish(page, "s", "after");
  await shown(page, "after");
  assert.equal(await page.locator("#count-reconnections").textContent(), "1");
  assert.equal(await page.locator("#count-gaps").textContent(), "1");
  assert.ok(page.requests.every((url) => url.startsWith(hub.url + "/")), "nothing goes another way");
  assert.deepEqual(page.faults, []);
});

browserTest("over TLS: bearer tokens for reading and publishing", async () => {
  const readers = temporaryFile("read-token\n");
  const writers = temporaryFile("write-token\n");
  const hub = await startTlsHub(["--stream=s", `--subscribe-token-file=${readers}`, `--publish-token-file=${writers}`]);
  const page = await open(hub, "read-token");
  await watch(page, "s");
  await publish(page, "s", "with a token");
  await page.getByText("Not published (403)").waitFor();
  await enter(page, "Token for publishing", "write-token");
  await page.getByText("In use.").waitFor();
  await page.getByRole("button", { name: "Publish" }).click();
  await shown(page, "with a token");
  assert.ok(page.requests.every((url) => !url.includes("token")), "no token is in an address");
  assert.deepEqual(page.faults, []);
});

browserTest("over TLS: a JSON Web Token says which streams are for whom", async () => {
  if (!takes("--jwt-key")) return; // built without
  const secret = "a secret of at least thirty-two bytes";
  const hub = await startTlsHub(["--stream=a", "--stream=b", `--jwt-key=${temporaryFile(secret)}`]);
  const soon = Math.floor(Date.now() / 1000) + 600;
  const token = webToken({ exp: soon, sse: { subscribe: ["*"], publish: ["a"] } }, secret);
  const page = await open(hub, webToken({ exp: soon - 1200, sse: { subscribe: ["*"] } }, secret));
  await page.getByRole("alert").filter({ hasText: "expired" }).waitFor();
  await enter(page, "Token", token);
  await watch(page, "a");
  await watch(page, "b");
  await publish(page, "b", "not for b");
  await page.getByText("Not published (403)").waitFor();
  await publish(page, "a", "for a");
  await shown(page, "for a");
  assert.deepEqual(await page.locator("#events pre").allTextContents(), ["for a"]);
  assert.ok(page.requests.every((url) => !url.includes(token)), "no token is in an address");
  assert.deepEqual(page.faults, []);
});
