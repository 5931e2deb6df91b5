/* A growing text, and JSON strings in it. */
#include "json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void expect(const char *bytes, size_t n, const char *json)
{
    sse__text text = {0};
    sse__text_json(&text, bytes, n);
    cr_assert_not(text.failed);
    cr_assert_str_eq(text.ptr, json);
    cr_assert_eq(text.len, strlen(json));
    sse__text_fini(&text);
}

Test(text, grows)
{
    sse__text text = {0};
    for (int i = 0; i < 1000; i++)
        sse__text_addf(&text, "%d,", i);
    sse__text_add(&text, "end");
    sse__text_add_bytes(&text, "\0x", 2);
    sse__text_add(&text, "");
    cr_assert_not(text.failed);
    cr_assert_eq(strncmp(text.ptr, "0,1,2,3,", 8), 0);
    cr_assert_eq(memcmp(text.ptr + text.len - 9, "999,end\0x", 9), 0);
    cr_assert_eq(text.ptr[text.len], '\0');
    sse__text_fini(&text);
    cr_assert_null(text.ptr);
    sse__text_fini(&text);
}

Test(text, formats_more_than_it_holds)
{
    char big[5000];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    sse__text text = {0};
    sse__text_addf(&text, "<%s>", big);
    cr_assert_eq(text.len, sizeof big + 1);
    cr_assert_eq(text.ptr[0], '<');
    cr_assert_eq(text.ptr[text.len - 1], '>');
    sse__text_fini(&text);
}

Test(json, escapes)
{
    expect("", 0, "\"\"");
    expect("plain text /", 12, "\"plain text /\"");
    expect("\"\\", 2, "\"\\\"\\\\\"");
    expect("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
    expect("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\"");
    expect("a\0b", 3, "\"a\\u0000b\"");
}

Test(json, keeps_utf8)
{
    static const char *const good[] = {"\xc3\xa9",     "\xe2\x82\xac",     "\xf0\x9f\x98\x80",
                                       "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char json[16];
        snprintf(json, sizeof json, "\"%s\"", good[i]);
        expect(good[i], strlen(good[i]), json);
    }
}

Test(json, replaces_what_is_not_utf8)
{
    /* Overlong, surrogates, beyond the last character, cut off, bytes that never occur. */
    static const char *const bad[] = {"\x80",
                                      "\xff",
                                      "\xc0\xaf",
                                      "\xe0\x80\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80",
                                      "\xe2\x82",
                                      "\xc3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sse__text text = {0};
        sse__text_json(&text, bad[i], strlen(bad[i]));
        cr_assert_eq((text.len - 2) % 3, 0);
        for (size_t at = 1; at + 1 < text.len; at += 3)
            cr_assert_eq(memcmp(text.ptr + at, "\xef\xbf\xbd", 3), 0);
        sse__text_fini(&text);
    }
    expect("a\xff"
           "b",
           3,
           "\"a\xef\xbf\xbd"
           "b\"");
}
