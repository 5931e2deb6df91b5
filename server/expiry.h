/* Subscribers whose permission ends at some time, the next one first. Thread of one loop only. */
#ifndef SSE__EXPIRY_H
#define SSE__EXPIRY_H

#include <stdbool.h>
#include <stddef.h>

struct sse__sub;

/* A heap by sub->expires_ms; zero-initialise. */
typedef struct sse__expiry {
    struct sse__sub **heap;
    size_t n;
    size_t allocated;
} sse__expiry;

/* Returns false when there is no memory; not after a removal since the last addition. */
bool sse__expiry_add(sse__expiry *expiry, struct sse__sub *sub);
/* Does nothing when it is not there. */
void sse__expiry_remove(sse__expiry *expiry, struct sse__sub *sub);
/* The one whose time comes next, or NULL. */
struct sse__sub *sse__expiry_first(const sse__expiry *expiry);
void sse__expiry_fini(sse__expiry *expiry);

#endif
