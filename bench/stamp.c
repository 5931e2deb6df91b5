/* Writing stamps. No threads. */
#include "stamp.h"

static void put_hex(char *at, uint64_t value, int digits)
{
    while (digits-- > 0) {
        at[digits] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
}

void stamp_init(char *payload, size_t n, uint32_t run, uint32_t stream)
{
    memset(payload, 'x', n);
    memcpy(payload, "B1:", 3);
    put_hex(payload + STAMP_RUN, run, 8);
    payload[STAMP_STREAM - 1] = ':';
    put_hex(payload + STAMP_STREAM, stream, 6);
    payload[STAMP_SEQ - 1] = ':';
    payload[STAMP_TIME - 1] = ':';
    payload[STAMP_BYTES - 1] = ':';
    stamp_set(payload, 0, 0);
}

void stamp_set(char *payload, uint64_t seq, uint64_t time_ns)
{
    put_hex(payload + STAMP_SEQ, seq, 12);
    put_hex(payload + STAMP_TIME, time_ns, 16);
}
