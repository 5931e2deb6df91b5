/* What a subscriber sends: the query of its request line, and its Last-Event-ID.
 *
 * The peek at the request line is checked against its definition. The Last-Event-ID is resolved by a stream with some history, and
 * what the subscriber is sent must be what a search of the log from its newest end says: a gap when something is missing, then
 * everything from there on, byte by byte.
 *
 * Input: a byte for options, a byte for the number of events, for each a byte for the length of its id and the id; the rest is the
 * Last-Event-ID, in which a first byte of '@' stands for the stream's epoch. */
#include "hub_fixture.h"
#include "loop.h"
#include "loop_internal.h"
#include "subscriber.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { RING = 4, EVENTS = 16, ID_BYTES = 12, LAST_BYTES = 64, OUT_BYTES = 65536 };

/* ---- the request line ---- */

/* Does a value of `stream` begin here? A second '?' is a byte like any other. */
static bool is_value(const char *query, const char *at)
{
    return at - query >= 8 && memcmp(at - 7, "stream=", 7) == 0 &&
           (at - 8 == query || at[-8] == '&');
}

static void check_line(const uint8_t *bytes, size_t n)
{
    char *line = malloc(n + (n == 0)); /* its own memory, so that each byte too many is seen */
    must(line != NULL);
    memcpy(line, bytes, n);
    sse_str found;
    if (sse__pending_find_stream(line, n, &found)) {
        const char *end = memchr(line, '\n', n);
        const char *query = memchr(line, '?', n);
        must(query && found.ptr > query && found.ptr + found.len < (end ? end : line + n));
        must(is_value(query, found.ptr));
        for (size_t i = 0; i < found.len; i++)
            must(!strchr("& \r\n", found.ptr[i]) || found.ptr[i] == '\0');
        must(strchr("& \r", found.ptr[found.len]) && found.ptr[found.len] != '\0');
        for (const char *at = query + 8; at < found.ptr; at++)
            must(!is_value(query, at)); /* it is the first one */
    }
    free(line);
}

/* ---- events ---- */

static bool fits_in_line(sse_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr("\r\n", s.ptr[i])) /* matches NUL, too */
            return false;
    return true;
}

static void publish(sse__stream *st, sse_str id)
{
    sse_event event = {.data = sse_cstr("x")};
    if (id.len > 0)
        event.id = id;
    sse_err err = sse_server_publish(st->hub, "s", &event);
    must(err == (fits_in_line(id) ? SSE_OK : SSE_EINVAL));
}

/* ---- what a subscriber is due ---- */

typedef struct expectation {
    uint64_t cursor; /* the first event that it is sent */
    uint64_t missed; /* events that it is told of instead; UINT64_MAX: not known how many */
} expectation;

static bool is_own(const sse__stream *st, const sse__frame *frame, uint64_t seq)
{
    char position[SSE__ID_MAX];
    sse__stream_format_id(st, seq, position);
    sse_str id = sse__frame_id(frame);
    return id.len != strlen(position) || memcmp(id.ptr, position, id.len) != 0;
}

/* The newest event that its publisher gave this id. */
static bool search_log(const sse__stream *st, const char *last, uint64_t *seq)
{
    for (*seq = st->log.end; (*seq)-- > st->log.first;) {
        const sse__frame *frame = sse__history_frame(&st->log, *seq);
        sse_str id = sse__frame_id(frame);
        if (is_own(st, frame, *seq) && id.len == strlen(last) && memcmp(id.ptr, last, id.len) == 0)
            return true;
    }
    return false;
}

static bool search_position(const sse__stream *st, const char *last, uint64_t *seq)
{
    char position[SSE__ID_MAX];
    sse__stream_format_id(st, 0, position);
    size_t prefix = strlen(position) - 1;
    size_t digits = strspn(last + (strlen(last) < prefix ? strlen(last) : prefix), "0123456789");
    if (strncmp(last, position, prefix) != 0 || digits == 0 || digits > 19 ||
        last[prefix + digits] != '\0')
        return false;
    *seq = strtoull(last + prefix, NULL, 10);
    return *seq < st->log.end;
}

