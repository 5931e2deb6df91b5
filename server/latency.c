/* A histogram of durations, with buckets from 50 microseconds to 10 seconds.
 *
 * Threads: any. Each I/O loop has one of its own, so that loops do not fight for a cache line; who wants to know adds them up. The
 * counters order nothing, hence relaxed; each only grows, and so does every sum of them. */
#include "latency.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

const uint64_t sse__latency_bounds_ns[SSE__LATENCY_BOUNDS] = {
    50 * US, 100 * US, 250 * US, 500 * US, 1 * MS,    2500 * US, 5 * MS,    10 * MS,   25 * MS,
    50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS};

void sse__latency_count(sse__latency *latency, uint64_t ns)
{
    size_t i = 0;
    while (i < SSE__LATENCY_BOUNDS && ns > sse__latency_bounds_ns[i])
        i++;
    atomic_fetch_add_explicit(&latency->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&latency->sum_ns, ns, memory_order_relaxed);
}

void sse__latency_add(sse__latency_sum *sum, sse__latency *latency)
{
    for (size_t i = 0; i <= SSE__LATENCY_BOUNDS; i++)
        sum->buckets[i] += atomic_load_explicit(&latency->buckets[i], memory_order_relaxed);
    sum->sum_ns += atomic_load_explicit(&latency->sum_ns, memory_order_relaxed);
}
