/* URLs, header lines, block boundaries and printed events: the pure string work of client and
 * tools. */
#include "blocks.h"
#include "header.h"
#include "print.h"
#include "sentence.h"
#include "tool_connection.h"
#include "url.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void same_url(const char *url, const char *value, const char *want)
{
    char *got = sse__url_with(url, "stream", value);
    cr_assert_str_eq(got, want);
    free(got);
}

Test(url, stream_parameter)
{
    same_url("http://h/e", "a", "http://h/e?stream=a");
    same_url("http://h/e?x=1", "a", "http://h/e?x=1&stream=a");
    same_url("http://h/e?", "a", "http://h/e?stream=a");
    same_url("http://h/e?x=1&", "a", "http://h/e?x=1&stream=a");
    same_url("http://h/e#f", "a", "http://h/e?stream=a");
    same_url("http://h/e?x=1#f?g", "a", "http://h/e?x=1&stream=a");
    same_url("http://h", "a", "http://h?stream=a");
    same_url("http://h/e", NULL, "http://h/e");
    same_url("http://h/e?x#f", NULL, "http://h/e?x");
    same_url("http://h/e", "", "http://h/e?stream=");
}

Test(url, stream_names_cannot_break_out)
{
    same_url("http://h/", "a b&c=d#e?f/g%h+", "http://h/?stream=a%20b%26c%3Dd%23e%3Ff%2Fg%25h%2B");
    same_url("http://h/", "\xc3\xa9\r\n", "http://h/?stream=%C3%A9%0D%0A");
    same_url("http://h/", "A-z.0_9~", "http://h/?stream=A-z.0_9~");
}

static void same_events_url(const char *url, const char *want)
{
    char *got = tool_events_url(url);
    cr_assert_str_eq(got, want);
    free(got);
}

Test(url, a_hub_without_a_path_gets_events)
{
    same_events_url("http://h:1", "http://h:1/events");
    same_events_url("http://h:1/", "http://h:1/events");
    same_events_url("http://h:1/?x=1", "http://h:1/events?x=1");
    same_events_url("http://h:1?x=1", "http://h:1/events?x=1");
    same_events_url("http://h:1/hub", "http://h:1/hub");
    same_events_url("http://h:1/events", "http://h:1/events");
    same_events_url("h:1", "h:1/events");
    same_events_url("h:1/x", "h:1/x");
}

Test(header, validity)
{
    cr_assert(sse__header_valid("A: b"));
    cr_assert(sse__header_valid("A:b"));
    cr_assert(sse__header_valid("A:"));
    cr_assert(sse__header_valid("X-a_b.c: d: e"));
    cr_assert_not(sse__header_valid("A"));
    cr_assert_not(sse__header_valid(""));
    cr_assert_not(sse__header_valid(": b"));
    cr_assert_not(sse__header_valid("A b: c"));
    cr_assert_not(sse__header_valid("A: b\r\nC: d"));
    cr_assert_not(sse__header_valid("A: b\n"));
    cr_assert(sse__header_is("ACCEPT: x", "Accept"));
    cr_assert_not(sse__header_is("Accepts: x", "Accept"));
    cr_assert_str_eq(sse__header_value("A:  \tb c"), "b c");
}

Test(blocks, end_at_an_empty_line)
{
    blocks b = {0};
    cr_assert_eq(blocks_feed(&b, "data: a\n\ndata: b", 16), 9);
    cr_assert(blocks_unfinished(&b));
    cr_assert_eq(b.complete_lines, 2);
    cr_assert_eq(blocks_feed(&b, "\n", 1), 0);
    cr_assert(blocks_unfinished(&b));
    cr_assert_eq(blocks_feed(&b, "\ndata", 5), 1);
    cr_assert_eq(b.complete_lines, 4);
}

/* The second half of a line end ends a block only where the first one did. */
Test(blocks, crlf_cut_in_two)
{
    blocks b = {0};
    cr_assert_eq(blocks_feed(&b, "data: a\r", 8), 0);
    cr_assert_eq(blocks_feed(&b, "\ndata: b\r", 9), 0);
    cr_assert_eq(blocks_feed(&b, "\n\r", 2), 2);
    cr_assert_eq(blocks_feed(&b, "\n", 1), 1);
    cr_assert_eq(blocks_feed(&b, "id: 1\r\n", 7), 0);
}

