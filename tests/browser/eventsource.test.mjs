// A browser's EventSource at the hub.
import assert from "node:assert/strict";
import { browserTest, follow, got, newPage, publish, publishNumbers, startHub, startOrigin, startProxy, streamOf, waitFor } from "./support.mjs";

const numbers = (n) => Array.from({ length: n }, (_, i) => String(i));
const messages = (events) => events.filter((event) => event.type === "message").map((event) => event.data);

async function pageOf(hub) {
  const page = await newPage();
  await page.goto(`${hub.url}/healthz`); // any document of this origin
  return page;
}

browserTest("receives types, ids, lines and UTF-8", async () => {
  const hub = await startHub(["--stream=s"]);
  const page = await pageOf(hub);
  await follow(page, "/events?stream=s", ["typed"]);
  await waitFor(page, "open");
  await publish(hub, "s", "two\nlines ä€😀", { type: "typed", id: "own id" });
  await publish(hub, "s", "");
  await publish(hub, "s", "last");
  await waitFor(page, "message", "last");
  const [, typed, empty, last] = await got(page);
  assert.deepEqual(typed, { type: "typed", data: "two\nlines ä€😀", id: "own id" });
  assert.equal(empty.data, "");
  assert.match(last.id, /^[0-9a-f]{12}-3$/);
});

browserTest("comes back after SIGKILL and a new start, with Last-Event-ID and without loss", async () => {
  const args = ["--stream=s", "--retry=50"];
  let hub = await startHub(args);
  const page = await pageOf(hub);
  await follow(page, "/events?stream=s");
  await publishNumbers(hub, "s", 0, 20);
  await waitFor(page, "message", "19");
  const { id } = (await got(page)).at(-1);
  await hub.kill();
  await waitFor(page, "error");
  hub = await startHub(args, hub.port);
  await publishNumbers(hub, "s", 20, 20);
  await waitFor(page, "message", "39");
  const events = await got(page);
  assert.deepEqual(messages(events), numbers(40));
  const gaps = events.filter((event) => event.type === "gap");
  assert.equal(gaps.length, 1, "the history of the one before is gone, and that is told");
  assert.equal(JSON.parse(gaps[0].data).requested, id);
});

browserTest("resumes where its connection was cut, without loss and without a gap", async () => {
  const hub = await startHub(["--stream=s", "--retry=50"]);
  const proxy = await startProxy(hub);
  const page = await pageOf(proxy);
  await follow(page, "/events?stream=s");
  for (let round = 0; round < 3; round++) {
    await publishNumbers(hub, "s", round * 20, 10);
    await waitFor(page, "message", String(round * 20 + 9));
    proxy.cutAndShut();
    await publishNumbers(hub, "s", round * 20 + 10, 10);
    proxy.open();
    await waitFor(page, "message", String(round * 20 + 19));
  }
  const events = await got(page);
  assert.deepEqual(messages(events), numbers(60));
  assert.equal(events.filter((event) => event.type === "gap").length, 0);
  assert.ok(events.filter((event) => event.type === "open").length >= 4);
});

browserTest("a tab that hangs is cut off, and told what it missed", async () => {
  const origin = await startOrigin();
  const hub = await startHub(["--stream=s", "--retry=50", "--history=32", "--buffer=32", `--cors-origin=${origin.url}`]);
  const page = await newPage();
  await page.goto(origin.url);
  await follow(page, `${hub.url}/events?stream=s`);
  await waitFor(page, "open");
  // The page's only thread waits for an answer; the test gives it when the hub has had enough.
  const hanging = page.evaluate(() => {
    const request = new XMLHttpRequest();
    request.open("GET", "/hold", false);
    request.send();
  });
  hanging.catch(() => {}); // if the test fails before it waits for it
  await origin.holds;
  const filling = " ".repeat(64 << 10);
  let n = 0;
  while ((await streamOf(hub, "s")).slow_closed === 0) {
    assert.ok(n < 4000, "its socket takes everything");
    await publish(hub, "s", `${n++}${filling}`);
  }
  origin.release();
  await hanging;
  await publish(hub, "s", "last");
  await waitFor(page, "message", "last");
  const events = (await got(page)).filter((event) => event.type === "message" || event.type === "gap");
  let next = 0;
  for (const event of events.slice(0, -1))
    if (event.type === "gap") next += JSON.parse(event.data).missed;
    else assert.equal(parseInt(event.data, 10), next++);
  assert.equal(next, n, "received and missed make all");
  assert.ok(events.some((event) => event.type === "gap"));
});

