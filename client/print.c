/* Events as text: data, wire format, JSON. Pure functions into a buffer. */
#include "print.h"

#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>

static bool plain_in_json(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

static void add_escaped(tool_buffer *out, unsigned char c)
{
    char text[8];
    switch (c) {
    case '"':
        tool_buffer_adds(out, "\\\"");
        return;
    case '\\':
        tool_buffer_adds(out, "\\\\");
        return;
    case '\n':
        tool_buffer_adds(out, "\\n");
        return;
    case '\r':
        tool_buffer_adds(out, "\\r");
        return;
    case '\t':
        tool_buffer_adds(out, "\\t");
        return;
    default:
        snprintf(text, sizeof text, "\\u%04x", c);
        tool_buffer_adds(out, text);
    }
}

/* s is valid UTF-8. */
static void add_json_text(tool_buffer *out, const char *s, size_t n)
{
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (plain_in_json((unsigned char)s[i]))
            continue;
        tool_buffer_add(out, s + from, i - from);
        add_escaped(out, (unsigned char)s[i]);
        from = i + 1;
    }
    tool_buffer_add(out, s + from, n - from);
}

/* Data that was base64 may hold any bytes, and JSON is UTF-8: what is not becomes U+FFFD. */
static void add_json_string(tool_buffer *out, sse_str s)
{
    tool_buffer_add(out, "\"", 1);
    if (sse__utf8_valid_prefix(s.ptr, s.len) == s.len) {
        add_json_text(out, s.ptr, s.len);
    } else {
        size_t n = sse__utf8_repaired_size(s.ptr, s.len);
        char *repaired = tool_must(malloc(n));
        sse__utf8_repair(s.ptr, s.len, repaired);
        add_json_text(out, repaired, n);
        free(repaired);
    }
    tool_buffer_add(out, "\"", 1);
}

static void add_json_member(tool_buffer *out, const char *before, sse_str value)
{
    tool_buffer_adds(out, before);
    add_json_string(out, value);
}

static void print_json(tool_buffer *out, const sse_event *event, const char *stream)
{
    add_json_member(out, "{\"id\":", event->id);
    add_json_member(out, ",\"type\":", event->type.len ? event->type : sse_cstr("message"));
    add_json_member(out, ",\"data\":", event->data);
    if (stream)
        add_json_member(out, ",\"stream\":", sse_cstr(stream));
    tool_buffer_adds(out, "}\n");
}

static void print_sse(tool_buffer *out, const sse_event *event)
{
    sse_event e = {.data = event->data};
    if (event->id.len)
        e.id = event->id;
    if (event->type.len)
        e.type = event->type;
    size_t n = sse_event_encoded_size(&e);
    if (sse_event_encode(&e, tool_buffer_room(out, n), n, &n) == SSE_OK)
        out->len += n;
}

void print_event(tool_buffer *out, print_format format, const sse_event *event, const char *stream)
{
    switch (format) {
    case PRINT_SSE:
        print_sse(out, event);
        break;
    case PRINT_JSON:
        print_json(out, event, stream);
        break;
    case PRINT_DATA:
        tool_buffer_add(out, event->data.ptr, event->data.len);
        tool_buffer_add(out, "\n", 1);
        break;
    }
}
