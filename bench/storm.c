/* `storm`: all subscribers leave, and come back at once; how long until all are served again. */
#include "bench.h"
#include "interrupt.h"
#include "output.h"
#include "run.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define TIMEOUT (60 * SECOND)

typedef struct storm {
    engine *engine;
    scenario_result *scenario;
    result *result;
    proc_group server;
    uint32_t subscribers;
    uint32_t waves;
    uint32_t done; /* waves after the first connect */
    double longest_s, sum_s;
    uint64_t cpu_ns;
} storm;

static int wave(bench *b, storm *s, uint32_t number)
{
    uint64_t cpu = proc_cpu_ns(&s->server), began = now_ns();
    char name[32] = "first connect";
    if (number > 0)
        snprintf(name, sizeof name, "wave %u", number);
    if (number > 0)
        engine_reconnect(s->engine);
    uint64_t timeout =
        b->options->timeout_ms ? b->options->timeout_ms * UINT64_C(1000000) : TIMEOUT;
    uint32_t served = engine_wait_served(s->engine, timeout, NULL, NULL);
    double seconds = (double)(now_ns() - began) / 1e9;
    if (served < s->subscribers && interrupt_signal())
        return TOOL_GO_ON;
    if (served < s->subscribers) {
        char reason[400];
        engine_failures(s->engine, reason, sizeof reason);
        snprintf(s->result->failure, sizeof s->result->failure, "%s: %u of %u were not served: %s",
                 name, s->subscribers - served, s->subscribers, reason);
        tool_say(b->tool, "%s", s->result->failure);
        return TOOL_UNAVAILABLE;
    }
    output_line(b, "%s: all %u served after %.3f s, %.0f/s", name, served, seconds,
                served / seconds);
    if (number == 0)
        return TOOL_GO_ON;
    s->done = number;
    s->cpu_ns += proc_cpu_ns(&s->server) - cpu;
    s->sum_s += seconds;
    if (seconds > s->longest_s)
        s->longest_s = seconds;
    return TOOL_GO_ON;
}

static void report(bench *b, const storm *s, const engine_totals *totals)
{
    result *r = s->result;
    double all = (double)s->subscribers * s->done;
    r->subscribers = s->subscribers;
    r->seconds = s->sum_s;
    r->connects_per_s = all / s->sum_s;
    r->served_after_ms = s->sum_s / s->done * 1e3;
    r->disconnected = (double)totals->disconnected;
    r->latency = totals->connects;
    result_quantiles(r);
    if (s->server.n > 0 && proc_group_lives(&s->server))
        r->server_us_per_connect = (double)s->cpu_ns / 1e3 / all;
    char reasons[300];
    engine_failures(s->engine, reasons, sizeof reasons);
    if (r->disconnected > 0)
        result_note(r, "%.0f connections ended: %s", r->disconnected, reasons);
    result_note(r, "all were served again after %.1f ms on average, %.1f ms at the longest",
                s->sum_s / s->done * 1e3, s->longest_s * 1e3);
    output_scenario(b, s->scenario);
}

/* All waves came to their end, or those before a signal. */
static void conclude(bench *b, storm *s, const engine_totals *totals)
{
    if (s->done < s->waves)
        result_note(s->result, "interrupted: %u of %u waves", s->done, s->waves);
    if (s->done > 0) {
        report(b, s, totals);
        return;
    }
    snprintf(s->result->failure, sizeof s->result->failure, "interrupted before the first wave");
    tool_say(b->tool, "%s", s->result->failure);
}

static int run_storm(bench *b, storm *s, const engine_options *options)
{
    engine_totals *totals = tool_must(calloc(1, sizeof *totals));
    int code = TOOL_GO_ON;
    s->engine = engine_start(options);
    for (uint32_t i = 0; i <= s->waves && code == TOOL_GO_ON && !interrupt_signal(); i++)
        code = wave(b, s, i);
    engine_stop(s->engine, totals);
    if (code == TOOL_GO_ON) {
        conclude(b, s, totals);
        code = TOOL_DONE;
    }
    engine_free(s->engine);
    free(totals);
    return code;
}

int bench_storm(bench *b)
{
    const bench_options *o = b->options;
    http_url url;
    int code = bench_url(b, b->word, &url);
    if (code != TOOL_GO_ON)
        return code;
    storm s = {.subscribers = o->subscribers ? o->subscribers : 100,
               .waves = o->waves ? o->waves : 5};
    if (o->server_pid && !proc_group_find(&s.server, (pid_t)o->server_pid))
        return tool_misuse(b->tool, "option '--server-pid': there is no process %u", o->server_pid);
    char what[160];
    snprintf(what, sizeof what,
             "all leave and come back, %u times; latency is from connect to the answer", s.waves);
    s.scenario = results_scenario(&b->all, "storm", what);
    s.result = results_server(s.scenario, "target");
    s.subscribers = run_affordable(s.subscribers, s.result);
    if (o->pin)
        pin_to_core(1);
    engine_options options = {.url = &url,
                              .trust = b->trust,
                              .headers = o->headers.items,
                              .subscribers = s.subscribers,
                              .streams = o->streams ? o->streams : 1,
                              .threads = o->threads,
                              .in_flight = o->in_flight,
                              .named = o->streams > 0};
    return run_storm(b, &s, &options);
}
