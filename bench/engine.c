/* The load engine's threads and what their owner asks of them; connections are engine_conn.c.
 *
 * Threads: each lane runs on a thread of its own and owns its connections and counters until it has
 * been joined. The owner speaks to it through atomics and an eventfd that wakes it. The window is
 * set by atomics, of which `to` is the last one stored; later only `to` may change, to an earlier time. */
#include "engine.h"

#include "engine_conn.h"
#include "interrupt.h"
#include "procstat.h"
#include "sync.h"
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* There are 28,000 by default, but connect() looks at those of one parity first: once these 14,000 are taken, it goes through all of
 * them each time, which takes milliseconds. */
#define PORTS_PER_ADDRESS 10000u
#define LOOPBACK_NET 0x7f000000u
#define BATCH 512

#define FAILURE_KINDS 8

/* What became of connections, in words, and of how many. */
typedef struct failure {
    char what[TLS_WHY];
    uint32_t n;
} failure;

struct engine {
    engine_options options;
    char **requests;
    lane *lanes;
    sse__thread *threads;
    uint32_t nlanes;
    atomic_bool stop;
    atomic_uint wave;
    atomic_uint opened; /* connections ever, for source addresses */
    atomic_ullong window_from, window_to;
    _Atomic(const uint64_t *) published; /* by stream, once the publisher has ended */
    uint64_t cpu_begin[ENGINE_MAX_THREADS], cpu_end[ENGINE_MAX_THREADS]; /* owner only */
    uint64_t began_ns, ended_ns;                                         /* owner only */
    sse__mutex failures_mu; /* rank LEAF; guards all that follows */
    failure failures[FAILURE_KINDS];
    uint32_t nfailures;
    uint32_t further; /* of kinds for which there was no room */
};

const engine_options *engine_opts(const engine *e) { return &e->options; }

void engine_note_failure(engine *e, const char *what, int error)
{
    char text[TLS_WHY];
    snprintf(text, sizeof text, "%s%s%s", what, error ? ": " : "", error ? strerror(error) : "");
    sse__mutex_lock(&e->failures_mu);
    uint32_t i = 0;
    while (i < e->nfailures && strcmp(e->failures[i].what, text) != 0)
        i++;
    if (i == FAILURE_KINDS) {
        e->further++;
    } else {
        if (i == e->nfailures)
            snprintf(e->failures[e->nfailures++].what, TLS_WHY, "%s", text);
        e->failures[i].n++;
    }
    sse__mutex_unlock(&e->failures_mu);
}

static void describe_failures_locked(const engine *e, tool_buffer *out)
{
    char number[32];
    for (uint32_t i = 0; i < e->nfailures; i++) {
        snprintf(number, sizeof number, " (%u)", e->failures[i].n);
        tool_buffer_adds(out, i > 0 ? "; " : "");
        tool_buffer_adds(out, e->failures[i].what);
        tool_buffer_adds(out, e->nfailures > 1 ? number : "");
    }
    snprintf(number, sizeof number, "; other reasons (%u)", e->further);
    tool_buffer_adds(out, e->further > 0 ? number : "");
}

void engine_failures(engine *e, char *out, size_t size)
{
    tool_buffer text = {0};
    sse__mutex_lock(&e->failures_mu);
    describe_failures_locked(e, &text);
    sse__mutex_unlock(&e->failures_mu);
    snprintf(out, size, "%.*s", (int)text.len, text.len ? text.bytes : "");
    tool_buffer_free(&text);
}

bool engine_source(engine *e, struct sockaddr_storage *source, socklen_t *len)
{
    const struct sockaddr_in *to = (const struct sockaddr_in *)&e->options.url->address;
    uint32_t block = atomic_fetch_add(&e->opened, 1) / PORTS_PER_ADDRESS;
    if (block == 0 || to->sin_family != AF_INET ||
        (ntohl(to->sin_addr.s_addr) & 0xff000000u) != LOOPBACK_NET)
        return false;
    struct sockaddr_in *in = (struct sockaddr_in *)source;
    *in = (struct sockaddr_in){.sin_family = AF_INET};
    in->sin_addr.s_addr = htonl(LOOPBACK_NET + 1 + block % 250);
    *len = sizeof *in;
    return true;
}

