/* Requests: routes, subscribing. Who may do what is in http_access.c, what is published and inspected in http_publish.c and
 * http_inspect.c, the answers are in http_reply.c.
 *
 * Runs on the thread that drives the connection. libmicrohttpd calls the handler once with the
 * headers, then with the pieces of the body, then once more: an exchange keeps what is known
 * between these calls. It answers in the last call, because an earlier answer ends the connection
 * under a client that still sends; only a client that asked first (Expect: 100-continue) is told at
 * once, and one whose body has no end in its midst. sse__http_completed() frees the exchange, however the request ended. */
#include "http.h"

#include "header.h"
#include "hub.h"
#include "mhd.h"
#include "page.h"
#include "subscriber.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much of an unwanted body is read before the answer, so that also those get it who read nothing before they have sent all. */
#define DISCARD_BYTES ((uint64_t)64 << 20)

/* A body gets its time anew with so many bytes, so that nobody holds a connection with a few. */
#define BODY_STEP 16384

/* A body with many events may be so many times as large as one event. */
#define BATCH_FACTOR 16

typedef enum route {
    ROUTE_EVENTS,
    ROUTE_STREAMS,
    ROUTE_METRICS,
    ROUTE_HEALTH,
    ROUTE_PAGE,
    ROUTE_NONE
} route;

typedef enum verb { VERB_GET, VERB_HEAD, VERB_POST, VERB_DELETE, VERB_OPTIONS, VERB_OTHER } verb;

typedef struct sse__exchange {
    route route;
    verb verb;
    sse__answer answer; /* decided when its status is set */
    sse__fields fields; /* of the request's headers */
    sse__text body;
    uint64_t received;
    uint64_t rewarded; /* of it, what has bought more time */
    bool at_once;      /* answer without reading the body; ends the connection */
} exchange;

const sse__fields *sse__http_fields(const sse__http_call *call)
{
    return &(*call->exchange)->fields;
}

/* ---- names ---- */

static bool good_stream_name(sse_str name, sse__answer *answer)
{
    if (!name.ptr || name.len == 0)
        sse__answer_error(answer, 400, "Name a stream: ?stream=NAME.");
    else if (strlen(name.ptr) != name.len)
        sse__answer_error(answer, 400, "The name of a stream cannot hold a NUL.");
    else
        return true;
    return false;
}

/* The one stream that the query names, or NULL and the answer is set. */
static const char *stream_name(const sse__http_call *call, sse__answer *answer)
{
    sse_str name = {0};
    size_t n = sse__mhd_query_all(call->connection, "stream", &name, 1);
    if (!good_stream_name(name, answer))
        return NULL;
    if (n > 1)
        sse__answer_error(answer, 400, "Name one stream only.");
    return n > 1 ? NULL : name.ptr;
}

/* Half of a connection's memory holds a request's headers, and other headers want some of it. A subscription that could begin but
 * not resume would end for good with the first interruption. */
static bool may_resume(const sse__http_call *call, const sse_str *names, size_t n)
{
    size_t room = call->hub->options.connection_memory / 2;
    return sse__together_request_bytes(names, n) <= room - room / 8;
}

/* The streams of a subscription, each named once. Returns their number, or 0 and the answer is set. */
static size_t stream_names(const sse__http_call *call, sse_str names[SSE__TOGETHER],
                           sse__answer *answer)
{
    names[0] = (sse_str){0};
    size_t n = sse__mhd_query_all(call->connection, "stream", names, SSE__TOGETHER);
    if (n > SSE__TOGETHER) {
        sse__answer_error(answer, 400, "A subscription can have %d streams, not %zu.",
                          SSE__TOGETHER, n);
        return 0;
    }
    for (size_t i = 0; i < n || i == 0; i++) {
        if (!good_stream_name(names[i], answer))
            return 0;
        for (size_t k = 0; k < i; k++)
            if (strcmp(names[k].ptr, names[i].ptr) == 0) {
                sse__answer_error(answer, 400, "Stream %.200s is named twice.", names[i].ptr);
                return 0;
            }
    }
    if (n > 1 && call->shard && !may_resume(call, names, n)) {
        sse__answer_error(answer, 400,
                          "The names of these %zu streams are too long for one subscription.", n);
        return 0;
    }
    return n;
}

/* ---- routes ---- */

