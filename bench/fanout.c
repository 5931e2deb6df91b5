/* `fanout`: the scenarios, each on each server in turn.
 *
 * A server is started anew for each run, on core 0, and this program keeps to core 1. Everybody is
 * published to in the same way, over one keep-alive HTTP connection, so that what publishing costs
 * is the same kind of cost in each. */
#include "bench.h"
#include "interrupt.h"
#include "output.h"
#include "parts.h"
#include "procstat.h"
#include "run.h"
#include "scenarios.h"
#include "servers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what was asked for ---- */

static bool listed(const tool_list *list, const char *name)
{
    if (list->n == 0)
        return true;
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

static int check_names(const bench *b)
{
    const tool_list *wanted = &b->options->scenarios, *servers = &b->options->servers;
    for (size_t i = 0; i < wanted->n; i++) {
        size_t k = 0;
        while (k < nscenarios && strcmp(wanted->items[i], scenarios[k].name) != 0)
            k++;
        if (k == nscenarios)
            return tool_misuse(b->tool, "there is no scenario '%s'", wanted->items[i]);
    }
    for (size_t i = 0; i < servers->n; i++) {
        int k = 0;
        while (k < SERVER_KINDS && strcmp(servers->items[i], server_names[k]) != 0)
            k++;
        if (k == SERVER_KINDS)
            return tool_misuse(b->tool, "there is no server '%s'", servers->items[i]);
    }
    return TOOL_GO_ON;
}

static uint32_t scaled(uint32_t n, double factor)
{
    double wanted = round((double)n * factor);
    return wanted < 1 ? 1 : (uint32_t)wanted;
}

/* The scenario as the options change it. */
static scenario adapt(const bench_options *o, const scenario *from)
{
    scenario s = *from;
    if (o->scale > 0) {
        s.subscribers = scaled(s.subscribers, o->scale);
        s.streams = s.streams > 1 ? scaled(s.streams, o->scale) : 1;
    }
    if (o->subscribers > 0) {
        double factor = (double)o->subscribers / s.subscribers;
        s.streams = s.streams > 1 ? scaled(s.streams, factor) : 1;
        s.subscribers = o->subscribers;
    }
    if (o->streams > 0)
        s.streams = o->streams;
    if (o->rate_given)
        s.rate = o->rate;
    return s;
}

/* ---- one run ---- */

static void fill(const bench *b, const scenario *s, const server *srv, uint32_t payload,
                 run_options *run)
{
    const bench_options *o = b->options;
    uint32_t number = run_number();
    run->engine = (engine_options){.url = &srv->subscribe,
                                   .subscribers = s->subscribers,
                                   .streams = s->streams,
                                   .threads = o->threads,
                                   .in_flight = o->in_flight,
                                   .run = number,
                                   .payload = payload,
                                   .named = srv->named,
                                   .reset = true};
    if (s->publishes)
        run->publisher = (publisher_options){.url = &srv->publish,
                                             .rate = s->rate,
                                             .streams = s->streams,
                                             .payload = payload,
                                             .run = number,
                                             .active = s->active,
                                             .batch = o->batch,
                                             .pipeline = srv->pipeline,
                                             .format = srv->format,
                                             .named = srv->named};
    run->duration_ms = o->duration_ms ? o->duration_ms : 10000;
    run->warmup_ms = o->warmup_given ? o->warmup_ms : 2000;
    run->settle_ms = 500;
    run->replay = s->replay;
    run->memory = s->memory;
    run->connect_only = s->connect;
    run->publish_alone = s->publishes;
    run->status = s->gone ? &srv->status : NULL;
    run->tell_progress = true;
    run->one_core = !o->no_pin;
}

/* m NULL: this is the only part. */
static int run_on(const bench *b, const scenario *s, server_kind kind, meeting *m, result *r)
{
    uint32_t payload;
    int code = bench_payload(b, s->payload, &payload);
    if (code != TOOL_GO_ON)
        return code;
    server_needs needs = {.sse_server = b->options->server,
                          .extra = &b->options->server_args,
                          .connections = s->subscribers,
                          .coalesce = s->coalesce,
                          .replay = s->replay,
                          .flat_out = s->publishes && s->rate <= 0,
                          .pin = !b->options->no_pin,
                          .big = payload > 1000};
    server srv;
    if (!server_start(&srv, kind, &needs, r->failure))
        return TOOL_UNAVAILABLE;
    run_options run = {.duration_ms = 0};
    fill(b, s, &srv, payload, &run);
    if (m) {
        run.meet = m;
        run.one_core = false; /* the other parts are on these cores too */
        run.tell_progress = meeting_is_first(m);
    }
    if (!proc_group_find(&run.server, srv.pid))
        result_note(r, "its CPU time cannot be read");
    code = run_measure(&run, r);
    if (!server_stop(&srv)) {
        snprintf(r->failure, sizeof r->failure, "the server ended by itself");
        code = TOOL_UNAVAILABLE;
    }
    if (!s->memory && s->connect)
        r->bytes_per_subscriber = -1;
    if (s->memory && s->connect)
        r->connects_per_s = r->server_us_per_connect = r->p50_us = r->p90_us = r->p99_us =
            r->p999_us = r->max_us = -1;
    return code;
}

/* ---- in several parts ---- */

/* Beside subscribers a server has descriptors of its own, such as an epoll set for each shard. */
#define PART_RESERVE 600u
#define BUSY 0.95

typedef struct division {
    const bench *b;
    const scenario *scenario;
    server_kind kind;
    uint32_t parts;
} division;

static int run_part(const void *user, uint32_t number, meeting *m, result *r)
{
    const division *d = user;
    scenario s = *d->scenario;
    uint32_t before = (uint32_t)((uint64_t)s.subscribers * number / d->parts);
    s.subscribers = (uint32_t)((uint64_t)s.subscribers * (number + 1) / d->parts) - before;
    return run_on(d->b, &s, d->kind, m, r);
}

static int run_divided(const bench *b, const scenario *s, server_kind kind, result *r)
{
    uint64_t limit = raise_fd_limit((uint64_t)s->subscribers + PART_RESERVE);
    if (limit >= (uint64_t)s->subscribers + PART_RESERVE)
        return run_on(b, s, kind, NULL, r);
    if (limit <= PART_RESERVE) {
        snprintf(r->failure, sizeof r->failure,
                 "a limit of %llu descriptors is too low (ulimit -n)", (unsigned long long)limit);
        return TOOL_UNAVAILABLE;
    }
    division d = {.b = b, .scenario = s, .kind = kind};
    d.parts = (uint32_t)(s->subscribers / (limit - PART_RESERVE)) + 1;
    result_note(
        r,
        "%u servers and %u load processes with a part of the subscribers each: the limit is "
        "%llu descriptors (ulimit -n)",
        d.parts, d.parts, (unsigned long long)limit);
    int code = parts_run(d.parts, run_part, &d, r);
    if (r->client_cpu >= BUSY && !b->options->no_pin)
        result_note(r, "the client was the bottleneck: it used %.0f %% of its core",
                    r->client_cpu * 100);
    return code;
}

/* The scenario in words, with all that the options have changed in it. */
static void describe(const bench_options *o, const scenario *from, const scenario *s, char *out,
                     size_t size)
{
    tool_buffer text = {0};
    char part[200];
    tool_buffer_adds(&text, from->what);
    if (s->subscribers != from->subscribers || s->streams != from->streams) {
        snprintf(part, sizeof part, ", scaled to %u subscribers on %u stream%s", s->subscribers,
                 s->streams, s->streams == 1 ? "" : "s");
        tool_buffer_adds(&text, part);
    }
    if (o->rate_given) {
        snprintf(part, sizeof part, o->rate > 0 ? ", but at %g events/s" : ", but flat out",
                 o->rate);
        tool_buffer_adds(&text, part);
    }
    if (o->payload) {
        snprintf(part, sizeof part, ", but %u bytes an event", o->payload);
        tool_buffer_adds(&text, part);
    }
    for (size_t i = 0; i < o->server_args.n; i++) {
        tool_buffer_adds(&text, i > 0 ? " " : "; sse-server with ");
        tool_buffer_adds(&text, o->server_args.items[i]);
    }
    snprintf(out, size, "%.*s", (int)text.len, text.bytes);
    tool_buffer_free(&text);
}

static int run_scenario(bench *b, const scenario *from)
{
    scenario s = adapt(b->options, from);
    char what[256];
    describe(b->options, from, &s, what, sizeof what);
    scenario_result *out = results_scenario(&b->all, s.name, what);
    int code = TOOL_DONE;
    for (server_kind kind = 0; kind < SERVER_KINDS && code == TOOL_DONE && !interrupt_signal();
         kind++) {
        const char *why = "";
        if (!listed(&b->options->servers, server_names[kind]))
            continue;
        server_needs needs = {.sse_server = b->options->server};
        bool asked = b->options->servers.n > 0;
        if (!server_available(kind, &needs, &why)) {
            tool_say(b->tool, "%s is left out: %s", server_names[kind], why);
            if (asked || kind == SERVER_SSE)
                return TOOL_UNAVAILABLE;
            continue;
        }
        result *r = results_server(out, server_names[kind]);
        r->judged = kind != SERVER_NCHAN; /* what it loses is a result of the comparison */
        if (!s.divides)
            s.subscribers = run_affordable(s.subscribers, r);
        int ran = s.divides ? run_divided(b, &s, kind, r) : run_on(b, &s, kind, NULL, r);
        /* nchan is there to be compared with: where it fails is a result. */
        if (ran == TOOL_USAGE || (ran != TOOL_GO_ON && kind != SERVER_NCHAN))
            code = ran;
        if (r->failure[0])
            tool_say(b->tool, "%s, %s: %s", s.name, r->server, r->failure);
    }
    if (code != TOOL_USAGE)
        output_scenario(b, out);
    return code;
}

int bench_fanout(bench *b)
{
    int code = check_names(b);
    if (code != TOOL_GO_ON)
        return code;
    if (!b->options->no_pin && !pin_to_core(core_count() > 1 ? 1 : 0))
        tool_say(b->tool, "cannot be bound to a core, so numbers will vary more");
    code = TOOL_DONE;
    for (size_t i = 0; i < nscenarios && code == TOOL_DONE && !interrupt_signal(); i++)
        if (listed(&b->options->scenarios, scenarios[i].name))
            code = run_scenario(b, &scenarios[i]);
    return code;
}
