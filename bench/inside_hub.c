/* `inside`, server: publishers on several threads; many streams. The one place beside
 * inside_client.c where sse-bench uses the library that it otherwise measures from outside, and by
 * its public header only.
 *
 * Threads: publishers have threads of their own and count what was accepted; the command's thread
 * reads that at any time. Subscribers are the load engine's. */
#include "engine.h"
#include "inside.h"
#include "procstat.h"
#include "sync.h"

#include <math.h>
#include <sse/server.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define STREAM "s"
#define MOST_PUBLISHERS 64u
#define BURST 25000u /* events of each publisher */
#define PATIENCE (5 * SECOND)

typedef struct crowd crowd;

typedef struct member {
    _Alignas(64) atomic_ullong accepted; /* its own thread writes it, nobody shares its line */
    crowd *crowd;
    sse__thread thread;
} member;

struct crowd {
    bench *b;
    sse_server *server;
    result *result;
    sse_event event;
    char *data;
    uint32_t n;
    uint32_t subscribers;
    uint64_t limit; /* events that each publishes; 0: until `stop` */
    atomic_bool stop;
    atomic_int failed; /* an sse_err */
    engine *engine;    /* NULL: nobody subscribes */
    http_url url;
    member members[MOST_PUBLISHERS];
};

/* ---- publishers ---- */

static void *publish_all(void *arg)
{
    member *m = arg;
    crowd *c = m->crowd;
    uint64_t n = 0;
    while (!atomic_load_explicit(&c->stop, memory_order_relaxed) && (!c->limit || n < c->limit)) {
        sse_err err = sse_server_publish(c->server, STREAM, &c->event);
        if (err != SSE_OK) {
            atomic_store(&c->failed, (int)err);
            break;
        }
        /* Relaxed, like its reader: nothing else is read by what it says. */
        atomic_store_explicit(&m->accepted, ++n, memory_order_relaxed);
    }
    return NULL;
}

static uint64_t accepted(const crowd *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->n; i++)
        sum += atomic_load_explicit(&c->members[i].accepted, memory_order_relaxed);
    return sum;
}

static void publishers_start(crowd *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        c->members[i].crowd = c;
        if (sse__thread_start(&c->members[i].thread, "publish", 0, publish_all, &c->members[i]) !=
            SSE_OK) {
            fputs("sse-bench: no thread to be had\n", stderr);
            exit(TOOL_UNAVAILABLE);
        }
    }
}

static void publishers_join(crowd *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        sse__thread_join(&c->members[i].thread);
}

/* ---- server and subscribers ---- */

static int crowd_listen(crowd *c)
{
    char bound[64], url[128];
    sse_err err = sse_server_listen(c->server, "127.0.0.1:0", bound, sizeof bound);
    if (err != SSE_OK)
        return inside_failed(c->b, c->result, "listening", err);
    snprintf(url, sizeof url, "http://%s/events?stream=" STREAM, bound);
    (void)http_url_parse(&c->url, url);
    engine_options options = {
        .url = &c->url, .subscribers = c->subscribers, .streams = 1, .reset = true};
    c->engine = engine_start(&options);
    c->result->subscribers = engine_wait_served(c->engine, PATIENCE * 4, NULL, NULL);
    if (c->result->subscribers == c->subscribers)
        return TOOL_GO_ON;
    char reason[400];
    engine_failures(c->engine, reason, sizeof reason);
    snprintf(c->result->failure, sizeof c->result->failure, "not all were served: %s", reason);
    return TOOL_UNAVAILABLE;
}

static int crowd_open(crowd *c, uint32_t ring_events)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.ring_events = ring_events;
    stream.slow = SSE_SLOW_BLOCK; /* each subscriber gets each event */
    sse_server_options options;
    sse_server_options_init(&options);
    options.stream = &stream;
    options.threads = 1;
    sse_err err = sse_server_new(&options, &c->server);
    if (err == SSE_OK)
        err = sse_server_create_stream(c->server, STREAM, NULL);
    if (err != SSE_OK)
        return inside_failed(c->b, c->result, "a server", err);
    return c->subscribers > 0 ? crowd_listen(c) : TOOL_GO_ON;
}