static expectation expect(const sse__stream *st, const char *last)
{
    sse_replay replay = st->config.replay;
    uint64_t oldest = replay == SSE_REPLAY_NONE ? st->log.end : st->log.visible;
    uint64_t seq;
    if (*last == '\0')
        return (expectation){replay == SSE_REPLAY_ALL ? oldest : st->log.end, 0};
    if (!search_log(st, last, &seq) && !search_position(st, last, &seq))
        return (expectation){oldest, UINT64_MAX};
    uint64_t cursor = seq + 1 > oldest ? seq + 1 : oldest;
    return (expectation){cursor, cursor - seq - 1};
}

/* ---- what it gets ---- */

static sse__sub *subscribe(sse__stream *st, const char *last)
{
    static int fds[2] = {-1, -1};
    if (fds[0] < 0)
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    sse__sub_request request = {.stream = st,
                                .loop = st->hub->keeper,
                                .fd = fds[0],
                                .address = "test",
                                .last_event_id = last};
    sse__sub *sub;
    must(sse__sub_new(&request, &sub) == SSE_OK);
    return sub;
}

static void must_match(const char *out, size_t *at, size_t n, const sse__frame *frame)
{
    must(n - *at >= frame->len && memcmp(out + *at, frame->bytes, frame->len) == 0);
    *at += frame->len;
}

static void check_last_event_id(sse__stream *st, const char *last)
{
    static char out[OUT_BYTES];
    sse__mutex_lock(&st->mu);
    sse__history_expire(&st->log, &st->config.limits, 0);
    expectation e = expect(st, last);
    sse__frame *gap =
        e.missed ? sse__stream_gap_locked(st, sse_cstr(last), e.missed, e.cursor) : NULL;
    sse__mutex_unlock(&st->mu);

    sse__sub *sub = subscribe(st, last);
    publish(st,
            (sse_str){0}); /* something is due in any case, so the reader does not go to sleep */
    hub_settle(st);
    ptrdiff_t n = sse__sub_read(sub, out, sizeof out);
    must(n > 0);
    size_t at = 0;
    if (gap)
        must_match(out, &at, (size_t)n, gap);
    sse__mutex_lock(&st->mu);
    for (uint64_t seq = e.cursor; seq < st->log.end; seq++)
        must_match(out, &at, (size_t)n, sse__history_frame(&st->log, seq));
    sse__mutex_unlock(&st->mu);
    must(at == (size_t)n);
    sse__frame_unref(gap);
    sse__sub_finish(sub);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static sse_server *hub;
    if (!hub)
        hub = hub_new(0);
    check_line(bytes, n);
    hub_input in = {bytes, n};
    uint8_t control = hub_take_byte(&in);
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.ring_events = RING;
    options.history_events = control & 7 ? control & 7 : SSE_OFF;
    options.replay = (sse_replay)(control >> 3 & 3);
    sse__stream *st = hub_stream(hub, &options);
    for (size_t events = hub_take_byte(&in) % EVENTS; events > 0; events--)
        publish(st, hub_take_string(&in, ID_BYTES));
    hub_settle(st);

    char last[LAST_BYTES + SSE__ID_MAX] = "";
    if (in.left > 0 && *in.at == '@') {
        hub_take_byte(&in);
        sse__stream_format_id(st, 0, last);
        last[strlen(last) - 1] = '\0'; /* the number itself is in the input */
    }
    size_t prefix = strlen(last), rest = in.left < LAST_BYTES - 1 ? in.left : LAST_BYTES - 1;
    memcpy(last + prefix, in.at, rest);
    last[prefix + rest] = '\0';
    check_last_event_id(st, last);
    hub_end(st);
    return 0;
}
