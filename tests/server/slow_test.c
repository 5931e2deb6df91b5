/* Subscribers that do not read, under each policy, beside others that do. Events are large, so that
 * no socket buffer takes them all: what happens does not depend on the time. */
#include "fixture.h"

#include "hub.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 64 << 10, EVENTS = 400, RING = 16 };

static sse_server *server;
static uint16_t port;
static const char *padding;

static void start(sse_slow_policy policy)
{
    sse_stream_options stream_options = SSE_STREAM_OPTIONS_INIT;
    stream_options.slow = policy;
    stream_options.ring_events = RING;
    stream_options.history_events = SSE_OFF;
    stream_options.slow_grace_ms = 10;
    sse_server_options options = fixture_options();
    options.stream = &stream_options;
    options.drain_ms = 200;
    server = serve(&options, &port);
    create(server, "s");
    padding = bulk(BYTES);
}

static void stop(void) { sse_server_free(server); }

/* Publish events that begin with their number; from any thread. Returns false at the first error. */
static bool publish_some(uint64_t first, uint64_t n)
{
    char *data = malloc(BYTES + 32);
    bool ok = data != NULL;
    for (uint64_t i = 0; i < n && ok; i++) {
        int len = snprintf(data, 32, "%" PRIu64 " ", first + i);
        memcpy(data + len, padding, BYTES);
        sse_event event = {.data = {data, (size_t)len + BYTES}};
        ok = sse_server_publish(server, "s", &event) == SSE_OK;
    }
    free(data);
    return ok;
}

typedef struct publisher {
    uint64_t first, n;
    atomic_bool done;
    atomic_bool failed;
    sse__thread thread;
} publisher;

static void *publish_main(void *arg)
{
    publisher *p = arg;
    p->failed = !publish_some(p->first, p->n);
    p->done = true;
    return NULL;
}

static void start_publisher(publisher *p, uint64_t first, uint64_t n)
{
    *p = (publisher){.first = first, .n = n};
    cr_assert_eq(sse__thread_start(&p->thread, "publisher", 0, publish_main, p), SSE_OK);
}

static void join_publisher(publisher *p)
{
    sse__thread_join(&p->thread);
    cr_assert_not(p->failed);
}

typedef struct tally {
    uint64_t received;
    uint64_t missed;
    uint64_t gaps;
    uint64_t next;
} tally;

/* Read on until everything up to `end` was received or reported missing. Checks that numbers and
 * gaps fit together at each point, not only in sum. */
static void read_to(http_conn *c, tally *t, uint64_t end)
{
    while (t->next < end) {
        http_block block = next(c);
        if (block.type && strcmp(block.type, "gap") == 0) {
            const char *missed = strstr(block.data, "\"missed\":");
            cr_assert_not_null(missed);
            uint64_t n = strtoull(missed + 9, NULL, 10);
            cr_assert_gt(n, 0);
            t->gaps++;
            t->missed += n;
            t->next += n;
        } else {
            cr_assert_eq(strtoull(block.data, NULL, 10), t->next, "%.20s instead of %" PRIu64,
                         block.data, t->next);
            cr_assert_geq(block.data_len, BYTES);
            t->received++;
            t->next++;
        }
        http_block_fini(&block);
    }
    cr_assert_eq(t->next, end);
}

/* Publish EVENTS, half a ring at a time, and have `quick` read each half before the next: it is
 * never behind, however slow this machine is just now. Returns its tally. */
static tally publish_and_read(http_conn *quick)
{
    tally t = {.next = 0};
    for (uint64_t n = 0; n < EVENTS; n += RING / 2) {
        cr_assert(publish_some(n, RING / 2));
        read_to(quick, &t, n + RING / 2);
    }
    return t;
}

static http_conn *join_slowly(void)
{
    uint64_t before = stats_of(server, "s").subscribers;
    http_conn *c = join_silently(port, "s", 4096);
    wait_subscribers(server, "s", before + 1);
    return c;
}

static void read_head(http_conn *c)
{
    http_response head;
    cr_assert(http_read_head(c, &head, LONG));
    cr_assert_eq(head.status, 200);
    http_response_fini(&head);
}

/* features: one full subscriber does not block the stream */
Test(slow, close_ends_the_slow_one_only)
{
    start(SSE_SLOW_CLOSE);
    http_conn *slow = join_slowly(), *quick = join(port, "s");
    tally t = publish_and_read(quick);
    cr_assert_eq(t.received, EVENTS);
    cr_assert_eq(t.gaps, 0);
    wait_subscribers(server, "s", 1);
    cr_assert_eq(stats_of(server, "s").slow_closed, 1);
    cr_assert_eq(totals(server).left[SSE_LEFT_SLOW], 1);
    /* It finds the beginning and then that the connection is broken: not an ordinary end. */
    read_head(slow);
    http_block block;
    http_result result;
    uint64_t expected = 0;
    while ((result = http_next_event(slow, &block, LONG)) == HTTP_OK) {
        cr_assert_eq(strtoull(block.data, NULL, 10), expected++);
        http_block_fini(&block);
    }
    cr_assert_eq(result, HTTP_BROKEN);
    cr_assert_lt(expected, EVENTS);
    http_close(slow);
    http_close(quick);
    stop();
}

