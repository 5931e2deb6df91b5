// The page of the hub: what it shows, and what it is used for.
import assert from "node:assert/strict";
import { browserTest, newPage, publish, publishNumbers, startHub, startProxy, streamOf, until } from "./support.mjs";

async function open(hub, options) {
  const page = await newPage(options);
  await page.goto(hub.url + "/");
  return page;
}

async function watch(page, name) {
  await page.getByRole("checkbox", { name, exact: true }).check();
  await page.locator("#watch-state[data-state=open]").filter({ hasText: name }).waitFor();
}

// The texts of the events' data on the page, once the last of them is this one.
async function shown(page, last) {
  await page.locator("#events > li:last-child pre", { hasText: last }).waitFor();
  return page.locator("#events > li:visible pre").allTextContents();
}

const numbers = (first, n) => Array.from({ length: n }, (_, i) => String(first + i));

browserTest("lists the streams with live rates, and finds them by name", async () => {
  const hub = await startHub(["--stream=alpha", "--stream=beta", "--stream=gamma"]);
  const page = await open(hub);
  const row = (name) => page.locator("#streams tr", { hasText: name });
  await row("gamma").waitFor();
  assert.equal(await page.locator("#streams tr").count(), 3);
  await publishNumbers(hub, "beta", 0, 40);
  await row("beta").locator("td").nth(1).getByText("40", { exact: true }).waitFor();
  await page.getByText(/^3 streams, 0 subscriptions, [0-9.]+ events\/s\.$/).waitFor();
  assert.notEqual(await row("beta").locator("td").first().textContent(), "0");
  await row("beta").locator("td").first().getByText("0", { exact: true }).waitFor(); // nothing comes any more
  await page.getByLabel("Find a stream").fill("AMM");
  assert.deepEqual(await page.locator("#streams th").allTextContents(), ["gamma"]);
  await page.getByLabel("Find a stream").fill("nothing");
  await page.getByText("None has this name").waitFor();
});

browserTest("shows many streams in part", async () => {
  const hub = await startHub(["--auto-stream"]);
  await Promise.all(numbers(1000, 250).map((name) => publish(hub, name, "x")));
  const page = await open(hub);
  await page.getByText("The first 200 are shown").waitFor();
  assert.equal(await page.locator("#streams tr").count(), 200);
  await page.getByLabel("Find a stream").fill("1249");
  await page.getByRole("checkbox", { name: "1249" }).waitFor();
});

browserTest("watches several streams, one connection", async () => {
  const hub = await startHub(["--stream=a", "--stream=b c/ä", "--auto-stream"]);
  const page = await open(hub);
  await publish(hub, "a", "of a");
  await publish(hub, "b c/ä", "of b", { type: "kind", id: "own" });
  await watch(page, "a");
  assert.deepEqual(await shown(page, "of a"), ["of a"]);
  await watch(page, "b c/ä");
  assert.deepEqual(await shown(page, "of b"), ["of a", "of b"], "nothing twice");
  assert.equal(await page.locator("#events > li:last-child .about").textContent().then((text) => text.slice(8)), "b c/äkindown");
  await page.getByLabel("Watch a stream by its name").fill("not there yet");
  await page.getByRole("button", { name: "Watch", exact: true }).click();
  await page.locator("#watch-state[data-state=open]", { hasText: "not there yet" }).waitFor();
  await publish(hub, "not there yet", "of c");
  assert.deepEqual(await shown(page, "of c"), ["of a", "of b", "of c"]);
  await page.getByRole("checkbox", { name: "a", exact: true }).uncheck();
  await page.locator("#watch-state[data-state=open]", { hasText: "Watching b c/ä, not there yet." }).waitFor();
  await publish(hub, "a", "of a again");
  await publish(hub, "b c/ä", "of b again");
  assert.deepEqual(await shown(page, "of b again"), ["of a", "of b", "of c", "of b again"]);
  await page.getByRole("button", { name: "Stop watching" }).click();
  await page.getByText("Not watching. Choose a stream.").waitFor();
  await until("nobody subscribes", async () => (await streamOf(hub, "b c/ä")).subscribers === 0);
});