/* ---- on a lane's thread ---- */

static void connect_some(lane *l)
{
    uint32_t limit = engine_opts(l->engine)->in_flight;
    while (l->in_flight < limit && l->next_idle < l->n) {
        conn *c = &l->conns[l->next_idle++];
        if (c->state == CONN_IDLE)
            conn_open(l, c);
    }
}

static void begin_wave(lane *l, uint32_t wave)
{
    for (uint32_t i = 0; i < l->n; i++)
        conn_close(l, &l->conns[i], CONN_IDLE);
    l->wave = wave;
    l->next_idle = 0;
    l->in_flight = 0;
    atomic_store(&l->served, 0);
    atomic_store(&l->failed, 0);
    atomic_store(&l->over, 0);
    atomic_store(&l->wave_seen, wave);
}

static void count_incomplete(lane *l, const uint64_t *published)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++)
        n += l->conns[i].state == CONN_BODY &&
             l->conns[i].scan.next < published[l->conns[i].scan.stream];
    atomic_store(&l->incomplete, n);
    atomic_fetch_add(&l->rounds, 1);
}

/* What the owner wants by now. */
static void follow(lane *l)
{
    engine *e = l->engine;
    uint32_t wave = atomic_load(&e->wave);
    if (wave != l->wave)
        begin_wave(l, wave);
    /* Acquire pairs with the release in engine_window(): `from` was stored before. */
    uint64_t to = atomic_load_explicit(&e->window_to, memory_order_acquire);
    if (to != l->tally.window_to) {
        bool first = l->tally.window_to == 0; /* later it only becomes shorter */
        l->tally.window_from = atomic_load(&e->window_from);
        l->tally.window_to = to;
        if (first)
            l->slot_ns = (to - l->tally.window_from) / ENGINE_SLOTS + 1;
    }
    const uint64_t *published = atomic_load(&e->published);
    if (published)
        count_incomplete(l, published);
}

static void *lane_run(void *arg)
{
    lane *l = arg;
    struct epoll_event events[BATCH];
    while (!atomic_load(&l->engine->stop)) {
        follow(l);
        connect_some(l);
        int n = epoll_wait(l->epoll, events, BATCH, 100);
        for (int i = 0; i < n; i++) {
            uint64_t ignored;
            if (events[i].data.ptr)
                conn_ready(l, events[i].data.ptr, events[i].events);
            else
                (void)!read(l->wake, &ignored, sizeof ignored);
        }
        /* Relaxed: nothing else is read by what it says. */
        atomic_store_explicit(&l->delivered, l->tally.events, memory_order_relaxed);
    }
    return NULL;
}

/* ---- the owner ---- */

static void lane_init(engine *e, lane *l, uint32_t first, uint32_t n)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    l->engine = e;
    l->requests = e->requests;
    l->n = n;
    l->conns = tool_must(calloc(n ? n : 1, sizeof *l->conns));
    l->buffer = tool_must(malloc(CONN_BUFFER));
    if (e->options.url->tls)
        l->sealed = tool_must(malloc(CONN_BUFFER));
    for (uint32_t i = 0; i < n; i++) {
        l->conns[i].fd = -1;
        scan_init(&l->conns[i].scan, (first + i) % e->options.streams);
    }
    l->tally.run = e->options.run;
    l->tally.payload = e->options.payload;
    l->slot_ns = 1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll < 0 || l->wake < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &event) != 0) {
        perror("sse-bench: epoll");
        exit(TOOL_UNAVAILABLE);
    }
}

static char **make_requests(const engine_options *o)
{
    char target[2112];
    char **requests = tool_must(calloc(o->streams, sizeof *requests));
    for (uint32_t i = 0; i < o->streams; i++) {
        http_target(o->url, i, o->named, target);
        requests[i] = http_request("GET", target, o->url, o->headers, NULL);
    }
    return requests;
}

