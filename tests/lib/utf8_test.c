/* UTF-8: against the decoder as the WHATWG Encoding standard words it, one byte at a time. */
#include "trace.h"
#include "utf8.h"

#include <criterion/criterion.h>

/* The standard's algorithm, written down as it stands there. Characters go to out as they came,
 * errors as U+FFFD. */
static size_t reference(const unsigned char *s, size_t n, char *out)
{
    size_t len = 0, started = 0;
    unsigned needed = 0, seen = 0, lower = 0x80, upper = 0xbf;
    for (size_t i = 0; i < n; i++) {
        unsigned char b = s[i];
        if (needed == 0) {
            started = i;
            if (b <= 0x7f) {
                out[len++] = (char)b;
            } else if (b >= 0xc2 && b <= 0xdf) {
                needed = 1;
            } else if (b >= 0xe0 && b <= 0xef) {
                if (b == 0xe0)
                    lower = 0xa0;
                if (b == 0xed)
                    upper = 0x9f;
                needed = 2;
            } else if (b >= 0xf0 && b <= 0xf4) {
                if (b == 0xf0)
                    lower = 0x90;
                if (b == 0xf4)
                    upper = 0x8f;
                needed = 3;
            } else {
                memcpy(out + len, "\xef\xbf\xbd", 3);
                len += 3;
            }
            continue;
        }
        if (b < lower || b > upper) {
            needed = seen = 0;
            lower = 0x80;
            upper = 0xbf;
            memcpy(out + len, "\xef\xbf\xbd", 3);
            len += 3;
            i--; /* the byte is looked at again */
            continue;
        }
        lower = 0x80;
        upper = 0xbf;
        if (++seen == needed) {
            memcpy(out + len, s + started, needed + 1);
            len += needed + 1;
            needed = seen = 0;
        }
    }
    if (needed > 0) {
        memcpy(out + len, "\xef\xbf\xbd", 3);
        len += 3;
    }
    return len;
}

static void check(const unsigned char *s, size_t n)
{
    char expected[600], got[600];
    size_t len = reference(s, n, expected);
    size_t size = sse__utf8_repaired_size((const char *)s, n);
    size_t valid = sse__utf8_valid_prefix((const char *)s, n);
    bool same = len == n && memcmp(expected, s, n) == 0;
    /* In the tail of its own room, which is the hard case. */
    if (size == len) {
        memcpy(got + size - n, s, n);
        sse__utf8_repair(got + size - n, n, got);
    }
    if (size != len || memcmp(got, expected, len) != 0 || (valid == n) != same ||
        reference(s, valid, expected) != valid)
        cr_assert_fail("%zu bytes, %02x %02x %02x %02x: size %zu, expected %zu, valid %zu", n, s[0],
                       s[1], s[2], s[3], size, len, valid);
}

Test(utf8, all_sequences_of_up_to_three_bytes)
{
    unsigned char s[4] = {0};
    for (unsigned i = 0; i < 0x1000000; i++) {
        s[0] = (unsigned char)(i >> 16);
        s[1] = (unsigned char)(i >> 8);
        s[2] = (unsigned char)i;
        if (s[0] < 0x80)
            i = 0x7fffff; /* ASCII first is dull */
        else
            check(s, 3);
    }
    for (unsigned i = 0; i < 0x10000; i++) {
        s[0] = (unsigned char)(i >> 8);
        s[1] = (unsigned char)i;
        check(s, 2);
        check(s, 1);
    }
    check(s, 0);
}

/* Bytes at which decisions are made. */
static const unsigned char edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                      0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                      0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};

Test(utf8, all_sequences_of_four_edge_bytes)
{
    const size_t n = sizeof edges;
    for (size_t i = 0; i < n * n * n * n; i++) {
        unsigned char s[4];
        size_t rest = i;
        for (int k = 0; k < 4; k++, rest /= n)
            s[k] = edges[rest % n];
        check(s, 4);
    }
}

/* Long texts, so that the quick ways over ASCII meet everything at every offset. */
Test(utf8, random_texts)
{
    uint64_t seed = 3;
    for (int round = 0; round < 50000; round++) {
        unsigned char s[200];
        size_t n = (size_t)(test_random(&seed) % sizeof s),
               odds = 1 + (size_t)(test_random(&seed) % 60);
        for (size_t i = 0; i < n; i++)
            s[i] = test_random(&seed) % odds == 0 ? edges[test_random(&seed) % sizeof edges] : 'a';
        check(s, n);
    }
}

/* Table 3-8 of the Unicode standard: U+FFFD for maximal subparts. */
Test(utf8, example_of_the_unicode_standard)
{
    static const char in[] = "\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64";
    static const char expected[] = "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                   "b\xef\xbf\xbd"
                                   "c\xef\xbf\xbd\xef\xbf\xbd"
                                   "d";
    char out[64];
    cr_assert_eq(sse__utf8_repaired_size(in, sizeof in - 1), sizeof expected - 1);
    sse__utf8_repair(in, sizeof in - 1, out);
    cr_assert_eq(memcmp(out, expected, sizeof expected - 1), 0);
    cr_assert_eq(sse__utf8_valid_prefix(in, sizeof in - 1), 1);
}
