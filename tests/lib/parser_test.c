/* The parser's API beside the format: options, problems, stopping, resetting, raw blocks. */
#include "layout.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>

static const struct cut whole = {CUT_WHOLE, 0};

Test(parser, refuses_bad_arguments)
{
    sse_parser *p = (sse_parser *)1;
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.size = 3;
    cr_assert_eq(sse_parser_new(&options, &trace_callbacks, NULL, &p), SSE_EINVAL);
    cr_assert_null(p);
    cr_assert_eq(sse_parser_new(NULL, NULL, NULL, &p), SSE_EINVAL);
    p = (sse_parser *)1;
    sse_parser_callbacks sizeless = trace_callbacks;
    sizeless.size = 0;
    cr_assert_eq(sse_parser_new(NULL, &sizeless, NULL, &p), SSE_EINVAL);
    cr_assert_null(p);
    sse_parser_free(NULL);
}

/* As a program has them that was built with an older header. */
Test(parser, understands_shorter_options)
{
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    sse_parser *p;
    options.max_event_bytes = 4;
    options.raw_blocks = true; /* not looked at */
    options.size = offsetof(sse_parser_options, raw_blocks);
    struct trace t;
    trace_init(&t);
    cr_assert_eq(sse_parser_new(&options, &trace_callbacks, &t, &p), SSE_OK);
    cr_assert_eq(sse_parser_feed(p, "data:1234\n\ndata:12345\n\n", 23), SSE_OK);
    cr_assert_str_eq(trace_text(&t), "message \"1234\"\n! SSE_ETOOBIG 3\n");
    trace_fini(&t);
    sse_parser_free(p);
}

/* Likewise; its struct ends before the last callback, whose place holds something else. */
Test(parser, understands_shorter_callbacks)
{
    sse_parser_callbacks shorter = trace_callbacks;
    shorter.on_problem = (int (*)(void *, sse_err, uint64_t, const char *))(uintptr_t)1;
    shorter.size = offsetof(sse_parser_callbacks, on_problem);
    sse_parser *p;
    struct trace t;
    trace_init(&t);
    cr_assert_eq(sse_parser_new(NULL, &shorter, &t, &p), SSE_OK);
    cr_assert_eq(sse_parser_feed(p, "unknown\ndata:1\n\n", 16), SSE_OK);
    cr_assert_str_eq(trace_text(&t), "message \"1\"\n");
    trace_fini(&t);
    sse_parser_free(p);
}

HAS_NO_GAP_BEHIND(sse_parser_options, reserved);
HAS_NO_GAP_BEHIND(sse_parser_callbacks, on_problem);

Test(parser, all_callbacks_are_optional)
{
    sse_parser *p;
    sse_parser_callbacks none = SSE_PARSER_CALLBACKS_INIT;
    cr_assert_eq(sse_parser_new(NULL, &none, NULL, &p), SSE_OK);
    cr_assert_eq(trace_feed(p, sse_cstr(":c\nid:1\nretry:3\nfoo\nevent:\xff\ndata:x\n\n"), whole),
                 SSE_OK);
    cr_assert_eq(sse_parser_feed(p, NULL, 0), SSE_OK);
    cr_assert_eq(sse_parser_last_event_id(p).len, 1);
    sse_parser_free(p);
}

Test(parser, problems_have_the_number_of_their_line)
{
    struct trace t;
    trace_init(&t);
    const char in[] = "foo\r\n\r\nid:\0\r:c\nretry:x\n\nbar\n";
    trace_run(&t, NULL, (sse_str){in, sizeof in - 1}, whole);
    cr_assert_str_eq(trace_text(&t), "! SSE_EINVAL 1\n! SSE_EINVAL 3\n: \"c\"\n! SSE_EINVAL 5\n"
                                     "! SSE_EINVAL 7\nunfinished\n");
    trace_fini(&t);
}

/* Every callback in turn says stop: nothing is called after it, and the parser stays stopped until
 * a reset. */