/* What was accepted has to arrive. `totals` counts it then. */
static void crowd_drain(crowd *c, engine_totals *totals)
{
    uint64_t all = accepted(c) * c->subscribers, last = 0, since = now_ns();
    while (c->engine && last < all && now_ns() - since < PATIENCE) {
        wait_until_ns(now_ns() + 1000000u);
        uint64_t n = engine_delivered(c->engine);
        if (n != last)
            since = now_ns();
        last = n;
    }
    if (!c->engine)
        return;
    engine_stop(c->engine, totals);
    uint64_t got = totals->tally.events;
    c->result->lost = got < all ? (double)(all - got) : 0;
    c->result->duplicated = got > all ? (double)(got - all) : 0;
    c->result->disconnected = (double)totals->disconnected;
}

static int crowd_close(crowd *c, int code)
{
    sse_server_stats stats = {0};
    if (c->server)
        sse_server_get_stats(c->server, &stats);
    c->result->published = accepted(c);
    if (c->engine)
        engine_free(c->engine);
    sse_server_free(c->server);
    free(c->data);
    if (code != TOOL_GO_ON)
        return code;
    if (atomic_load(&c->failed) != SSE_OK)
        return inside_failed(c->b, c->result, "publishing", (sse_err)atomic_load(&c->failed));
    /* The server's own count, beside that of those who were told SSE_OK. */
    if (stats.published < c->result->published)
        c->result->lost =
            fmax(c->result->lost, 0) + (double)(c->result->published - stats.published);
    return TOOL_GO_ON;
}

static int crowd_init(crowd *c, bench *b, scenario_result *s, const char *column)
{
    uint32_t bytes;
    int code = bench_payload(b, 100, &bytes);
    if (code != TOOL_GO_ON)
        return code;
    *c = (crowd){.b = b, .n = b->options->publishers ? b->options->publishers : 8};
    if (c->n > MOST_PUBLISHERS)
        return tool_misuse(b->tool, "option '--publishers': %u at most", MOST_PUBLISHERS);
    c->result = results_server(s, column);
    c->result->lost = 0;
    c->data = tool_must(malloc(bytes));
    memset(c->data, 'x', bytes);
    c->event.data = (sse_str){c->data, bytes};
    return TOOL_GO_ON;
}

/* ---- the scenarios ---- */

/* All publish all the time. */
static void steady(crowd *c, engine_totals *totals)
{
    uint64_t length = inside_ns(c->b);
    publishers_start(c);
    wait_until_ns(now_ns() + length / 10);
    uint64_t from = now_ns() + 1000000u, to = from + length;
    if (c->engine)
        engine_window(c->engine, from, to);
    wait_until_ns(from);
    inside_use before = inside_use_now();
    uint64_t already = accepted(c);
    wait_until_ns(to);
    inside_take(c->result, &before, accepted(c) - already);
    atomic_store(&c->stop, true);
    publishers_join(c);
    crowd_drain(c, totals);
    if (c->engine)
        c->result->deliveries_per_s = (double)totals->in_window / ((double)length / 1e9);
}

/* Each publishes so many events, for which there is room, as fast as it can; how long that takes
 * them, and how long until all have arrived. */
static void burst(crowd *c, engine_totals *totals)
{
    inside_use before = inside_use_now();
    publishers_start(c);
    publishers_join(c);
    inside_take(c->result, &before, accepted(c));
    crowd_drain(c, totals);
    c->result->served_after_ms = (double)(now_ns() - before.at_ns) / 1e6;
}

static int run_crowd(bench *b, scenario_result *s, const char *column, uint32_t subscribers,
                     uint32_t limit)
{
    crowd *c = tool_must(aligned_alloc(64, (sizeof *c + 63) / 64 * 64));
    engine_totals *totals = tool_must(calloc(1, sizeof *totals));
    int code = crowd_init(c, b, s, column);
    if (code == TOOL_GO_ON) {
        c->subscribers = subscribers;
        c->limit = limit;
        code = crowd_open(c, limit * c->n);
        if (code == TOOL_GO_ON)
            (limit > 0 ? burst : steady)(c, totals);
        else if (c->engine)
            engine_stop(c->engine, totals);
        code = crowd_close(c, code);
    }
    free(totals);
    free(c);
    return code;
}

int inside_publish(bench *b, scenario_result *s) { return run_crowd(b, s, "publish", 0, 0); }

