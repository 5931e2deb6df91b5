/* The heartbeat wheel, with times passed in. */
#include "loop_internal.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static size_t beats;
static uint64_t now;

static void count(sse__sub *sub)
{
    beats++;
    atomic_store(&sub->sent_ms, now); /* as the reader does when it writes the heartbeat */
}

static void count_only(sse__sub *sub)
{
    (void)sub;
    beats++;
}

static void make(sse__sub *sub, uint64_t sent_ms)
{
    memset(sub, 0, sizeof *sub);
    sub->slot = -1;
    atomic_init(&sub->sent_ms, sent_ms);
}

static void start(sse__wheel *wheel, uint32_t heartbeat_ms)
{
    memset(wheel, 0, sizeof *wheel);
    beats = 0;
    now = 1000000;
    sse__wheel_init(wheel, heartbeat_ms, now);
}

static void run(sse__wheel *wheel, uint64_t until, void (*due)(sse__sub *))
{
    for (; now < until; now++)
        while (wheel->next_tick_ms <= now) {
            wheel->next_tick_ms += wheel->tick_ms;
            sse__wheel_tick(wheel, now, due);
        }
}

Test(wheel, chooses_a_tick)
{
    sse__wheel wheel;
    start(&wheel, 15000);
    cr_assert_eq(wheel.tick_ms, 15000 / 16);
    start(&wheel, 160);
    cr_assert_eq(wheel.tick_ms, 10);
    start(&wheel, 1);
    cr_assert_eq(wheel.tick_ms, 5);
    start(&wheel, 3600000);
    cr_assert_eq(wheel.tick_ms, 1000, "the same tick looks after other deadlines");
    start(&wheel, SSE_OFF);
    cr_assert_eq(wheel.interval_ms, 0);
    cr_assert_eq(wheel.tick_ms, 1000);
}

/* conformance 33 */
Test(wheel, beats_once_an_interval)
{
    static const uint32_t intervals[] = {20, 160, 1000, 15000, 60000, 600000};
    for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++) {
        sse__wheel wheel;
        sse__sub sub;
        start(&wheel, intervals[i]);
        make(&sub, now);
        sse__wheel_add(&wheel, &sub, now);
        uint64_t first = now;
        uint64_t slack = 2 * wheel.tick_ms;
        run(&wheel, first + intervals[i], count);
        cr_assert_eq(beats, 0, "not before its time (%u ms)", intervals[i]);
        run(&wheel, first + intervals[i] + slack + 1, count);
        cr_assert_eq(beats, 1, "at its time (%u ms)", intervals[i]);
        run(&wheel, first + 10 * intervals[i] + 10 * slack, count);
        cr_assert_geq(beats, 10);
        cr_assert_leq(beats, 10 + 10 * slack / intervals[i], "%zu beats, %u ms", beats,
                      intervals[i]);
        sse__wheel_remove(&wheel, &sub);
    }
}

/* conformance 33 */
Test(wheel, is_silent_while_events_flow)
{
    sse__wheel wheel;
    sse__sub sub;
    start(&wheel, 1000);
    make(&sub, now);
    sse__wheel_add(&wheel, &sub, now);
    for (int i = 0; i < 100; i++) {
        run(&wheel, now + 300, count);
        atomic_store(&sub.sent_ms, now);
    }
    cr_assert_eq(beats, 0);
    run(&wheel, now + 1000 + 2 * wheel.tick_ms + 1, count);
    cr_assert_eq(beats, 1, "and goes on when they stop");
}

Test(wheel, serves_each_of_many)
{
    enum { N = 1000 };
    sse__wheel wheel;
    start(&wheel, 500);
    sse__sub *subs = calloc(N, sizeof *subs);
    cr_assert_not_null(subs);
    for (size_t i = 0; i < N; i++) {
        make(&subs[i], now - i % 500);
        sse__wheel_add(&wheel, &subs[i], now);
    }
    run(&wheel, now + 500 + 2 * wheel.tick_ms + 1, count_only);
    cr_assert_geq(beats, N);
    beats = 0;
    for (size_t i = 0; i < N; i += 2)
        sse__wheel_remove(&wheel, &subs[i]);
    for (size_t i = 0; i < N; i++)
        atomic_store(&subs[i].sent_ms, now);
    run(&wheel, now + 500 + 2 * wheel.tick_ms + 1, count);
    cr_assert_eq(beats, N / 2);
    for (size_t i = 0; i < N; i++)
        sse__wheel_remove(&wheel, &subs[i]); /* those that are out are left alone */
    run(&wheel, now + 2000, count);
    cr_assert_eq(beats, N / 2, "nobody is left");
    free(subs);
}

/* The loop was late: it makes up for the ticks, and nobody is told twice. */
Test(wheel, catches_up_after_a_pause)
{
    sse__wheel wheel;
    sse__sub sub;
    start(&wheel, 1000);
    make(&sub, now);
    sse__wheel_add(&wheel, &sub, now);
    now += 10000;
    while (wheel.next_tick_ms <= now) {
        wheel.next_tick_ms += wheel.tick_ms;
        sse__wheel_tick(&wheel, now, count);
    }
    cr_assert_eq(beats, 1);
}

Test(wheel, off_means_off)
{
    sse__wheel wheel;
    sse__sub sub;
    start(&wheel, SSE_OFF);
    make(&sub, now);
    sse__wheel_add(&wheel, &sub, now);
    cr_assert_eq(sub.slot, -1);
    run(&wheel, now + 100000, count);
    cr_assert_eq(beats, 0);
    sse__wheel_remove(&wheel, &sub);
}