Test(parser, a_callback_stops_it)
{
    const char in[] = ":c\nretry:1\nfoo\nid:1\nevent:e\ndata:x\n\n:d\nid:2\ndata:y\n\n";
    struct trace all;
    trace_init(&all);
    trace_run(&all, NULL, sse_cstr(in), whole);
    cr_assert_eq(all.calls, 8);
    for (size_t stop = 1; stop <= all.calls; stop++) {
        for (size_t step = 1; step < sizeof in; step++) {
            struct trace t;
            sse_parser *p;
            trace_init(&t);
            t.stop_at = stop;
            cr_assert_eq(sse_parser_new(NULL, &trace_callbacks, &t, &p), SSE_OK);
            cr_assert_eq(trace_feed(p, sse_cstr(in), (struct cut){CUT_EVERY, step}), SSE_ECANCELED);
            cr_assert_eq(t.calls, stop);
            cr_assert_eq(strncmp(trace_text(&t), trace_text(&all), t.len), 0);
            cr_assert_eq(sse_parser_feed(p, "data:z\n\n", 8), SSE_ECANCELED);
            cr_assert_eq(t.calls, stop);
            sse_parser_reset(p);
            trace_clear(&t);
            t.stop_at = 0;
            cr_assert_eq(sse_parser_set_last_event_id(p, sse_cstr("")), SSE_OK);
            cr_assert_eq(sse_parser_feed(p, "data:z\n\n", 8), SSE_OK);
            cr_assert_str_eq(trace_text(&t), "message \"z\"\n");
            sse_parser_free(p);
            trace_fini(&t);
        }
    }
    trace_fini(&all);
}

Test(parser, a_stop_from_a_too_long_line_is_noticed)
{
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.max_event_bytes = 10;
    struct trace t;
    sse_parser *p;
    trace_init(&t);
    t.stop_at = 1;
    cr_assert_eq(sse_parser_new(&options, &trace_callbacks, &t, &p), SSE_OK);
    cr_assert_eq(sse_parser_feed(p, "data:34567890123456789012345678901234567890", 40),
                 SSE_ECANCELED);
    cr_assert_str_eq(trace_text(&t), "! SSE_ETOOBIG 1\n");
    cr_assert(sse_parser_reset(p));
    sse_parser_free(p);
    trace_fini(&t);
}

Test(parser, last_event_id_can_be_set)
{
    struct trace t;
    sse_parser *p;
    trace_init(&t);
    cr_assert_eq(sse_parser_new(NULL, &trace_callbacks, &t, &p), SSE_OK);
    cr_assert_eq(sse_parser_last_event_id(p).len, 0);
    cr_assert_not_null(sse_parser_last_event_id(p).ptr);
    cr_assert_eq(sse_parser_set_last_event_id(p, sse_cstr("a\nb")), SSE_EINVAL);
    cr_assert_eq(sse_parser_set_last_event_id(p, sse_cstr("a\rb")), SSE_EINVAL);
    cr_assert_eq(sse_parser_set_last_event_id(p, (sse_str){"a\0b", 3}), SSE_EINVAL);
    cr_assert_eq(sse_parser_set_last_event_id(p, (sse_str){NULL, 3}), SSE_EINVAL);
    cr_assert_eq(sse_parser_set_last_event_id(p, sse_cstr("41")), SSE_OK);
    cr_assert_eq(sse_parser_set_last_event_id(p, sse_parser_last_event_id(p)), SSE_OK);
    cr_assert_eq(trace_feed(p, sse_cstr("data:a\n\nid:41\ndata:b\n\nid:42\n\n"), whole), SSE_OK);
    cr_assert_str_eq(trace_text(&t), "message #\"41\" \"a\"\nmessage #\"41\" \"b\"\nid \"42\"\n");
    trace_clear(&t);
    cr_assert_eq(sse_parser_set_last_event_id(p, sse_cstr(NULL)), SSE_OK);
    cr_assert_eq(trace_feed(p, sse_cstr("data:c\n\n"), whole), SSE_OK);
    cr_assert_str_eq(trace_text(&t), "message \"c\"\n");
    sse_parser_free(p);
    trace_fini(&t);
}

