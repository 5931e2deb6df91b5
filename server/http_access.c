/* Who may do what: pages of other origins, requests that are meant for somebody else, and what the authorize callback says, with
 * the request as it sees that.
 *
 * Runs on the thread that drives the connection. The callback is called without a lock; what it says of the request beside its
 * result is kept in a verdict on the stack of the one who asks. */
#include "http.h"

#include "clock.h"
#include "hub.h"
#include "mhd.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* What the authorize callback says beside its result. */
typedef struct verdict {
    int64_t expiry_unix_s;
    bool expires;
    char reason[121];
    const char *log_reason;         /* or NULL: likewise for the log */
    char address[SSE__ADDRESS_MAX]; /* the client's, once somebody has asked for it */
} verdict;

struct sse_request {
    const sse__http_call *call;
    verdict *verdict;
    const char *stream;
    sse_action action;
};

/* ---- the request as callbacks see it ---- */

sse_action sse_request_action(const sse_request *request) { return request->action; }

const char *sse_request_method(const sse_request *request) { return request->call->method; }

const char *sse_request_path(const sse_request *request) { return request->call->url; }

const char *sse_request_stream(const sse_request *request) { return request->stream; }

const char *sse_request_address(const sse_request *request)
{
    char *address = request->verdict->address;
    if (!*address)
        sse__mhd_address(request->call->connection, address);
    return address;
}

const char *sse_request_header(const sse_request *request, const char *name)
{
    return sse__mhd_header(request->call->connection, name);
}

const char *sse_request_query(const sse_request *request, const char *name)
{
    return sse__mhd_query(request->call->connection, name).ptr;
}

void sse_request_set_expiry(const sse_request *request, int64_t unix_s)
{
    request->verdict->expires = true;
    request->verdict->expiry_unix_s = unix_s;
}

void sse_request_set_reason(const sse_request *request, const char *reason)
{
    char *out = request->verdict->reason;
    size_t n = 0;
    for (; reason[n] && n < sizeof request->verdict->reason - 1; n++)
        out[n] = reason[n] < ' ' || reason[n] > '~' || strchr("\"\\", reason[n]) ? '?' : reason[n];
    out[n] = '\0';
}

void sse__request_set_log_reason(const sse_request *request, const char *reason)
{
    request->verdict->log_reason = reason;
}

/* ---- access ---- */

/* A browser says where a page comes from. One from elsewhere may publish only when CORS lets it. */
static bool from_elsewhere(const sse__http_call *call)
{
    const char *origin = sse__http_fields(call)->origin;
    const char *host = sse__http_fields(call)->host;
    if (!origin || sse__http_allowed_origin(call->hub, origin))
        return false;
    const char *authority = strstr(origin, "://");
    return !authority || !host || strcasecmp(authority + 3, host) != 0;
}

/* No browser leaves Host out. */
bool sse__http_for_somebody_else(const sse__http_call *call)
{
    const char *host = sse__http_fields(call)->host;
    bool ask = call->hub->options.host_name_count > 0 || sse__mhd_is_loopback(call->connection);
    return ask && host && !sse__http_known_host(call->hub, host);
}

/* When a permission ends, by our own clock; 0: never. */
static uint64_t expiry_ms(const verdict *v)
{
    struct timespec wall;
    if (!v->expires || v->expiry_unix_s > INT64_MAX / 1000)
        return 0;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t until_s = v->expiry_unix_s > 0 ? v->expiry_unix_s : 0; /* however long ago */
    int64_t left_ms = until_s * 1000 - (wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
    return sse__now_ms() + (left_ms > 0 ? (uint64_t)left_ms : 0) + 1; /* rounded up */
}

static void refuse(const verdict *v, int status, sse__answer *answer)
{
    if (status < 400 || status > 599)
        status = 403;
    if (status == 401)
        snprintf(answer->reason, sizeof answer->reason, "%s", v->reason);
    sse__answer_error(answer, (unsigned)status, "%s",
                      *v->reason      ? v->reason
                      : status == 401 ? "This needs a token."
                      : status == 403 ? "This is not allowed."
                                      : "This was refused.");
}

bool sse__http_allowed(const sse__http_call *call, sse_action action, const char *stream,
                       sse__answer *answer, uint64_t *until_ms)
{
    const sse_server *hub = call->hub;
    bool changes = action == SSE_ACTION_PUBLISH || action == SSE_ACTION_REMOVE;
    if (changes && from_elsewhere(call)) {
        sse__answer_error(answer, 403, "Pages of this origin may not publish here.");
        return false;
    }
    if (!hub->callbacks.authorize)
        return true;
    verdict v;
    v.expires = false;
    v.reason[0] = v.address[0] = '\0';
    v.log_reason = NULL;
    sse_request request = {.call = call, .verdict = &v, .stream = stream, .action = action};
    sse__hub_callback_begin();
    int status = hub->callbacks.authorize(hub->options.user, &request);
    sse__hub_callback_end();
    if (status != 0) {
        refuse(&v, status, answer);
        sse__http_tell_refused(call, answer->status, stream,
                               v.log_reason       ? v.log_reason
                               : answer->body.ptr ? answer->body.ptr
                                                  : "");
        answer->told = true;
    } else if (until_ms) {
        *until_ms = expiry_ms(&v);
    }
    return status == 0;
}
