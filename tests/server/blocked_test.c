/* Publishers that wait for a full ring, while the worker waits for a subscriber that does not read
 * (SSE_SLOW_BLOCK): what wakes them, and what ends it. */
#include "fixture.h"

#include "clock.h"
#include "hub.h"
#include "subscriber.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 64 << 10, RING = 16, WAITING = 4, GRACE_MS = 100 };

static sse_server *server;
static uint16_t port;

static const char *padding;
static http_conn *stuck;
static sse__stream *stream;
static atomic_bool enough;

typedef struct waiting {
    sse__thread thread;
    sse_err err;
} waiting;

static waiting waiters[WAITING];

static void *wait_main(void *arg)
{
    waiting *w = arg;
    sse_event event = {.data = {padding, BYTES}};
    do
        w->err = sse_server_publish(server, "s", &event);
    while (w->err == SSE_OK && !enough);
    return NULL;
}

/* All publishers wait for the ring, the worker for the subscriber, and that one's socket is full. */
static bool all_stuck(void *arg)
{
    (void)arg;
    sse__mutex_lock(&stream->inbox_mu);
    bool is_stuck = stream->publishers_waiting == WAITING;
    sse__mutex_lock(&stream->mu);
    is_stuck = is_stuck && stream->laggards == 1;
    if (is_stuck) {
        struct pollfd pfd = {.fd = stream->groups->subs->fd, .events = POLLOUT};
        is_stuck = poll(&pfd, 1, 0) == 0;
    }
    sse__mutex_unlock(&stream->mu);
    sse__mutex_unlock(&stream->inbox_mu);
    return is_stuck;
}

static void get_stuck_under(sse_slow_policy policy, uint32_t drain_ms)
{
    sse_stream_options stream_options = SSE_STREAM_OPTIONS_INIT;
    stream_options.slow = policy;
    stream_options.slow_grace_ms = GRACE_MS;
    stream_options.ring_events = RING;
    stream_options.history_events = SSE_OFF;
    sse_server_options options = fixture_options();
    options.stream = &stream_options;
    options.drain_ms = drain_ms;
    server = serve(&options, &port);
    create(server, "s");
    padding = bulk(BYTES);
    stuck = join_silently(port, "s", 4096);
    wait_subscribers(server, "s", 1);
    enough = false;
    cr_assert_eq(sse__hub_stream(server, "s", false, &stream), SSE_OK);
    for (int i = 0; i < WAITING; i++)
        cr_assert_eq(sse__thread_start(&waiters[i].thread, "waiting", 0, wait_main, &waiters[i]),
                     SSE_OK);
    cr_assert(wait_until(all_stuck, NULL, LONG));
    sse__stream_unref(stream);
}

static void get_stuck(uint32_t drain_ms) { get_stuck_under(SSE_SLOW_BLOCK, drain_ms); }

static void expect_woken(sse_err expected)
{
    enough = true;
    for (int i = 0; i < WAITING; i++) {
        sse__thread_join(&waiters[i].thread);
        cr_assert_eq(waiters[i].err, expected, "%s", sse_strerror(waiters[i].err));
    }
}

static void stop(void)
{
    sse_server_free(server);
    http_close(stuck);
}

/* At once: nothing else moves, the subscriber is still in the way. */
Test(blocked, publishers_are_woken_by_a_removal)
{
    get_stuck(LONG);
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    expect_woken(SSE_ENOSTREAM);
    cr_assert_eq(totals(server).subscribers, 1);
    cr_assert_eq(totals(server).workers, 1);
    http_close(stuck);
    stuck = NULL;
    wait_left(server, SSE_LEFT_GONE, 1);
    stop();
}

Test(blocked, publishers_are_woken_by_a_close)
{
    get_stuck(LONG);
    sse_server_close(server);
    expect_woken(SSE_ECLOSED);
    cr_assert_eq(totals(server).subscribers, 1);
    http_close(stuck);
    stuck = NULL;
    stop();
}

Test(blocked, publishers_are_woken_when_the_slow_one_leaves)
{
    get_stuck(LONG);
    http_close(stuck);
    stuck = NULL;
    expect_woken(SSE_OK);
    stop();
}

/* The subscriber that blocks a removed or closed stream is cut off in its time, though nobody stops
 * the server. */
Test(blocked, a_stream_that_ends_does_not_wait_for_ever)
{
    get_stuck(100);
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    expect_woken(SSE_ENOSTREAM);
    wait_left(server, SSE_LEFT_REMOVED, 1);
    stop();
    get_stuck(100);
    sse_server_close(server);
    expect_woken(SSE_ECLOSED);
    wait_left(server, SSE_LEFT_DRAINED, 1);
    stop();
}

