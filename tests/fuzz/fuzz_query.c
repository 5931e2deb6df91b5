/* What a subscriber sends: the query of its request line, and its Last-Event-ID.
 *
 * The peek at the request line is checked against its definition. The Last-Event-ID is resolved by a stream with some history and
 * some events that are on their way there; what the subscriber is sent must be what a search of all that was published says: a gap
 * when something is missing, then everything from there on, byte by byte.
 *
 * Input: a byte for options, a byte for the number of events (and of those on their way), for each a byte for the length of its id
 * and the id; the rest is the Last-Event-ID, in which a first byte of '@' stands for the stream's epoch. */
#include "hub_fixture.h"
#include "loop.h"
#include "loop_internal.h"
#include "subscriber.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The ring has room for the events on their way and for the last one; what was sent before may go. */
enum { RING = 8, PENDING = 4, EVENTS = 16, ID_BYTES = 12, LAST_BYTES = 64, OUT_BYTES = 65536 };

/* ---- the request line ---- */

static bool ends_value(char c) { return c == '&' || c == ' ' || c == '\r'; }

/* The value of the first parameter `stream` between the first '?' and the end of the line; not when it may go on. A second '?' is a
 * byte like any other. */
static bool define_stream(const char *line, size_t n, sse_str *value)
{
    size_t end = 0, at = 0;
    while (end < n && line[end] != '\n')
        end++;
    while (at < end && line[at] != '?')
        at++;
    for (size_t before = at; before < end; before++) {
        if ((before != at && line[before] != '&') || end - before <= 8 ||
            memcmp(line + before, line[before] == '?' ? "?stream=" : "&stream=", 8) != 0)
            continue;
        *value = (sse_str){line + before + 8, 0};
        while (value->ptr + value->len < line + end && !ends_value(value->ptr[value->len]))
            value->len++;
        return value->ptr + value->len < line + end;
    }
    return false;
}

static void check_line(const uint8_t *bytes, size_t n)
{
    char *line = malloc(n + (n == 0)); /* its own memory, so that each byte too many is seen */
    must(line != NULL);
    memcpy(line, bytes, n);
    sse_str found, defined;
    bool is_there = define_stream(line, n, &defined);
    must(sse__pending_find_stream(line, n, &found) == is_there);
    must(!is_there || (found.ptr == defined.ptr && found.len == defined.len));
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

/* What was accepted: the ids that the publisher gave, by number. */
typedef struct published {
    sse__stream *st;
    sse_str ids[EVENTS + 2];
    uint64_t next;
} published;

static void publish(published *p, sse_str id)
{
    sse_event event = {.data = sse_cstr("x")};
    if (id.len > 0)
        event.id = id;
    sse_err err = sse_server_publish(p->st->hub, "s", &event);
    must(err == (fits_in_line(id) ? SSE_OK : SSE_EINVAL));
    if (err == SSE_OK)
        p->ids[p->next++] = id;
}

static void publish_all(published *p, hub_input *in)
{
    uint8_t control = hub_take_byte(in);
    size_t events = control % EVENTS, pending = control / EVENTS % PENDING;
    for (; events > 0; events--) {
        publish(p, hub_take_string(in, ID_BYTES));
        if (events > pending)
            hub_settle(p->st);
    }
}

/* ---- what a subscriber is due ---- */

typedef struct expectation {
    uint64_t cursor; /* the first event that it is sent */
    uint64_t missed; /* events that it is told of instead; UINT64_MAX: not known how many */
} expectation;

/* The newest event that its publisher gave this id, if it is held. */
static bool search_ids(const published *p, const char *last, uint64_t *seq)
{
    for (*seq = p->next; (*seq)-- > p->st->log.first;) {
        sse_str id = p->ids[*seq];
        if (id.len > 0 && id.len == strlen(last) && memcmp(id.ptr, last, id.len) == 0)
            return true;
    }
    return false;
}

static bool search_position(const published *p, const char *last, uint64_t *seq)
{
    char position[SSE__ID_MAX];
    sse__stream_format_id(p->st, 0, position);
    size_t prefix = strlen(position) - 1;
    size_t digits = strspn(last + (strlen(last) < prefix ? strlen(last) : prefix), "0123456789");
    if (strncmp(last, position, prefix) != 0 || digits == 0 || digits > 19 ||
        last[prefix + digits] != '\0')
        return false;
    *seq = strtoull(last + prefix, NULL, 10);
    return *seq < p->next;
}

static expectation expect(const published *p, const char *last)
{
    sse_replay replay = p->st->config.replay;
    uint64_t oldest = replay == SSE_REPLAY_NONE ? p->next : p->st->log.visible;
    uint64_t seq;
    if (*last == '\0')
        return (expectation){replay == SSE_REPLAY_ALL ? oldest : p->next, 0};
    if (!search_position(p, last, &seq) && !search_ids(p, last, &seq))
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
    sse__sub_request request = {.streams = &st,
                                .stream_count = 1,
                                .loop = st->hub->keeper,
                                .fd = fds[0],
                                .address = "test",
                                .last_event_id = last};
    sse__sub *sub;
    must(sse__sub_new(&request, &sub) == SSE_OK);
    return sub;
}

/* Whatever was requested, it is text in one line of JSON. */
static void check_gap(const sse__frame *gap)
{
    for (size_t i = 0; i < gap->len; i++)
        must((unsigned char)gap->bytes[i] >= 0x20 || gap->bytes[i] == '\n');
    must(gap->len > 2 && memcmp(gap->bytes + gap->len - 3, "}\n\n", 3) == 0);
}

static void must_match(const char *out, size_t *at, size_t n, const sse__frame *frame)
{
    must(n - *at >= frame->len && memcmp(out + *at, frame->bytes, frame->len) == 0);
    *at += frame->len;
}

static void check_last_event_id(published *p, const char *last)
{
    static char out[OUT_BYTES];
    sse__stream *st = p->st;
    sse__mutex_lock(&st->mu);
    sse__history_expire(&st->log, &st->config.limits, 0);
    expectation e = expect(p, last);
    sse__frame *gap =
        e.missed ? sse__stream_gap_locked(st, sse_cstr(last), e.missed, e.cursor) : NULL;
    sse__mutex_unlock(&st->mu);

    sse__sub *sub = subscribe(st, last);
    publish(p, (sse_str){0}); /* something is due, so the reader does not go to sleep */
    must(hub_settle(st) + 1 == p->next);
    ptrdiff_t n = sse__sub_read(sub, out, sizeof out);
    must(n > 0);
    size_t at = 0;
    if (gap) {
        check_gap(gap);
        must_match(out, &at, (size_t)n, gap);
    }
    sse__mutex_lock(&st->mu);
    for (uint64_t seq = e.cursor; seq < p->next; seq++)
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
    published p = {.st = hub_stream(hub, &options), .next = 1};
    publish_all(&p, &in);

    char last[LAST_BYTES + SSE__ID_MAX] = "";
    if (in.left > 0 && *in.at == '@') {
        hub_take_byte(&in);
        sse__stream_format_id(p.st, 0, last);
        last[strlen(last) - 1] = '\0'; /* the number itself is in the input */
    }
    size_t prefix = strlen(last), rest = in.left < LAST_BYTES - 1 ? in.left : LAST_BYTES - 1;
    memcpy(last + prefix, in.at, rest);
    last[prefix + rest] = '\0';
    check_last_event_id(&p, last);
    hub_end(p.st);
    return 0;
}
