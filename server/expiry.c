/* A binary heap of subscribers, by the time at which each one's permission ends.
 *
 * Loop's thread only. A subscriber knows its place (from 1 on, 0: it is not there), so that one that leaves before its time is taken out
 * without a search. */
#include "expiry.h"

#include "subscriber.h"

#include <stdlib.h>

/* Places count from 1, so that the parent of i is i / 2. */
static void put(sse__expiry *expiry, size_t place, sse__sub *sub)
{
    expiry->heap[place - 1] = sub;
    sub->expiry_place = place;
}

static uint64_t time_at(const sse__expiry *expiry, size_t place)
{
    return expiry->heap[place - 1]->expires_ms;
}

static void rise(sse__expiry *expiry, size_t place, sse__sub *sub)
{
    for (; place > 1 && time_at(expiry, place / 2) > sub->expires_ms; place /= 2)
        put(expiry, place, expiry->heap[place / 2 - 1]);
    put(expiry, place, sub);
}

static void sink(sse__expiry *expiry, size_t place, sse__sub *sub)
{
    for (size_t child = place * 2; child <= expiry->n; place = child, child *= 2) {
        if (child < expiry->n && time_at(expiry, child + 1) < time_at(expiry, child))
            child++;
        if (time_at(expiry, child) >= sub->expires_ms)
            break;
        put(expiry, place, expiry->heap[child - 1]);
    }
    put(expiry, place, sub);
}

bool sse__expiry_add(sse__expiry *expiry, sse__sub *sub)
{
    if (expiry->n == expiry->allocated) {
        size_t allocated = expiry->allocated ? expiry->allocated * 2 : 16;
        sse__sub **heap = realloc(expiry->heap, allocated * sizeof(sse__sub *));
        if (!heap)
            return false;
        expiry->heap = heap;
        expiry->allocated = allocated;
    }
    expiry->n++;
    rise(expiry, expiry->n, sub);
    return true;
}

void sse__expiry_remove(sse__expiry *expiry, sse__sub *sub)
{
    size_t place = sub->expiry_place;
    if (place == 0)
        return;
    sse__sub *last = expiry->heap[--expiry->n];
    sub->expiry_place = 0;
    if (last == sub)
        return;
    if (place > 1 && time_at(expiry, place / 2) > last->expires_ms)
        rise(expiry, place, last);
    else
        sink(expiry, place, last);
}

sse__sub *sse__expiry_first(const sse__expiry *expiry)
{
    return expiry->n > 0 ? expiry->heap[0] : NULL;
}

void sse__expiry_fini(sse__expiry *expiry) { free(expiry->heap); }