Test(parser, reset_begins_a_new_stream)
{
    struct trace t;
    sse_parser *p;
    trace_init(&t);
    cr_assert_eq(sse_parser_new(NULL, &trace_callbacks, &t, &p), SSE_OK);
    cr_assert_not(sse_parser_reset(p));
    cr_assert_eq(sse_parser_feed(p, "event:x\nid:1\ndata:a\r", 20), SSE_OK);
    cr_assert(sse_parser_reset(p));
    cr_assert_not(sse_parser_reset(p));
    /* The LF is not the second half of a line end, the BOM is at the start, lines count anew. */
    cr_assert_eq(sse_parser_feed(p, "\n", 1), SSE_OK);
    cr_assert_eq(sse_parser_feed(p, "foo\n", 4), SSE_OK);
    cr_assert(sse_parser_reset(p));
    cr_assert_eq(sse_parser_feed(p,
                                 "\xef\xbb\xbf"
                                 "data:b\n\n",
                                 11),
                 SSE_OK);
    cr_assert_str_eq(trace_text(&t), "! SSE_EINVAL 2\nmessage \"b\"\n");
    sse_parser_free(p);
    trace_fini(&t);
}

static void check_raw(const char *in, const char *expected)
{
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = true;
    size_t n = strlen(in);
    for (size_t i = 0; i <= n + 2; i++) {
        struct trace t;
        trace_init(&t);
        struct cut cut = i <= n ? (struct cut){CUT_AT, i} : (struct cut){CUT_EVERY, i - n};
        trace_run(&t, &options, sse_cstr(in), cut);
        cr_assert_str_eq(trace_text(&t), expected, "%s, cut %zu", in, i);
        trace_fini(&t);
    }
}

Test(parser, raw_blocks_are_reported_as_written)
{
    check_raw("data:a\n\n", "block data \"a\"\n");
    check_raw("id:1\ndata:a\n\ndata:b\n\n",
              "id \"1\"\nblock id \"1\" data \"a\"\nblock data \"b\"\n");
    check_raw("id:1\n\nid:1\n\n", "id \"1\"\nblock id \"1\"\nblock id \"1\"\n");
    check_raw("id\nevent\ndata\n\n", "block id \"\" type \"\" data \"\"\n");
    check_raw("event:x\n\n", "block type \"x\"\n");
    check_raw("retry:5\n\nretry:6\ndata:a\n\ndata:b\n\n",
              "retry 5\nblock retry 5\nretry 6\nblock retry 6 data \"a\"\nblock data \"b\"\n");
    check_raw(": one\ndata:a\n:\n:three\n\n",
              ": \"one\"\n: \"\"\n: \"three\"\nblock comment \"one\\x0a\\x0athree\" data \"a\"\n");
    check_raw(":\n\n", ": \"\"\nblock comment \"\"\n");
    check_raw(":\xff\n:ok\n\n",
              ": \"\\xef\\xbf\\xbd\"\n: \"ok\"\nblock comment \"\\xef\\xbf\\xbd\\x0aok\"\n");
    check_raw("\n\n\n", "");
}

Test(parser, raw_blocks_with_nothing_that_counts_are_not_reported)
{
    check_raw("foo:1\n\nretry:x\n\n", "! SSE_EINVAL 1\n! SSE_EINVAL 3\n");
}

Test(parser, raw_blocks_that_are_cut_off_are_told)
{
    check_raw("data:a", "unfinished\n");
    check_raw(":c\n", ": \"c\"\nunfinished\n");
    check_raw("data:a\n\n", "block data \"a\"\n");
}

/* A large id and a small one after it; an unlimited parser. */
Test(parser, ids_of_all_sizes_in_turn)
{
    static const size_t sizes[] = {1, 100000, 2, 70000, 100000, 65536, 0, 65537, 3};
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.max_event_bytes = SIZE_MAX;
    sse_parser_callbacks none = SSE_PARSER_CALLBACKS_INIT;
    sse_parser *p;
    char *in = malloc(100100);
    cr_assert(in);
    for (size_t step = 1000; step <= 200000; step *= 200) {
        cr_assert_eq(sse_parser_new(&options, &none, NULL, &p), SSE_OK);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            memcpy(in, "id:", 3);
            memset(in + 3, 'a' + (int)i, sizes[i]);
            memcpy(in + 3 + sizes[i], "\n\n", 2);
            cr_assert_eq(trace_feed(p, (sse_str){in, sizes[i] + 5}, (struct cut){CUT_EVERY, step}),
                         SSE_OK);
            sse_str id = sse_parser_last_event_id(p);
            cr_assert_eq(id.len, sizes[i]);
            cr_assert_eq(memcmp(id.ptr, in + 3, id.len), 0);
        }
        sse_parser_free(p);
    }
    free(in);
}
