/* The parser's oracle: any cut of an input gives what the whole gives. The inputs are made from the
 * pieces that parsers get wrong. */
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const sse_str alphabet[] = {
    {"data:", 5},    {"data", 4},         {"data: ", 6},   {"id", 2},
    {"id:", 3},      {"id: ", 4},         {"event:", 6},   {"event", 5},
    {"retry:", 6},   {"retry", 5},        {":", 1},        {" ", 1},
    {"\n", 1},       {"\n", 1},           {"\n\n", 2},     {"\r", 1},
    {"\r", 1},       {"\r\n", 2},         {"\r\n\r\n", 4}, {"\0", 1},
    {"\xef", 1},     {"\xbb", 1},         {"\xbf", 1},     {"\xef\xbb\xbf", 3},
    {"\xc3\xa4", 2}, {"\xe2\x82", 2},     {"\xac", 1},     {"\xf0\x9f\x98\x80", 4},
    {"\xff", 1},     {"\xed\xa0", 2},     {"0", 1},        {"9", 1},
    {"123", 3},      {"99999999999", 11}, {"x", 1},        {"abcdefghijklmnopqrstuvwxyz", 26},
};

static size_t make_input(uint64_t *seed, char *input, size_t cap)
{
    size_t len = 0, pieces = 1 + (size_t)(test_random(seed) % 40);
    for (size_t i = 0; i < pieces; i++) {
        size_t pick = (size_t)(test_random(seed) % (sizeof alphabet / sizeof alphabet[0]));
        if (len + alphabet[pick].len > cap)
            break;
        memcpy(input + len, alphabet[pick].ptr, alphabet[pick].len);
        len += alphabet[pick].len;
    }
    return len;
}

static void check(const sse_parser_options *options, sse_str input, struct cut cut,
                  const char *expected, uint64_t round)
{
    struct trace t;
    trace_init(&t);
    trace_run(&t, options, input, cut);
    if (strcmp(trace_text(&t), expected) != 0)
        cr_assert_fail("round %llu, cut %d %zu:\n%s--- whole:\n%s", (unsigned long long)round,
                       (int)cut.kind, cut.n, trace_text(&t), expected);
    trace_fini(&t);
}

static void oracle(const sse_parser_options *options, uint64_t rounds, uint64_t seed)
{
    char input[512];
    for (uint64_t round = 0; round < rounds; round++) {
        sse_str in = {input, make_input(&seed, input, sizeof input)};
        struct trace whole;
        trace_init(&whole);
        trace_run(&whole, options, in, (struct cut){CUT_WHOLE, 0});
        const char *expected = trace_text(&whole);
        check(options, in, (struct cut){CUT_EVERY, 1}, expected, round);
        check(options, in, (struct cut){CUT_EVERY, 2}, expected, round);
        check(options, in, (struct cut){CUT_EVERY, 7}, expected, round);
        check(options, in, (struct cut){CUT_RANDOM, (size_t)round}, expected, round);
        for (size_t at = 1; at < in.len; at += 1 + round % 3)
            check(options, in, (struct cut){CUT_AT, at}, expected, round);
        trace_fini(&whole);
    }
}

Test(parser_random, any_cut_gives_the_same) { oracle(NULL, 3000, 1); }

Test(parser_random, any_cut_gives_the_same_with_raw_blocks)
{
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = true;
    oracle(&options, 2000, 2);
}

/* Limits small enough to be hit all the time. */
Test(parser_random, any_cut_gives_the_same_at_the_limit)
{
    for (size_t max = 1; max < 60; max += 1 + max / 8) {
        sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
        options.max_event_bytes = max;
        options.raw_blocks = max % 2;
        oracle(&options, 250, max);
    }
}

/* The inputs are worth something: all kinds of callbacks come. */
Test(parser_random, inputs_reach_every_callback)
{
    static const char *const kinds[] = {"message ", "event ",       ": ",        "retry ",
                                        "id ",      "! SSE_EINVAL", "unfinished"};
    char input[512];
    uint64_t seed = 1;
    struct trace t;
    trace_init(&t);
    for (int i = 0; i < 3000; i++) {
        sse_str in = {input, make_input(&seed, input, sizeof input)};
        trace_run(&t, NULL, in, (struct cut){CUT_WHOLE, 0});
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        cr_assert(strstr(trace_text(&t), kinds[i]), "%s", kinds[i]);
    cr_assert_not(t.malformed);
    trace_fini(&t);
}
