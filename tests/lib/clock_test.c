/* The clock, the clock that tests drive, and random bits. */
#include "clock.h"

#include <criterion/criterion.h>
#include <time.h>

static _Atomic(uint64_t) fake_ns;

static uint64_t fake(void) { return fake_ns; }

Test(clock, never_goes_back)
{
    uint64_t before = sse__now_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = sse__now_ns();
        cr_assert_geq(now, before);
        before = now;
    }
}

Test(clock, is_the_monotonic_clock)
{
    struct timespec ts;
    uint64_t before = sse__now_ns();
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t between = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    cr_assert_leq(before, between);
    cr_assert_leq(between, sse__now_ns());
    cr_assert_leq(sse__now_ms(), sse__now_ns() / 1000000u);
}

Test(clock, can_be_replaced_and_put_back)
{
    sse__clock_set_source(fake);
    fake_ns = 7;
    cr_assert_eq(sse__now_ns(), 7);
    fake_ns = 12345678;
    cr_assert_eq(sse__now_ms(), 12);
    sse__clock_set_source(NULL);
    cr_assert_gt(sse__now_ns(), 12345678);
}

/* A deadline is by the replaced clock: one that it has passed does not wait, whatever the real time
 * is. */
Test(clock, deadlines_follow_the_replaced_clock)
{
    sse__mutex mu;
    sse__cond cond;
    sse__mutex_init(&mu, SSE__RANK_LEAF);
    sse__cond_init(&cond);
    sse__clock_set_source(fake);
    sse__mutex_lock(&mu);
    fake_ns = UINT64_MAX / 2; /* centuries after the real one */
    cr_assert_not(sse__cond_wait_until(&cond, &mu, UINT64_MAX / 2 - 1));
    cr_assert_not(sse__cond_wait_until(&cond, &mu, UINT64_MAX / 2));
    cr_assert_not(sse__cond_wait_until(&cond, &mu, UINT64_MAX / 2 + 1000000), "a millisecond");
    fake_ns = 0; /* long before the real one */
    cr_assert_not(sse__cond_wait_until(&cond, &mu, 1000000));
    sse__mutex_unlock(&mu);
    sse__clock_set_source(NULL);
    sse__cond_fini(&cond);
    sse__mutex_fini(&mu);
}

Test(clock, random_bits_differ)
{
    uint64_t seen[64], ones = 0, zeros = 0;
    for (int i = 0; i < 64; i++) {
        seen[i] = sse__random();
        ones |= seen[i];
        zeros |= ~seen[i];
        for (int j = 0; j < i; j++)
            cr_assert_neq(seen[i], seen[j]);
    }
    cr_assert_eq(ones, UINT64_MAX);
    cr_assert_eq(zeros, UINT64_MAX);
}
