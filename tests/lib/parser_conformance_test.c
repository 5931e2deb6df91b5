/* The lines 1 to 16 of what a conforming implementation does: parsing.
 *
 * Every case names its line, and is run whole, byte by byte, two bytes at a time, in random chunks,
 * and cut once at every place. */
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct conformance {
    int line;
    const char *name;
    sse_str input;
    const char *expected; /* see trace.h; without problems */
};

#define IN(text)                                                                                   \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define BOM "\xef\xbb\xbf"
#define FFFD "\\xef\\xbf\\xbd"

static const struct conformance cases[] = {
    {1, "one event", IN("data: Hello\n\n"), "message \"Hello\"\n"},
    {1, "without the space", IN("data:Hello\n\n"), "message \"Hello\"\n"},
    {1, "nothing at all", IN(""), ""},
    {1, "two events", IN("data: a\n\ndata: b\n\n"), "message \"a\"\nmessage \"b\"\n"},

    {2, "two lines of data", IN("data:a\ndata:b\n\n"), "message \"a\\x0ab\"\n"},
    {2, "fields in any order", IN("data:a\nid:1\nevent:x\ndata:b\n\n"),
     "id \"1\"\nevent \"x\" #\"1\" \"a\\x0ab\"\n"},
    {2, "the last of several types and ids counts",
     IN("event:x\nid:1\nevent:yy\nid:22\ndata:a\n\n"), "id \"22\"\nevent \"yy\" #\"22\" \"a\"\n"},
    {2, "three lines, the middle one empty", IN("data:a\ndata\ndata:b\n\n"),
     "message \"a\\x0a\\x0ab\"\n"},

    {3, "empty data", IN("data:\n\ndata\ndata\n\ndata:test\n\n"),
     "message \"\"\nmessage \"\\x0a\"\nmessage \"test\"\n"},
    {3, "a field name without a colon", IN("data\n\n"), "message \"\"\n"},
    {3, "a type without a colon is empty", IN("event:x\nevent\ndata:1\n\n"), "message \"1\"\n"},
    {3, "only a space", IN("data: \n\n"), "message \"\"\n"},

    {4, "a type alone gives no event, and is gone", IN("event: x\n\ndata: 1\n\n"),
     "message \"1\"\n"},
    {4, "an id alone gives no event, and counts", IN("id: 7\n\ndata: 1\n\n"),
     "id \"7\"\nmessage #\"7\" \"1\"\n"},
    {4, "empty lines", IN("\n\n\n\ndata:1\n\n\n\n"), "message \"1\"\n"},

    {5, "one space is removed", IN("data:  2\n\n"), "message \" 2\"\n"},
    {5, "a tab is not", IN("data:\ttest\n\n"), "message \"\\x09test\"\n"},
    {5, "spaces at the end stay", IN("data: a  \n\n"), "message \"a  \"\n"},
    {5, "a value with colons", IN("data: a:b: c\n\n"), "message \"a:b: c\"\n"},
    {5, "a space before the colon makes another name", IN("data : a\n\ndata:1\n\n"),
     "message \"1\"\n"},
    {5, "id and type keep their further spaces", IN("id:  1 \nevent:  x \ndata:1\n\n"),
     "id \" 1 \"\nevent \" x \" #\" 1 \" \"1\"\n"},

    {6, "CRLF", IN("data:1\r\ndata:2\r\n\r\n"), "message \"1\\x0a2\"\n"},
    {6, "CR", IN("data:1\rdata:2\r\r"), "message \"1\\x0a2\"\n"},
    {6, "mixed", IN("data:1\rdata:2\ndata:3\r\n\ndata:4\n\rdata:5\r\n\r"),
     "message \"1\\x0a2\\x0a3\"\nmessage \"4\"\nmessage \"5\"\n"},
    {6, "CRLF CR ends a block", IN("data:1\r\n\rdata:2\n\n"), "message \"1\"\nmessage \"2\"\n"},
    {6, "LF CR ends a block", IN("data:1\n\rdata:2\n\n"), "message \"1\"\nmessage \"2\"\n"},
    {6, "LF CRLF ends a block once", IN("data:1\n\r\ndata:2\n\n"),
     "message \"1\"\nmessage \"2\"\n"},
    {6, "CRLF LF ends a block", IN("data:1\r\n\ndata:2\n\n"), "message \"1\"\nmessage \"2\"\n"},
    {6, "CR CR LF ends a block once", IN("data:1\r\r\ndata\r\r\n"),
     "message \"1\"\nmessage \"\"\n"},
    {6, "other line ends of Unicode are data",
     IN("data:a\xe2\x80\xa8"
        "b\xc2\x85"
        "c\x0b\x0c"
        "d\n\n"),
     "message \"a\\xe2\\x80\\xa8b\\xc2\\x85c\\x0b\\x0cd\"\n"},

    {7, "NUL is data", IN("data:\0\n\n"), "message \"\\x00\"\n"},
    {7, "NUL in the middle, and in a type", IN("event:x\0y\ndata:a\0b\n\n"),
     "event \"x\\x00y\" \"a\\x00b\"\n"},
    {7, "a field name with a NUL is unknown", IN("da\0ta:1\ndata\0:2\n\0data:3\ndata:4\n\n"),
     "message \"4\"\n"},

    {8, "comments", IN(":\n: two\n:three\n\n"), ": \"\"\n: \"two\"\n: \"three\"\n"},
    {8, "a comment as soon as its line ends", IN("data:1\n:c\ndata:2\n\n:d"),
     ": \"c\"\nmessage \"1\\x0a2\"\nunfinished\n"},
    {8, "a comment as soon as its line ends with CR", IN("data:1\n:c\r"), ": \"c\"\nunfinished\n"},
    {8, "comments and events in order", IN(":a\ndata:1\n\n:b\n\ndata:2\n\n"),
     ": \"a\"\nmessage \"1\"\n: \"b\"\nmessage \"2\"\n"},
    {8, "a comment that looks like a field", IN(":data:1\n::\n\n"), ": \"data:1\"\n: \":\"\n"},
    {8, "a comment with bytes that are not UTF-8", IN(":\xff\0\n"), ": \"" FFFD "\\x00\"\n"},

    {9, "BOM at the start", IN(BOM "data:1\n\n"), "message \"1\"\n"},
    {9, "a second BOM is part of the name", IN(BOM BOM "data:1\n\ndata:2\n\n"), "message \"2\"\n"},
    {9, "BOM later is part of the name", IN("\n" BOM "data:1\n\ndata:2\n\n"), "message \"2\"\n"},
    {9, "BOM is data", IN("data:" BOM "1" BOM "\n\n"),
     "message \"\\xef\\xbb\\xbf1\\xef\\xbb\\xbf\"\n"},
    {9, "BOM alone on its line", IN(BOM "\ndata:1\n\n"), "message \"1\"\n"},
    {9, "BOM alone", IN(BOM), ""},
    {9, "BOM before a comment", IN(BOM ":c\n"), ": \"c\"\n"},
    {9, "half a BOM",
     IN("\xef\xbb"
        "data:1\n\ndata:2\n\n"),
     "message \"2\"\n"},
    {9, "UTF-16 BOMs are nothing special",
     IN("\xfe\xff\n\xff\xfe"
        "data:1\n\ndata:2\n\n"),
     "message \"2\"\n"},

    {10, "characters of all lengths", IN("data:\x7f\xc2\x80\xe2\x82\xac\xf0\x9f\x98\x80\n\n"),
     "message \"\\x7f\\xc2\\x80\\xe2\\x82\\xac\\xf0\\x9f\\x98\\x80\"\n"},
    {10, "bytes that begin nothing",
     IN("data:a\xff"
        "b\x80\xc0\xc1\xf5\n\n"),
     "message \"a" FFFD "b" FFFD FFFD FFFD FFFD "\"\n"},
    {10, "a character that breaks off counts once",
     IN("data:\xf0\x9f\x98"
        "a\xe2\x82\n\n"),
     "message \"" FFFD "a" FFFD "\"\n"},
    {10, "surrogates, overlong and too high",
     IN("data:\xed\xa0\x80|\xc0\xaf|\xe0\x80\xaf|\xf4\x90\x80\x80\n\n"),
     "message \"" FFFD FFFD FFFD "|" FFFD FFFD "|" FFFD FFFD FFFD "|" FFFD FFFD FFFD FFFD "\"\n"},
    {10, "a line end ends a character that breaks off", IN("data:\xe2\x82\r\ndata:\xac\n\n"),
     "message \"" FFFD "\\x0a" FFFD "\"\n"},
    {10, "repaired data between good data", IN("data:good\ndata:\xff\ndata:good\n\n"),
     "message \"good\\x0a" FFFD "\\x0agood\"\n"},
    {10, "repaired id and type beside data",
     IN("data:a\nid:\xff\nevent:\xfe"
        "x\ndata:b\n\n"),
     "id \"" FFFD "\"\nevent \"" FFFD "x\" #\"" FFFD "\" \"a\\x0ab\"\n"},
    {10, "Latin-1 stays invalid", IN("data: caf\xe9\n\n"), "message \"caf" FFFD "\"\n"},

    {11, "an id persists", IN("id:1\ndata:1\n\ndata:2\n\n"),
     "id \"1\"\nmessage #\"1\" \"1\"\nmessage #\"1\" \"2\"\n"},
    {11, "an empty id resets", IN("id:1\ndata:1\n\nid\ndata:2\n\nid:3\n\nid:\ndata:4\n\n"),
     "id \"1\"\nmessage #\"1\" \"1\"\nid \"\"\nmessage \"2\"\nid \"3\"\nid \"\"\nmessage \"4\"\n"},
    {11, "an id with NUL is ignored", IN("id:1\ndata:1\n\nid:2\0\ndata:2\n\nid:\0\ndata:3\n\n"),
     "id \"1\"\nmessage #\"1\" \"1\"\nmessage #\"1\" \"2\"\nmessage #\"1\" \"3\"\n"},
    {11, "an id with NUL leaves the one before it in its block", IN("id:1\nid:2\0\ndata:1\n\n"),
     "id \"1\"\nmessage #\"1\" \"1\"\n"},
    {11, "an id that is not ASCII", IN("id:\xe2\x80\xa6\ndata:1\n\n"),
     "id \"\\xe2\\x80\\xa6\"\nmessage #\"\\xe2\\x80\\xa6\" \"1\"\n"},
    {11, "the same id again is no change", IN("id:1\ndata:1\n\nid:1\ndata:2\n\n"),
     "id \"1\"\nmessage #\"1\" \"1\"\nmessage #\"1\" \"2\"\n"},
    {11, "the id of a block comes late, its event has it", IN("data:1\nid:9\n\n"),
     "id \"9\"\nmessage #\"9\" \"1\"\n"},

    {12, "an empty type is message", IN("event: \ndata:x\n\n"), "message \"x\"\n"},
    {12, "a type does not leak", IN("event:t\ndata:x\n\ndata:x\n\n"),
     "event \"t\" \"x\"\nmessage \"x\"\n"},
    {12, "a type is a string like others",
     IN("event:message\ndata:x\n\nevent:\xc3\xa4 b:c\ndata:x\n\n"),
     "event \"message\" \"x\"\nevent \"\\xc3\\xa4 b:c\" \"x\"\n"},

    {13, "leading zeros", IN("retry:02000\ndata:x\n\n"), "retry 2000\nmessage \"x\"\n"},
    {13, "without a dispatch", IN("retry:3000\n"), "retry 3000\nunfinished\n"},
    {13, "only digits count",
     IN("retry:1000x\nretry:-1\nretry:+5\nretry:1.5\nretry:\nretry\nretry: \nretry:0x10\n"
        "retry:1 \nretry:  1\nretry:\xd9\xa1\n\n"),
     ""},
    {13, "zero", IN("retry: 0\n\n"), "retry 0\n"},
    {13, "the largest, and larger ones",
     IN("retry:18446744073709551615\nretry:18446744073709551616\nretry:"
        "1000000000000000000000000000000\n"
        "retry:99999999999999999999999\n\n"),
     "retry 18446744073709551615\nretry 18446744073709551615\nretry 18446744073709551615\n"
     "retry 18446744073709551615\n"},
    {13, "it comes before the event of its block", IN("data:x\nretry:7\n\n"),
     "retry 7\nmessage \"x\"\n"},

    {14, "unknown fields", IN("justsometext\ndatax:1\nfoo: bar\n data:2\ndat:3\nids:4\ndata:1\n\n"),
     "message \"1\"\n"},
    {14, "names are case-sensitive", IN("Data:1\nDATA:2\nID:3\nEvent:x\nRetry:5\ndata:4\n\n"),
     "message \"4\"\n"},
    {14, "only unknown fields", IN("x:1\n\n"), ""},

    {15, "a block that is cut off", IN("data:1\n\ndata:2"), "message \"1\"\nunfinished\n"},
    {15, "without its empty line", IN("data:1\n\ndata:2\n"), "message \"1\"\nunfinished\n"},
    {15, "its id is discarded too", IN("id:1\ndata:1\n\nid:2\ndata:2\n"),
     "id \"1\"\nmessage #\"1\" \"1\"\nunfinished\n"},
    {15, "comments alone are not a block", IN("data:1\n\n:c\n"), "message \"1\"\n: \"c\"\n"},
    {15, "a carriage return is enough", IN("data:1\r\r"), "message \"1\"\n"},
};