browserTest("shows a lost connection, the next one, and the gap", async () => {
  const args = ["--stream=s", "--retry=50"];
  let hub = await startHub(args);
  const page = await open(hub);
  await watch(page, "s");
  await publish(hub, "s", "before");
  await shown(page, "before");
  await hub.kill();
  await page.locator("#watch-state[data-state=waiting]").waitFor();
  await page.getByRole("alert").filter({ hasText: "The server does not answer" }).waitFor();
  hub = await startHub(args, hub.port);
  await publish(hub, "s", "after");
  assert.deepEqual(await shown(page, "after"), ["before", "after"]);
  const items = await page.locator("#events > li").allTextContents();
  assert.match(items[1], /Connection lost/);
  assert.match(items[2], /Connected again/);
  assert.match(items[3], /Gap: an unknown number of events missed here/);
  assert.equal(await page.locator("#count-reconnections").textContent(), "1");
  assert.equal(await page.locator("#count-gaps").textContent(), "1");
  await page.getByRole("alert").filter({ hasText: "does not answer" }).waitFor({ state: "hidden" });
});

browserTest("resumes where its connection was cut", async () => {
  const hub = await startHub(["--stream=s", "--retry=50"]);
  const proxy = await startProxy(hub);
  const page = await open(proxy);
  await watch(page, "s");
  await publishNumbers(hub, "s", 0, 10);
  await shown(page, "9");
  proxy.cutAndShut();
  await publishNumbers(hub, "s", 10, 10);
  proxy.open();
  assert.deepEqual(await shown(page, "19"), numbers(0, 20));
  assert.equal(await page.locator("#count-gaps").textContent(), "0");
});

browserTest("what is watched outlives a reload, and can be linked to", async () => {
  const hub = await startHub(["--stream=a", "--stream=b c/ä&#", "--stream=d"]);
  const page = await open(hub);
  await watch(page, "a");
  await watch(page, "b c/ä&#");
  const target = () => page.locator("#publish-stream").inputValue();
  assert.equal(await target(), "a", "the first is published to");
  await publish(hub, "b c/ä&#", "before");
  assert.deepEqual(await shown(page, "before"), ["before"]);
  await page.reload();
  await page.locator("#watch-state[data-state=open]", { hasText: "Watching a, b c/ä&#." }).waitFor();
  assert.deepEqual(await shown(page, "before"), ["before"]);
  assert.equal(await target(), "a");
  const link = page.url();
  await page.getByRole("button", { name: "Stop watching" }).click();
  assert.equal(page.url(), hub.url + "/");
  await page.goto(hub.url + "/#watch=d"); // the same document: only the anchor changes
  await page.locator("#watch-state[data-state=open]", { hasText: "Watching d." }).waitFor();
  await page.goto(link);
  await page.locator("#watch-state[data-state=open]", { hasText: "Watching a, b c/ä&#." }).waitFor();
  await page.getByRole("link", { name: "Skip to the events" }).press("Enter"); // an anchor, too
  await page.waitForURL(link);
  assert.equal(await page.evaluate(() => document.activeElement.id), "events-title");
  await publish(hub, "a", "after");
  await shown(page, "after");
  assert.deepEqual(page.faults, []);
});

browserTest("says how many events a gap is", async () => {
  const hub = await startHub(["--stream=s", "--retry=50", "--history=5", "--buffer=1"]);
  const proxy = await startProxy(hub);
  const page = await open(proxy);
  await watch(page, "s");
  await publish(hub, "s", "first");
  await shown(page, "first");
  proxy.cutAndShut();
  await until("the hub knows", async () => (await streamOf(hub, "s")).subscribers === 0);
  for (const data of numbers(0, 12)) await publish(hub, "s", data);
  proxy.open();
  assert.deepEqual(await shown(page, "11"), ["first", ...numbers(7, 5)]);
  await page.locator("#events > li.gap", { hasText: "Gap: 7 events missed here." }).waitFor();
});

