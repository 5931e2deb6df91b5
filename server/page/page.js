// The page of the hub: lists streams, watches some of them over one connection, publishes. What comes from the server may hold
// anything, so it gets into the page as text only (textContent, value), never as markup.
import { Feed } from "./feed.js";

const POLL_MS = 1000;
const POLL_HIDDEN_MS = 10000;
const MOST_ROWS = 200;
const MOST_EVENTS = 500;
const MOST_CHARACTERS = 4000; // of an event, until asked for more
const MOST_TOGETHER = 32; // streams over one connection

const at = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// So that a screen reader is told of a change, and not of the same again and again.
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function count(n, one, many) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

// ---- tokens ----

const tokens = {
  read: sessionStorage.getItem("sse-token") || "",
  publish: sessionStorage.getItem("sse-publish-token") || "",
};

function authorization(token) {
  return token ? { Authorization: "Bearer " + token } : {};
}

at("access-form").addEventListener("submit", (submit) => {
  submit.preventDefault();
  tokens.read = at("token").value.trim();
  tokens.publish = at("publish-token").value.trim();
  sessionStorage.setItem("sse-token", tokens.read);
  sessionStorage.setItem("sse-publish-token", tokens.publish);
  say("access-result", tokens.read || tokens.publish ? "In use." : "No token in use.");
  poll();
  if (watched.size > 0) watch();
});

// ---- the list of streams ----

const rows = new Map(); // by name
const watched = new Set();
let streams = [];
let polling = 0; // the timer, or the number of the poll that counts
let polls = 0;
let seen = new Map(); // by name: the events of the last two polls

// Over two polls, so that it does not jump as much.
function rate(stream, now) {
  const before = seen.get(stream.name)?.[0];
  if (!before || stream.events < before.events) return 0;
  return ((stream.events - before.events) * 1000) / Math.max(now - before.when, 1);
}

