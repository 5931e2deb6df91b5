/* The ring: order, bounds, growth, giving memory back. */
#include "ring.h"

#include <criterion/criterion.h>

static int items[1000];

Test(ring, starts_without_memory)
{
    sse__ring r;
    sse__ring_init(&r, 5);
    cr_assert_null(r.slots);
    cr_assert_null(sse__ring_pop(&r));
    cr_assert_eq(sse__ring_pop_many(&r, NULL, 10), 0);
    sse__ring_fini(&r);
}

Test(ring, is_first_in_first_out_and_bounded)
{
    for (size_t capacity = 1; capacity < 70; capacity++) {
        sse__ring r;
        sse__ring_init(&r, capacity);
        for (size_t i = 0; i < capacity; i++)
            cr_assert_eq(sse__ring_push(&r, &items[i]), SSE_OK);
        cr_assert_eq(sse__ring_push(&r, &items[0]), SSE_EFULL);
        cr_assert_leq(r.allocated, capacity);
        for (size_t i = 0; i < capacity; i++)
            cr_assert_eq(sse__ring_pop(&r), &items[i]);
        cr_assert_null(sse__ring_pop(&r));
        sse__ring_fini(&r);
    }
}

/* All positions of head and all fill levels, with growth while the content wraps around. */
Test(ring, keeps_order_while_it_wraps_and_grows)
{
    for (size_t turn = 0; turn < 16; turn++) {
        sse__ring r;
        size_t in = 0, out = 0;
        sse__ring_init(&r, 500);
        for (size_t i = 0; i < 16; i++)
            cr_assert_eq(sse__ring_push(&r, &items[in++]), SSE_OK);
        for (size_t i = 0; i < turn; i++) {
            cr_assert_eq(sse__ring_pop(&r), &items[out++]);
            cr_assert_eq(sse__ring_push(&r, &items[in++]), SSE_OK);
        }
        cr_assert_eq(r.allocated, 16);
        cr_assert_eq(r.head, turn);
        while (r.count < 500)
            cr_assert_eq(sse__ring_push(&r, &items[in++]), SSE_OK);
        cr_assert_eq(r.allocated, 500, "the last doubling stops at the capacity");
        while (r.count > 0)
            cr_assert_eq(sse__ring_pop(&r), &items[out++]);
        cr_assert_eq(in, out);
        sse__ring_fini(&r);
    }
}

Test(ring, pop_many_takes_what_there_is)
{
    for (size_t turn = 0; turn < 20; turn++) {
        sse__ring r;
        void *got[20];
        sse__ring_init(&r, 20);
        for (size_t i = 0; i < 20; i++)
            cr_assert_eq(sse__ring_push(&r, &items[i]), SSE_OK);
        for (size_t i = 0; i < turn; i++) {
            cr_assert_eq(sse__ring_pop(&r), &items[i]);
            cr_assert_eq(sse__ring_push(&r, &items[20 + i]), SSE_OK);
        }
        cr_assert_eq(sse__ring_pop_many(&r, got, 0), 0);
        cr_assert_eq(sse__ring_pop_many(&r, got, 7), 7);
        cr_assert_eq(sse__ring_pop_many(&r, got + 7, 20), 13);
        for (size_t i = 0; i < 20; i++)
            cr_assert_eq(got[i], &items[turn + i]);
        cr_assert_eq(r.count, 0);
        cr_assert_eq(sse__ring_push(&r, &items[0]), SSE_OK);
        cr_assert_eq(sse__ring_pop(&r), &items[0]);
        sse__ring_fini(&r);
    }
}

Test(ring, reserve_makes_pushes_safe)
{
    sse__ring r;
    sse__ring_init(&r, 100);
    cr_assert_eq(sse__ring_reserve(&r, 101), SSE_ETOOBIG);
    cr_assert_eq(sse__ring_reserve(&r, 0), SSE_OK);
    cr_assert_eq(sse__ring_reserve(&r, 40), SSE_OK);
    void **slots = r.slots;
    for (size_t i = 0; i < 40; i++)
        cr_assert_eq(sse__ring_push(&r, &items[i]), SSE_OK);
    cr_assert_eq(r.slots, slots, "nothing was to grow");
    cr_assert_eq(sse__ring_reserve(&r, 61), SSE_EFULL);
    cr_assert_eq(sse__ring_reserve(&r, 60), SSE_OK);
    cr_assert_eq(r.allocated, 100);
    cr_assert_eq(sse__ring_pop(&r), &items[0]);
    sse__ring_fini(&r);
}

Test(ring, shrink_gives_memory_back_when_empty)
{
    sse__ring r;
    sse__ring_init(&r, 10);
    cr_assert_eq(sse__ring_push(&r, &items[0]), SSE_OK);
    sse__ring_shrink(&r);
    cr_assert_not_null(r.slots, "it holds something");
    cr_assert_eq(sse__ring_pop(&r), &items[0]);
    sse__ring_shrink(&r);
    cr_assert_null(r.slots);
    cr_assert_eq(sse__ring_push(&r, &items[1]), SSE_OK);
    cr_assert_eq(sse__ring_pop(&r), &items[1]);
    sse__ring_fini(&r);
}

Test(ring, a_capacity_beyond_memory_is_no_memory)
{
    sse__ring r;
    sse__ring_init(&r, SIZE_MAX);
    cr_assert_eq(sse__ring_reserve(&r, SIZE_MAX), SSE_ENOMEM);
    cr_assert_eq(sse__ring_push(&r, &items[0]), SSE_OK);
    sse__ring_fini(&r);
}
