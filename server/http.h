/* HTTP: from a request to a subscriber, a published event, or an answer. */
#ifndef SSE__HTTP_H
#define SSE__HTTP_H

#include "json.h"
#include "loop.h"

#include <sse/server.h>

struct sse__exchange;
struct sse__fields;
struct sse__sub;

/* One call of the access handler. */
typedef struct sse__http_call {
    sse_server *hub;
    struct sse__loop *loop;
    sse__shard *shard; /* NULL in a user's daemon */
    sse__conn *conn;   /* likewise */
    struct MHD_Connection *connection;
    const char *url;
    const char *method;
    bool chunks; /* the client knows chunked bodies: it does not speak HTTP/1.0 */
    const char *upload;
    size_t *upload_size;
    struct sse__exchange **exchange; /* the request's context */
} sse__http_call;

/* Returns false when the connection is to be closed.
 * Thread:  the connection's. */
bool sse__http_handle(const sse__http_call *call);
/* Its headers, once it has begun. */
const struct sse__fields *sse__http_fields(const sse__http_call *call);
/* The request is over: free its context. */
void sse__http_completed(struct sse__exchange **exchange);

/* What a request became. */
typedef struct sse__answer {
    unsigned status;
    const char *type;        /* Content-Type; NULL: text/plain */
    const char *allow;       /* of a 405 */
    const char *origin;      /* that the request named, or NULL */
    const char *retry_after; /* of a 429 or 503 */
    bool told;               /* the log knows of it */
    char reason[128];        /* of a 401: why the token is no good; "" when there was none */
    const struct sse__header *headers; /* more of them; static */
    size_t header_count;
    sse__text body;
} sse__answer;

/* Set an error: one sentence. */
void sse__answer_error(sse__answer *answer, unsigned status, const char *format, ...)
    SSE_PRINTF(3, 4);
/* Likewise for an error of the hub. */
void sse__answer_err(sse__answer *answer, sse_err err, const char *stream);

/* Send it in the midst of the request's body; the connection is to be closed then. */
void sse__http_reply_unread(const sse__http_call *call, const sse__answer *answer);
/* Send it. These return false when the connection is to be closed. */
bool sse__http_reply(const sse__http_call *call, const sse__answer *answer);
bool sse__http_reply_preflight(const sse__http_call *call, const char *allow);
/* Answer with an event stream; sub NULL: its head only. */
bool sse__http_reply_stream(const sse__http_call *call, struct sse__sub *sub);
/* Does a Host header name this machine, or one of the names that the hub goes by? */
bool sse__http_known_host(const sse_server *hub, const char *host);
/* The value for Access-Control-Allow-Origin, or NULL. */
const char *sse__http_allowed_origin(sse_server *hub, const char *origin);

/* Tell the log of a request that is refused. `stream` may be NULL, `reason` may have lines after the first. */
void sse__http_tell_refused(const sse__http_call *call, unsigned status, const char *stream,
                            const char *reason);

/* ---- http_access.c ---- */

/* Is the request's Host header somebody else's name? */
bool sse__http_for_somebody_else(const sse__http_call *call);
/* May it, and until when (by sse__now_ms(); 0: for ever; until_ms may be NULL)? Otherwise the answer is set. */
bool sse__http_allowed(const sse__http_call *call, sse_action action, const char *stream,
                       sse__answer *answer, uint64_t *until_ms);

/* ---- http_publish.c ---- */

typedef struct sse__publication {
    sse_server *hub;
    const char *stream;
    const char *content_type; /* NULL when there is none */
    sse_str event, id, retry; /* of the query; absent when not given */
    sse_str body;
} sse__publication;

/* Publish what a POST holds, all or none; the answer's body has the ids.
 * Thread:  any. */
void sse__http_publish(const sse__publication *publication, sse__answer *answer);

/* ---- http_inspect.c ---- */

void sse__http_streams(sse_server *hub, sse__answer *answer);

/* ---- metrics.c ---- */

void sse__http_metrics(sse_server *hub, sse__answer *answer);

#endif
