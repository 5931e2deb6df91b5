/* 100 of 1,000 subscribers stop reading (20 of 200 over TLS). The others must hardly notice: the p99 of their latencies, from the
 * publisher's request to the event in their hands, stays within twice what it is where all read; the server's memory stays within its
 * limits; its counters, and the gaps that the slow ones are told of, say what happened.
 *
 * Two servers with 1,000 subscribers each take turns, event by event, so that whatever else the machine does hits both; in one
 * crowd all read. An event is published when all that read have the last one: latencies do not depend on how fast the machine is
 * compared to a rate, and a stall shows in the event that it delays. Those that stop have sockets that hold little, so that they
 * are full after some 90 events. */
#include "../support/cert.h"
#include "e2e.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "scale.h"

enum {
    MOST = SCALED(1000, 200),
    MOST_TLS = SCALED(200, 50),
    EVENTS = SCALED(400, 300),
    BYTES = 1000
};
enum { RING = 16, TRIES = 3, FLOOR_US = 5000, MEMORY_EACH = 80 << 10 };

static size_t subscribers, slow; /* how many, and those of them that stop */

typedef struct subscriber {
    http_conn *c;
    size_t next; /* number of the event that should come */
    size_t delivered, missed;
} subscriber;

typedef struct crowd {
    hub h;
    http_conn *publisher;
    subscriber subs[MOST]; /* the first of them are the slow ones */
    int epoll;
    size_t published;
    size_t first;        /* of those that read */
    uint32_t *latencies; /* microseconds, of all events and readers */
    size_t nlatencies;
} crowd;

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- subscribers ---- */

/* With small segments and a small window neither side's kernel buffers more than some 60 KB. */
static http_conn *connect_narrow(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int window = 4096, segment = 500;
    cr_assert(fd >= 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window), 0);
    cr_assert_eq(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    http_conn *c = http_wrap(fd);
    cr_assert(http_secure(c, LONG));
    return c;
}

