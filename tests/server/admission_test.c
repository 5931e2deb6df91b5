/* Who may connect: the table of addresses, with times passed in. */
#include "admission.h"

#include "sync.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const uint64_t SECOND = 1000000000;
static uint64_t now = 5000000000000;
static sse__admission *table;

static void make(uint32_t per_minute, uint32_t burst, uint32_t connections, uint32_t remembered)
{
    sse__admission_limits limits = {per_minute, burst, connections, remembered};
    cr_assert_eq(sse__admission_new(&limits, NULL, 0, &table), SSE_OK);
}

static void fini(void) { sse__admission_free(table); }

TestSuite(admission, .fini = fini);

static sse__entry enter(uint32_t address)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(address)}};
    return sse__admission_enter(table, (struct sockaddr *)&a, now);
}

static sse__entry enter_text(const char *address)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    cr_assert_eq(inet_pton(AF_INET6, address, &a.sin6_addr), 1);
    return sse__admission_enter(table, (struct sockaddr *)&a, now);
}

static void leave(sse__visitor *visitor) { sse__admission_leave(table, visitor, now); }

static sse__visitor *expect_in(sse__entry entry)
{
    cr_assert_eq(entry.denial, SSE__DENIED_NOT, "refused: %d", (int)entry.denial);
    cr_assert_not_null(entry.visitor);
    return entry.visitor;
}

static void expect_denied(sse__entry entry, sse__denial denial, uint32_t retry_after_s)
{
    cr_assert_eq(entry.denial, denial, "%d, not %d", (int)entry.denial, (int)denial);
    cr_assert_eq(entry.retry_after_s, retry_after_s, "%u s, not %u", entry.retry_after_s,
                 retry_after_s);
    cr_assert_null(entry.visitor);
}

/* Come and go so often; nothing is refused. */
static void pass(uint32_t address, int times)
{
    for (int i = 0; i < times; i++)
        leave(expect_in(enter(address)));
}

static uint64_t addresses(void) { return sse__admission_look(table).addresses; }

static uint64_t forgotten(void) { return sse__admission_look(table).forgotten; }

/* ---- the rate ---- */

Test(admission, a_burst_and_then_the_rate)
{
    make(30, 5, 0, 100); /* one in two seconds */
    pass(1, 5);
    expect_denied(enter(1), SSE__DENIED_RATE, 2);
    now += SECOND;
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
    now += SECOND - 1;
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
    now += 1;
    pass(1, 1);
    expect_denied(enter(1), SSE__DENIED_RATE, 2);
    for (int i = 0; i < 100; i++) {
        now += 2 * SECOND;
        pass(1, 1);
        expect_denied(enter(1), SSE__DENIED_RATE, 2);
    }
}

Test(admission, refusals_cost_nothing)
{
    make(60, 2, 0, 100);
    pass(1, 2);
    for (int i = 0; i < 1000; i++)
        expect_denied(enter(1), SSE__DENIED_RATE, 1);
    now += SECOND;
    pass(1, 1);
}

Test(admission, the_bucket_fills_and_does_not_run_over)
{
    make(60, 3, 0, 100);
    pass(1, 3);
    now += 2 * SECOND;
    pass(1, 2);
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
    now += 3600 * SECOND;
    pass(1, 3);
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
}

Test(admission, a_burst_of_one)
{
    make(1, 1, 0, 100);
    pass(1, 1);
    expect_denied(enter(1), SSE__DENIED_RATE, 60);
    now += 60 * SECOND;
    pass(1, 1);
}

Test(admission, addresses_do_not_share)
{
    make(60, 2, 0, 1000);
    for (uint32_t address = 1; address <= 500; address++) {
        pass(address, 2);
        expect_denied(enter(address), SSE__DENIED_RATE, 1);
    }
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
    cr_assert_eq(addresses(), 500);
    now += SECOND;
    pass(250, 1);
}

Test(admission, the_extremes)
{
    make(UINT32_MAX, 1000000, 0, 100);
    pass(1, 1000);
    fini();
    make(1, 1000000, 0, 100);
    pass(1, 1000);
    fini();
    make(1, 20000, 0, 100);
    pass(1, 20000);
    expect_denied(enter(1), SSE__DENIED_RATE, 60);
    now += 59 * SECOND;
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
    now += SECOND;
    pass(1, 1);
}

/* Threads look at the clock before they take the lock: a later one may come with an earlier time. */
Test(admission, a_time_that_goes_back_a_little)
{
    make(60, 2, 0, 100);
    pass(1, 1);
    now -= SECOND / 1000;
    pass(1, 1);
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
}

/* ---- connections ---- */

Test(admission, connections_of_an_address)
{
    make(0, 20, 3, 100);
    sse__visitor *a[3], *b;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 3; i++)
            a[i] = expect_in(enter(1));
        expect_denied(enter(1), SSE__DENIED_ADDRESS, 5);
        b = expect_in(enter(2));
        leave(a[1]);
        a[1] = expect_in(enter(1));
        expect_denied(enter(1), SSE__DENIED_ADDRESS, 5);
        cr_assert_eq(addresses(), 2);
        for (int i = 0; i < 3; i++)
            leave(a[i]);
        leave(b);
        cr_assert_eq(addresses(), 0, "without a rate nothing is remembered");
    }
}

