/* Answers: errors as one sentence, the headers that every answer has, CORS (Fetch standard).
 *
 * Runs on the thread that drives the connection. */
#include "header.h"
#include "http.h"
#include "hub.h"
#include "mhd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void sse__answer_error(sse__answer *answer, unsigned status, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *at = line; *at; at++) /* a name from the request may hold anything */
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    answer->status = status;
    sse__text_add(&answer->body, line);
    sse__text_add(&answer->body, "\n");
    if (status == 429)
        answer->retry_after = "1";
    if (status == 503)
        answer->retry_after = "5";
}

void sse__answer_err(sse__answer *answer, sse_err err, const char *stream)
{
    switch (err) {
    case SSE_ENOSTREAM:
        sse__answer_error(answer, 404, "There is no stream '%.200s'.", stream);
        break;
    case SSE_EINVAL:
        sse__answer_error(answer, 400, "'%.200s' cannot be the name of a stream.", stream);
        break;
    case SSE_EFULL:
        sse__answer_error(answer, 429, "The ring of stream '%.200s' is full.", stream);
        break;
    case SSE_ELIMIT:
        sse__answer_error(answer, 429, "A limit of this server is reached.");
        break;
    case SSE_ECLOSED:
        sse__answer_error(answer, 503, "The server is shutting down.");
        break;
    default:
        sse__answer_error(answer, 503, "The server cannot do this now: %s.", sse_strerror(err));
        break;
    }
}

/* The value for Access-Control-Allow-Origin, or NULL. */
const char *sse__http_allowed_origin(sse_server *hub, const char *origin)
{
    const char *allowed = NULL;
    sse__mutex_lock(&hub->cors_mu);
    for (char **at = hub->cors_origins; origin && !allowed && *at; at++) {
        if (strcmp(*at, "*") == 0)
            allowed = "*";
        else if (strcasecmp(*at, origin) == 0)
            allowed = origin;
    }
    sse__mutex_unlock(&hub->cors_mu);
    return allowed;
}

/* Does an answer depend on where the page comes from? */
static bool has_origins(sse_server *hub)
{
    sse__mutex_lock(&hub->cors_mu);
    bool any = *hub->cors_origins;
    sse__mutex_unlock(&hub->cors_mu);
    return any;
}

static bool user_sets(const sse_server *hub, const char *name)
{
    for (size_t i = 0; i < hub->options.header_count; i++)
        if (sse__header_is(hub->headers[i], name))
            return true;
    return false;
}

typedef struct headers {
    sse__header list[SSE__HEADERS_MAX + 16];
    size_t n;
    char *copies[SSE__HEADERS_MAX]; /* names of the user's headers */
    size_t ncopies;
} headers;

static void headers_init(headers *h) { h->n = h->ncopies = 0; }

static void add(headers *h, const char *name, const char *value)
{
    if (value && h->n < sizeof h->list / sizeof h->list[0])
        h->list[h->n++] = (sse__header){name, value};
}

/* The user's headers, and what CORS wants (Fetch standard). */
static void add_common(headers *h, const sse__http_call *call, const char *origin)
{
    sse_server *hub = call->hub;
    for (size_t i = 0; i < hub->options.header_count; i++) {
        const char *colon = strchr(hub->headers[i], ':');
        char *name = strndup(hub->headers[i], (size_t)(colon - hub->headers[i]));
        if (!name)
            continue;
        h->copies[h->ncopies++] = name;
        add(h, name, sse__header_value(hub->headers[i]));
    }
    const char *allowed = sse__http_allowed_origin(hub, origin);
    add(h, "Access-Control-Allow-Origin", allowed);
    if (allowed && strcmp(allowed, "*") != 0)
        add(h, "Access-Control-Allow-Credentials", "true");
    if (has_origins(hub))
        add(h, "Vary", "Origin");
}

static void free_headers(headers *h)
{
    for (size_t i = 0; i < h->ncopies; i++)
        free(h->copies[i]);
}

#define CHALLENGE_BYTES 200