/* Stopping does not wait longer than it may, also for a stream that is not in the table any more. */
Test(blocked, a_stop_ends_what_blocks)
{
    for (int removed = 0; removed < 2; removed++) {
        get_stuck(removed ? SSE_OFF : 100);
        if (removed) {
            cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
            expect_woken(SSE_ENOSTREAM);
        }
        sse_server_stop(server);
        if (!removed)
            expect_woken(SSE_ECLOSED);
        cr_assert_eq(totals(server).subscribers, 0);
        cr_assert_eq(totals(server).workers, 0);
        stop();
    }
}

static void *publish_numbers(void *arg)
{
    for (int i = 0; i < 500; i++) {
        sse_event event = {.data = sse_cstr("x")};
        if (sse_server_publish(server, "s", &event) != SSE_OK)
            *(bool *)arg = true;
    }
    return NULL;
}

/* The smallest ring there is: every publisher but one waits, and each of them gets its turn. */
Test(blocked, a_ring_of_one_serves_all)
{
    sse_stream_options stream_options = SSE_STREAM_OPTIONS_INIT;
    stream_options.ring_events = 1;
    sse_server_options options = fixture_options();
    options.stream = &stream_options;
    server = serve(&options, &port);
    create(server, "s");
    http_conn *c = join(port, "s");
    sse__thread threads[8];
    bool failed[8] = {false};
    for (int i = 0; i < 8; i++)
        cr_assert_eq(sse__thread_start(&threads[i], "publisher", 0, publish_numbers, &failed[i]),
                     SSE_OK);
    for (int i = 0; i < 8 * 500; i++)
        expect_data(c, "x");
    for (int i = 0; i < 8; i++) {
        sse__thread_join(&threads[i]);
        cr_assert_not(failed[i]);
    }
    http_close(c);
    sse_server_free(server);
}

static _Atomic uint64_t stopped_clock_ns;

static uint64_t stopped_clock(void) { return atomic_load(&stopped_clock_ns); }

/* It takes a little now and then: that must not give it all the time in the world. */
Test(blocked, who_never_catches_up_is_slow_however_lately_it_was_served)
{
    atomic_store(&stopped_clock_ns, sse__now_ns());
    sse__clock_set_source(stopped_clock);
    get_stuck_under(SSE_SLOW_CLOSE, 100);
    cr_assert_eq(totals(server).left[SSE_LEFT_SLOW], 0, "it has its grace yet");
    uint64_t later_ns = stopped_clock() + (GRACE_MS + 1) * UINT64_C(1000000);
    cr_assert_eq(sse__hub_stream(server, "s", false, &stream), SSE_OK);
    sse__mutex_lock(&stream->mu);
    atomic_store(&stream->groups->subs->sent_ms, later_ns / 1000000); /* just now, that is */
    sse__mutex_unlock(&stream->mu);
    atomic_store(&stopped_clock_ns, later_ns);
    wait_left(server, SSE_LEFT_SLOW, 1);
    sse__stream_unref(stream);
    expect_woken(SSE_OK);
    stop();
    sse__clock_set_source(NULL);
}

/* What is taken from the inbox at once may be more than the log holds: into an empty one any number of bytes goes. The worker then waits
 * for subscribers that nobody has told of anything yet. */
Test(blocked, a_batch_may_be_larger_than_the_log)
{
    enum { LARGE = 1000000, EACH = 20 };
    sse_stream_options stream_options = SSE_STREAM_OPTIONS_INIT;
    stream_options.slow = SSE_SLOW_BLOCK;
    stream_options.history_events = SSE_OFF;
    stream_options.history_bytes = 1;
    sse_server_options options = fixture_options();
    options.stream = &stream_options;
    server = serve(&options, &port);
    create(server, "s");
    http_conn *c = join(port, "s");
    expect_nothing_but(server, c, "s", "x"); /* it sleeps now, or is about to */
    sse_event event = {.data = {bulk(LARGE), LARGE}};
    sse_msg *msgs[EACH];
    for (int i = 0; i < EACH; i++)
        cr_assert_eq(sse_msg_new(&event, NULL, &msgs[i]), SSE_OK);
    uint64_t seq;
    cr_assert_eq(sse__hub_stream(server, "s", false, &stream), SSE_OK);
    cr_assert_eq(sse__stream_publish(stream, msgs, EACH, false, &seq), SSE_OK);
    for (int i = 0; i < EACH; i++) {
        http_block block = next(c);
        cr_assert_eq(block.data_len, LARGE);
        http_block_fini(&block);
        sse_msg_unref(msgs[i]);
    }
    http_close(c);
    sse__stream_unref(stream);
    sse_server_free(server);
}