static void check(const struct conformance *c, struct cut cut)
{
    struct trace t;
    trace_init(&t);
    t.problems = false;
    trace_run(&t, NULL, c->input, cut);
    cr_assert_not(t.malformed);
    if (strcmp(trace_text(&t), c->expected) != 0)
        cr_assert_fail("conformance %d: %s (cut %d, %zu):\n%s--- expected:\n%s", c->line, c->name,
                       (int)cut.kind, cut.n, trace_text(&t), c->expected);
    trace_fini(&t);
}

static void check_line(int line)
{
    size_t found = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct conformance *c = &cases[i];
        if (c->line != line)
            continue;
        found++;
        check(c, (struct cut){CUT_WHOLE, 0});
        check(c, (struct cut){CUT_EVERY, 1});
        check(c, (struct cut){CUT_EVERY, 2});
        for (size_t seed = 0; seed < 8; seed++)
            check(c, (struct cut){CUT_RANDOM, seed});
        for (size_t at = 0; at < c->input.len; at++)
            check(c, (struct cut){CUT_AT, at});
    }
    cr_assert(found > 0, "conformance %d has no case", line);
}

Test(conformance, line_01_message) { check_line(1); }
Test(conformance, line_02_field_order) { check_line(2); }
Test(conformance, line_03_empty_values) { check_line(3); }
Test(conformance, line_04_blocks_without_data) { check_line(4); }
Test(conformance, line_05_one_leading_space) { check_line(5); }
Test(conformance, line_06_line_ends) { check_line(6); }
Test(conformance, line_07_nul) { check_line(7); }
Test(conformance, line_08_comments) { check_line(8); }
Test(conformance, line_09_bom) { check_line(9); }
Test(conformance, line_10_utf8) { check_line(10); }
Test(conformance, line_11_last_event_id) { check_line(11); }
Test(conformance, line_12_type) { check_line(12); }
Test(conformance, line_13_retry) { check_line(13); }
Test(conformance, line_14_unknown_fields) { check_line(14); }
Test(conformance, line_15_cut_off_block) { check_line(15); }

