/* A log-linear histogram of nanoseconds: 128 steps to each power of two, so that a value read back
 * is within 0.4 % of what was recorded, from 1 ns to 18 minutes. One thread at a time. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_SUB (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_MAX_BITS 40
#define HISTOGRAM_BUCKETS ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

typedef struct histogram {
    uint64_t count;
    uint64_t max; /* exact, also beyond the last bucket */
    uint64_t buckets[HISTOGRAM_BUCKETS];
} histogram;

/* Which bucket holds the value. Values below 2^SUB_BITS have a bucket each; above that the top
 * SUB_BITS bits behind the leading one choose. */
static inline size_t histogram_index(uint64_t ns)
{
    if (ns < HISTOGRAM_SUB)
        return (size_t)ns;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
    if (exponent >= HISTOGRAM_MAX_BITS)
        return HISTOGRAM_BUCKETS - 1;
    unsigned shift = exponent - HISTOGRAM_SUB_BITS;
    return (size_t)(shift + 1) * HISTOGRAM_SUB + (size_t)((ns >> shift) - HISTOGRAM_SUB);
}

static inline void histogram_add(histogram *h, uint64_t ns)
{
    h->buckets[histogram_index(ns)]++;
    h->count++;
    if (ns > h->max)
        h->max = ns;
}

/* The middle of a bucket. */
uint64_t histogram_value(size_t bucket);

void histogram_merge(histogram *into, const histogram *from);

/* The value that a share of `quantile` (0 to 1) of all values does not exceed; 0 when there are
 * none. Never more than max. */
uint64_t histogram_quantile(const histogram *h, double quantile);

#endif
