/* How long an idle worker stays follows from how many there are. Here the clock stands still, and the linker sends the workers' waits
 * here, which for those that are to stay take until there is work. Most workers are counted, but do not exist. */
#include "fixture.h"

#include "clock.h"
#include "hub.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>

#define NOW_MS ((uint64_t)1000000)

enum { FEW = 1024, MOST = 2048, LONGEST_MS = 2000 };

static sse_server *server;
static uint64_t pretended;
static _Atomic uint64_t linger_ms;
static atomic_uint asked, staying;

static uint64_t clock_of_the_test(void) { return NOW_MS * 1000000; }

bool __wrap_sse__gate_wait_until(sse__gate *gate, uint64_t deadline_ns);

bool __wrap_sse__gate_wait_until(sse__gate *gate, uint64_t deadline_ns)
{
    uint64_t ms = deadline_ns / 1000000 - NOW_MS;
    bool stays = ms > 1;
    linger_ms = ms;
    staying += stays;
    asked++;
    if (!stays)
        return false;
    sse__gate_wait(gate);
    staying--;
    return true;
}

static void pretend(uint64_t n)
{
    for (; pretended < n; pretended++)
        sse__hub_worker_started(server);
    for (; pretended > n; pretended--)
        sse__hub_worker_ended(server);
}

static void start(void)
{
    sse__clock_set_source(clock_of_the_test);
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
}

/* Its workers are waited for, so those that do not exist go first. */
static void stop(void)
{
    pretend(0);
    sse_server_free(server);
    cr_assert_eq(staying, 0);
}

TestSuite(linger, .init = start, .fini = stop);

static bool has_asked(void *arg) { return asked > *(const unsigned *)arg; }

static bool workers_are(void *arg) { return totals(server).workers == *(const uint64_t *)arg; }

/* Let the stream's worker process one event; it is one of so many then. Returns how long it means to wait for the next one. */
static uint64_t linger_among(uint64_t workers)
{
    unsigned before = asked;
    pretend(workers - 1);
    say(server, "s", "x");
    cr_assert(wait_until(has_asked, &before, LONG));
    uint64_t left = workers - (linger_ms <= 1);
    cr_assert(wait_until(workers_are, &left, LONG));
    return linger_ms;
}

Test(linger, is_the_shorter_the_more_there_are)
{
    create(server, "s");
    cr_assert_eq(linger_among(1), LONGEST_MS);
    cr_assert_eq(linger_among(FEW), LONGEST_MS);
    uint64_t last = LONGEST_MS;
    for (uint64_t n = FEW + 128; n < MOST; n += 128) {
        uint64_t ms = linger_among(n);
        cr_assert_lt(ms, last, "%d workers", (int)n);
        last = ms;
    }
    cr_assert_eq(linger_among((FEW + MOST) / 2), LONGEST_MS / 2);
    cr_assert_gt(linger_among(MOST - 1), 1);
    cr_assert_leq(linger_among(MOST), 1);
    cr_assert_leq(linger_among(MOST + 1), 1);
    cr_assert_leq(linger_among(10 * MOST), 1);
    cr_assert_eq(linger_among(FEW), LONGEST_MS, "a worker that went is followed by one that stays");
}

/* One stream after the other gets an event: as many workers stay as may, and of the others none. */
Test(linger, of_so_many_and_no_more)
{
    enum { STREAMS = 100, PLACES = 40 };
    pretend(MOST - 1 - PLACES);
    for (unsigned i = 0; i < STREAMS; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%u", i);
        create(server, name);
        say(server, name, "x");
        cr_assert(wait_until(has_asked, &i, LONG));
        uint64_t workers = pretended + (i < PLACES ? i + 1 : PLACES);
        cr_assert(wait_until(workers_are, &workers, LONG), "%d, not %d",
                  (int)totals(server).workers, (int)workers);
    }
    cr_assert_eq(staying, PLACES);
}