browserTest("tells that a stream does not exist, or was removed", async () => {
  const hub = await startHub(["--stream=s", "--retry=50"]);
  const page = await open(hub);
  await page.getByLabel("Watch a stream by its name").fill("none");
  await page.keyboard.press("Enter");
  await page.locator("#watch-state[data-state=refused]", { hasText: "404: There is no stream 'none'." }).waitFor();
  await page.getByRole("button", { name: "Stop watching" }).click();
  await watch(page, "s");
  await fetch(`${hub.url}/events?stream=s`, { method: "DELETE" });
  await page.locator("#watch-state[data-state=refused]", { hasText: "404" }).waitFor();
});

browserTest("pauses, filters, clears, and keeps a bounded number of events", async () => {
  const hub = await startHub(["--stream=s", "--history=5000", "--buffer=5000"]);
  const page = await open(hub);
  await watch(page, "s");
  await publish(hub, "s", "apple");
  await publish(hub, "s", "pear");
  await shown(page, "pear");
  await page.getByLabel("Show only events with").fill("APP");
  await page.getByText("1 of 2 shown").waitFor();
  assert.deepEqual(await page.locator("#events > li:visible pre").allTextContents(), ["apple"]);
  await page.getByLabel("Show only events with").fill("");

  await page.getByRole("button", { name: "Pause" }).click();
  await publishNumbers(hub, "s", 0, 600);
  await page.getByText("Paused. 600 new events wait. The first 100 of them are not kept.").waitFor();
  assert.equal(await page.locator("#events > li").count(), 2);
  await page.getByRole("button", { name: "Pause" }).click();
  assert.deepEqual(await shown(page, "599"), numbers(100, 500));
  await page.getByText("the newest 500 are").waitFor();

  const log = page.locator("#log");
  const fromBottom = () => log.evaluate((e) => e.scrollHeight - e.clientHeight - e.scrollTop);
  assert.ok((await fromBottom()) < 2, "at the newest");
  await page.getByLabel("Scroll to the newest").uncheck();
  await log.evaluate((e) => (e.scrollTop = 0));
  await publish(hub, "s", "later");
  await shown(page, "later");
  assert.ok((await fromBottom()) > 100, "where the reader left it");

  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByText("Nothing yet.").waitFor();
  assert.equal(await page.locator("#count-events").textContent(), "0");
});

browserTest("shows large data in part until asked", async () => {
  const hub = await startHub(["--stream=s"]);
  const page = await open(hub);
  await watch(page, "s");
  await publish(hub, "s", "x".repeat(9999) + "end");
  await page.getByRole("button", { name: "Show all 10,002 characters" }).click();
  const [text] = await shown(page, "end");
  assert.equal(text.length, 10002);
});

// ---- everybody can use it ----

for (const width of [360, 833, 1024, 1280])
  browserTest(`does not break ordinary names of streams, ${width} pixels wide`, async () => {
    const names = ["news.politics", "temperature", "orders"];
    const hub = await startHub(names.map((name) => `--stream=${name}`));
    const page = await open(hub, { viewport: { width, height: 740 } });
    for (const name of names) {
      const lines = await page.locator("#streams bdi", { hasText: name }).evaluate((e) => {
        const text = document.createRange();
        text.selectNodeContents(e);
        return text.getClientRects().length;
      });
      assert.equal(lines, 1, name);
    }
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, "nothing is wider than the window");
    assert.equal(await page.locator(".table").evaluate((table) => table.scrollWidth - table.clientWidth), 0, "nor the list");
  });

// Is what has the focus on top of everything else, at its upper edge?
function onTop() {
  const e = document.activeElement;
  const { left, top, width } = e.getBoundingClientRect();
  const seen = document.elementFromPoint(left + width / 2, Math.max(top, 0) + 3);
  return e.contains(seen);
}

// Press Tab until the focus is where it should be; each stop on the way must be visible.
async function tabTo(page, locator) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    const where = await page.evaluate(() => document.activeElement.outerHTML.slice(0, 80));
    if (where.startsWith("<body")) continue;
    assert.notEqual(outline, "none", `the focus is not to be seen at ${where}`);
    assert.ok(await page.evaluate(onTop), `something covers what has the focus: ${where}`);
    if (await locator.evaluate((e) => e === document.activeElement)) return;
  }
  assert.fail("the keyboard does not get there");
}

