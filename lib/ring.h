/* A bounded FIFO of pointers. It has no lock of its own: it lives in a struct whose mutex guards it
 * (a stream's inbox, a channel). Its memory grows by doubling up to the capacity, so that an unused
 * ring costs nothing. */
#ifndef SSE__RING_H
#define SSE__RING_H

#include "sync.h"

typedef struct sse__ring {
    void **slots;
    size_t capacity; /* immutable after init */
    size_t allocated;
    size_t head; /* index of the oldest */
    size_t count;
} sse__ring;

/* No allocation; capacity > 0. */
SSE_INTERNAL void sse__ring_init(sse__ring *r, size_t capacity);
/* Frees the slots; what is in them is the caller's. */
SSE_INTERNAL void sse__ring_fini(sse__ring *r);
/* Returns the slots' memory when the ring is empty; it grows again when needed. */
SSE_INTERNAL void sse__ring_shrink(sse__ring *r);

/* Make sure that n pushes in a row succeed.
 * Returns: SSE_OK; SSE_EFULL: not that much room now; SSE_ETOOBIG: n is more than the capacity;
 *          SSE_ENOMEM. */
SSE_INTERNAL SSE_NODISCARD sse_err sse__ring_reserve(sse__ring *r, size_t n);
/* Returns: SSE_OK, SSE_EFULL, SSE_ENOMEM. */
SSE_INTERNAL SSE_NODISCARD sse_err sse__ring_push(sse__ring *r, void *item);
/* The oldest, or NULL when empty. */
SSE_INTERNAL void *sse__ring_pop(sse__ring *r);
/* Up to max of the oldest, in order; returns how many. */
SSE_INTERNAL size_t sse__ring_pop_many(sse__ring *r, void **out, size_t max);

#endif