static void subscribe(crowd *w, size_t i)
{
    subscriber *s = &w->subs[i];
    http_response head;
    *s = (subscriber){.c = i < slow ? connect_narrow(w->h.port) : http_connect(w->h.port)};
    cr_assert_not_null(s->c);
    cr_assert(http_send_request(s->c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(s->c, &head, LONG));
    cr_assert_eq(head.status, 200);
    http_response_fini(&head);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
    cr_assert_eq(epoll_ctl(w->epoll, EPOLL_CTL_ADD, http_fd(s->c), &event), 0);
}

/* The next event, if it comes in this time. */
static http_result take(subscriber *s, int timeout_ms)
{
    http_block block;
    http_result result = http_next_event(s->c, &block, timeout_ms);
    if (result != HTTP_OK)
        return result;
    if (block.type && strcmp(block.type, "gap") == 0) {
        const char *missed = strstr(block.data, "\"missed\":");
        size_t n = missed ? strtoul(missed + 9, NULL, 10) : 0;
        cr_assert_gt(n, 0, "%s", block.data);
        s->missed += n;
        s->next += n;
    } else {
        cr_assert_eq(strtoul(block.data, NULL, 10), s->next, "%.20s instead of %zu", block.data,
                     s->next);
        s->delivered++;
        s->next++;
    }
    http_block_fini(&block);
    return HTTP_OK;
}

/* ---- one event ---- */

static int publish_status(crowd *w)
{
    char data[BYTES + 1];
    http_response r;
    memset(data, 'x', BYTES);
    data[BYTES] = '\0';
    data[snprintf(data, BYTES, "%zu", w->published)] = ' ';
    cr_assert(http_request(w->publisher, "POST", "/events?stream=s", NULL, data, BYTES, &r, LONG));
    int status = r.status;
    cr_assert(status == 200 || status == 429, "%d %s", status, r.body);
    http_response_fini(&r);
    w->published += status == 200;
    return status;
}

static void publish_one(crowd *w)
{
    int status = publish_status(w);
    cr_assert_eq(status, 200, "%d for event %zu", status, w->published);
}

/* Until those that read have all of it. */
static void distribute(crowd *w, uint64_t since_us)
{
    size_t waiting = subscribers - w->first;
    while (waiting > 0) {
        struct epoll_event events[256];
        int n = epoll_wait(w->epoll, events, 256, LONG);
        cr_assert_gt(n, 0, "%zu wait for event %zu", waiting, w->published - 1);
        for (int i = 0; i < n; i++) {
            subscriber *s = &w->subs[events[i].data.u64];
            http_result result = take(s, 0);
            cr_assert(result == HTTP_OK || result == HTTP_TIMEOUT, "%d", (int)result);
            if (result != HTTP_OK)
                continue;
            cr_assert_eq(s->missed, 0);
            w->latencies[w->nlatencies++] = (uint32_t)(now_us() - since_us);
            waiting--;
        }
    }
}

static void one_event(crowd *w)
{
    uint64_t since_us = now_us();
    publish_one(w);
    distribute(w, since_us);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t p99_us(crowd *w)
{
    qsort(w->latencies, w->nlatencies, sizeof *w->latencies, compare);
    return w->latencies[w->nlatencies * 99 / 100];
}

/* ---- a try ---- */

static crowd *gather(const char *policy)
{
    crowd *w = calloc(1, sizeof *w);
    cr_assert_not_null(w);
    w->latencies = calloc(subscribers * (EVENTS + 1), sizeof *w->latencies);
    w->h = hub_start(ARGS("--stream=s", "--heartbeat=0", "--history=0", text("--buffer=%d", RING),
                          text("--slow-consumer=%s", policy)));
    w->publisher = http_connect(w->h.port);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    cr_assert(w->latencies && w->publisher && w->epoll >= 0);
    for (size_t i = 0; i < subscribers; i++)
        subscribe(w, i);
    one_event(w);
    w->nlatencies = 0;
    return w;
}

static void scatter(crowd *w)
{
    for (size_t i = 0; i < subscribers; i++)
        http_close(w->subs[i].c);
    http_close(w->publisher);
    close(w->epoll);
    hub_end(&w->h);
    free(w->latencies);
    free(w);
}

static void stop_reading(crowd *w)
{
    for (size_t i = 0; i < slow; i++)
        cr_assert_eq(epoll_ctl(w->epoll, EPOLL_CTL_DEL, http_fd(w->subs[i].c), NULL), 0);
    w->first = slow;
}

/* The slow ones read on: each finds its events and gaps in order up to the last event. Returns how many events they missed. */
static uint64_t read_on(crowd *w)
{
    uint64_t missed = 0;
    /* What comes from now on fits, so it tells each of them what it has missed. */
    for (size_t i = 0; i < slow; i++) {
        subscriber *s = &w->subs[i];
        while (s->next < w->published)
            cr_assert_eq(take(s, LONG), HTTP_OK, "subscriber %zu at %zu of %zu", i, s->next,
                         w->published);
        cr_assert_eq(s->delivered + s->missed, w->published);
        missed += s->missed;
    }
    return missed;
}

/* Closed as slow: what still comes is in order, then nothing. */
static void read_to_the_end(crowd *w)
{
    for (size_t i = 0; i < slow; i++) {
        http_result result;
        while ((result = take(&w->subs[i], LONG)) == HTTP_OK)
            ;
        cr_assert(result == HTTP_BROKEN || result == HTTP_END, "%d", (int)result);
        cr_assert_eq(w->subs[i].missed, 0);
        cr_assert_lt(w->subs[i].next, w->published);
    }
}

static void check_counters(crowd *w, const char *policy)
{
    if (strcmp(policy, "close") == 0) {
        wait_number(&w->h, "s", "subscribers", subscribers - slow);
        expect(&w->h, "GET", "/metrics", NULL, NULL, 200,
               text("sse_unsubscribed_total{reason=\"slow\"} %zu\n", slow));
        cr_assert_eq(stream_number(&w->h, "s", "drops"), 0);
        read_to_the_end(w);
        return;
    }
    cr_assert_eq(stream_number(&w->h, "s", "subscribers"), subscribers);
    cr_assert_gt(stream_number(&w->h, "s", "drops"), 0);
    uint64_t missed = read_on(w);
    cr_assert_eq(stream_number(&w->h, "s", "drops"), missed);
    cr_assert_gt(missed, slow * EVENTS / 2);
}

/* Returns whether the latencies were as they should be; everything else must hold in each try. */
static bool try_once(const char *policy)
{
    crowd *all = gather(policy), *some = gather(policy);
    stop_reading(some);
    long memory = wait_resident_bytes(proc_pid(some->h.process));
    for (size_t i = 0; i < EVENTS; i++) {
        one_event(all);
        one_event(some);
    }
    memory = wait_resident_bytes(proc_pid(some->h.process)) - memory;
    uint32_t before_us = p99_us(all), after_us = p99_us(some);
    uint32_t limit_us = 2 * before_us > FLOOR_US ? 2 * before_us : FLOOR_US;
    fprintf(stderr, "%s: p99 %u us, %u us beside %zu that do not read; memory %+ld bytes\n", policy,
            before_us, after_us, slow, memory);
    /* Each of them would make it 300 KB more if what it does not read were kept for it. */
    cr_assert(SANITIZED || memory < (long)slow * MEMORY_EACH, "%ld bytes more", memory);
    check_counters(some, policy);
    scatter(all);
    scatter(some);
    return after_us <= limit_us;
}

static void prepare(void)
{
    subscribers = cert_tls() ? MOST_TLS : MOST;
    slow = subscribers / 10;
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void others_do_not_notice(const char *policy)
{
    prepare();
    for (int i = 0; i < TRIES; i++)
        if (try_once(policy))
            return;
    cr_assert_fail("the p99 of the others is more than twice what it was, %d times", TRIES);
}

Test(p99, close) { others_do_not_notice("close"); }

Test(p99, drop_oldest) { others_do_not_notice("drop-oldest"); }

Test(p99, drop_newest) { others_do_not_notice("drop-newest"); }

/* ---- block ---- */

/* Until the stream takes no more, as often as it is asked. Returns false when it always does. */
static bool publish_until_full(crowd *w)
{
    enum { OFTEN = 200 };
    for (size_t refused = 0; refused < OFTEN; refused++) {
        while (publish_status(w) == 200) {
            refused = 0;
            if (w->published == EVENTS)
                return false;
        }
    }
    return true;
}

/* All of them in turns, because each blocks the others. Returns how many have everything. */
static size_t read_what_is_there(crowd *w)
{
    size_t done = 0;
    for (size_t i = 0; i < subscribers; i++) {
        subscriber *s = &w->subs[i];
        http_result result = HTTP_OK;
        while (s->next < w->published && result == HTTP_OK)
            result = take(s, 0);
        cr_assert(result == HTTP_OK || result == HTTP_TIMEOUT, "subscriber %zu: %d", i,
                  (int)result);
        cr_assert_eq(s->missed, 0);
        done += s->next == w->published;
    }
    return done;
}

static bool all_is_read(void *arg) { return read_what_is_there(arg) == subscribers; }

static void read_all(crowd *w) { cr_assert(wait_until(all_is_read, w, LONG)); }

/* Here it is the publisher that notices, and nobody else: nothing is lost, nobody is closed, nothing is kept but what the log
 * may hold, and all goes on when the slow ones read. */
Test(p99, block_holds_publishers_back)
{
    prepare();
    crowd *w = gather("block");
    stop_reading(w);
    long memory = wait_resident_bytes(proc_pid(w->h.process));
    cr_assert(publish_until_full(w), "the ring is never full");
    memory = wait_resident_bytes(proc_pid(w->h.process)) - memory;
    cr_assert(SANITIZED || memory < (long)slow * MEMORY_EACH, "%ld bytes more", memory);
    cr_assert_eq(stream_number(&w->h, "s", "subscribers"), subscribers);
    cr_assert_gt(w->published, RING);
    read_all(w);
    for (int i = 0; i < 5; i++)
        one_event(w);
    read_all(w);
    cr_assert_eq(stream_number(&w->h, "s", "drops"), 0);
    cr_assert_eq(stream_number(&w->h, "s", "gaps"), 0);
    cr_assert_eq(stream_number(&w->h, "s", "slow_closed"), 0);
    scatter(w);
}
