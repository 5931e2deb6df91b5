/* Base64: the vectors of RFC 4648, all lengths, everything that is not base64. */
#include "trace.h"

#include <criterion/criterion.h>
#include <sse/base64.h>

static const struct {
    const char *plain;
    const char *coded;
} vectors[] = {{"", ""},
               {"f", "Zg=="},
               {"fo", "Zm8="},
               {"foo", "Zm9v"},
               {"foob", "Zm9vYg=="},
               {"fooba", "Zm9vYmE="},
               {"foobar", "Zm9vYmFy"},
               {"\xfb\xff\xbf", "+/+/"}};

Test(base64, vectors_of_the_rfc)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        size_t n = strlen(vectors[i].plain), coded = strlen(vectors[i].coded), len;
        char out[16];
        cr_assert_eq(sse_base64_encoded_size(n), coded);
        sse_base64_encode(vectors[i].plain, n, out);
        cr_assert_eq(memcmp(out, vectors[i].coded, coded), 0);
        cr_assert_geq(sse_base64_decoded_size(coded), n);
        cr_assert_eq(sse_base64_decode(vectors[i].coded, coded, out, &len), SSE_OK);
        cr_assert_eq(len, n);
        cr_assert_eq(memcmp(out, vectors[i].plain, n), 0);
    }
}

/* Exactly the promised room, so that AddressSanitizer sees a byte too many; decoded in place. */
Test(base64, round_trip_of_all_lengths_in_place)
{
    for (size_t n = 0; n < 300; n++) {
        unsigned char *plain = malloc(n + 1);
        char *coded = malloc(sse_base64_encoded_size(n) + (n == 0));
        size_t len;
        cr_assert(plain && coded);
        for (size_t i = 0; i < n; i++)
            plain[i] = (unsigned char)(i * 37 + n);
        sse_base64_encode(plain, n, coded);
        cr_assert_eq(sse_base64_decode(coded, sse_base64_encoded_size(n), coded, &len), SSE_OK);
        cr_assert_eq(len, n);
        cr_assert(n == 0 || memcmp(plain, coded, n) == 0);
        free(plain);
        free(coded);
    }
}

static sse_err decode(const char *in, size_t *len)
{
    char out[64];
    return sse_base64_decode(in, strlen(in), out, len);
}

Test(base64, line_ends_are_skipped_anywhere)
{
    static const char *const good[] = {"Zm9v\nYmFy", "Zm9v\r\nYmFy\r\n", "\nZ\nm\n9\nv\nYmFy",
                                       "\r\rZm9vYmFy"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t len;
        cr_assert_eq(decode(good[i], &len), SSE_OK, "%s", good[i]);
        cr_assert_eq(len, 6);
    }
    size_t len;
    cr_assert_eq(decode("Z\ng\n=\n=\n", &len), SSE_OK);
    cr_assert_eq(len, 1);
}

Test(base64, what_is_not_base64_is_refused)
{
    static const char *const bad[] = {
        "Z",        "Zg",    "Zg=",    "Zm8",      "Zg===",       "Z===",    "=",        "====",
        "Zg==Zg==", "Zg==x", "Zg=x",   "Z=g=",     "Zm9v=",       "Zm9vYg=", "Zm 9v",    "Zm9v ",
        "Zm9-",     "Zm9_",  "Zm9v\t", "Zm9v\x80", "Zm9vY\xffg=", "Zm8=\n=", "Zm9v====", "*"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t len = 99;
        cr_assert_eq(decode(bad[i], &len), SSE_EBASE64, "%s", bad[i]);
        cr_assert_eq(len, 0);
    }
    char out[4];
    size_t len;
    cr_assert_eq(sse_base64_decode("Zm\0v", 4, out, &len), SSE_EBASE64);
}

/* Every character, as the first of a group: exactly 64 are good. */
Test(base64, the_alphabet_has_64_characters)
{
    int good = 0;
    for (int c = 0; c < 256; c++) {
        char in[4] = {(char)c, 'A', 'A', 'A'}, out[3];
        size_t len;
        if (sse_base64_decode(in, 4, out, &len) == SSE_OK)
            good++;
    }
    cr_assert_eq(good, 64);
}

Test(base64, random_input_never_writes_beyond_its_room)
{
    static const char pieces[] = "AZaz09+/==\r\n-";
    uint64_t seed = 5;
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)(test_random(&seed) % 20), len;
        char *in = malloc(n + 1);
        cr_assert(in);
        for (size_t i = 0; i < n; i++)
            in[i] = pieces[test_random(&seed) % (sizeof pieces - 1)];
        size_t room = sse_base64_decoded_size(n);
        char *out = malloc(room > 0 ? room : 1);
        cr_assert(out);
        if (sse_base64_decode(in, n, out, &len) == SSE_OK && len > room)
            cr_assert_fail("%zu bytes", len);
        free(in);
        free(out);
    }
}
