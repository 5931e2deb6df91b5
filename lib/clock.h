/* The monotonic clock, which tests can replace. */
#ifndef SSE__CLOCK_H
#define SSE__CLOCK_H

#include "sync.h"

/* Nanoseconds and milliseconds since some fixed moment.
 * Thread:  any. */
SSE_INTERNAL uint64_t sse__now_ns(void);
static inline uint64_t sse__now_ms(void) { return sse__now_ns() / 1000000u; }

/* For tests: read the time from fn instead; NULL goes back to CLOCK_MONOTONIC. A wait with a
 * deadline takes as much real time as was left until the deadline when it began. */
SSE_INTERNAL void sse__clock_set_source(uint64_t (*fn)(void));

/* Random bits that are good enough for jitter and epochs (getrandom, else the clock); not for
 * keys. */
SSE_INTERNAL uint64_t sse__random(void);

#endif