/* It can come back with its Last-Event-ID, and is told what it missed. */
Test(slow, close_loses_nothing_silently)
{
    start(SSE_SLOW_CLOSE);
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.ring_events = RING;
    options.history_events = 10;
    options.slow_grace_ms = 10;
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    cr_assert_eq(sse_server_create_stream(server, "s", &options), SSE_OK);
    http_conn *slow = join_slowly();
    cr_assert(publish_some(0, EVENTS));
    wait_left(server, SSE_LEFT_SLOW, 1);
    read_head(slow);
    http_block block;
    char last[64] = "";
    uint64_t received = 0;
    while (http_next_event(slow, &block, LONG) == HTTP_OK) {
        snprintf(last, sizeof last, "%s", block.id);
        received++;
        http_block_fini(&block);
    }
    http_close(slow);
    cr_assert_gt(received, 0);
    http_conn *again = join_after(port, "s", last);
    tally t = {.next = received};
    read_to(again, &t, EVENTS);
    cr_assert_eq(t.received, 10);
    cr_assert_eq(received + t.received + t.missed, EVENTS);
    http_close(again);
    stop();
}

/* conformance 31: loss is told in-band */
Test(slow, drop_oldest_tells_what_is_missing)
{
    start(SSE_SLOW_DROP_OLDEST);
    http_conn *slow = join_slowly(), *quick = join(port, "s");
    tally t = publish_and_read(quick), late = {.next = 0};
    cr_assert_eq(t.received, EVENTS);
    cr_assert_eq(stats_of(server, "s").subscribers, 2, "the slow one stays");
    read_head(slow);
    read_to(slow, &late, EVENTS);
    cr_assert_gt(late.missed, 0);
    cr_assert_eq(late.received + late.missed, EVENTS);
    sse_stream_stats s = stats_of(server, "s");
    cr_assert_eq(s.dropped, late.missed);
    cr_assert_eq(s.delivered, EVENTS + late.received);
    cr_assert_eq(s.gaps, late.gaps);
    cr_assert_eq(s.slow_closed, 0);
    /* The newest were kept, and now that it reads it misses nothing. */
    cr_assert(publish_some(EVENTS, 5));
    read_to(slow, &late, EVENTS + 5);
    cr_assert_eq(late.missed, s.dropped);
    http_close(slow);
    http_close(quick);
    stop();
}

/* conformance 31: loss is told in-band */
Test(slow, drop_newest_keeps_what_waits)
{
    start(SSE_SLOW_DROP_NEWEST);
    http_conn *slow = join_slowly(), *quick = join(port, "s");
    tally t = publish_and_read(quick), late = {.next = 0};
    cr_assert_eq(t.received, EVENTS);
    cr_assert_eq(stats_of(server, "s").subscribers, 2);
    read_head(slow);
    read_to(slow, &late, EVENTS);
    cr_assert_eq(late.gaps, 1, "one hole: from where it was full to where it has caught up");
    cr_assert_eq(late.received + late.missed, EVENTS);
    sse_stream_stats s = stats_of(server, "s");
    cr_assert_eq(s.dropped, late.missed);
    cr_assert_eq(s.delivered, EVENTS + late.received);
    cr_assert(publish_some(EVENTS, 5));
    read_to(slow, &late, EVENTS + 5);
    cr_assert_eq(late.missed, s.dropped);
    cr_assert_eq(late.received + late.missed, EVENTS + 5);
    http_close(slow);
    http_close(quick);
    stop();
}

/* It leaves while it is parked, with events held for it: everything is given back. */
Test(slow, those_that_drop_may_leave_at_any_time)
{
    static const sse_slow_policy policies[] = {SSE_SLOW_DROP_OLDEST, SSE_SLOW_DROP_NEWEST};
    for (size_t i = 0; i < 2; i++) {
        start(policies[i]);
        http_conn *slow = join_slowly();
        cr_assert(publish_some(0, EVENTS));
        http_close(slow);
        wait_subscribers(server, "s", 0);
        uint64_t dropped = stats_of(server, "s").dropped;
        cr_assert(publish_some(0, RING));
        wait_published(server, "s", EVENTS + RING);
        cr_assert_eq(stats_of(server, "s").dropped, dropped);
        stop();
    }
}