static const char *allow_of(const sse_server *hub, route to)
{
    if (to != ROUTE_EVENTS)
        return "GET, HEAD, OPTIONS";
    return hub->options.http_publish ? "GET, HEAD, POST, DELETE, OPTIONS" : "GET, HEAD, OPTIONS";
}

static route find_route(const sse__http_call *call)
{
    if (!call->shard || strcmp(call->url, "/events") == 0)
        return ROUTE_EVENTS;
    if (strcmp(call->url, "/streams") == 0)
        return ROUTE_STREAMS;
    if (strcmp(call->url, "/metrics") == 0)
        return ROUTE_METRICS;
    if (strcmp(call->url, "/healthz") == 0)
        return ROUTE_HEALTH;
    return call->hub->options.page && sse__page_has(call->url) ? ROUTE_PAGE : ROUTE_NONE;
}

static verb find_verb(const sse__http_call *call, route to)
{
    static const struct {
        const char *name;
        verb verb;
    } verbs[] = {{"GET", VERB_GET},
                 {"HEAD", VERB_HEAD},
                 {"OPTIONS", VERB_OPTIONS},
                 {"POST", VERB_POST},
                 {"DELETE", VERB_DELETE}};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(call->method, verbs[i].name) == 0) {
            bool changes = verbs[i].verb == VERB_POST || verbs[i].verb == VERB_DELETE;
            bool possible = to == ROUTE_EVENTS && call->hub->options.http_publish;
            return changes && !possible ? VERB_OTHER : verbs[i].verb;
        }
    return VERB_OTHER;
}

/* A body is one event, or many in wire format. */
static uint64_t max_body(const sse__http_call *call)
{
    const char *type = (*call->exchange)->fields.content_type;
    uint64_t one = call->hub->options.max_event_bytes;
    return sse__is_event_stream(type) ? one * BATCH_FACTOR : one;
}

static void refuse_body(const sse__http_call *call, exchange *ex)
{
    sse__answer_error(&ex->answer, 413, "The body is larger than %llu bytes.",
                      (unsigned long long)max_body(call));
    sse__text_fini(&ex->body);
}

/* With only the headers known: is there a reason not to read the body? */
static void look_ahead(const sse__http_call *call, exchange *ex)
{
    if (ex->fields.content_lengths > 1) {
        /* Who is right about where the next request begins (RFC 9112, 6.3)? Nobody finds out. */
        ex->at_once = true;
        sse__answer_error(&ex->answer, 400, "Content-Length is there twice.");
    } else if (sse__http_for_somebody_else(call)) {
        sse__answer_error(&ex->answer, 421, "This server does not go by that name (--host-name).");
    } else if (ex->route == ROUTE_NONE) {
        sse__answer_error(&ex->answer, 404, "There is nothing at %.200s.", call->url);
    } else if (ex->verb == VERB_OTHER) {
        ex->answer.allow = allow_of(call->hub, ex->route);
        sse__answer_error(&ex->answer, 405, "%.40s is not possible here.", call->method);
    } else if (ex->verb == VERB_POST) {
        const char *length = ex->fields.content_length;
        const char *name = stream_name(call, &ex->answer);
        if (name && sse__http_allowed(call, SSE_ACTION_PUBLISH, name, &ex->answer, NULL) &&
            length && strtoull(length, NULL, 10) > max_body(call))
            refuse_body(call, ex);
    }
}

static exchange *begin(const sse__http_call *call)
{
    exchange *ex = calloc(1, sizeof *ex);
    if (!ex)
        return NULL;
    *call->exchange = ex;
    sse__mhd_fields(call->connection, &ex->fields);
    ex->answer.origin = ex->fields.origin;
    ex->route = find_route(call);
    ex->verb = find_verb(call, ex->route);
    look_ahead(call, ex);
    const char *length = ex->fields.content_length;
    if (ex->answer.status != 0 && length && strtoull(length, NULL, 10) > DISCARD_BYTES)
        ex->at_once = true; /* it would be closed in the midst, and told nothing */
    return ex;
}

/* There is no end to the body: answer now. What else comes is thrown away for a while by discard.c. */
static void give_up(const sse__http_call *call, exchange *ex)
{
    if (ex->answer.status == 0)
        sse__answer_error(&ex->answer, 413, "The body is larger than %llu bytes.",
                          (unsigned long long)DISCARD_BYTES);
    sse__http_reply_unread(call, &ex->answer);
}

