/* The heap of subscribers whose permission ends: against a plain search, and without memory. */
#include "expiry.h"

#include "alloc_fail.h"
#include "subscriber.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { N = 300 };

static sse__expiry heap;
static sse__sub *subs;
static bool inside[N];

static void init(void)
{
    subs = calloc(N, sizeof *subs);
    cr_assert_not_null(subs);
}

static void fini(void)
{
    sse__expiry_fini(&heap);
    free(subs);
}

TestSuite(expiry, .init = init, .fini = fini);

static void add(size_t i, uint64_t expires_ms)
{
    subs[i].expires_ms = expires_ms;
    cr_assert(sse__expiry_add(&heap, &subs[i]));
    inside[i] = true;
}

static void leave(size_t i)
{
    sse__expiry_remove(&heap, &subs[i]);
    inside[i] = false;
}

/* Everybody is where it thinks it is, nobody comes before its parent, and the first one is the first one. */
static void check(void)
{
    size_t n = 0;
    uint64_t first_ms = UINT64_MAX;
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(subs[i].expiry_place != 0, inside[i], "%zu", i);
        if (!inside[i])
            continue;
        size_t place = subs[i].expiry_place;
        cr_assert_leq(place, heap.n);
        cr_assert_eq(heap.heap[place - 1], &subs[i]);
        cr_assert(place == 1 || heap.heap[place / 2 - 1]->expires_ms <= subs[i].expires_ms);
        first_ms = subs[i].expires_ms < first_ms ? subs[i].expires_ms : first_ms;
        n++;
    }
    cr_assert_eq(heap.n, n);
    const sse__sub *first = sse__expiry_first(&heap);
    cr_assert_eq(first == NULL, n == 0);
    cr_assert(!first || first->expires_ms == first_ms);
}

static void expect_ascending(size_t n)
{
    uint64_t last_ms = 0;
    for (; n > 0; n--) {
        const sse__sub *first = sse__expiry_first(&heap);
        cr_assert_not_null(first);
        cr_assert_geq(first->expires_ms, last_ms);
        last_ms = first->expires_ms;
        leave((size_t)(first - subs));
        check();
    }
    cr_assert_null(sse__expiry_first(&heap));
}

Test(expiry, is_empty_at_first)
{
    check();
    leave(7); /* not there: nothing happens */
    check();
}

Test(expiry, gives_them_in_the_order_of_their_times)
{
    for (size_t i = 0; i < N; i++) {
        add(i, 1 + i * 7919 % N); /* in no order, each once */
        check();
    }
    expect_ascending(N);
}

Test(expiry, ascending_descending_and_equal_times)
{
    for (size_t i = 0; i < N; i++)
        add(i, i + 1);
    expect_ascending(N);
    for (size_t i = 0; i < N; i++)
        add(i, N - i);
    expect_ascending(N);
    for (size_t i = 0; i < N; i++)
        add(i, 5);
    check();
    expect_ascending(N);
}

/* The last one takes the place of the one that leaves, and there it may have to go up: its new parent is of another branch. */
Test(expiry, who_fills_a_gap_goes_up_or_down)
{
    static const uint64_t times[] = {1, 50, 2, 60, 70, 3, 4, 61, 62, 71, 72, 5};
    size_t n = sizeof times / sizeof times[0];
    for (size_t out = 0; out < n; out++) {
        for (size_t i = 0; i < n; i++)
            add(i, times[i]);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(subs[i].expiry_place, i + 1, "a heap from the beginning");
        leave(out);
        check();
        expect_ascending(n - 1);
    }
}

Test(expiry, many_come_and_go)
{
    uint64_t random = 1;
    for (int round = 0; round < 5000; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t i = (random >> 33) % N;
        if (inside[i])
            leave(i);
        else
            add(i, 1 + (random >> 50) % 100);
        if (round % 10 == 0)
            check();
    }
    size_t n = heap.n;
    check();
    expect_ascending(n);
}

Test(expiry, without_memory_nothing_changes)
{
    size_t refused = 0;
    for (size_t i = 0; i < N; i++) {
        subs[i].expires_ms = N - i;
        alloc_fail_at(0);
        bool added = sse__expiry_add(&heap, &subs[i]);
        bool failed = alloc_fail_disarm();
        cr_assert_eq(added, !failed);
        inside[i] = added;
        check();
        refused += failed;
        if (failed)
            add(i, N - i);
    }
    cr_assert_geq(refused, 4, "it grows by doubling");
    /* There is room for who comes back after one has gone. */
    alloc_fail_from(0);
    for (size_t i = 0; i < N; i++) {
        leave(i);
        add(i, i + 1);
    }
    (void)alloc_fail_disarm();
    check();
    expect_ascending(N);
}
