/* One measured run, step by step: memory before; the ramp; memory after; publisher and warm-up; the
 * window, with CPU times read at its ends; then nobody publishes any more, and what is still under
 * way arrives or counts as lost. */
#include "run.h"

#include "clock.h"
#include "interrupt.h"
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define RAMP_TIMEOUT (120 * SECOND)
#define DRAIN_PATIENCE (5 * SECOND)
#define FINISH_PATIENCE (5 * SECOND)
#define LATE_NS 10000000u /* a publisher that is later than this was held up itself */
#define BUSY 0.95
#define FD_RESERVE 64 /* descriptors for all but subscribers */
#define OTHERS 0.05

uint32_t run_affordable(uint32_t wanted, result *r)
{
    uint64_t limit = raise_fd_limit((uint64_t)wanted + FD_RESERVE);
    if (limit >= (uint64_t)wanted + FD_RESERVE)
        return wanted;
    uint32_t n = limit > FD_RESERVE + 1 ? (uint32_t)(limit - FD_RESERVE) : 1;
    result_note(r, "%u subscribers instead of %u: the limit is %llu descriptors (ulimit -n)", n,
                wanted, (unsigned long long)limit);
    return n;
}

uint32_t run_number(void) { return (uint32_t)sse__random(); }

/* ---- progress ---- */

typedef struct progress {
    const char *what;
    uint64_t delivered, at_ns;
    bool on;
} progress;

static void tell(progress *p, engine *e)
{
    uint64_t now = now_ns(), delivered = engine_delivered(e);
    if (!p->on || now - p->at_ns < SECOND / 4)
        return;
    double rate =
        p->at_ns ? (double)(delivered - p->delivered) * 1e9 / (double)(now - p->at_ns) : 0;
    fprintf(stderr, "\r\033[K%s: %u subscribers, %.0f deliveries/s", p->what, engine_served(e),
            rate);
    fflush(stderr);
    p->delivered = delivered;
    p->at_ns = now;
}

static void tick(engine *e, void *user) { tell(user, e); }

static void clear(const progress *p)
{
    if (p->on)
        fputs("\r\033[K", stderr);
}

/* Sleep up to `until`, telling; ends early when the publisher has given up, or at a signal. */
static void pass_time(progress *p, engine *e, const publisher *pub, uint64_t until)
{
    uint64_t now;
    while ((now = now_ns()) < until && (!pub || publisher_works(pub)) && !interrupt_signal()) {
        uint64_t soon = now + SECOND / 10;
        wait_until_ns(soon < until ? soon : until);
        tell(p, e);
    }
}

/* ---- the parts ---- */

static int failed(result *r, const char *what, const char *detail)
{
    snprintf(r->failure, sizeof r->failure, "%.80s: %.450s", what, detail);
    return TOOL_UNAVAILABLE;
}

static int ramp(const run_options *o, engine *e, progress *p, result *r)
{
    uint64_t cpu = proc_cpu_ns(&o->server), rss = proc_rss_bytes(&o->server), began = now_ns();
    uint32_t wanted = o->engine.subscribers;
    p->what = "connecting";
    uint64_t timeout = o->timeout_ms ? o->timeout_ms * UINT64_C(1000000) : RAMP_TIMEOUT;
    r->subscribers = engine_wait_served(e, timeout, tick, p);
    double seconds = (double)(now_ns() - began) / 1e9;
    r->connects_per_s = (double)r->subscribers / seconds;
    if (r->subscribers < wanted && interrupt_signal()) {
        snprintf(r->failure, sizeof r->failure, "interrupted when %u of %u subscribers were served",
                 r->subscribers, wanted);
        return TOOL_UNAVAILABLE;
    }
    if (r->subscribers < wanted) {
        char reason[400];
        engine_failures(e, reason, sizeof reason);
        snprintf(r->failure, sizeof r->failure, "%u of %u subscribers were not served: %s",
                 wanted - r->subscribers, wanted, reason);
        return TOOL_UNAVAILABLE;
    }
    wait_until_ns(now_ns() + (uint64_t)o->settle_ms * 1000000u);
    if (o->server.n > 0 && wanted > 0 && proc_group_lives(&o->server)) {
        r->server_us_per_connect = (double)(proc_cpu_ns(&o->server) - cpu) / 1e3 / (double)wanted;
        if (o->memory)
            r->bytes_per_subscriber =
                ((double)proc_rss_bytes(&o->server) - (double)rss) / (double)wanted;
    }
    return TOOL_GO_ON;
}

typedef struct window {
    uint64_t from, to;
    uint64_t server_cpu, own_cpu;
    uint64_t sent, requests; /* events, and what they came in */
    uint64_t timeouts;       /* of TCP */
    uint64_t core_cpu[2];    /* what all processes had of the server's core and of ours */
    double seconds;
    bool server_lives; /* else its CPU time is not known */
    bool reserved[7];
} window;

