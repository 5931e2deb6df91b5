/* Hash table with chains, keyed by strings; nodes are embedded in what they index. No threads, no
 * locks. */
#include "strmap.h"

#include <stdlib.h>
#include <string.h>

uint64_t sse__strhash(const char *bytes, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    h ^= h >> 32; /* FNV's low bits alone are weak */
    return h * 0x9e3779b97f4a7c15u >> 7;
}

void sse__strmap_fini(sse__strmap *map)
{
    free(map->buckets);
    *map = (sse__strmap){0};
}

sse__strnode *sse__strmap_find(const sse__strmap *map, const char *key)
{
    if (map->count == 0)
        return NULL;
    uint64_t hash = sse__strhash(key, strlen(key));
    sse__strnode *node = map->buckets[hash & (map->size - 1)];
    while (node && (node->hash != hash || strcmp(node->key, key) != 0))
        node = node->next;
    return node;
}

static void place(sse__strmap *map, sse__strnode *node)
{
    sse__strnode **bucket = &map->buckets[node->hash & (map->size - 1)];
    node->next = *bucket;
    *bucket = node;
}

static sse_err resize(sse__strmap *map, size_t size)
{
    sse__strmap grown = {calloc(size, sizeof *grown.buckets), size, map->count};
    if (!grown.buckets)
        return SSE_ENOMEM;
    for (size_t i = 0; i < map->size; i++)
        for (sse__strnode *node = map->buckets[i], *next; node; node = next) {
            next = node->next;
            place(&grown, node);
        }
    free(map->buckets);
    *map = grown;
    return SSE_OK;
}

sse_err sse__strmap_add(sse__strmap *map, sse__strnode *node)
{
    if (map->count >= map->size && resize(map, map->size ? map->size * 2 : 16) != SSE_OK &&
        map->size == 0)
        return SSE_ENOMEM;
    node->hash = sse__strhash(node->key, strlen(node->key));
    place(map, node);
    map->count++;
    return SSE_OK;
}

void sse__strmap_remove(sse__strmap *map, sse__strnode *node)
{
    sse__strnode **at = &map->buckets[node->hash & (map->size - 1)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    map->count--;
}

sse__strnode *sse__strmap_next(const sse__strmap *map, const sse__strnode *node)
{
    if (node && node->next)
        return node->next;
    size_t i = node ? (node->hash & (map->size - 1)) + 1 : 0;
    for (; i < map->size; i++)
        if (map->buckets[i])
            return map->buckets[i];
    return NULL;
}
