// The reader of event streams in the page: the same text gives the same events, wherever it is split.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

// Without a package.json beside it node would not take it for a module.
const source = readFileSync(join(process.env.SSE_SOURCE, "server/page/feed.js"));
const { Parser } = await import("data:text/javascript;base64," + source.toString("base64"));

function parse(pieces) {
  const out = [];
  const parser = new Parser(
    (event) => event.type && out.push(event),
    (retry) => out.push({ retry }),
  );
  for (const piece of pieces) parser.push(piece);
  return out;
}

const cases = [
  ["data: a\n\n", [{ type: "message", data: "a", id: "" }]],
  ["data:a\r\rdata: b\r\n\r\n", [{ type: "message", data: "a", id: "" }, { type: "message", data: "b", id: "" }]],
  ["data: a\r\ndata: b\r\n\r\n", [{ type: "message", data: "a\nb", id: "" }]],
  ["data: a\ndata\ndata:  b\n\n", [{ type: "message", data: "a\n\n b", id: "" }]],
  [":comment\nevent: t\ndata: a\n\ndata: b\n\n", [{ type: "t", data: "a", id: "" }, { type: "message", data: "b", id: "" }]],
  ["id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", ["1", "1", ""].map((id, i) => ({ type: "message", data: "abc"[i], id }))],
  ["id: 1\0\ndata: a\n\n", [{ type: "message", data: "a", id: "" }]],
  ["data\n\n", [{ type: "message", data: "", id: "" }]],
  ["event: t\n\ndata: a\n\n", [{ type: "message", data: "a", id: "" }]],
  ["retry: 10\nretry: 1x\nretry:\nretry: -1\n\n", [{ retry: 10 }]],
  ["data: not ended\n", []],
  ["unknown: x\n data: x\ndata: ä€😀\n\n", [{ type: "message", data: "ä€😀", id: "" }]],
];

test("events, in one piece, in single characters, and split once at each place", () => {
  for (const [text, events] of cases) {
    assert.deepEqual(parse([text]), events, JSON.stringify(text));
    assert.deepEqual(parse(text.split("")), events, JSON.stringify(text));
    for (let at = 0; at <= text.length; at++)
      assert.deepEqual(parse([text.slice(0, at), "", text.slice(at)]), events, `${JSON.stringify(text)} split at ${at}`);
  }
});

test("an event without data moves the id", () => {
  const ids = [];
  const parser = new Parser((event) => ids.push(event.id), () => {});
  parser.push("id: 7\n\n");
  assert.deepEqual(ids, ["7"]);
});
