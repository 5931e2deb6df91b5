/* The heap of permissions that end: whoever comes and goes in whatever order, the next one is first. */
#include "expiry.h"

#include "subscriber.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { MANY = 200, ROUNDS = 20000 };

static sse__sub subs[MANY];
static sse__expiry expiry;

static uint32_t roll(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* The plain way to find it. */
static const sse__sub *earliest(void)
{
    const sse__sub *first = NULL;
    for (size_t i = 0; i < MANY; i++)
        if (subs[i].expiry_place != 0 && (!first || subs[i].expires_ms < first->expires_ms))
            first = &subs[i];
    return first;
}

static void check_first(void)
{
    const sse__sub *first = sse__expiry_first(&expiry), *want = earliest();
    cr_assert_eq(first == NULL, want == NULL);
    if (first)
        cr_assert_eq(first->expires_ms, want->expires_ms);
}

static void add(sse__sub *sub, uint64_t expires_ms)
{
    sub->expires_ms = expires_ms;
    cr_assert(sse__expiry_add(&expiry, sub));
}

Test(expiry, the_next_one_is_first)
{
    cr_assert_null(sse__expiry_first(&expiry));
    for (int i = 0; i < ROUNDS; i++) {
        sse__sub *sub = &subs[roll() % MANY];
        if (sub->expiry_place == 0)
            add(sub, 1 + roll() % 500); /* many at the same time */
        else
            sse__expiry_remove(&expiry, sub);
        cr_assert_lt(sub->expiry_place, MANY + 1);
        check_first();
    }
    for (size_t i = 0; i < MANY; i++) {
        sse__expiry_remove(&expiry, &subs[i]);
        sse__expiry_remove(&expiry, &subs[i]); /* it is not there */
        check_first();
    }
    cr_assert_eq(expiry.n, 0);
    sse__expiry_fini(&expiry);
}

Test(expiry, they_come_in_order)
{
    for (size_t i = 0; i < MANY; i++)
        add(&subs[i], (i * 7919) % MANY + 1); /* each once */
    for (uint64_t ms = 1; ms <= MANY; ms++) {
        sse__sub *first = sse__expiry_first(&expiry);
        cr_assert_eq(first->expires_ms, ms);
        sse__expiry_remove(&expiry, first);
    }
    cr_assert_null(sse__expiry_first(&expiry));
    sse__expiry_fini(&expiry);
}
