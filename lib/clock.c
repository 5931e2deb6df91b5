/* The monotonic clock and random bits. No state but the replaceable source. */
#include "clock.h"

#include <sys/random.h>
#include <time.h>

static _Atomic(uint64_t (*)(void)) source;

uint64_t sse__now_ns(void)
{
    /* Relaxed: tests set the source before they start threads. */
    uint64_t (*fn)(void) = atomic_load_explicit(&source, memory_order_relaxed);
    if (fn)
        return fn();
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void sse__clock_set_source(uint64_t (*fn)(void)) { atomic_store(&source, fn); }

uint64_t sse__random(void)
{
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits)
        return bits;
    /* Early at boot: mix the clock (splitmix64's finaliser). */
    bits = sse__now_ns() + 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
}
