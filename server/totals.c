/* What the whole server has done and holds: the totals of its streams, those that are gone included, and its own counters.
 *
 * Threads: any. Invariant: a counter never goes down. A stream's counters move into hub.removed in the same critical section of
 * hub.mu in which its struct leaves the list of those that exist, so that none is counted twice or not at all. */
#include "clock.h"
#include "hub.h"
#include "loop.h"

const char *sse_leave_reason_name(sse_leave_reason reason)
{
    static const char *const names[] = {"none",    "gone",  "slow",   "removed",
                                        "drained", "error", "expired"};
    return (unsigned)reason < sizeof names / sizeof names[0] ? names[reason] : "unknown";
}

/* ---- answers ---- */

const unsigned sse__refusals[SSE__REFUSALS] = {400, 401, 403, 404, 405, 413, 421, 429, 503, 0};

void sse__hub_count_answer(sse_server *hub, unsigned status)
{
    if (status < 400)
        return;
    size_t i = 0;
    while (sse__refusals[i] != 0 && sse__refusals[i] != status)
        i++;
    atomic_fetch_add(&hub->counters.refused[i], 1);
}

static uint64_t refused(sse_server *hub)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SSE__REFUSALS; i++) {
        unsigned status = sse__refusals[i];
        if (status == 401 || status == 403 || status == 413 || status == 429)
            sum += atomic_load(&hub->counters.refused[i]);
    }
    return sum;
}

/* ---- streams ---- */

static void add_counters(sse__stream_counters *sum, const sse__stream_counters *more)
{
    sum->bytes_in += more->bytes_in;
    sum->bytes_out += more->bytes_out;
    sum->delivered += more->delivered;
    sum->dropped += more->dropped;
    sum->slow_closed += more->slow_closed;
    sum->gaps += more->gaps;
    sum->replayed += more->replayed;
}

void sse__totals_add_locked(sse__totals *sum, const sse__stream *st)
{
    add_counters(&sum->counters, &st->counters);
    sum->published += st->published;
    sum->dropped[st->config.slow] += st->counters.dropped;
}

static void add_depths_locked(sse__totals *sum, sse__stream *st)
{
    sse__history_expire(&st->log, &st->config.limits, sse__now_ms());
    sum->queued += st->inbox.count + st->taken_count;
    sum->backlog += st->log.visible - st->log.first;
    sum->history += st->log.end - st->log.visible;
    sum->history_bytes += st->log.visible_bytes;
}

void sse__hub_totals(sse_server *hub, sse__totals *out)
{
    sse__mutex_lock(&hub->mu);
    *out = hub->removed;
    for (sse__stream *st = hub->alive; st; st = st->next_alive) {
        sse__mutex_lock(&st->inbox_mu);
        sse__mutex_lock(&st->mu);
        sse__totals_add_locked(out, st);
        add_depths_locked(out, st);
        sse__mutex_unlock(&st->mu);
        sse__mutex_unlock(&st->inbox_mu);
    }
    sse__mutex_unlock(&hub->mu);
}

void sse__hub_latency(sse_server *hub, sse__latency_sum *out)
{
    *out = (sse__latency_sum){0};
    sse__latency_add(out, sse__loop_latency(hub->keeper));
    sse__mutex_lock(&hub->mu);
    for (size_t i = 0; i < hub->nloops; i++)
        sse__latency_add(out, sse__loop_latency(hub->loops[i]));
    sse__mutex_unlock(&hub->mu);
}

_Static_assert(sizeof((sse_server *)0)->counters.left == sizeof((sse_server_stats *)0)->left,
               "each reason is counted, and told");

void sse_server_get_stats(sse_server *server, sse_server_stats *out)
{
    *out = (sse_server_stats){0};
    sse__totals totals;
    sse__hub_totals(server, &totals);
    sse__mutex_lock(&server->mu);
    out->streams = server->streams.count;
    out->subscribers = server->nsubs;
    sse__mutex_unlock(&server->mu);
    out->published = totals.published;
    out->bytes_in = totals.counters.bytes_in;
    out->bytes_out = totals.counters.bytes_out;
    out->delivered = totals.counters.delivered;
    out->dropped = totals.counters.dropped;
    out->gaps = totals.counters.gaps;
    out->replayed = totals.counters.replayed;
    sse__hub_counters *counters = &server->counters;
    out->subscribed = atomic_load(&counters->subscribed);
    for (size_t i = 0; i < sizeof out->left / sizeof out->left[0]; i++)
        out->left[i] = atomic_load(&counters->left[i]);
    out->connections = atomic_load(&counters->connections);
    out->accepted = atomic_load(&counters->accepted);
    out->accept_errors = atomic_load(&counters->accept_errors);
    out->refused = refused(server);
    out->workers = sse__hub_workers(server);
    out->draining = atomic_load(&server->closing);
    for (size_t i = 0; i < SSE__DENIALS; i++)
        out->connects_refused += atomic_load(&server->denials.counts[i]);
}
