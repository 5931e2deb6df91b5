/* Hash table from strings to the structs that embed its nodes. Guarded by its owner's lock. */
#ifndef SSE__STRMAP_H
#define SSE__STRMAP_H

#include <sse/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sse__strnode {
    struct sse__strnode *next;
    const char *key; /* NUL-terminated, owned by the embedding struct */
    uint64_t hash;
} sse__strnode;

typedef struct sse__strmap {
    sse__strnode **buckets;
    size_t size; /* power of two, or 0 */
    size_t count;
} sse__strmap;

uint64_t sse__strhash(const char *bytes, size_t len);

void sse__strmap_fini(sse__strmap *map); /* the nodes are the caller's */
sse__strnode *sse__strmap_find(const sse__strmap *map, const char *key);
/* The key is not in the map yet. Returns SSE_OK, SSE_ENOMEM (only while the map is empty: later it
 * just gets slower). */
SSE_NODISCARD sse_err sse__strmap_add(sse__strmap *map, sse__strnode *node);
void sse__strmap_remove(sse__strmap *map, sse__strnode *node);
/* Iterate: NULL gives the first one, NULL comes back after the last. The map must not change
 * meanwhile. */
sse__strnode *sse__strmap_next(const sse__strmap *map, const sse__strnode *node);

#endif
