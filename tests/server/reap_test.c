/* Idle automatic streams go at their time, those in use stay, and the keeper does not look for them more often than it needs to. The
 * hub's clock is the test's, and the linker sends the keeper's two calls at each of its ticks here, so that the test knows when one
 * is over. */
#include "fixture.h"

#include "clock.h"
#include "loop_internal.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>

enum { IDLE_S = 160, LATE_S = IDLE_S / 16 + 1 }; /* a tick is a second */

static sse_server *server;
static uint16_t port;
static _Atomic uint64_t now_ns = 1000000000000;
static atomic_uint ticks, reaps;

static uint64_t clock_of_the_test(void) { return now_ns; }

uint64_t __real_sse__hub_reap(sse_server *hub, uint64_t now_ms);
uint64_t __wrap_sse__hub_reap(sse_server *hub, uint64_t now_ms);
void __real_sse__hub_tell_denials(sse_server *hub, bool anyhow);
void __wrap_sse__hub_tell_denials(sse_server *hub, bool anyhow);

uint64_t __wrap_sse__hub_reap(sse_server *hub, uint64_t now_ms)
{
    reaps++;
    return __real_sse__hub_reap(hub, now_ms);
}

void __wrap_sse__hub_tell_denials(sse_server *hub, bool anyhow)
{
    __real_sse__hub_tell_denials(hub, anyhow);
    ticks++;
}

static void start(void)
{
    sse__clock_set_source(clock_of_the_test);
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    options.auto_stream_idle_ms = IDLE_S * 1000;
    options.request_timeout_ms = SSE_OFF;
    options.drain_ms = SSE_OFF; /* its end would wait for the test's clock */
    options.threads = 1;
    server = serve(&options, &port);
}

static void stop(void) { sse_server_free(server); }

TestSuite(reap, .init = start, .fini = stop);

static bool has_ticked(void *arg)
{
    sse__loop_signal(server->keeper);
    return ticks > *(const unsigned *)arg;
}

/* So much later the keeper has had a tick. */
static void pass(uint64_t seconds)
{
    unsigned before = ticks;
    now_ns += seconds * 1000000000;
    cr_assert(wait_until(has_ticked, &before, LONG));
}

static const char *name_of(int i)
{
    static char name[16];
    snprintf(name, sizeof name, "s%d", i);
    return name;
}

/* Nobody has anything to do with the stream any more, but perhaps an idle worker. */
static bool rests(void *arg)
{
    sse__stream *st;
    cr_assert_eq(sse__hub_stream(server, (const char *)arg, false, &st), SSE_OK);
    sse__mutex_lock(&st->inbox_mu);
    bool rest = st->inbox.count == 0 && st->taken_count == 0 &&
                atomic_load(&st->refs) == 2u + st->worker; /* the table's and ours */
    sse__mutex_unlock(&st->inbox_mu);
    sse__stream_unref(st);
    return rest;
}

static void let_rest(const char *name) { cr_assert(wait_until(rests, (void *)name, LONG)); }

/* Each is born in another second, so that whenever the keeper looks, some have just not been idle for long enough. */
Test(reap, not_before_its_time_and_a_little_later_at_most)
{
    enum { N = 16 };
    for (int second = 0; second <= N + IDLE_S + LATE_S; second++) {
        if (second < N) {
            say(server, name_of(second), "x");
            let_rest(name_of(second));
        }
        for (int i = 0; i < N && i <= second; i++) {
            bool there = sse_server_stream_exists(server, name_of(i));
            cr_assert(there || second >= i + IDLE_S, "%d went in second %d", i, second);
            cr_assert(!there || second < i + IDLE_S + LATE_S, "%d stays in second %d", i, second);
        }
        pass(1);
    }
    cr_assert_eq(totals(server).streams, 0);
    cr_assert_leq(reaps, ticks / (IDLE_S / 16) + 1, "%u times in %u seconds", reaps, ticks);
}

Test(reap, never_one_in_use)
{
    enum { STEP_S = IDLE_S / 2 };
    sse__stream *known;
    http_conn *c = join(port, "read");
    create(server, "made");
    say(server, "kept", "x");
    create(server, "kept");
    say(server, "written", "x");
    say(server, "idle", "x");
    let_rest("idle");
    cr_assert_eq(sse__hub_stream(server, "known", true, &known), SSE_OK);
    for (int i = 0; i < 20; i++) {
        pass(STEP_S);
        say(server, "written", "x");
        cr_assert(sse_server_stream_exists(server, "read"));
        cr_assert(sse_server_stream_exists(server, "known"));
    }
    cr_assert_eq(totals(server).streams, 5);
    cr_assert_not(sse_server_stream_exists(server, "idle"));
    say(server, "read", "still there");
    expect_data(c, "still there");
    say(server, "known", "x");

    /* Nobody uses them any more. */
    http_close(c);
    wait_subscribers(server, "read", 0);
    sse__stream_unref(known);
    let_rest("read");
    let_rest("known");
    let_rest("written");
    pass(IDLE_S);
    pass(LATE_S);
    cr_assert_eq(totals(server).streams, 2);
    cr_assert(sse_server_stream_exists(server, "made"));
    cr_assert(sse_server_stream_exists(server, "kept"));
}