function formatRate(value) {
  return value < 0.05 ? "0" : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function makeRow(name) {
  const row = element("tr");
  const head = element("th");
  head.scope = "row";
  const label = element("label", "check");
  const box = element("input");
  box.type = "checkbox";
  box.addEventListener("change", () => choose(name, box.checked));
  label.append(box, element("bdi", "", name));
  head.append(label);
  const numbers = ["", " less", "", " less", ""].map((less) => element("td", "number" + less)); // as in fillRow()
  row.append(head, ...numbers);
  return { row, box, label, numbers };
}

function fillRow(entry, stream) {
  entry.box.checked = watched.has(stream.name);
  entry.label.classList.toggle("gone", stream.gone === true);
  const { events, subscribers, history, drops } = stream;
  const values = [formatRate(stream.rate), events, subscribers, history, drops].map((value) =>
    typeof value === "number" ? value.toLocaleString("en") : value,
  );
  entry.numbers.forEach((cell, i) => {
    const text = stream.gone ? "–" : values[i];
    if (cell.textContent !== text) cell.textContent = text;
  });
}

// Streams that are watched come first: they stay in sight, also when there is no such stream (any more).
function listed() {
  const text = at("find").value.toLowerCase();
  const there = new Set(streams.map((stream) => stream.name));
  const gone = [...watched].filter((name) => !there.has(name)).map((name) => ({ name, gone: true, rate: 0 }));
  const found = streams.filter((stream) => watched.has(stream.name) || stream.name.toLowerCase().includes(text));
  found.sort((a, b) => watched.has(b.name) - watched.has(a.name));
  return [...gone, ...found];
}

function totals() {
  const sum = (of) => streams.reduce((all, stream) => all + of(stream), 0);
  // A connection with several streams is a subscriber of each.
  const subscriptions = count(sum((stream) => stream.subscribers), "subscription", "subscriptions");
  return `${count(streams.length, "stream", "streams")}, ${subscriptions}, ${formatRate(sum((stream) => stream.rate))} events/s`;
}

function showStreams() {
  const all = listed();
  const shown = all.slice(0, MOST_ROWS);
  const names = new Set(shown.map((stream) => stream.name));
  for (const [name, entry] of rows)
    if (!names.has(name)) {
      entry.row.remove();
      rows.delete(name);
    }
  shown.forEach((stream, i) => {
    if (!rows.has(stream.name)) rows.set(stream.name, makeRow(stream.name));
    const entry = rows.get(stream.name);
    fillRow(entry, stream);
    // Moving a row would take the focus from it.
    if (at("streams").children[i] !== entry.row) at("streams").insertBefore(entry.row, at("streams").children[i] || null);
  });
  let note = `${totals()}.`;
  if (shown.length < all.length) note += ` The first ${MOST_ROWS} are shown; find others by their name.`;
  else if (all.length === 0 && streams.length > 0) note += " None has this name.";
  say("streams-note", note);
  showNames();
}

function showNames() {
  const names = streams.slice(0, MOST_ROWS).map((stream) => stream.name);
  const known = Array.from(at("names").options, (option) => option.value);
  if (names.length === known.length && names.every((name, i) => name === known[i])) return;
  at("names").replaceChildren(
    ...names.map((name) => {
      const option = element("option");
      option.value = name;
      return option;
    }),
  );
}

function takeStreams(list) {
  const now = performance.now();
  const next = new Map();
  for (const stream of list) {
    stream.rate = rate(stream, now);
    next.set(stream.name, [...(seen.get(stream.name) || []).slice(-1), { events: stream.events, when: now }]);
  }
  seen = next;
  streams = list;
}

function streamsProblem(text, wantsToken) {
  at("streams-problem").hidden = text === "";
  at("enter-token").hidden = !wantsToken;
  say("streams-problem", text);
}

function serverState(state, text) {
  at("server-state").dataset.state = state;
  say("server-state", text);
}

async function ask() {
  const answer = await fetch("streams", { headers: authorization(tokens.read || tokens.publish), cache: "no-store" });
  if (answer.ok) return answer.json();
  const text = (await answer.text()).trim();
  const wantsToken = answer.status === 401 || answer.status === 403;
  throw Object.assign(new Error(`The list of streams was refused (${answer.status}): ${text}`), { wantsToken });
}

async function poll() {
  clearTimeout(polling);
  const mine = ++polls;
  try {
    const list = await ask();
    if (mine !== polls) return;
    takeStreams(list);
    streamsProblem("", false);
    serverState("open", "The server answers.");
    showStreams();
  } catch (error) {
    if (mine !== polls) return;
    const down = error instanceof TypeError;
    streamsProblem(down ? "The server does not answer. What is listed may be old." : error.message, error.wantsToken === true);
    serverState(down ? "waiting" : "refused", down ? "The server does not answer." : "The server answers, but refuses.");
  }
  polling = setTimeout(poll, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
}

at("find").addEventListener("input", showStreams);
at("enter-token").addEventListener("click", () => at("token").focus());
document.addEventListener("visibilitychange", () => document.hidden || poll());

// ---- watching ----

let feed = null;
let lastId = "";
let lastNames = [];
let connected = 0; // how often, since watching began
const counts = { events: 0, gaps: 0, reconnections: 0 };

function add(what, n) {
  counts[what] += n;
  at("count-" + what).textContent = counts[what].toLocaleString("en");
}

function choose(name, yes) {
  if (yes && watched.size >= MOST_TOGETHER) {
    setState("refused", `One connection takes ${MOST_TOGETHER} streams at most.`);
  } else {
    if (yes) watched.add(name);
    else watched.delete(name);
    remember();
    watch();
  }
  showStreams();
}

// What is watched is part of the address, so that it outlives a reload and can be passed on as a link: #watch=NAME&watch=NAME.
function remember() {
  const query = new URLSearchParams([...watched].map((name) => ["watch", name]));
  history.replaceState(null, "", watched.size > 0 ? `#${query}` : location.pathname + location.search);
}

function recall() {
  const names = new Set(new URLSearchParams(location.hash.slice(1)).getAll("watch").filter((name) => name !== ""));
  if (names.size === 0) return remember(); // another anchor, or none
  watched.clear();
  [...names].slice(0, MOST_TOGETHER).forEach((name) => watched.add(name));
  watch();
  showStreams();
}

window.addEventListener("hashchange", recall);

function url(names) {
  return "events?" + names.map((name) => "stream=" + encodeURIComponent(name)).join("&");
}

// A position of one stream alone, in the form in which a connection with several has it; any other id says nothing about the others.
function idFor(names) {
  const left = lastNames.some((name) => names.includes(name));
  if (!left) return "";
  if (lastNames.length > 1 || names.length === 1) return lastId;
  return /^[0-9a-f]{12}-[0-9]+$/.test(lastId) ? `${encodeURIComponent(lastNames[0])} ${lastId}` : "";
}

function setState(state, text) {
  at("watch-state").dataset.state = state;
  say("watch-state", text);
}

function onState(names, state, text) {
  const what = names.length > 3 ? count(names.length, "stream", "streams") : names.join(", ");
  if (state === "connecting" && connected === 0) setState(state, `Connecting to ${what}…`);
  if (state === "open") {
    setState(state, `Watching ${what}.`);
    if (connected++ > 0) {
      add("reconnections", 1);
      note("Connected again.");
    }
  }
  if (state === "waiting") {
    if (at("watch-state").dataset.state === "open") note(`Connection lost: ${text}`);
    setState(state, `Not connected, trying again: ${text}`);
  }
  if (state === "refused" || state === "ended") {
    setState(state, `Not watching ${what}: ${text}`);
    feed = null;
  }
}

function watch() {
  const names = [...watched];
  if (feed) {
    lastId = feed.lastId;
    feed.stop();
    feed = null;
  }
  at("stop").disabled = names.length === 0;
  connected = 0;
  if (names.length === 0) return setState("idle", "Not watching. Choose a stream.");
  if (at("publish-stream").value === "") at("publish-stream").value = names[0];
  const mine = new Feed({
    url: url(names),
    token: tokens.read,
    lastId: idFor(names),
    onState: (state, text) => mine === feed && onState(names, state, text),
    onEvent: (event) => mine === feed && receive(event, names),
  });
  feed = mine;
  lastNames = names;
  lastId = mine.lastId;
  mine.run();
}

at("watch-form").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const name = at("watch-name").value;
  at("watch-name").value = "";
  if (name !== "") choose(name, true);
});