Test(blocks, every_line_end_in_every_split)
{
    /* What comes before `!` are whole blocks. */
    static const char *const cases[] = {"a\n\n!b",   "a\r\r!b",   "a\r\n\r\n!b", "a\n\r\n!b",
                                        "a\r\r\n!b", "a\r\n\n!b", "\n\n!b\n",    "a\n\r!b\r"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t want = strcspn(cases[i], "!");
        char text[16];
        snprintf(text, sizeof text, "%.*s%s", (int)want, cases[i], cases[i] + want + 1);
        for (size_t cut = 0; cut <= strlen(text); cut++) {
            blocks b = {0};
            size_t first = blocks_feed(&b, text, cut);
            size_t second = blocks_feed(&b, text + cut, strlen(text) - cut);
            size_t got = second ? cut + second : first;
            cr_assert_eq(got, want, "%zu cut at %zu: %zu", i, cut, got);
            cr_assert(blocks_unfinished(&b));
        }
    }
}

static void same_print(print_format format, const sse_event *e, const char *stream,
                       const char *want)
{
    tool_buffer b = {0};
    print_event(&b, format, e, stream);
    cr_assert_eq(b.len, strlen(want), "%.*s", (int)b.len, b.bytes);
    cr_assert_arr_eq(b.bytes, want, b.len, "%.*s", (int)b.len, b.bytes);
    tool_buffer_free(&b);
}

static sse_event event(const char *id, const char *type, const char *data)
{
    sse_event e = {.id = sse_cstr(id), .type = sse_cstr(type), .data = sse_cstr(data)};
    return e;
}

Test(print, data)
{
    sse_event e = event("1", NULL, "a\nb");
    same_print(PRINT_DATA, &e, NULL, "a\nb\n");
}

Test(print, wire_format)
{
    sse_event e = event("1", "x", "a\nb");
    same_print(PRINT_SSE, &e, NULL, "id: 1\nevent: x\ndata: a\ndata: b\n\n");
    e = event("", NULL, "");
    same_print(PRINT_SSE, &e, NULL, "data:\n\n");
}

Test(print, json_escapes)
{
    sse_event e = event("\xc3\xa9", NULL, "\"\\\n\r\t\x01\x1f\x7f\xe2\x82\xac/");
    same_print(PRINT_JSON, &e, "s\"",
               "{\"id\":\"\xc3\xa9\",\"type\":\"message\",\"data\":"
               "\"\\\"\\\\\\n\\r\\t\\u0001\\u001f\\u007f\xe2\x82\xac/\",\"stream\":\"s\\\"\"}\n");
    e = event("", "t", "");
    e.data = (sse_str){"a\0b", 3};
    same_print(PRINT_JSON, &e, NULL, "{\"id\":\"\",\"type\":\"t\",\"data\":\"a\\u0000b\"}\n");
}

Test(print, json_is_utf8_whatever_the_data)
{
    sse_event e = event("", "t",
                        "a\xff\xfe"
                        "b");
    same_print(PRINT_JSON, &e, NULL,
               "{\"id\":\"\",\"type\":\"t\",\"data\":\"a\xef\xbf\xbd\xef\xbf\xbd"
               "b\"}\n");
}

/* ---- One line of a refusal ---- */

static void says(const char *body, size_t n, const char *want)
{
    char out[SSE__SENTENCE_SIZE];
    sse__sentence((sse_str){body, n}, out);
    cr_assert_str_eq(out, want);
}
#define SAYS(body, want) says(body, sizeof(body) - 1, want)

Test(sentence, the_first_line)
{
    SAYS("", "");
    says(NULL, 0, "");
    SAYS("no such stream\n", "no such stream");
    SAYS("one\r\ntwo\r\n", "one");
    SAYS("one\rtwo", "one");
    SAYS("\n \t\r\n  behind empty lines  \nx", "behind empty lines");
    SAYS("\n \n", "");
    SAYS("a \t  b", "a b");
}

Test(sentence, json_over_several_lines)
{
    SAYS("{\n    \"error\": {\n        \"message\": \"no such key\"\n    }\n}\n",
         "{ \"error\": { \"message\": \"no such key\" } }");
    SAYS("[\r\n1]\r\n", "[ 1]");
}

Test(sentence, nothing_that_a_terminal_obeys)
{
    SAYS("a\0b\x1b[31mc\x7f\x08", "a?b?[31mc??");
    SAYS("\xc2\x9b"
         "31m \xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
         "?31m \xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    SAYS("\xff\xc3(\xe2\x82\xed\xa0\x80 \xc3", "?"
                                               "?(????? ?");
}

Test(sentence, no_more_than_200_characters)
{
    char body[4 * 300], want[SSE__SENTENCE_SIZE];
    for (size_t i = 0; i < 300; i++)
        memcpy(body + 4 * i, "\xf0\x9f\x98\x80", 4);
    memcpy(want, body, 4 * 200);
    want[4 * 200] = '\0';
    says(body, 4 * 200, want); /* all of it */
    memcpy(want + 4 * 197, "...", 4);
    says(body, 4 * 201, want);
    says(body, 4 * 300, want);
}
