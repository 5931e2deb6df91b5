/* The rules of reconnecting, without time, threads and I/O.
 *
 * Delays: the first one after a connection that lived is the server's retry to the millisecond, or
 * ours, drawn from [base/2, base]. Each further connection in a row that did not live (failed, or
 * opened and broke off at once with nothing in it) doubles the upper end: [d/2, d], never under
 * what the server asked for. A server's retry of 0 is obeyed once; then the doubling starts at
 * FLOOR_MS, because a server that is down must not be hammered on the word that it gave when it was
 * up. Retry-After is taken as it is. All sums are checked against the caps before they are made, so
 * nothing overflows. */
#include "reconnect.h"

#include "header.h"

#define FLOOR_MS 10u

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

sse_err sse__judge(int status, const char *content_type)
{
    if (status == 200)
        return sse__is_event_stream(content_type) ? SSE_OK : SSE_ECONTENT;
    if (status == 204)
        return SSE_ESTOPPED;
    return is_redirect(status) ? SSE_EREDIRECT : SSE_EHTTP;
}

/* What a server says of a passing state: overload, a request that came too early or too slowly, its
 * own faults. */
static bool is_passing(int status)
{
    return status == 408 || status == 425 || status == 429 || (status >= 500 && status <= 599);
}

bool sse__is_final(const sse__outcome *outcome)
{
    switch (outcome->err) {
    case SSE_EHTTP:
        return !is_passing(outcome->http_status);
    case SSE_EREJECTED:
        return outcome->rejected_for_good;
    case SSE_ESTOPPED:
    case SSE_ECONTENT:
    case SSE_EREDIRECT:
    case SSE_EINVAL:
    case SSE_ECANCELED:
    case SSE_ECLOSED:
        return true;
    default:
        return false;
    }
}

void sse__reconnect_server_retry(sse__reconnect *r, uint64_t ms)
{
    r->server_retry_ms = ms;
    r->has_server_retry = true;
}

void sse__reconnect_opened(sse__reconnect *r) { r->attempts = 0; }

static uint64_t at_most(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t at_least(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* start * 2^doublings, but not over max. */
static uint64_t grow(uint64_t start, uint32_t doublings, uint64_t max)
{
    while (doublings-- > 0 && start < max)
        start = start > max / 2 ? max : start * 2;
    return at_most(start, max);
}

/* Somewhere in [d/2, d]. */
static uint64_t jitter(uint64_t d, uint64_t random)
{
    uint64_t half = d / 2;
    return d - (half ? random % (half + 1) : 0);
}

static uint64_t own_delay(const sse__reconnect *r, uint64_t random)
{
    uint32_t doublings = r->misses ? r->misses - 1 : 0;
    return jitter(grow(r->config.base_ms, doublings, r->config.max_ms), random);
}

static uint64_t server_delay(const sse__reconnect *r, uint64_t random)
{
    uint64_t asked = at_most(r->server_retry_ms, r->config.server_max_ms);
    if (r->misses <= 1)
        return asked;
    uint64_t max = at_least(asked, r->config.max_ms);
    uint64_t d = grow(at_least(asked, FLOOR_MS), r->misses - 1, max);
    return at_least(asked, jitter(d, random));
}

static uint64_t delay(const sse__reconnect *r, const sse__outcome *outcome, uint64_t random)
{
    if (outcome->retry_after_ms)
        return at_most(outcome->retry_after_ms, r->config.server_max_ms);
    return r->has_server_retry ? server_delay(r, random) : own_delay(r, random);
}

static void count(sse__reconnect *r, const sse__outcome *outcome)
{
    bool lived = outcome->opened && (outcome->delivered || outcome->lived_ms >= SSE__LIVED_MS);
    if (lived)
        r->misses = 0;
    else if (r->misses < UINT32_MAX)
        r->misses++;
    if (outcome->opened)
        r->attempts = 0;
    else if (r->attempts < UINT32_MAX)
        r->attempts++;
}

sse__decision sse__reconnect_next(sse__reconnect *r, const sse__outcome *outcome, uint64_t random)
{
    sse__decision d = {SSE_OK, false, false, 0};
    count(r, outcome);
    if (sse__is_final(outcome)) {
        d.stop = true;
        d.why = outcome->err;
        return d;
    }
    bool spent = r->config.max_attempts && r->attempts >= r->config.max_attempts;
    if (r->config.no_reconnect || spent) {
        d.stop = true;
        d.by_limit = true;
        /* The one connection that was asked for has come to its end: that is no defeat. */
        d.why = outcome->err == SSE_EEOF ? SSE_EEOF : SSE_EGAVEUP;
        return d;
    }
    d.delay_ms = delay(r, outcome, random);
    return d;
}