/* features: Publish blocks when the buffer is full, TryPublish does not; SSE_SLOW_BLOCK says so */
Test(slow, block_makes_publishers_wait_and_loses_nothing)
{
    start(SSE_SLOW_BLOCK);
    http_conn *slow = join_slowly();
    publisher p;
    start_publisher(&p, 0, EVENTS);
    /* Until the ring is full. It may still have been moving: the rest does not depend on it. */
    sse_event event = {.data = sse_cstr("x")};
    sse_stream_stats s;
    do
        s = stats_of(server, "s");
    while (s.queued < RING && !p.done);
    cr_assert_not(p.done, "25 MB do not fit into any buffer");
    read_head(slow);
    tally t = {.next = 0};
    read_to(slow, &t, EVENTS);
    join_publisher(&p);
    cr_assert_eq(t.received, EVENTS);
    s = stats_of(server, "s");
    cr_assert_eq(s.gaps + s.dropped + s.slow_closed, 0);
    cr_assert_eq(sse_server_try_publish(server, "s", &event), SSE_OK);
    expect_data(slow, "x");
    http_close(slow);
    stop();
}

static bool refused(void *arg)
{
    (void)arg;
    sse_event event = {.data = {padding, BYTES}};
    return sse_server_try_publish(server, "s", &event) == SSE_EFULL;
}

/* features: TryPublish; the ring's capacity is what was asked for */
Test(slow, try_publish_is_refused_when_the_ring_is_full)
{
    start(SSE_SLOW_BLOCK);
    http_conn *slow = join_slowly();
    cr_assert(wait_until(refused, NULL, LONG));
    sse_stream_stats before = stats_of(server, "s"), after;
    cr_assert_leq(before.queued, RING + SSE__BATCH);
    cr_assert(wait_until(refused, NULL, LONG));
    after = stats_of(server, "s");
    cr_assert_geq(after.queued, RING);
    cr_assert_geq(after.published, before.published);
    cr_assert_eq(after.dropped + after.gaps + after.slow_closed, 0);
    /* It leaves, and everybody goes on. */
    http_close(slow);
    publisher p;
    start_publisher(&p, 0, EVENTS);
    join_publisher(&p);
    wait_published(server, "s", after.published + EVENTS);
    stop();
}

static sse__stream *stream;

static size_t memory_of_log(void)
{
    sse__mutex_lock(&stream->mu);
    size_t bytes = sse__history_memory(&stream->log);
    sse__mutex_unlock(&stream->mu);
    return bytes;
}

/* Whatever a subscriber does, the log stays within its limits. */
Test(slow, memory_is_bounded)
{
    static const sse_slow_policy policies[] = {SSE_SLOW_CLOSE, SSE_SLOW_DROP_OLDEST,
                                               SSE_SLOW_DROP_NEWEST};
    for (size_t i = 0; i < 3; i++) {
        start(policies[i]);
        http_conn *slow[4];
        for (int k = 0; k < 4; k++)
            slow[k] = join_slowly();
        cr_assert_eq(sse__hub_stream(server, "s", false, &stream), SSE_OK);
        for (uint64_t n = 0; n < EVENTS; n++) {
            cr_assert(publish_some(n, 1));
            cr_assert_leq(memory_of_log(), (RING + 1) * (BYTES + 1024));
        }
        sse__stream_unref(stream);
        for (int k = 0; k < 4; k++)
            http_close(slow[k]);
        stop();
    }
}

/* Few events that are large: the limit in bytes comes long before the one in events. */
Test(slow, memory_is_bounded_in_bytes)
{
    enum { LARGE = 1000000, MANY = 80, LIMIT = 16 << 20 };
    sse_stream_options stream_options = SSE_STREAM_OPTIONS_INIT;
    stream_options.slow = SSE_SLOW_DROP_OLDEST;
    stream_options.slow_grace_ms = 10;
    sse_server_options options = fixture_options();
    options.stream = &stream_options;
    server = serve(&options, &port);
    create(server, "s");
    const char *large = bulk(LARGE);
    http_conn *slow = join_slowly();
    cr_assert_eq(sse__hub_stream(server, "s", false, &stream), SSE_OK);
    for (int i = 0; i < MANY; i++) {
        say(server, "s", large);
        cr_assert_leq(memory_of_log(), 2 * LIMIT + 100000);
    }
    wait_published(server, "s", MANY);
    sse__stream_unref(stream);
    read_head(slow);
    uint64_t received = 0, missed = 0;
    while (received + missed < MANY) {
        http_block block = next(slow);
        if (block.type)
            missed += strtoull(strstr(block.data, "\"missed\":") + 9, NULL, 10);
        else
            received++;
        http_block_fini(&block);
    }
    cr_assert_eq(received + missed, MANY);
    cr_assert_gt(missed, 0);
    cr_assert_eq(stats_of(server, "s").dropped, missed);
    cr_assert_leq(stats_of(server, "s").history_bytes, LIMIT);
    http_close(slow);
    stop();
}