static window measure(const run_options *o, engine *e, const publisher *pub, progress *p)
{
    uint64_t from = now_ns() + 5000000u, to = from + (uint64_t)o->duration_ms * 1000000u;
    p->what = "measuring";
    engine_window(e, from, to);
    wait_until_ns(from);
    engine_window_begins(e);
    uint64_t cpu = proc_cpu_ns(&o->server), own = own_cpu_ns();
    uint64_t cores[2] = {core_busy_ns(0), core_busy_ns(1)};
    uint64_t sent = pub ? publisher_sent(pub) : 0;
    uint64_t requests = pub ? publisher_requests(pub) : 0;
    uint64_t timeouts = tcp_timeouts();
    pass_time(p, e, pub, to);
    uint64_t now = now_ns();
    if (now < to) { /* what comes from here on is no part of it */
        to = now;
        engine_window(e, from, to);
    }
    window w = {.from = from,
                .to = to,
                .server_lives = proc_group_lives(&o->server),
                .server_cpu = proc_cpu_ns(&o->server) - cpu,
                .own_cpu = own_cpu_ns() - own,
                .core_cpu = {core_busy_ns(0) - cores[0], core_busy_ns(1) - cores[1]},
                .sent = (pub ? publisher_sent(pub) : 0) - sent,
                .timeouts = tcp_timeouts() - timeouts,
                .requests = (pub ? publisher_requests(pub) : 0) - requests,
                .seconds = (double)(now_ns() - from) / 1e9};
    engine_window_ends(e);
    return w;
}

/* Both cores are bound; whoever else runs there disturbs the measurement. */
static void note_others(const window *w, result *r)
{
    double wall = w->seconds * 1e9;
    double server = ((double)w->core_cpu[0] - (double)w->server_cpu) / wall;
    double client = ((double)w->core_cpu[1] - (double)w->own_cpu) / wall;
    if (server > OTHERS || client > OTHERS)
        result_note(r,
                    "disturbed: other programs used %.0f %% of the server's core and %.0f %% of "
                    "the client's",
                    server > 0 ? server * 100 : 0, client > 0 ? client * 100 : 0);
}

static void note_bottlenecks(const run_options *o, const window *w, const engine_totals *totals,
                             const publisher *pub, result *r)
{
    double cores = o->one_core ? 1 : usable_cores();
    double own = (double)w->own_cpu / 1e9 / w->seconds;
    if (totals->busiest >= BUSY)
        result_note(r, "the client was the bottleneck: a load thread used %.0f %% of the window",
                    totals->busiest * 100);
    else if (own >= BUSY * cores)
        result_note(r, "the client was the bottleneck: it used %.0f %% of its core%s",
                    own / cores * 100, cores > 1 ? "s" : "");
    if (o->one_core)
        note_others(w, r);
    if (w->timeouts > 0)
        result_note(
            r,
            "disturbed: TCP waited for a retransmission %llu times on this machine, 0.2 s or "
            "more each",
            (unsigned long long)w->timeouts);
    if (!pub || o->publisher.rate <= 0 || !publisher_works(pub))
        return;
    uint64_t late = histogram_quantile(publisher_lateness(pub), 0.99);
    if (late > LATE_NS)
        result_note(r, "the publisher was behind its schedule by its own fault: p99 %.1f ms",
                    (double)late / 1e6);
    uint32_t active = o->publisher.active ? o->publisher.active : o->publisher.streams;
    double wanted = o->publisher.rate * active;
    if (r->events_per_s < 0.98 * wanted - 1)
        result_note(r,
                    "the server did not keep up: it took %.0f of %.0f events/s, and what was due "
                    "waits longer and longer",
                    r->events_per_s, wanted);
}

/* Connections that had been served. */
static void note_ended(engine *e, result *r)
{
    char reasons[300];
    engine_failures(e, reasons, sizeof reasons);
    if (r->disconnected > 0)
        result_note(r, "%.0f connection%s ended: %s", r->disconnected,
                    r->disconnected > 1 ? "s" : "", reasons);
}

/* Slots are of the window as it was planned, and the result's of the part of it that there was. */
static void take_slots(const engine_totals *t, double part, result *r)
{
    double until[ENGINE_SLOTS + 1] = {0};
    for (size_t i = 0; i < ENGINE_SLOTS; i++)
        until[i + 1] = until[i] + (double)t->slots[i];
    double before = 0;
    for (size_t i = 0; i < ENGINE_SLOTS; i++) {
        double at = fmin((double)(i + 1) * part, ENGINE_SLOTS);
        size_t whole = at < ENGINE_SLOTS ? (size_t)at : ENGINE_SLOTS - 1;
        double sum = round(until[whole] + (until[whole + 1] - until[whole]) * (at - (double)whole));
        r->slots[i] = (uint64_t)(sum - before);
        before = sum;
    }
}

