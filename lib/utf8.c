/* Validation and repair of UTF-8.
 *
 * Threads: any; no state. Most text is ASCII, which is skipped 32 bytes at a time. A sequence
 * that breaks off counts as one invalid sequence up to the byte that cannot continue it (WHATWG
 * Encoding, "UTF-8 decoder"; Unicode calls it a maximal subpart), and that byte is looked at
 * anew. */
#include "utf8.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* A sequence at the start of a text: its bytes, and whether it is a character. */
struct sequence {
    unsigned len;
    bool valid;
};

static uint64_t load64(const char *s)
{
    uint64_t word;
    memcpy(&word, s, sizeof word);
    return word;
}

/* How many bytes at the start are ASCII; may stop short by less than eight. */
static size_t skip_ascii(const char *s, size_t n)
{
    const uint64_t high = 0x8080808080808080u;
    size_t i = 0;
    while (n - i >= 32 &&
           !((load64(s + i) | load64(s + i + 8) | load64(s + i + 16) | load64(s + i + 24)) & high))
        i += 32;
    while (n - i >= 8 && !(load64(s + i) & high))
        i += 8;
    while (i < n && !((unsigned char)s[i] & 0x80))
        i++;
    return i;
}

/* The sequence that starts with a byte above 0x7f; n > 0. */
static struct sequence sequence_at(const unsigned char *s, size_t n)
{
    unsigned char lead = s[0], low = 0x80, high = 0xbf;
    unsigned need;
    if (lead >= 0xc2 && lead <= 0xdf) {
        need = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        need = 3;
        if (lead == 0xe0)
            low = 0xa0; /* overlong */
        if (lead == 0xed)
            high = 0x9f; /* surrogates */
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        need = 4;
        if (lead == 0xf0)
            low = 0x90; /* overlong */
        if (lead == 0xf4)
            high = 0x8f; /* above U+10FFFF */
    } else {
        return (struct sequence){1, false};
    }
    for (unsigned i = 1; i < need; i++, low = 0x80, high = 0xbf)
        if (i >= n || s[i] < low || s[i] > high)
            return (struct sequence){i, false};
    return (struct sequence){need, true};
}

size_t sse__utf8_valid_prefix(const char *s, size_t n)
{
    size_t i = 0;
    while ((i += skip_ascii(s + i, n - i)) < n) {
        struct sequence seq = sequence_at((const unsigned char *)s + i, n - i);
        if (!seq.valid)
            break;
        i += seq.len;
    }
    return i;
}

size_t sse__utf8_repaired_size(const char *s, size_t n)
{
    size_t i = 0, size = 0;
    for (;;) {
        size_t valid = sse__utf8_valid_prefix(s + i, n - i);
        i += valid;
        size += valid;
        if (i == n)
            return size;
        i += sequence_at((const unsigned char *)s + i, n - i).len;
        size += sizeof REPLACEMENT - 1;
    }
}

void sse__utf8_repair(const char *in, size_t n, char *out)
{
    size_t i = 0;
    for (;;) {
        size_t valid = sse__utf8_valid_prefix(in + i, n - i);
        if (valid > 0)
            memmove(out, in + i, valid);
        out += valid;
        i += valid;
        if (i == n)
            return;
        i += sequence_at((const unsigned char *)in + i, n - i).len;
        memcpy(out, REPLACEMENT, sizeof REPLACEMENT - 1);
        out += sizeof REPLACEMENT - 1;
    }
}