/* A piece of the body. Returns false when the connection is to be closed, because there is no end to it. */
static bool receive(const sse__http_call *call, exchange *ex)
{
    size_t n = *call->upload_size;
    *call->upload_size = 0;
    ex->received += n;
    if (call->conn && ex->received - ex->rewarded >= BODY_STEP) {
        ex->rewarded = ex->received;
        sse__conn_expect(call->conn);
    }
    bool unwanted = ex->answer.status != 0 || ex->verb != VERB_POST;
    if (unwanted && ex->received > DISCARD_BYTES) {
        give_up(call, ex);
        return false;
    }
    if (unwanted)
        return true;
    if (ex->received > max_body(call)) {
        refuse_body(call, ex);
        return true;
    }
    sse__text_add_bytes(&ex->body, call->upload, n);
    if (ex->body.failed)
        sse__answer_err(&ex->answer, SSE_ENOMEM, "");
    return true;
}

/* The streams that a subscription asks for, a reference each, and until when it may have them. Returns their number, or 0 and the answer is set. */
static size_t open_streams(const sse__http_call *call, sse__stream *streams[SSE__TOGETHER],
                           uint64_t *until_ms, sse__answer *answer)
{
    sse_str names[SSE__TOGETHER];
    size_t n = stream_names(call, names, answer), opened = 0;
    uint64_t until = 0;
    if (n > 0 && atomic_load(&call->hub->closing))
        sse__answer_err(answer, SSE_ECLOSED, names[0].ptr);
    for (size_t i = 0; i < n && answer->status == 0; i++)
        if (sse__http_allowed(call, SSE_ACTION_SUBSCRIBE, names[i].ptr, answer, &until) &&
            until != 0 && (*until_ms == 0 || until < *until_ms))
            *until_ms = until; /* the connection ends with the first permission that does */
    while (opened < n && answer->status == 0) {
        const char *name = names[opened].ptr;
        sse_err err = sse__hub_stream(call->hub, name, true, &streams[opened]);
        if (err != SSE_OK)
            sse__answer_err(answer, err, name);
        else
            opened++;
    }
    if (answer->status == 0)
        return n;
    while (opened > 0)
        sse__stream_unref(streams[--opened]);
    return 0;
}

static bool serve_subscribe(const sse__http_call *call, exchange *ex)
{
    sse__stream *streams[SSE__TOGETHER];
    uint64_t until_ms = 0;
    size_t n = open_streams(call, streams, &until_ms, &ex->answer);
    if (n == 0)
        return sse__http_reply(call, &ex->answer);

    const char *last = sse__mhd_header(call->connection, "Last-Event-ID");
    if (!last)
        last = sse__mhd_query(call->connection, "lastEventId").ptr;
    char address[SSE__ADDRESS_MAX];
    sse__mhd_address(call->connection, address);
    sse__sub_request request = {.streams = streams,
                                .stream_count = n,
                                .connection = call->connection,
                                .shard = call->shard,
                                .loop = call->loop,
                                .fd = sse__mhd_fd(call->connection),
                                .address = address,
                                .last_event_id = last,
                                .expires_ms = until_ms};
    sse__sub *sub;
    sse_err err = sse__sub_new(&request, &sub);
    if (err == SSE_ECLOSED && !atomic_load(&call->hub->closing))
        sse__answer_error(&ex->answer, 404, "%s was removed just now.",
                          n == 1 ? "This stream" : "One of these streams");
    else if (err != SSE_OK)
        sse__answer_err(&ex->answer, err, streams[0]->name);
    for (size_t i = 0; i < n; i++)
        sse__stream_unref(streams[i]);
    if (err != SSE_OK)
        return sse__http_reply(call, &ex->answer);
    if (call->conn)
        sse__conn_relax(call->conn);
    sse__http_completed(call->exchange); /* it may stay for long, and needs this no more */
    return sse__http_reply_stream(call, sub);
}

static bool serve_head(const sse__http_call *call, exchange *ex)
{
    sse_str names[SSE__TOGETHER];
    size_t n = stream_names(call, names, &ex->answer);
    if (n > 0 && atomic_load(&call->hub->closing))
        sse__answer_err(&ex->answer, SSE_ECLOSED, names[0].ptr);
    for (size_t i = 0; i < n && ex->answer.status == 0; i++) {
        sse__stream *stream;
        if (!sse__http_allowed(call, SSE_ACTION_SUBSCRIBE, names[i].ptr, &ex->answer, NULL))
            break;
        sse_err err = sse__hub_stream(call->hub, names[i].ptr, false, &stream);
        if (err == SSE_OK)
            sse__stream_unref(stream);
        else if (!call->hub->options.auto_stream)
            sse__answer_err(&ex->answer, err, names[i].ptr);
    }
    if (ex->answer.status != 0)
        return sse__http_reply(call, &ex->answer);
    return sse__http_reply_stream(call, NULL);
}