at("stop").addEventListener("click", () => {
  watched.clear();
  remember();
  watch();
  showStreams();
});

// ---- events ----

let waiting = []; // items that are not on the page yet
let overflow = 0; // and so many that came while paused and fell out
let paused = false;
let drawing = false;

// The id of a connection with several streams: "NAME POSITION,POSITION… [ID]", the positions in the order of the names.
function origin(event, names) {
  if (names.length === 1) return { stream: names[0], id: event.id };
  const [, name, positions, id] = /^(\S+) ([0-9a-f,-]+)(?: (.*))?$/.exec(event.id) || [];
  if (name === undefined) return { stream: "", id: event.id };
  let stream = name;
  try {
    stream = decodeURIComponent(name);
  } catch {
    // A name that is not UTF-8 stays as it was sent.
  }
  return { stream, id: id || positions.split(",")[names.indexOf(stream)] || "" };
}

function gapOf(event) {
  if (event.type !== "gap") return null;
  try {
    const gap = JSON.parse(event.data);
    return gap !== null && typeof gap === "object" && "missed" in gap ? gap : null;
  } catch {
    return null;
  }
}

function receive(event, names) {
  const gap = gapOf(event);
  add(gap ? "gaps" : "events", 1);
  put({ ...event, ...origin(event, names), gap, when: new Date() });
}

function note(text) {
  put({ notice: text, when: new Date() });
}

function put(item) {
  waiting.push(item);
  if (waiting.length > MOST_EVENTS) {
    waiting.shift();
    if (paused) overflow++;
  }
  if (paused) return showPaused();
  if (drawing) return;
  drawing = true;
  // A hidden page has no animation frames.
  if (document.hidden) setTimeout(draw, 250);
  else requestAnimationFrame(draw);
}

