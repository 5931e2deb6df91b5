/* A bounded FIFO of pointers in a circular array.
 *
 * Threads: none of its own; the mutex of the struct that it lives in guards it.
 * Invariants: count <= allocated <= capacity; head < allocated unless nothing is allocated; the
 * items are at head, head + 1, ... modulo allocated. The array doubles when it is full, so that
 * n pushes copy O(n) pointers. */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 16

void sse__ring_init(sse__ring *r, size_t capacity)
{
    *r = (sse__ring){.slots = NULL, .capacity = capacity};
}

void sse__ring_fini(sse__ring *r)
{
    free(r->slots);
    r->slots = NULL;
    r->allocated = r->head = r->count = 0;
}

void sse__ring_shrink(sse__ring *r)
{
    if (r->count == 0)
        sse__ring_fini(r);
}

/* Copy the n oldest into `to`, in order. */
static void copy_out(const sse__ring *r, void **to, size_t n)
{
    size_t until_end = r->allocated - r->head;
    size_t first = n < until_end ? n : until_end;
    if (first > 0)
        memcpy(to, r->slots + r->head, first * sizeof *to);
    if (n > first)
        memcpy(to + first, r->slots, (n - first) * sizeof *to);
}

static sse_err grow(sse__ring *r, size_t want)
{
    size_t slots = r->allocated ? r->allocated : FIRST_SLOTS;
    while (slots < want && slots <= SIZE_MAX / 2)
        slots *= 2;
    if (slots < want || slots > r->capacity)
        slots = r->capacity;
    if (slots > SIZE_MAX / sizeof(void *))
        return SSE_ENOMEM;
    void **bigger = malloc(slots * sizeof *bigger);
    if (!bigger)
        return SSE_ENOMEM;
    copy_out(r, bigger, r->count);
    free(r->slots);
    r->slots = bigger;
    r->allocated = slots;
    r->head = 0;
    return SSE_OK;
}

sse_err sse__ring_reserve(sse__ring *r, size_t n)
{
    if (n > r->capacity)
        return SSE_ETOOBIG;
    if (n > r->capacity - r->count)
        return SSE_EFULL;
    return r->count + n > r->allocated ? grow(r, r->count + n) : SSE_OK;
}

sse_err sse__ring_push(sse__ring *r, void *item)
{
    if (r->count == r->allocated) {
        sse_err err = sse__ring_reserve(r, 1);
        if (err != SSE_OK)
            return err;
    }
    size_t at = r->head + r->count;
    r->slots[at < r->allocated ? at : at - r->allocated] = item;
    r->count++;
    return SSE_OK;
}

void *sse__ring_pop(sse__ring *r)
{
    if (r->count == 0)
        return NULL;
    void *item = r->slots[r->head];
    r->head = r->head + 1 < r->allocated ? r->head + 1 : 0;
    r->count--;
    return item;
}

size_t sse__ring_pop_many(sse__ring *r, void **out, size_t max)
{
    size_t n = max < r->count ? max : r->count;
    if (n == 0)
        return 0;
    copy_out(r, out, n);
    r->head += n;
    if (r->head >= r->allocated)
        r->head -= r->allocated;
    r->count -= n;
    return n;
}