static bool serve_publish(const sse__http_call *call, exchange *ex)
{
    sse__argument args[] = {
        {.name = "stream"}, {.name = "event"}, {.name = "id"}, {.name = "retry"}};
    sse__mhd_arguments(call->connection, args, sizeof args / sizeof args[0]);
    sse__publication publication = {.hub = call->hub,
                                    .stream = args[0].value.ptr, /* checked by look_ahead() */
                                    .content_type = ex->fields.content_type,
                                    .event = args[1].value,
                                    .id = args[2].value,
                                    .retry = args[3].value,
                                    .body = {ex->body.ptr ? ex->body.ptr : "", ex->body.len}};
    sse__http_publish(&publication, &ex->answer);
    return sse__http_reply(call, &ex->answer);
}

static bool serve_remove(const sse__http_call *call, exchange *ex)
{
    const char *name = stream_name(call, &ex->answer);
    if (name && sse__http_allowed(call, SSE_ACTION_REMOVE, name, &ex->answer, NULL)) {
        sse_err err = sse_server_remove_stream(call->hub, name);
        if (err != SSE_OK)
            sse__answer_err(&ex->answer, err, name);
        else
            ex->answer.status = 204;
    }
    return sse__http_reply(call, &ex->answer);
}

static bool serve_inspect(const sse__http_call *call, exchange *ex)
{
    sse_server *hub = call->hub;
    sse__answer *answer = &ex->answer;
    if (ex->route == ROUTE_HEALTH) {
        if (atomic_load(&hub->closing))
            sse__answer_err(answer, SSE_ECLOSED, "");
        else
            sse__answer_error(answer, 200, "ok");
    } else if (ex->route == ROUTE_PAGE) {
        sse__http_page(call->url, answer); /* it holds no secret, and is where a token is entered */
    } else if (sse__http_allowed(call, SSE_ACTION_INSPECT, NULL, answer, NULL)) {
        if (ex->route == ROUTE_STREAMS)
            sse__http_streams(hub, answer);
        else
            sse__http_metrics(hub, answer);
    }
    return sse__http_reply(call, answer);
}

static bool serve(const sse__http_call *call, exchange *ex)
{
    if (ex->answer.status != 0)
        return sse__http_reply(call, &ex->answer);
    if (ex->verb == VERB_OPTIONS)
        return sse__http_reply_preflight(call, allow_of(call->hub, ex->route));
    if (ex->route != ROUTE_EVENTS)
        return serve_inspect(call, ex);
    switch (ex->verb) {
    case VERB_GET:
        return serve_subscribe(call, ex);
    case VERB_HEAD:
        return serve_head(call, ex);
    case VERB_POST:
        return serve_publish(call, ex);
    default:
        return serve_remove(call, ex);
    }
}

/* May another request follow on this connection? In doubt: a yes that is wrong costs little, see sse__discard_rest(). */
static bool persists(const sse__http_call *call, const exchange *ex)
{
    return call->chunks && !(ex->fields.connection && strcasestr(ex->fields.connection, "close"));
}

bool sse__http_handle(const sse__http_call *call)
{
    exchange *ex = *call->exchange;
    if (!ex) {
        ex = begin(call);
        if (call->conn)
            call->conn->request_read = false;
        if (ex && ex->answer.status != 0 && (ex->fields.expect || ex->at_once))
            return sse__http_reply(call, &ex->answer);
        return ex != NULL;
    }
    if (*call->upload_size > 0)
        return receive(call, ex);
    if (call->conn) {
        call->conn->request_read = true;
        call->conn->persists = persists(call, ex);
        sse__conn_expect(call->conn); /* time to read the answer */
    }
    return serve(call, ex);
}

void sse__http_completed(struct sse__exchange **context)
{
    exchange *ex = *context;
    if (!ex)
        return;
    sse__text_fini(&ex->body);
    sse__text_fini(&ex->answer.body);
    free(ex);
    *context = NULL;
}