static void take_totals(const run_options *o, const window *w, const engine_totals *t, result *r)
{
    double seconds = (double)(w->to - w->from) / 1e9; /* CPU times are of a little more */
    r->seconds = seconds;
    r->client_cpu = (double)w->own_cpu / 1e9 / w->seconds;
    r->deliveries_per_s = (double)t->in_window / seconds;
    r->mb_per_s = (double)t->bytes_in_window / 1e6 / seconds;
    take_slots(t, seconds * 1e3 / o->duration_ms, r);
    if (interrupt_signal())
        result_note(r, "interrupted: %.1f of %.1f s were measured", seconds, o->duration_ms / 1e3);
    r->disconnected = (double)t->disconnected;
    if (o->server.n > 0 && !w->server_lives)
        result_note(r, "the server's process ended, so that its CPU time is not known");
    if (o->server.n > 0 && w->server_lives) {
        r->server_cpu = (double)w->server_cpu / 1e9 / w->seconds;
        if (t->in_window > 0)
            r->server_us_per_delivery = (double)w->server_cpu / 1e3 / (double)t->in_window;
    }
    if (t->tally.gaps > 0)
        result_note(r, "%llu events of type gap: the server says that it lost something",
                    (unsigned long long)t->tally.gaps);
}

static void take_numbers(const engine_totals *t, const publisher *pub, const window *w, result *r)
{
    r->events_per_s = (double)w->sent / w->seconds;
    r->published = publisher_sent(pub);
    r->lost = (double)t->tally.lost + (double)t->missing;
    r->duplicated = (double)t->tally.duplicated;
    r->misordered = (double)t->tally.misordered;
    r->misdelivered = (double)t->tally.misdelivered;
    r->latency = t->tally.latency;
    result_quantiles(r);
    if (publisher_refused(pub) > 0)
        result_note(r, "the server held the publisher back %llu times",
                    (unsigned long long)publisher_refused(pub));
}

/* What publishing alone costs the server: the same schedule once more, on streams that nobody has
 * subscribed to, while all the subscribers stay. A publisher that was held up put more events in a
 * request than one that is alone, so that both the cost of an event and that of a request are looked
 * at, and the lesser is taken off: the rest is never made to look better than it is. */
static void take_publishing(const window *w, const window *alone, uint64_t deliveries, result *r)
{
    if (alone->sent == 0 || alone->requests == 0 || deliveries == 0)
        return;
    double by_events = (double)alone->server_cpu * (double)w->sent / (double)alone->sent;
    double by_requests = (double)alone->server_cpu * (double)w->requests / (double)alone->requests;
    double rest = (double)w->server_cpu - fmin(by_events, by_requests);
    r->server_us_per_publish = (double)alone->server_cpu / 1e3 / (double)alone->sent;
    r->fanout_us_per_delivery = fmax(rest, 0) / 1e3 / (double)deliveries;
}

static int measure_publishing(const run_options *o, const window *w, const engine_totals *t,
                              result *r)
{
    publisher_options options = o->publisher;
    options.first = options.streams;
    char why[TLS_WHY];
    publisher *pub = publisher_start(&options, why);
    if (!pub)
        return failed(r, "the publisher cannot connect", why);
    uint64_t least = o->duration_ms * UINT64_C(1000000); /* 2 s are enough */
    if (least > 2 * SECOND)
        least = 2 * SECOND;
    wait_until_ns(now_ns() + least / 4);
    uint64_t cpu = proc_cpu_ns(&o->server), sent = publisher_sent(pub);
    uint64_t requests = publisher_requests(pub);
    wait_until_ns(now_ns() + least);
    window alone = {.server_cpu = proc_cpu_ns(&o->server) - cpu,
                    .sent = publisher_sent(pub) - sent,
                    .requests = publisher_requests(pub) - requests};
    publisher_stop(pub);
    take_publishing(w, &alone, t->in_window, r);
    publisher_free(pub);
    return TOOL_GO_ON;
}

/* Ramp, memory and nothing else. */
static int finish_connect(engine *e, engine_totals *t, result *r)
{
    engine_stop(e, t);
    r->disconnected = (double)t->disconnected;
    note_ended(e, r);
    r->latency = t->connects;
    result_quantiles(r);
    return TOOL_GO_ON;
}