engine *engine_start(const engine_options *options)
{
    engine *e = tool_must(calloc(1, sizeof *e));
    e->options = *options;
    sse__mutex_init(&e->failures_mu, SSE__RANK_LEAF);
    engine_options *o = &e->options;
    if (o->threads == 0)
        o->threads = 1;
    if (o->threads > ENGINE_MAX_THREADS)
        o->threads = ENGINE_MAX_THREADS;
    o->in_flight = (o->in_flight ? o->in_flight : 128) / o->threads;
    if (o->in_flight == 0)
        o->in_flight = 1;
    e->nlanes = o->threads;
    e->requests = make_requests(o);
    e->lanes = tool_must(calloc(e->nlanes, sizeof *e->lanes));
    e->threads = tool_must(calloc(e->nlanes, sizeof *e->threads));
    uint32_t first = 0;
    for (uint32_t i = 0; i < e->nlanes; i++) {
        uint32_t n = (o->subscribers - first) / (e->nlanes - i);
        lane_init(e, &e->lanes[i], first, n);
        first += n;
    }
    for (uint32_t i = 0; i < e->nlanes; i++)
        if (sse__thread_start(&e->threads[i], "load", 0, lane_run, &e->lanes[i]) != SSE_OK) {
            fputs("sse-bench: no thread to be had\n", stderr);
            exit(TOOL_UNAVAILABLE);
        }
    return e;
}

static void wake_lanes(engine *e)
{
    uint64_t one = 1;
    for (uint32_t i = 0; i < e->nlanes; i++)
        (void)!write(e->lanes[i].wake, &one, sizeof one);
}

uint32_t engine_served(const engine *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->nlanes; i++)
        n += atomic_load(&e->lanes[i].served);
    return n;
}

uint32_t engine_failed(const engine *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->nlanes; i++)
        n += atomic_load(&e->lanes[i].failed);
    return n;
}

uint64_t engine_delivered(const engine *e)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < e->nlanes; i++)
        n += atomic_load_explicit(&e->lanes[i].delivered, memory_order_relaxed);
    return n;
}

/* Those that have nothing more to wait for, in whatever way. */
static uint32_t settled(const engine *e)
{
    uint32_t n = engine_served(e) + engine_failed(e);
    for (uint32_t i = 0; i < e->nlanes; i++)
        n += atomic_load(&e->lanes[i].over);
    return n;
}

static bool wave_seen(const engine *e)
{
    uint32_t wave = atomic_load(&e->wave);
    for (uint32_t i = 0; i < e->nlanes; i++)
        if (atomic_load(&e->lanes[i].wave_seen) != wave)
            return false;
    return true;
}

static void note_unanswered(engine *e, uint64_t waited_ns)
{
    char what[64];
    snprintf(what, sizeof what, "no answer within %g s", (double)waited_ns / 1e9);
    for (uint32_t n = settled(e); n < e->options.subscribers; n++)
        engine_note_failure(e, what, 0);
}

uint32_t engine_wait_served(engine *e, uint64_t timeout_ns, void (*tick)(engine *, void *),
                            void *user)
{
    uint64_t deadline = now_ns() + timeout_ns, next_tick = now_ns() + 100000000u;
    while (!wave_seen(e) || settled(e) < e->options.subscribers) {
        uint64_t now = now_ns();
        if (interrupt_signal())
            break;
        if (now >= deadline) {
            note_unanswered(e, timeout_ns);
            break;
        }
        if (tick && now >= next_tick) {
            tick(e, user);
            next_tick = now + 100000000u;
        }
        wait_until_ns(now + 1000000u);
    }
    return engine_served(e);
}

void engine_window(engine *e, uint64_t from, uint64_t to)
{
    atomic_store(&e->window_from, from);
    atomic_store_explicit(&e->window_to, to, memory_order_release);
    wake_lanes(e);
}

