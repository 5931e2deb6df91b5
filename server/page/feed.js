// An event stream read by fetch(): what EventSource does, and what it does not: it sends a token in a header, and says what happens.

// Text in pieces, as it comes, to events (WHATWG HTML, 9.2.6).
export class Parser {
  constructor(onEvent, onRetry) {
    this.onEvent = onEvent;
    this.onRetry = onRetry;
    this.rest = ""; // of a line that has no end yet
    this.afterCR = false; // an LF that comes next belongs to the CR before it
    this.id = "";
    this.reset();
  }

  reset() {
    this.type = "";
    this.data = "";
  }

  push(text) {
    let start = 0;
    let at = this.rest.length;
    if (this.afterCR && text !== "") {
      this.afterCR = false;
      if (text[0] === "\n") text = text.slice(1);
    }
    text = this.rest + text;
    for (; at < text.length; at++) {
      const c = text[at];
      if (c !== "\n" && c !== "\r") continue;
      this.line(text.slice(start, at));
      if (c === "\r") {
        if (at + 1 === text.length) this.afterCR = true;
        else if (text[at + 1] === "\n") at++;
      }
      start = at + 1;
    }
    this.rest = text.slice(start);
  }

  line(line) {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") this.data += value + "\n";
    else if (field === "event") this.type = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.onRetry(Number(value));
  }

  dispatch() {
    const { type, data, id } = this;
    this.reset();
    if (data !== "") this.onEvent({ type: type || "message", data: data.slice(0, -1), id });
    else this.onEvent({ type: "", data: "", id }); // moves the id, shows nothing
  }
}

// A header's value may hold any bytes, but fetch() wants one character a byte.
function asBytes(text) {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30000;

// A subscription that comes back. onState(state, text): "connecting", "open", "waiting" (to come back), "refused", "ended".
export class Feed {
  constructor({ url, token, lastId, onState, onEvent }) {
    Object.assign(this, { url, token, onState, onEvent });
    this.lastId = lastId || "";
    this.retry = FIRST_WAIT;
    this.failures = 0; // in a row
    this.abort = new AbortController();
    this.wake = () => {};
  }

  async run() {
    while (!this.abort.signal.aborted) {
      this.onState("connecting", "Connecting…");
      const why = await this.once().catch(() => "The server does not answer.");
      if (this.abort.signal.aborted || why === null) return;
      this.failures++;
      await this.wait(why);
    }
  }

  stop() {
    this.abort.abort();
    this.wake();
  }

  // One connection to its end. Resolves to why it ended, or to null when there is no reason to come back.
  async once() {
    const headers = { Accept: "text/event-stream" };
    if (this.token) headers.Authorization = "Bearer " + this.token;
    if (this.lastId) headers["Last-Event-ID"] = asBytes(this.lastId);
    const answer = await fetch(this.url, { headers, cache: "no-store", signal: this.abort.signal });
    if (answer.status === 204) return this.finish("ended", "The server says that there is nothing more.");
    if (answer.status === 429 || answer.status >= 500) return (await answer.text()).trim() || `Status ${answer.status}`;
    if (!answer.ok) return this.finish("refused", `${answer.status}: ${(await answer.text()).trim()}`);
    if (!/^text\/event-stream\b/i.test(answer.headers.get("Content-Type") || ""))
      return this.finish("refused", "The answer is not an event stream.");
    this.failures = 0;
    this.onState("open", "");
    return this.read(answer.body.getReader()).then(
      () => "The connection has ended.",
      () => "The connection broke.",
    );
  }

  finish(state, text) {
    this.onState(state, text);
    return null;
  }

  async read(reader) {
    const decoder = new TextDecoder();
    const parser = new Parser(
      (event) => {
        this.lastId = event.id;
        if (event.type) this.onEvent(event);
      },
      (retry) => (this.retry = Math.min(retry, 10 * LONGEST_WAIT)),
    );
    parser.id = this.lastId;
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.abort.signal.aborted) return;
      parser.push(decoder.decode(value, { stream: true }));
    }
  }

  // Twice as long each time, and never at the same moment as everybody else.
  async wait(why) {
    const most = Math.max(this.retry, LONGEST_WAIT);
    const ms = Math.min(this.retry * 2 ** Math.min(this.failures - 1, 10), most) * (0.75 + Math.random() / 2);
    this.onState("waiting", why);
    await new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, ms);
    });
  }
}
