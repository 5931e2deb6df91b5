/* How long events take from publish to the connection: a histogram, as /metrics tells it. */
#ifndef SSE__LATENCY_H
#define SSE__LATENCY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Upper bounds of the buckets; one more takes what is beyond them. */
#define SSE__LATENCY_BOUNDS 17
extern const uint64_t sse__latency_bounds_ns[SSE__LATENCY_BOUNDS];

/* Counts that one I/O loop makes. Zero-initialise. */
typedef struct sse__latency {
    _Atomic uint64_t buckets[SSE__LATENCY_BOUNDS + 1];
    _Atomic uint64_t sum_ns;
} sse__latency;

/* Count one.
 * Thread:  any. */
void sse__latency_count(sse__latency *latency, uint64_t ns);

/* What several of them have counted. */
typedef struct sse__latency_sum {
    uint64_t buckets[SSE__LATENCY_BOUNDS + 1]; /* each for itself, not cumulative */
    uint64_t sum_ns;
} sse__latency_sum;

/* Thread: any. */
void sse__latency_add(sse__latency_sum *sum, sse__latency *latency);

#endif