int inside_publish_to(bench *b, scenario_result *s)
{
    uint32_t subscribers = b->options->subscribers ? b->options->subscribers : 100;
    int code = run_crowd(b, s, "publish", subscribers, 0);
    if (code == TOOL_GO_ON)
        code = run_crowd(b, s, "burst", subscribers, BURST);
    return code;
}

/* ---- many streams ---- */

#define ACTIVE_SHARE 100u /* one in so many */
#define ROUND_NS (SECOND / 5)

static uint32_t active_of(uint32_t streams) { return (streams + ACTIVE_SHARE - 1) / ACTIVE_SHARE; }

static double threads_now(void)
{
    char line[128];
    unsigned n = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Threads: %u", &n) == 1)
            break;
    if (f)
        fclose(f);
    return n;
}

static const char *stream_name(char name[32], uint32_t i)
{
    snprintf(name, 32, "stream-%u", i);
    return name;
}

static sse_err create_all(sse_server *server, uint32_t n)
{
    char name[32];
    sse_err err = SSE_OK;
    for (uint32_t i = 0; i < n && err == SSE_OK; i++)
        err = sse_server_create_stream(server, stream_name(name, i), NULL);
    return err;
}

static sse_err remove_all(sse_server *server, uint32_t n)
{
    char name[32];
    sse_err err = SSE_OK;
    for (uint32_t i = 0; i < n && err == SSE_OK; i++)
        err = sse_server_remove_stream(server, stream_name(name, i));
    return err;
}

/* One event on each active stream, five times a second. */
static sse_err keep_active(sse_server *server, uint32_t n, uint64_t until, result *r)
{
    char name[32], data[100];
    memset(data, 'x', sizeof data);
    const sse_event event = {.data = {data, sizeof data}};
    inside_use before = inside_use_now();
    sse_err err = SSE_OK;
    for (uint64_t next = now_ns(); next < until && err == SSE_OK; next += ROUND_NS) {
        wait_until_ns(next);
        for (uint32_t i = 0; i < n && err == SSE_OK; i++) {
            err = sse_server_publish(server, stream_name(name, i * ACTIVE_SHARE), &event);
            r->published += err == SSE_OK;
        }
        r->threads_busy = fmax(r->threads_busy, threads_now());
    }
    inside_take(r, &before, r->published);
    return err;
}

/* Threads of streams that are not active any more end by themselves. */
static void rest(sse_server *server, double threads_before, result *r)
{
    sse_server_stats stats;
    uint64_t until = now_ns() + 20 * SECOND;
    do {
        wait_until_ns(now_ns() + 10000000u);
        sse_server_get_stats(server, &stats);
        r->threads_idle =
            threads_now(); /* one that the server counts no more may still be ending */
    } while ((stats.workers > 0 || r->threads_idle > threads_before) && now_ns() < until);
}

static sse_err measure_streams(const bench *b, sse_server *server, uint32_t n, result *r)
{
    proc_group self = {.pids = {getpid()}, .n = 1};
    double threads = threads_now();
    uint64_t memory = proc_rss_bytes(&self), began = now_ns();
    sse_err err = create_all(server, n);
    r->creates_per_s = (double)n * 1e9 / (double)(now_ns() - began);
    r->bytes_per_stream = ((double)proc_rss_bytes(&self) - (double)memory) / (double)n;
    if (err == SSE_OK)
        err = keep_active(server, active_of(n), now_ns() + inside_ns(b), r);
    if (err != SSE_OK)
        return err;
    rest(server, threads, r);
    began = now_ns();
    err = remove_all(server, n);
    r->removes_per_s = (double)n * 1e9 / (double)(now_ns() - began);
    return err;
}

int inside_streams(bench *b, scenario_result *s)
{
    result *r = results_server(s, "streams");
    uint32_t n = b->options->streams ? b->options->streams : 100000;
    snprintf(s->what, sizeof s->what, "%u streams, then events on %u of them", n, active_of(n));
    sse_server_options options;
    sse_server *server = NULL;
    sse_server_options_init(&options);
    options.max_streams = n;
    sse_err err = sse_server_new(&options, &server);
    if (err == SSE_OK)
        err = measure_streams(b, server, n, r);
    sse_server_free(server);
    return err == SSE_OK ? TOOL_GO_ON : inside_failed(b, r, "streams", err);
}