function gapText(gap) {
  const missed = gap.missed === null ? "an unknown number of events" : count(Number(gap.missed), "event", "events");
  return `Gap: ${missed} missed here.`;
}

function showData(data) {
  const pre = element("pre", "", data.slice(0, MOST_CHARACTERS));
  if (data.length <= MOST_CHARACTERS) return [pre];
  const more = element("button", "", `Show all ${data.length.toLocaleString("en")} characters`);
  more.type = "button";
  more.addEventListener("click", () => {
    pre.textContent = data;
    pre.tabIndex = -1;
    pre.focus();
    more.remove();
  });
  return [pre, more];
}

function makeItem(item) {
  const li = element("li", item.gap ? "gap" : item.notice ? "notice" : "");
  const about = element("div", "about");
  const time = element("time", "", item.when.toLocaleTimeString("en-GB"));
  time.dateTime = item.when.toISOString();
  about.append(time);
  if (item.stream) about.append(element("bdi", "stream", item.stream));
  if (item.type && item.type !== "message" && !item.gap) about.append(element("bdi", "type", item.type));
  if (item.id) about.append(element("bdi", "id", item.id));
  li.append(about);
  if (item.notice) about.append(element("span", "", item.notice));
  else if (item.gap) li.append(element("strong", "", gapText(item.gap)));
  else li.append(...showData(item.data));
  li.dataset.text = [item.stream, item.type, item.id, item.data, item.notice].join("\n").toLowerCase();
  return li;
}

function draw() {
  drawing = false;
  if (paused) return;
  const list = at("events");
  const items = waiting;
  waiting = [];
  list.append(...items.map(makeItem));
  while (list.children.length > MOST_EVENTS) list.firstElementChild.remove();
  filterEvents();
  if (at("scroll").checked) at("log").scrollTop = at("log").scrollHeight;
}

function filterEvents() {
  const text = at("filter").value.toLowerCase();
  let shown = 0;
  for (const li of at("events").children) {
    li.hidden = !li.dataset.text.includes(text);
    shown += !li.hidden;
  }
  const all = at("events").children.length;
  at("nothing").hidden = all > 0;
  const bound = all >= MOST_EVENTS ? ` Older ones are not kept: the newest ${MOST_EVENTS} are.` : "";
  if (!paused) say("log-note", all === 0 ? "" : `${shown} of ${all} shown.${bound}`);
}

function showPaused() {
  const lost = overflow > 0 ? ` The first ${overflow.toLocaleString("en")} of them are not kept.` : "";
  say("log-note", `Paused. ${count(waiting.length + overflow, "new event waits", "new events wait")}.${lost}`);
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  overflow = 0;
  if (paused) showPaused();
  else draw();
});

at("clear").addEventListener("click", () => {
  waiting = [];
  overflow = 0;
  at("events").replaceChildren();
  for (const what of Object.keys(counts)) add(what, -counts[what]);
  if (paused) showPaused();
  filterEvents();
});

at("filter").addEventListener("input", filterEvents);

// ---- publishing ----

function publishUrl() {
  const query = new URLSearchParams({ stream: at("publish-stream").value });
  if (at("publish-type").value) query.set("event", at("publish-type").value);
  if (at("publish-id").value) query.set("id", at("publish-id").value);
  return "events?" + query;
}

async function publish() {
  const headers = { "Content-Type": "text/plain;charset=utf-8", ...authorization(tokens.publish || tokens.read) };
  const answer = await fetch(publishUrl(), { method: "POST", headers, body: at("publish-data").value });
  const text = (await answer.text()).trim();
  return answer.ok ? `Published as ${text}.` : `Not published (${answer.status}): ${text}`;
}

at("publish-form").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  at("publish-result").textContent = ""; // the same answer again is news
  const result = await publish().catch(() => "Not published: the server does not answer.");
  at("publish-result").textContent = result;
});

// ---- start ----

at("token").value = tokens.read;
at("publish-token").value = tokens.publish;
recall();
poll();