browserTest("keyboard alone: choose, publish, pause", async () => {
  const hub = await startHub(["--stream=alpha", "--stream=beta"]);
  const page = await open(hub);
  await page.locator("#streams tr").nth(1).waitFor();
  await tabTo(page, page.getByRole("checkbox", { name: "beta" }));
  await page.keyboard.press("Space");
  await page.locator("#watch-state[data-state=open]", { hasText: "beta" }).waitFor();
  await tabTo(page, page.getByRole("textbox", { name: "Stream", exact: true }).or(page.locator("#publish-stream")));
  await page.keyboard.type("beta");
  await tabTo(page, page.getByLabel("Type (optional)"));
  await page.keyboard.type("kind");
  await tabTo(page, page.getByLabel("Data"));
  await page.keyboard.type("by keys");
  await tabTo(page, page.getByRole("button", { name: "Publish" }));
  await page.keyboard.press("Enter");
  await page.getByText(/^Published as [0-9a-f]{12}-1\.$/).waitFor();
  assert.deepEqual(await shown(page, "by keys"), ["by keys"]);
  await tabTo(page, page.getByRole("button", { name: "Pause" }));
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Pause", pressed: true }).waitFor();
  assert.equal((await streamOf(hub, "beta")).events, 1);
});

browserTest("every control has a name, and what changes is announced", async () => {
  const hub = await startHub(["--stream=s"]);
  const page = await open(hub);
  await page.locator("#streams tr").waitFor();
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, textarea, button, [tabindex='0']")]
      .filter((e) => !e.labels?.length && !e.textContent.trim() && !e.getAttribute("aria-labelledby"))
      .map((e) => e.outerHTML),
  );
  assert.deepEqual(nameless, []);
  assert.equal(await page.getByRole("status").count(), 4);
  assert.equal(await page.locator("#log").getAttribute("aria-live"), "off", "a stream of events is not read aloud");
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
});

// The contrast of each visible text with what is behind it (WCAG 2.2, 1.4.3).
function lowContrast() {
  const numbersOf = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = numbersOf(color).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    const color = getComputedStyle(e).backgroundColor;
    return numbersOf(color)[3] === 0 ? behind(e.parentElement) : color;
  };
  const texts = [...document.querySelectorAll("body *")].filter(
    (e) => e.checkVisibility() && (e.matches("input, textarea") || [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())),
  );
  const bad = [];
  for (const e of texts) {
    const [low, high] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) bad.push(`${contrast.toFixed(2)}: ${e.outerHTML.slice(0, 80)}`);
  }
  return { bad, looked: texts.length };
}

for (const colorScheme of ["light", "dark"])
  browserTest(`can be read: ${colorScheme}`, async () => {
    const hub = await startHub(["--stream=s"]);
    const page = await open(hub, { colorScheme });
    await watch(page, "s");
    await publish(hub, "s", "x", { type: "kind", id: "i" });
    await publish(hub, "s", '{"requested":null,"oldest":null,"missed":2}', { type: "gap" });
    await page.locator("#events > li.gap").waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    const look = async (least) => {
      const { bad, looked } = await page.evaluate(lowContrast);
      assert.deepEqual(bad, []);
      assert.ok(looked >= least, `${looked} texts`);
    };
    await look(40);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(parseInt(ground.slice(4), 10) < 128, colorScheme === "dark");
    await hub.kill();
    await page.getByRole("alert").filter({ hasText: "does not answer" }).waitFor();
    await look(40);
  });

browserTest("fits on a phone", async () => {
  const hub = await startHub(["--stream=s", "--stream=" + "long".repeat(40)]);
  const page = await open(hub, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await watch(page, "s");
  await publish(hub, "s", "unbroken".repeat(100), { id: "i".repeat(300), type: "t".repeat(300) });
  await shown(page, "unbroken");
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, "nothing is wider than the screen");
  assert.equal(await page.locator("#log").evaluate((log) => log.scrollWidth - log.clientWidth), 0, "and no event wider than the list");
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, input:not([type=checkbox]), textarea, label.check")]
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 32)
      .map((e) => e.outerHTML),
  );
  assert.deepEqual(small, [], "large enough for a finger");
});
