/* POST: from a body to events in a stream's ring, all or none.
 *
 * The body is the data of one event, or, as text/event-stream, many events in wire format. Here a
 * line that a reader would ignore is an error, because a publisher who writes one has lost
 * something. No threads of its own. */
#include "http.h"

#include "header.h"
#include "hub.h"

#include <inttypes.h>
#include <sse/parser.h>
#include <stdlib.h>

typedef struct batch {
    sse_server *hub;
    sse_msg **msgs;
    size_t n;
    size_t allocated;
    uint32_t room;       /* of the stream's ring */
    sse__answer *answer; /* its status is set at the first error */
} batch;

static void batch_fini(batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        sse_msg_unref(b->msgs[i]);
    free(b->msgs);
}

static sse_err batch_add(batch *b, const sse_event *event)
{
    if (b->n == b->allocated) {
        size_t allocated = b->allocated ? b->allocated * 2 : 8;
        sse_msg **msgs = realloc(b->msgs, allocated * sizeof *msgs);
        if (!msgs)
            return SSE_ENOMEM;
        b->msgs = msgs;
        b->allocated = allocated;
    }
    sse_err err = sse__hub_message(b->hub, event, &b->msgs[b->n]);
    b->n += err == SSE_OK;
    return err;
}

static void answer_too_many(const batch *b, uint32_t room)
{
    sse__answer_error(b->answer, 413, "More events at once than the stream's ring holds (%u).",
                      (unsigned)room);
}

static void answer_event_error(const batch *b, sse_err err, size_t number)
{
    unsigned long long limit = b->hub->options.max_event_bytes;
    if (err == SSE_EINVAL)
        sse__answer_error(b->answer, 400, "Event %zu: an id or a type cannot hold CR, LF or NUL.",
                          number);
    else if (err == SSE_ETOOBIG)
        sse__answer_error(b->answer, 413, "Event %zu is larger than %llu bytes.", number, limit);
    else
        sse__answer_err(b->answer, err, "");
}

/* ---- one event ---- */

static bool parse_retry(sse_str text, uint64_t *ms)
{
    if (text.len == 0 || text.len > 18)
        return false;
    *ms = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *ms = *ms * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return true;
}

static void collect_one(batch *b, const sse__publication *p)
{
    sse_event event = {.data = p->body, .type = p->event};
    if (p->id.len > 0)
        event.id = p->id;
    if (p->retry.ptr) {
        event.has_retry = parse_retry(p->retry, &event.retry_ms);
        if (!event.has_retry) {
            sse__answer_error(b->answer, 400, "retry is not a number of milliseconds.");
            return;
        }
    }
    sse_err err = batch_add(b, &event);
    if (err != SSE_OK)
        answer_event_error(b, err, 1);
}

/* ---- many ---- */

static int on_event(void *user, const sse_event *event)
{
    batch *b = user;
    if (b->n == b->room) {
        answer_too_many(b, b->room);
        return 1;
    }
    sse_err err = batch_add(b, event);
    if (err != SSE_OK)
        answer_event_error(b, err, b->n + 1);
    return err != SSE_OK;
}

static int on_problem(void *user, sse_err err, uint64_t line, const char *what)
{
    batch *b = user;
    if (err == SSE_EINVAL)
        sse__answer_error(b->answer, 400, "Line %" PRIu64 ": %s.", line, what);
    else
        answer_event_error(b, err, b->n + 1);
    return 1;
}

static void collect_many(batch *b, const sse__publication *p)
{
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = true;
    options.max_event_bytes = (size_t)b->hub->options.max_event_bytes;
    sse_parser_callbacks callbacks = {
        .size = sizeof callbacks, .on_event = on_event, .on_problem = on_problem};
    sse_parser *parser;
    sse_err err = sse_parser_new(&options, &callbacks, b, &parser);
    if (err != SSE_OK) {
        sse__answer_err(b->answer, err, "");
        return;
    }
    err = sse_parser_feed(parser, p->body.ptr, p->body.len);
    bool unfinished = sse_parser_reset(parser);
    sse_parser_free(parser);
    if (b->answer->status != 0)
        return;
    if (err != SSE_OK)
        sse__answer_err(b->answer, err, "");
    else if (unfinished)
        sse__answer_error(b->answer, 400, "Event %zu is not ended by an empty line.", b->n + 1);
    else if (b->n == 0)
        sse__answer_error(b->answer, 400, "The body holds no event.");
}

/* ---- publishing ---- */

/* The ids, one a line. */
static void answer_ids(batch *b, const sse__stream *st, uint64_t first_seq)
{
    for (size_t i = 0; i < b->n; i++) {
        char position[SSE__ID_MAX];
        sse_str id = sse_msg_event(b->msgs[i])->id;
        if (!id.ptr) {
            sse__stream_format_id(st, first_seq + i, position);
            id = sse_cstr(position);
        }
        sse__text_add_bytes(&b->answer->body, id.ptr, id.len);
        sse__text_add(&b->answer->body, "\n");
    }
    b->answer->status = 200;
}

/* st: the stream if there was one when the request came, or NULL. Its reference is taken. */
static void publish(batch *b, sse__stream *st, const char *name)
{
    uint64_t first_seq;
    sse_err err = atomic_load(&b->hub->closing) ? SSE_ECLOSED : SSE_OK;
    if (err == SSE_OK && !st)
        err = sse__hub_stream(b->hub, name, true, &st);
    if (err == SSE_OK) {
        err = sse__stream_publish(st, b->msgs, b->n, false, &first_seq);
        if (err == SSE_ECLOSED && !atomic_load(&b->hub->closing))
            err = SSE_ENOSTREAM;
    }
    if (err == SSE_OK)
        answer_ids(b, st, first_seq);
    else if (err == SSE_ETOOBIG)
        answer_too_many(b, st->config.inbox_events);
    else
        sse__answer_err(b->answer, err, name);
    sse__stream_unref(st);
}

void sse__http_publish(const sse__publication *publication, sse__answer *answer)
{
    sse_server *hub = publication->hub;
    sse__stream *st;
    if (sse__hub_stream(hub, publication->stream, false, &st) != SSE_OK)
        st = NULL; /* one that does not exist yet will be like the others */
    batch b = {.hub = hub,
               .room = st ? st->config.inbox_events : hub->stream_config.inbox_events,
               .answer = answer};
    if (sse__is_event_stream(publication->content_type))
        collect_many(&b, publication);
    else
        collect_one(&b, publication);
    if (answer->status == 0)
        publish(&b, st, publication->stream);
    else
        sse__stream_unref(st);
    batch_fini(&b);
}