/* 10 again: the parser is never told of a charset, so there is no other way than UTF-8; and 11: the
 * id outlives the connection. */
Test(conformance, line_11_id_persists_over_connections)
{
    struct trace t;
    sse_parser *p;
    trace_init(&t);
    cr_assert_eq(sse_parser_new(NULL, &trace_callbacks, &t, &p), SSE_OK);
    cr_assert_eq(
        trace_feed(p, sse_cstr("id:1\ndata:a\n\nid:2\ndata:b"), (struct cut){CUT_EVERY, 1}),
        SSE_OK);
    trace_end(&t, p);
    cr_assert_eq(trace_feed(p, sse_cstr(BOM "data:c\n\n"), (struct cut){CUT_EVERY, 1}), SSE_OK);
    trace_end(&t, p);
    cr_assert_str_eq(trace_text(&t), "id \"1\"\nmessage #\"1\" \"a\"\nunfinished\n"
                                     "message #\"1\" \"c\"\n");
    sse_parser_free(p);
    trace_fini(&t);
}

Test(conformance, line_11_long_id)
{
    size_t n = 100000;
    char *input = malloc(n + 32);
    cr_assert(input);
    size_t len = (size_t)sprintf(input, "id:");
    memset(input + len, 'i', n);
    len += n;
    len += (size_t)sprintf(input + len, "\ndata:1\n\n");
    const struct cut cuts[] = {
        {CUT_WHOLE, 0}, {CUT_EVERY, 1}, {CUT_EVERY, 2}, {CUT_RANDOM, 1}, {CUT_AT, n}};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct trace t;
        trace_init(&t);
        trace_run(&t, NULL, (sse_str){input, len}, cuts[i]);
        cr_assert_eq(t.len, 2 * n + strlen("id \"\"\nmessage #\"\" \"1\"\n"));
        cr_assert_eq(strspn(t.text + 4, "i"), n);
        trace_fini(&t);
    }
    free(input);
}
