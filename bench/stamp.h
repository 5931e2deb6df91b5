/* What sse-bench publishes: the data of an event says which run, stream and number it is and when
 * it was due, in hexadecimal digits at fixed places, followed by filling.
 *
 *   B1:RRRRRRRR:SSSSSS:NNNNNNNNNNNN:TTTTTTTTTTTTTTTT:xxxx…
 *      run      stream number       intended time, monotonic clock in nanoseconds
 *
 * No threads. */
#ifndef BENCH_STAMP_H
#define BENCH_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    STAMP_RUN = 3,
    STAMP_STREAM = 12,
    STAMP_SEQ = 19,
    STAMP_TIME = 32,
    STAMP_BYTES = 49 /* the least that a payload can have */
};

/* Write a payload of n bytes (at least STAMP_BYTES). */
void stamp_init(char *payload, size_t n, uint32_t run, uint32_t stream);
/* Change number and time in it. */
void stamp_set(char *payload, uint64_t seq, uint64_t time_ns);

#define STAMP_INLINE static inline __attribute__((always_inline))

/* Eight hexadecimal digits, lower case; false when there is something else. All eight at once: this
 * runs for each delivery, and there may be ten million a second. */
STAMP_INLINE bool stamp_hex8(const char *p, uint64_t *out)
{
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t letters = (v >> 6) & ones; /* 1 in each byte that is a letter */
    uint64_t nibbles = (v & (ones * 0x0f)) + letters * 9;
    /* What the digits must have looked like; and ten and more are letters. */
    uint64_t again = nibbles + ones * 0x30 + letters * 0x27;
    if (again != v || (nibbles & (ones * 0xf0)) || ((nibbles + ones * 6) >> 4 & ones) != letters)
        return false;
    nibbles = (nibbles | nibbles >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    nibbles = (nibbles | nibbles >> 8) & UINT64_C(0x0000ffff0000ffff);
    *out = (nibbles | nibbles >> 16) & UINT64_C(0xffffffff);
    return true;
}

typedef struct stamp {
    uint64_t seq;
    uint64_t time_ns;
    uint32_t run;
    uint32_t stream;
} stamp;

/* Read a payload's first STAMP_BYTES bytes. Returns false when they are not of this form. */
static inline bool stamp_read(const char *p, stamp *out)
{
    uint64_t run, stream, seq_high, seq_low, time_high, time_low;
    if (memcmp(p, "B1:", 3) != 0 || p[11] != ':' || p[18] != ':' || p[31] != ':' || p[48] != ':')
        return false;
    /* Fields of six and twelve digits get zeros before them. */
    char six[8] = {'0', '0'}, twelve[8] = {'0', '0', '0', '0'};
    memcpy(six + 2, p + STAMP_STREAM, 6);
    memcpy(twelve + 4, p + STAMP_SEQ, 4);
    if (!stamp_hex8(p + STAMP_RUN, &run) || !stamp_hex8(six, &stream) ||
        !stamp_hex8(twelve, &seq_high) || !stamp_hex8(p + STAMP_SEQ + 4, &seq_low) ||
        !stamp_hex8(p + STAMP_TIME, &time_high) || !stamp_hex8(p + STAMP_TIME + 8, &time_low))
        return false;
    out->run = (uint32_t)run;
    out->stream = (uint32_t)stream;
    out->seq = seq_high << 32 | seq_low;
    out->time_ns = time_high << 32 | time_low;
    return true;
}

/* The last stamp that was read. The next one mostly differs in the low digits only. */
typedef struct stamp_cache {
    stamp last;
    char bytes[STAMP_BYTES];
    char reserved[7];
} stamp_cache;

/* stamp_read() for many stamps. Returns cache->last, or NULL. */
STAMP_INLINE const stamp *stamp_read_next(stamp_cache *cache, const char *p)
{
    uint64_t seq_low, time_low;
    const uint64_t high = ~UINT64_C(0xffffffff);
    if (memcmp(p, cache->bytes, STAMP_SEQ + 4) == 0 && p[STAMP_TIME - 1] == ':' &&
        memcmp(p + STAMP_TIME, cache->bytes + STAMP_TIME, 8) == 0 && p[STAMP_BYTES - 1] == ':' &&
        stamp_hex8(p + STAMP_SEQ + 4, &seq_low) && stamp_hex8(p + STAMP_TIME + 8, &time_low)) {
        cache->last.seq = (cache->last.seq & high) | seq_low;
        cache->last.time_ns = (cache->last.time_ns & high) | time_low;
        return &cache->last;
    }
    if (!stamp_read(p, &cache->last)) {
        memset(cache, 0, sizeof *cache);
        return NULL;
    }
    memcpy(cache->bytes, p, STAMP_BYTES);
    return &cache->last;
}

#endif