static void read_cpu(engine *e, uint64_t *cpu)
{
    for (uint32_t i = 0; i < e->nlanes; i++) {
        clockid_t clock;
        struct timespec t = {0};
        if (pthread_getcpuclockid(e->threads[i].os, &clock) == 0)
            clock_gettime(clock, &t);
        cpu[i] = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
}

void engine_window_begins(engine *e)
{
    e->began_ns = now_ns();
    read_cpu(e, e->cpu_begin);
}

void engine_window_ends(engine *e)
{
    e->ended_ns = now_ns();
    read_cpu(e, e->cpu_end);
}

static bool all_complete(const engine *e)
{
    for (uint32_t i = 0; i < e->nlanes; i++)
        if (atomic_load(&e->lanes[i].rounds) == 0 || atomic_load(&e->lanes[i].incomplete) > 0)
            return false;
    return true;
}

void engine_drain(engine *e, const uint64_t *published, uint64_t patience_ns)
{
    atomic_store(&e->published, published);
    wake_lanes(e);
    uint64_t last = engine_delivered(e), since = now_ns();
    while (!all_complete(e) && now_ns() - since < patience_ns) {
        wait_until_ns(now_ns() + 2000000u);
        wake_lanes(e);
        uint64_t delivered = engine_delivered(e);
        if (delivered != last)
            since = now_ns();
        last = delivered;
    }
}

void engine_reconnect(engine *e)
{
    atomic_fetch_add(&e->wave, 1);
    wake_lanes(e);
}

/* ---- the end ---- */

static void add_tally(tally *into, const tally *from)
{
    into->events += from->events;
    into->stamped += from->stamped;
    into->lost += from->lost;
    into->duplicated += from->duplicated;
    into->misordered += from->misordered;
    into->misdelivered += from->misdelivered;
    into->comments += from->comments;
    into->gaps += from->gaps;
    histogram_merge(&into->latency, &from->latency);
}

static void add_lane(engine *e, const lane *l, engine_totals *totals)
{
    const uint64_t *published = atomic_load(&e->published);
    add_tally(&totals->tally, &l->tally);
    histogram_merge(&totals->connects, &l->connects);
    totals->bytes += l->bytes;
    totals->in_window += l->in_window;
    totals->bytes_in_window += l->bytes_in_window;
    totals->disconnected += l->disconnected;
    for (size_t i = 0; i < ENGINE_SLOTS; i++)
        totals->slots[i] += l->slots[i];
    for (uint32_t i = 0; published && i < l->n; i++) {
        const conn *c = &l->conns[i];
        uint64_t all = published[c->scan.stream];
        if ((c->state == CONN_BODY || c->state == CONN_OVER) && c->scan.next < all)
            totals->missing += all - c->scan.next;
    }
}

void engine_stop(engine *e, engine_totals *totals)
{
    memset(totals, 0, sizeof *totals);
    atomic_store(&e->stop, true);
    wake_lanes(e);
    uint64_t window = e->ended_ns - e->began_ns;
    for (uint32_t i = 0; i < e->nlanes; i++) {
        sse__thread_join(&e->threads[i]);
        add_lane(e, &e->lanes[i], totals);
        double share = window ? (double)(e->cpu_end[i] - e->cpu_begin[i]) / (double)window : 0;
        if (share > totals->busiest)
            totals->busiest = share;
    }
}

void engine_free(engine *e)
{
    for (uint32_t i = 0; i < e->nlanes; i++) {
        lane *l = &e->lanes[i];
        for (uint32_t k = 0; k < l->n; k++)
            conn_close(l, &l->conns[k], CONN_IDLE);
        close(l->epoll);
        close(l->wake);
        free(l->conns);
        free(l->buffer);
        free(l->sealed);
    }
    for (uint32_t i = 0; i < e->options.streams; i++)
        free(e->requests[i]);
    sse__mutex_fini(&e->failures_mu);
    free(e->requests);
    free(e->lanes);
    free(e->threads);
    free(e);
}