/* The headers of an answer without events. */
static void add_of_answer(headers *h, const sse__http_call *call, const sse__answer *answer,
                          char challenge[CHALLENGE_BYTES])
{
    add_common(h, call, answer->origin);
    if (answer->body.len > 0 || answer->type)
        add(h, "Content-Type", answer->type ? answer->type : "text/plain; charset=utf-8");
    for (size_t i = 0; i < answer->header_count; i++)
        if (!user_sets(call->hub, answer->headers[i].name))
            add(h, answer->headers[i].name, answer->headers[i].value);
    add(h, "Allow", answer->allow);
    add(h, "Retry-After", answer->retry_after);
    if (answer->status == 401)
        snprintf(challenge, CHALLENGE_BYTES, "Bearer");
    if (*answer->reason)
        snprintf(challenge, CHALLENGE_BYTES,
                 "Bearer error=\"invalid_token\", error_description=\"%s\"", answer->reason);
    if (answer->status == 401)
        add(h, "WWW-Authenticate", challenge);
    if (!user_sets(call->hub, "Cache-Control"))
        add(h, "Cache-Control", "no-store");
}

void sse__http_tell_refused(const sse__http_call *call, unsigned status, const char *stream,
                            const char *reason)
{
    char address[SSE__ADDRESS_MAX], line[512];
    if (!sse__refusal_has_line(call->hub))
        return;
    sse__mhd_address(call->connection, address);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(reason, "\n"), reason);
    sse__refusal_tell(call->hub, &(sse__refused){.method = call->method,
                                                 .path = call->url,
                                                 .stream = stream,
                                                 .address = address,
                                                 .reason = line,
                                                 .status = status});
}

/* Answers that are errors are counted, and told unless the log knows of them. */
static void account(const sse__http_call *call, const sse__answer *answer)
{
    sse__hub_count_answer(call->hub, answer->status);
    if (answer->status < 400 || answer->told)
        return;
    const char *stream = sse__mhd_query(call->connection, "stream").ptr;
    sse__http_tell_refused(call, answer->status, stream, answer->body.ptr ? answer->body.ptr : "");
}

/* `unread`: in the midst of a body. */
static bool reply(const sse__http_call *call, const sse__answer *answer, bool unread)
{
    headers h;
    char challenge[CHALLENGE_BYTES];
    headers_init(&h);
    add_of_answer(&h, call, answer, challenge);
    account(call, answer);
    sse_str body = {answer->body.ptr, answer->body.len}; /* not sent to a HEAD */
    bool ok = !answer->body.failed;
    if (ok && unread)
        sse__mhd_reply_unread(call->connection, answer->status, body,
                              strcmp(call->method, "HEAD") == 0, h.list, h.n);
    else if (ok)
        ok = sse__mhd_reply(call->connection, answer->status, body, h.list, h.n);
    free_headers(&h);
    return ok;
}

bool sse__http_reply(const sse__http_call *call, const sse__answer *answer)
{
    return reply(call, answer, false);
}

void sse__http_reply_unread(const sse__http_call *call, const sse__answer *answer)
{
    (void)reply(call, answer, true);
}

static void add_event_stream(headers *h, const sse__http_call *call)
{
    add(h, "Content-Type", "text/event-stream");
    /* A token in the query must not stay in a cache (RFC 6750, 2.3). */
    bool token = sse__mhd_query(call->connection, "access_token").ptr != NULL;
    if (token || !user_sets(call->hub, "Cache-Control"))
        add(h, "Cache-Control", token ? "private, no-store" : "no-cache");
    if (!user_sets(call->hub, "X-Accel-Buffering"))
        add(h, "X-Accel-Buffering", "no");
    add_common(h, call, sse__mhd_header(call->connection, "Origin"));
}

bool sse__http_reply_preflight(const sse__http_call *call, const char *allow)
{
    headers h;
    headers_init(&h);
    const char *origin = sse__mhd_header(call->connection, "Origin");
    add_common(&h, call, origin);
    add(&h, "Allow", allow);
    if (sse__mhd_header(call->connection, "Access-Control-Request-Method") &&
        sse__http_allowed_origin(call->hub, origin)) {
        add(&h, "Access-Control-Allow-Methods", allow);
        add(&h, "Access-Control-Allow-Headers",
            "Authorization, Cache-Control, Content-Type, Last-Event-ID");
        add(&h, "Access-Control-Max-Age", "86400");
    }
    bool ok = sse__mhd_reply(call->connection, 204, (sse_str){"", 0}, h.list, h.n);
    free_headers(&h);
    return ok;
}

bool sse__http_reply_stream(const sse__http_call *call, struct sse__sub *sub)
{
    headers h;
    headers_init(&h);
    add_event_stream(&h, call);
    bool ok = sse__mhd_stream(call->connection, sub, call->chunks, h.list, h.n);
    free_headers(&h);
    return ok;
}