static int publish_and_measure(const run_options *o, engine *e, engine_totals *t, progress *p,
                               result *r)
{
    publisher *pub = NULL;
    char why[TLS_WHY];
    if (o->publisher.url && !(pub = publisher_start(&o->publisher, why))) {
        engine_stop(e, t);
        return failed(r, "the publisher cannot connect", why);
    }
    p->what = "warming up";
    pass_time(p, e, pub, now_ns() + (uint64_t)o->warmup_ms * 1000000u);
    if (interrupt_signal()) {
        if (pub)
            publisher_stop(pub);
        publisher_free(pub);
        engine_stop(e, t);
        return failed(r, "interrupted", "nothing was measured yet");
    }
    window w = measure(o, e, pub, p);
    p->what = "draining";
    if (pub) {
        publisher_finish(pub, w.to, FINISH_PATIENCE);
        engine_drain(e, publisher_published(pub), DRAIN_PATIENCE);
    }
    engine_stop(e, t);
    take_totals(o, &w, t, r);
    note_ended(e, r);
    if (pub)
        take_numbers(t, pub, &w, r);
    note_bottlenecks(o, &w, t, pub, r);
    int code = TOOL_GO_ON;
    if (pub && !publisher_works(pub))
        code = failed(r, "the publisher gave up", publisher_failure(pub));
    bool paced = pub && o->publisher.rate > 0;
    publisher_free(pub);
    if (code == TOOL_GO_ON && paced && o->publish_alone && !interrupt_signal())
        code = measure_publishing(o, &w, t, r);
    return code;
}

/* Publish, and nobody listens. */
static int publish_before(const run_options *o, publisher **pub, result *r)
{
    publisher_options options = o->publisher;
    options.limit = o->replay;
    char why[TLS_WHY];
    *pub = publisher_start(&options, why);
    if (!*pub)
        return failed(r, "the publisher cannot connect", why);
    publisher_wait(*pub);
    publisher_stop(*pub);
    wait_until_ns(now_ns() + (uint64_t)o->settle_ms * 1000000u);
    return publisher_works(*pub) ? TOOL_GO_ON
                                 : failed(r, "the publisher gave up", publisher_failure(*pub));
}

/* All come at once and get what was published before: how long until the last one has it all. */
static int measure_replay(const run_options *o, engine_totals *t, progress *p, result *r)
{
    publisher *pub = NULL;
    int code = publish_before(o, &pub, r);
    if (code == TOOL_GO_ON) {
        uint64_t cpu = proc_cpu_ns(&o->server), began = now_ns();
        engine *e = engine_start(&o->engine);
        p->what = "replaying";
        r->subscribers = engine_wait_served(e, RAMP_TIMEOUT, tick, p);
        engine_drain(e, publisher_published(pub), DRAIN_PATIENCE);
        window w = {.server_cpu = proc_cpu_ns(&o->server) - cpu,
                    .seconds = (double)(now_ns() - began) / 1e9};
        engine_stop(e, t);
        take_numbers(t, pub, &w, r);
        r->events_per_s = -1;
        r->served_after_ms = w.seconds * 1e3;
        r->mb_per_s = (double)t->bytes / 1e6 / w.seconds;
        r->server_us_per_delivery = (double)w.server_cpu / 1e3 / (double)t->tally.events;
        r->disconnected = (double)t->disconnected;
        char reason[400];
        engine_failures(e, reason, sizeof reason);
        if (interrupt_signal())
            code = failed(r, "interrupted", "not all were served");
        else if (r->subscribers < o->engine.subscribers)
            code = failed(r, "not all were served", reason);
        engine_free(e);
    }
    publisher_free(pub);
    return code;
}

static int ramp_and_measure(const run_options *o, engine_totals *totals, progress *p, result *r)
{
    engine *e = engine_start(&o->engine);
    int code = ramp(o, e, p, r);
    if (!o->connect_only)
        r->connects_per_s = r->server_us_per_connect = -1; /* the ramp was not the point */
    if (code == TOOL_GO_ON && o->meet)
        meeting_wait(o->meet);
    if (code != TOOL_GO_ON)
        engine_stop(e, totals);
    else if (o->connect_only)
        code = finish_connect(e, totals, r);
    else
        code = publish_and_measure(o, e, totals, p, r);
    if (code == TOOL_GO_ON && o->meet)
        meeting_wait(o->meet); /* who has finished does not disturb the others by leaving */
    engine_free(e);
    return code;
}

int run_measure(const run_options *o, result *r)
{
    if (o->status)
        return run_gone(o, r);
    progress p = {.on = o->tell_progress && isatty(STDERR_FILENO)};
    engine_totals *totals = tool_must(calloc(1, sizeof *totals));
    int code =
        o->replay > 0 ? measure_replay(o, totals, &p, r) : ramp_and_measure(o, totals, &p, r);
    clear(&p);
    free(totals);
    return code;
}