browserTest("several streams over one connection, resumed by one id", async () => {
  const hub = await startHub(["--stream=a", "--stream=b c/ä", "--retry=50"]);
  const proxy = await startProxy(hub);
  const page = await pageOf(proxy);
  const names = ["a", "b c/ä"];
  await follow(page, "/events?" + names.map((name) => "stream=" + encodeURIComponent(name)).join("&"));
  await waitFor(page, "open");
  const both = async (first) => {
    for (const name of names) await publishNumbers(hub, name, first, 5);
  };
  await both(0);
  await page.waitForFunction(() => got.filter((event) => event.type === "message").length === 10);
  proxy.cutAndShut();
  await both(5);
  proxy.open();
  await page.waitForFunction(() => got.filter((event) => event.type === "message").length === 20);
  const events = (await got(page)).filter((event) => event.type === "message");
  for (const name of names)
    assert.deepEqual(messages(events.filter((event) => decodeURIComponent(event.id.split(" ")[0]) === name)), numbers(10));
  assert.equal((await got(page)).filter((event) => event.type === "gap").length, 0);
  assert.equal((await streamOf(hub, "a")).subscribers, 1);
});

browserTest("pages of a listed origin read and publish, others do not", async () => {
  const listed = await startOrigin();
  const other = await startOrigin();
  const hub = await startHub(["--stream=s", `--cors-origin=${listed.url}`]);
  const post = (url) =>
    fetch(url, { method: "POST", body: "from a page" }).then(
      (answer) => answer.status,
      (error) => error.name,
    );
  const good = await newPage();
  await good.goto(listed.url);
  await follow(good, `${hub.url}/events?stream=s`);
  await waitFor(good, "open");
  assert.equal(await good.evaluate(post, `${hub.url}/events?stream=s`), 200);
  await waitFor(good, "message", "from a page");

  const bad = await newPage();
  await bad.goto(other.url);
  await follow(bad, `${hub.url}/events?stream=s`);
  await waitFor(bad, "error");
  assert.deepEqual(await got(bad), [{ type: "error", state: 2 }]);
  assert.equal(await bad.evaluate(post, `${hub.url}/events?stream=s`), "TypeError");
  assert.equal((await streamOf(hub, "s")).events, 1, "it was not published either");
});

// The hub with its only place taken by a subscriber of the test's own, and a page that asks for it. Returns the page and who ends the subscription.
async function crowd(limit) {
  const origin = await startOrigin();
  const hub = await startHub(["--stream=s", `--cors-origin=${origin.url}`, ...limit]);
  const holder = await fetch(`${hub.url}/events?stream=s`);
  assert.equal(holder.status, 200);
  const page = await newPage();
  await page.goto(origin.url);
  await follow(page, `${hub.url}/events?stream=s`);
  await waitFor(page, "error");
  return { page, free: () => holder.body.cancel() };
}

browserTest("comes back when its address has too many connections", async () => {
  const { page, free } = await crowd(["--max-connections-per-address=1", "--connect-exempt=none"]);
  assert.equal((await got(page))[0].state, 0);
  await free();
  await waitFor(page, "open");
});

browserTest("gives up at a status, as the documents say", async () => {
  const { page, free } = await crowd(["--max-subscribers=1"]);
  assert.deepEqual(await got(page), [{ type: "error", state: 2 }]);
  await free();
});
