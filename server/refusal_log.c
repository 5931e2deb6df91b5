/* The log's lines about single requests and connections that are refused, at level debug.
 *
 * Any thread. For who asks why somebody is not served: each refusal has a line with its status and reason. A flood of them makes no
 * flood of lines: in ten seconds so many have one, and the others are counted; a line says how many they were, as soon as the time is
 * over, which the keeper sees when nothing more comes. The mutex is held for a few steps, and nobody looks at a request or an address
 * whose line is not written. */
#include "refusal_log.h"

#include "clock.h"
#include "hub.h"

#include <inttypes.h>

#define LINES 100
#define PERIOD_NS ((uint64_t)10000000000)

void sse__server_tell_refused(sse_server *server, void (*tell)(const sse__refused *refused))
{
    server->refusal_log.tell = tell;
}

static bool is_wanted(const sse_server *hub)
{
    return hub->refusal_log.tell || sse__log_wants(&hub->options.logger, SSE_LOG_DEBUG);
}

static void tell_rest(sse_server *hub, uint64_t now_ns, bool anyhow)
{
    sse__refusal_log *log = &hub->refusal_log;
    uint64_t n = 0;
    sse__mutex_lock(&log->mu);
    if (anyhow || now_ns >= log->until_ns) {
        n = log->untold;
        log->untold = 0;
    }
    sse__mutex_unlock(&log->mu);
    if (n > 0)
        sse__log(&hub->options.logger, SSE_LOG_DEBUG, "%" PRIu64 " more were refused", n);
}

void sse__refusals_tell_rest(sse_server *hub, bool anyhow)
{
    tell_rest(hub, sse__now_ns(), anyhow);
}

bool sse__refusal_has_line(sse_server *hub)
{
    if (!is_wanted(hub))
        return false;
    sse__refusal_log *log = &hub->refusal_log;
    uint64_t now_ns = sse__now_ns();
    tell_rest(hub, now_ns, false);
    sse__mutex_lock(&log->mu);
    if (now_ns >= log->until_ns) {
        log->until_ns = now_ns + PERIOD_NS;
        log->lines = 0;
    }
    bool has = log->lines < LINES;
    if (has)
        log->lines++;
    else
        log->untold++;
    sse__mutex_unlock(&log->mu);
    return has;
}

void sse__refusal_tell(sse_server *hub, const sse__refused *r)
{
    if (hub->refusal_log.tell) {
        hub->refusal_log.tell(r);
        return;
    }
    const sse_logger *logger = &hub->options.logger;
    if (r->method)
        sse__log(logger, SSE_LOG_DEBUG, "%s %s refused with %u, from %s%s%s: %s", r->method,
                 r->path, r->status, r->address, r->stream ? ", stream " : "",
                 r->stream ? r->stream : "", r->reason);
    else
        sse__log(logger, SSE_LOG_DEBUG, "connection refused with %u, from %s: %s", r->status,
                 r->address, r->reason);
}
