/* The body of a POST: either an error, and nothing was published; or exactly the events that the public parser sees in it, with as
 * many ids in the answer. And it is an error only where there is a reason for one.
 *
 * Input: a byte for the content type and for which parts the query has, the lengths of event, id and retry with their bytes, the
 * rest is the body. */
#include "../../server/http.h" /* not support/http.h */
#include "frame.h"
#include "hub_fixture.h"

#include <sse/parser.h>
#include <stdio.h>
#include <stdlib.h>

/* A body may hold more events than the worker takes at once. */
enum { RING = SSE__BATCH + 8, LIMIT = 120, QUERY_BYTES = 20 };
enum { HAS_EVENT = 4, HAS_ID = 8, HAS_RETRY = 16, LIMITED = 32 };

static const char *const types[4] = {NULL, "text/plain", "text/event-stream",
                                     "Text/Event-Stream; charset=utf-8"};

/* What should be published. */
typedef struct wanted {
    sse_msg *msgs[RING + 1];
    size_t n;
    uint64_t limit; /* bytes of an event; 0: none */
    bool refused;   /* there is a reason to publish nothing */
} wanted;

static bool fits_in_line(sse_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr("\r\n", s.ptr[i])) /* matches NUL, too */
            return false;
    return true;
}

static int want_event(void *user, const sse_event *event)
{
    wanted *w = user;
    uint64_t bytes = event->id.len + event->type.len + event->data.len + event->comment.len;
    if (!fits_in_line(event->id) || !fits_in_line(event->type) || (w->limit && bytes > w->limit) ||
        w->n == RING)
        w->refused = true;
    else
        must(sse_msg_new(event, NULL, &w->msgs[w->n++]) == SSE_OK);
    return 0;
}

static int want_nothing(void *user, sse_err err, uint64_t line, const char *what)
{
    (void)err;
    (void)line;
    (void)what;
    ((wanted *)user)->refused = true;
    return 0;
}

static void want_many(wanted *w, sse_str body)
{
    static const sse_parser_callbacks callbacks = {
        .size = sizeof callbacks, .on_event = want_event, .on_problem = want_nothing};
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = true;
    options.max_event_bytes = w->limit;
    sse_parser *parser;
    must(sse_parser_new(&options, &callbacks, w, &parser) == SSE_OK);
    for (size_t i = 0; i < body.len; i++) /* byte by byte, the server does not */
        must(sse_parser_feed(parser, body.ptr + i, 1) == SSE_OK);
    if (sse_parser_reset(parser) || w->n == 0)
        w->refused = true;
    sse_parser_free(parser);
}

static void want_one(wanted *w, const sse__publication *p)
{
    sse_event event = {.data = p->body, .type = p->event};
    if (p->id.len > 0)
        event.id = p->id;
    if (p->retry.ptr) {
        char digits[QUERY_BYTES + 1] = "";
        memcpy(digits, p->retry.ptr, p->retry.len);
        event.has_retry = true;
        event.retry_ms = strtoull(digits, NULL, 10);
        if (p->retry.len == 0 || p->retry.len > 18 || strspn(digits, "0123456789") != p->retry.len)
            w->refused = true;
    }
    want_event(w, &event);
}

/* ---- what came of it ---- */

static sse_str next_line(const char **at)
{
    const char *end = strchr(*at, '\n');
    must(end != NULL);
    sse_str line = {*at, (size_t)(end - *at)};
    *at = end + 1;
    return line;
}

static void check_refusal(sse__stream *st, const sse__answer *answer)
{
    must(answer->status == 400 || answer->status == 413);
    const char *at = answer->body.ptr;
    must(at && next_line(&at).len > 0 && *at == '\0'); /* one sentence */
    must(hub_settle(st) == 0);
}

/* Each event is in the log as the encoder writes it, with the id that was answered. */
static void check_events(sse__stream *st, const wanted *w, const sse__answer *answer)
{
    must(answer->status == 200);
    must(hub_settle(st) == w->n);
    const char *at = answer->body.ptr;
    for (size_t i = 0; i < w->n; i++) {
        const sse_event *event = sse_msg_event(w->msgs[i]);
        char position[SSE__ID_MAX];
        sse__stream_format_id(st, i + 1, position);
        sse_str id = event->id.ptr ? event->id : sse_cstr(position);
        sse_str told = next_line(&at);
        must(told.len == id.len && memcmp(told.ptr, id.ptr, id.len) == 0);
        sse__frame *frame;
        must(sse__frame_new(event, event->data.ptr ? id : (sse_str){0}, &frame) == SSE_OK);
        sse__mutex_lock(&st->mu);
        const sse__frame *logged = sse__history_frame(&st->log, i + 1);
        must(logged && logged->len == frame->len &&
             memcmp(logged->bytes, frame->bytes, frame->len) == 0);
        sse__mutex_unlock(&st->mu);
        sse__frame_unref(frame);
    }
    must(*at == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static sse_server *hubs[2];
    for (int i = 0; i < 2; i++)
        if (!hubs[i])
            hubs[i] = hub_new(i == 0 ? 0 : LIMIT);
    hub_input in = {bytes, n};
    uint8_t control = hub_take_byte(&in);
    bool limited = control & LIMITED;
    sse__publication p = {.hub = hubs[limited], .stream = "s", .content_type = types[control & 3]};
    sse_str event = hub_take_string(&in, QUERY_BYTES);
    sse_str id = hub_take_string(&in, QUERY_BYTES);
    sse_str retry = hub_take_string(&in, QUERY_BYTES);
    if (control & HAS_EVENT)
        p.event = event;
    if (control & HAS_ID)
        p.id = id;
    if (control & HAS_RETRY)
        p.retry = retry;
    p.body = (sse_str){in.left ? (const char *)in.at : "", in.left};

    wanted w = {.limit = limited ? LIMIT : 0};
    if ((control & 3) >= 2)
        want_many(&w, p.body);
    else
        want_one(&w, &p);

    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.ring_events = RING;
    sse__stream *st = hub_stream(p.hub, &options);
    sse__answer answer = {0};
    sse__http_publish(&p, &answer);
    if (w.refused)
        check_refusal(st, &answer);
    else
        check_events(st, &w, &answer);
    sse__text_fini(&answer.body);
    hub_end(st);
    for (size_t i = 0; i < w.n; i++)
        sse_msg_unref(w.msgs[i]);
    return 0;
}