Test(admission, both_limits)
{
    make(60, 4, 2, 100);
    sse__visitor *a = expect_in(enter(1)), *b = expect_in(enter(1));
    for (int i = 0; i < 10; i++)
        expect_denied(enter(1), SSE__DENIED_ADDRESS, 5); /* takes no token */
    leave(a);
    a = expect_in(enter(1));
    leave(b);
    b = expect_in(enter(1));
    leave(a);
    expect_denied(enter(1), SSE__DENIED_RATE, 1);
    leave(b);
}

/* ---- who is who ---- */

Test(admission, an_address_in_all_its_ways)
{
    make(0, 20, 1, 100);
    sse__visitor *a = expect_in(enter(0xc0000201));
    expect_denied(enter_text("::ffff:192.0.2.1"), SSE__DENIED_ADDRESS, 5);
    leave(a);
    a = expect_in(enter_text("2001:db8:0:1::1"));
    expect_denied(enter_text("2001:db8:0:1:ffff::2"), SSE__DENIED_ADDRESS, 5);
    leave(expect_in(enter_text("2001:db8:0:2::1")));
    leave(a);
    sse__visitor *neighbour = expect_in(enter_text("fe80::1"));
    leave(expect_in(enter_text("fe80::2")));
    leave(neighbour);
}

Test(admission, who_is_not_counted)
{
    sse__range exempt[4];
    cr_assert_eq(sse__ranges_parse("loopback", exempt), 2);
    cr_assert_eq(sse__ranges_parse("192.0.2.0/24", &exempt[2]), 1);
    sse__admission_limits limits = {.per_minute = 1, .burst = 1, .connections = 1};
    cr_assert_eq(sse__admission_new(&limits, exempt, 3, &table), SSE_OK);
    memset(exempt, 0, sizeof exempt); /* it has a copy */
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    for (int i = 0; i < 100; i++) {
        sse__entry entries[] = {enter(0x7f000001), enter(0xc0000207), enter_text("::1"),
                                sse__admission_enter(table, (struct sockaddr *)&local, now)};
        for (size_t k = 0; k < 4; k++) {
            cr_assert_eq(entries[k].denial, SSE__DENIED_NOT);
            cr_assert_null(entries[k].visitor);
        }
    }
    cr_assert_eq(addresses(), 0);
    sse__visitor *other = expect_in(enter(0xc0000301));
    expect_denied(enter(0xc0000301), SSE__DENIED_ADDRESS, 5);
    leave(other);
}

/* ---- memory ---- */

Test(admission, who_has_a_full_bucket_is_not_kept)
{
    make(60, 10, 0, 100000);
    for (uint32_t address = 1; address <= 10000; address++)
        pass(address, 1);
    cr_assert_eq(addresses(), 10000);
    now += 2 * SECOND;
    for (uint32_t i = 0; i < 5000; i++) /* each takes two away */
        pass(20000 + i, 1);
    cr_assert_eq(addresses(), 5000, "%d", (int)addresses());
    cr_assert_eq(forgotten(), 0, "nobody before the time");
}

/* An attacker with any number of addresses gets so much memory and no more, and who is connected stays counted. */
Test(admission, no_more_than_so_many_are_remembered)
{
    enum { REMEMBERED = 1000, ATTACKERS = 100000 };
    make(1, 2, 1, REMEMBERED);
    sse__visitor *connected = expect_in(enter(1));
    for (uint32_t i = 0; i < ATTACKERS; i++) {
        leave(expect_in(enter(0x0a000000 + i)));
        cr_assert_leq(addresses(), REMEMBERED + 1);
    }
    cr_assert_eq(addresses(), REMEMBERED + 1);
    cr_assert_eq(forgotten(), ATTACKERS - REMEMBERED);
    expect_denied(enter(1), SSE__DENIED_ADDRESS, 5);
    leave(expect_in(enter(0x0a000000 + ATTACKERS - 1)));
    expect_denied(enter(0x0a000000 + ATTACKERS - 1), SSE__DENIED_RATE, 60);
    /* The first ones are forgotten: a full bucket again. */
    leave(expect_in(enter(0x0a000000)));
    leave(expect_in(enter(0x0a000000)));
    leave(connected);
}

/* Who comes again is in front no more when it leaves again. */
Test(admission, the_one_that_left_first_is_forgotten)
{
    make(1, 2, 0, 3);
    pass(1, 1);
    pass(2, 1);
    pass(3, 1);
    pass(1, 1);
    pass(4, 1); /* takes the place of 2 */
    expect_denied(enter(1), SSE__DENIED_RATE, 60);
    pass(3, 1); /* its second: it was remembered */
    expect_denied(enter(3), SSE__DENIED_RATE, 60);
    cr_assert_eq(forgotten(), 1);
    pass(2, 2); /* a full bucket */
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 20000, PLACES = 3 };
static atomic_int inside[4];
static atomic_int excess, admitted;

static void *hammer(void *arg)
{
    uint32_t random = *(uint32_t *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1103515245 + 12345;
        uint32_t address = random >> 16 & 3;
        sse__entry entry = enter(address);
        if (!entry.visitor)
            continue;
        admitted++;
        excess += ++inside[address] > PLACES;
        inside[address]--;
        leave(entry.visitor);
    }
    return NULL;
}

Test(admission, many_threads)
{
    make(0, 20, PLACES, 100);
    sse__thread threads[THREADS];
    uint32_t seeds[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        cr_assert_eq(sse__thread_start(&threads[i], "hammer", 0, hammer, &seeds[i]), SSE_OK);
    }
    for (int i = 0; i < THREADS; i++)
        sse__thread_join(&threads[i]);
    cr_assert_eq(excess, 0);
    cr_assert_gt(admitted, 0);
    cr_assert_eq(addresses(), 0);
}
