/* Base64 as in RFC 4648, section 4.
 *
 * Threads: any; the only state is a constant table. Decoding writes three bytes only after it
 * has read four characters, so it may work in place. It is strict about the alphabet and the
 * padding, but ignores the unused bits of the last character, as most decoders do. */
#include <sse/base64.h>

#include <stdbool.h>
#include <stdint.h>

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Values of characters; those that have a meaning of their own and those that have none are
 * above 63. */
enum { PAD = 64, SKIP = 65, BAD = 66 };

static unsigned value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 0u;
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    switch (c) {
    case '+':
        return 62;
    case '/':
        return 63;
    case '=':
        return PAD;
    case '\r':
    case '\n':
        return SKIP;
    default:
        return BAD;
    }
}

size_t sse_base64_encoded_size(size_t n) { return n / 3 * 4 + (n % 3 ? 4 : 0); }

size_t sse_base64_decoded_size(size_t n) { return n / 4 * 3; }

void sse_base64_encode(const void *in, size_t n, char *out)
{
    const uint8_t *at = in;
    for (; n >= 3; n -= 3, at += 3) {
        uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = alphabet[bits >> 6 & 63];
        *out++ = alphabet[bits & 63];
    }
    if (n > 0) {
        uint32_t bits = (uint32_t)at[0] << 16 | (n > 1 ? (uint32_t)at[1] << 8 : 0);
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = n > 1 ? alphabet[bits >> 6 & 63] : '=';
        *out++ = '=';
    }
}

/* After the first '=': `have` characters of the last group came before it. Nothing but the
 * missing padding and line ends may follow. */
static bool padding_ends(const char *at, const char *end, unsigned have)
{
    unsigned pads = 1;
    for (; at < end; at++) {
        unsigned v = value_of((unsigned char)*at);
        if (v == PAD)
            pads++;
        else if (v != SKIP)
            return false;
    }
    return have >= 2 && have + pads == 4;
}

sse_err sse_base64_decode(const char *in, size_t n, void *out, size_t *len)
{
    uint8_t *to = out;
    uint32_t bits = 0;
    unsigned have = 0;
    *len = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned v = value_of((unsigned char)in[i]);
        if (v < PAD) {
            bits = bits << 6 | v;
            if (++have == 4) {
                *to++ = (uint8_t)(bits >> 16);
                *to++ = (uint8_t)(bits >> 8);
                *to++ = (uint8_t)bits;
                have = 0;
            }
        } else if (v == PAD) {
            if (!padding_ends(in + i + 1, in + n, have))
                return SSE_EBASE64;
            bits <<= 6 * (4 - have);
            *to++ = (uint8_t)(bits >> 16);
            if (have == 3)
                *to++ = (uint8_t)(bits >> 8);
            have = 0;
            break;
        } else if (v == BAD) {
            return SSE_EBASE64;
        }
    }
    if (have != 0)
        return SSE_EBASE64;
    *len = (size_t)(to - (uint8_t *)out);
    return SSE_OK;
}
