/* The encoder: what the parser reads back is what was put in, with line ends normalised and invalid
 * UTF-8 replaced; and what could break out of its line is refused.
 *
 * Input: a byte that says which parts there are, the lengths of id, type and comment in a byte
 * each, retry in two, then the bytes of id, type and comment; the rest is data. */
#include "frame.h"
#include "received.h"
#include "trace.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { HEAD = 6 };
enum { HAS_ID = 1, HAS_TYPE = 2, HAS_COMMENT = 4, HAS_DATA = 8, HAS_RETRY = 16, HUGE_RETRY = 32 };

struct seen {
    sse_event expected;
    size_t events;
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static int on_event(void *user, const sse_event *event)
{
    struct seen *seen = user;
    check(received_equal(event, &seen->expected));
    seen->events++;
    return 0;
}

static int on_problem(void *user, sse_err err, uint64_t line, const char *what)
{
    (void)user;
    (void)err;
    (void)line;
    (void)what;
    abort();
}

static sse_str take(const uint8_t **at, size_t *left, size_t want, bool present)
{
    size_t n = want < *left ? want : *left;
    sse_str part = {(const char *)*at, n};
    if (!present)
        return (sse_str){NULL, 0};
    *at += n;
    *left -= n;
    return part;
}

static bool fits_in_line(sse_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\r' || s.ptr[i] == '\n' || s.ptr[i] == '\0')
            return false;
    return true;
}

static void read_back(const sse_event *ev, sse_str wire)
{
    static const sse_parser_callbacks callbacks = {
        .size = sizeof callbacks, .on_event = on_event, .on_problem = on_problem};
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = true;
    struct received texts;
    struct seen seen = {.expected = received_event(&texts, ev)};
    sse_parser *p;
    check(sse_parser_new(&options, &callbacks, &seen, &p) == SSE_OK);
    check(trace_feed(p, wire, (struct cut){CUT_RANDOM, wire.len}) == SSE_OK);
    check(seen.events == 1);
    check(!sse_parser_reset(p));
    sse_parser_free(p);
    received_free(&texts);
}

static void check_frame(const sse_event *ev, sse_str wire)
{
    sse__frame *f;
    check(sse__frame_new(ev, sse_cstr(NULL), &f) == SSE_OK);
    check(f->len == wire.len && memcmp(f->bytes, wire.ptr, wire.len) == 0);
    sse_str id = sse__frame_id(f);
    check(id.len == ev->id.len && (id.len == 0 || memcmp(id.ptr, ev->id.ptr, id.len) == 0));
    sse__frame_unref(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < HEAD)
        return 0;
    unsigned has = bytes[0];
    const uint8_t *at = bytes + HEAD;
    size_t left = n - HEAD;
    sse_event ev = {.has_retry = has & HAS_RETRY};
    ev.retry_ms = (uint64_t)(bytes[4] << 8 | bytes[5]);
    if (has & HUGE_RETRY)
        ev.retry_ms = UINT64_MAX - ev.retry_ms;
    ev.id = take(&at, &left, bytes[1], has & HAS_ID);
    ev.type = take(&at, &left, bytes[2], has & HAS_TYPE);
    ev.comment = take(&at, &left, bytes[3], has & HAS_COMMENT);
    ev.data = take(&at, &left, left, has & HAS_DATA);

    size_t size = sse_event_encoded_size(&ev), len;
    char *buf = malloc(size);
    check(buf != NULL);
    if (!fits_in_line(ev.id) || !fits_in_line(ev.type)) {
        check(sse_event_encode(&ev, buf, size, &len) == SSE_EINVAL);
    } else {
        check(sse_event_encode(&ev, buf, size - 1, &len) == SSE_ETOOBIG && len == size);
        check(sse_event_encode(&ev, buf, size, &len) == SSE_OK && len == size);
        read_back(&ev, (sse_str){buf, len});
        check_frame(&ev, (sse_str){buf, len});
    }
    free(buf);
    return 0;
}
