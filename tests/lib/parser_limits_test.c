/* Conformance 16: long lines and events, the limit, and what the parser costs in memory and
 * allocations. */
#include "alloc_fail.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* A text that is put together piece by piece. */
struct text {
    char *ptr;
    size_t len;
    size_t cap;
};

static void add_bytes(struct text *t, const char *bytes, size_t n)
{
    if (n == 0)
        return;
    if (t->len + n > t->cap) {
        t->cap = (t->len + n) * 2;
        t->ptr = realloc(t->ptr, t->cap);
        cr_assert(t->ptr);
    }
    memcpy(t->ptr + t->len, bytes, n);
    t->len += n;
}

static void add(struct text *t, const char *s) { add_bytes(t, s, strlen(s)); }

static void add_many(struct text *t, char c, size_t n)
{
    char block[4096];
    memset(block, c, sizeof block);
    for (; n > 0; n -= n < sizeof block ? n : sizeof block)
        add_bytes(t, block, n < sizeof block ? n : sizeof block);
}

/* What came of the last event, without keeping all of it as text. */
struct sum {
    size_t events;
    size_t len;
    size_t count[256];
    size_t too_big;
    size_t no_memory;
};

static int sum_event(void *user, const sse_event *event)
{
    struct sum *s = user;
    s->events++;
    s->len = event->data.len;
    memset(s->count, 0, sizeof s->count);
    for (size_t i = 0; i < event->data.len; i++)
        s->count[(unsigned char)event->data.ptr[i]]++;
    return 0;
}

static int sum_problem(void *user, sse_err err, uint64_t line, const char *what)
{
    struct sum *s = user;
    (void)line;
    (void)what;
    s->too_big += err == SSE_ETOOBIG;
    s->no_memory += err == SSE_ENOMEM;
    return 0;
}

static const sse_parser_callbacks sum_callbacks = {
    .size = sizeof sum_callbacks, .on_event = sum_event, .on_problem = sum_problem};

static sse_parser *new_parser(size_t max, struct sum *s)
{
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.max_event_bytes = max;
    sse_parser *p;
    cr_assert_eq(sse_parser_new(&options, &sum_callbacks, s, &p), SSE_OK);
    return p;
}

/* As trace_feed() does, but from one piece of memory, which is quicker for large inputs. */
static void feed_large(sse_parser *p, const struct text *in, struct cut cut)
{
    uint64_t seed = cut.n;
    for (size_t at = 0; at < in->len;) {
        size_t left = in->len - at, n = left;
        if (cut.kind == CUT_EVERY || (cut.kind == CUT_AT && at == 0))
            n = cut.n;
        else if (cut.kind == CUT_RANDOM)
            n = 1 + (size_t)(test_random(&seed) % 5000);
        n = n < left ? n : left;
        if (sse_parser_feed(p, in->ptr + at, n) != SSE_OK)
            cr_assert_fail("feed failed");
        at += n;
    }
}

static const struct cut cuts[] = {{CUT_WHOLE, 0},  {CUT_EVERY, 1},     {CUT_EVERY, 2},
                                  {CUT_RANDOM, 1}, {CUT_EVERY, 16384}, {CUT_AT, 5}};

/* 14 MB, the whole and in chunks: were it not linear, the run would not end in any reasonable time.
 */
Test(limits, line_16_a_long_line_arrives_whole)
{
    const size_t n = 14000000;
    struct text in = {0};
    add(&in, "data: ");
    add_many(&in, 'a', n);
    add(&in, "\n\n");
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct sum s = {0};
        sse_parser *p = new_parser(0, &s);
        feed_large(p, &in, cuts[i]);
        cr_assert_eq(s.events, 1);
        cr_assert_eq(s.count['a'], n);
        cr_assert_eq(s.len, n);
        sse_parser_free(p);
    }
    free(in.ptr);
}

Test(limits, line_16_many_short_lines_arrive_whole)
{
    const size_t lines = 500000;
    struct text in = {0};
    for (size_t i = 0; i < lines; i++)
        add(&in, "data:b\r");
    add(&in, "\n\n");
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct sum s = {0};
        sse_parser *p = new_parser(0, &s);
        feed_large(p, &in, cuts[i]);
        cr_assert_eq(s.events, 1);
        cr_assert_eq(s.count['b'], lines);
        cr_assert_eq(s.count['\n'], lines - 1);
        sse_parser_free(p);
    }
    free(in.ptr);
}

/* An id line after each data line must not move the data each time. */
Test(limits, line_16_ids_between_the_data_stay_linear)
{
    struct text in = {0};
    add(&in, "data:");
    add_many(&in, 'a', 2000000);
    for (int i = 0; i < 50000; i++)
        add(&in, "\nid:1\nevent:\xff\ndata:b");
    add(&in, "\n\n");
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct sum s = {0};
        sse_parser *p = new_parser(0, &s);
        feed_large(p, &in, cuts[i]);
        cr_assert_eq(s.len, 2000000 + 2 * 50000);
        sse_parser_free(p);
    }
    free(in.ptr);
}

static void check_cut(size_t max, const char *in, const char *expected, struct cut cut)
{
    struct trace t;
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.max_event_bytes = max;
    trace_init(&t);
    trace_run(&t, &options, sse_cstr(in), cut);
    if (strcmp(trace_text(&t), expected) != 0)
        cr_assert_fail("max %zu, cut %d %zu: %s\n%s--- expected:\n%s", max, (int)cut.kind, cut.n,
                       in, trace_text(&t), expected);
    trace_fini(&t);
}

/* The whole, byte by byte, two bytes at a time, at random, and cut once at every place. */
static void check_limit(size_t max, const char *in, const char *expected)
{
    check_cut(max, in, expected, (struct cut){CUT_WHOLE, 0});
    check_cut(max, in, expected, (struct cut){CUT_EVERY, 1});
    check_cut(max, in, expected, (struct cut){CUT_EVERY, 2});
    for (size_t seed = 1; seed <= 20; seed++)
        check_cut(max, in, expected, (struct cut){CUT_RANDOM, seed});
    for (size_t at = 1; at < strlen(in); at++)
        check_cut(max, in, expected, (struct cut){CUT_AT, at});
}

Test(limits, line_16_exactly_the_limit_fits)
{
    check_limit(10, "data: 0123456789\n\n", "message \"0123456789\"\n");
    check_limit(10, "data:0123456789A\n\ndata:b\n\n", "! SSE_ETOOBIG 1\nmessage \"b\"\n");
    check_limit(10, "data:01234\ndata:6789\n\n", "message \"01234\\x0a6789\"\n");
    check_limit(10, "data:01234\ndata:6789A\n\n", "! SSE_ETOOBIG 2\n");
    check_limit(10, "event:012\ndata:3456789\n\n", "event \"012\" \"3456789\"\n");
    check_limit(10, "event:012\ndata:3456789A\n\n", "! SSE_ETOOBIG 2\n");
    check_limit(10, "data:3456789A\nevent:012\n\n", "! SSE_ETOOBIG 2\n");
    check_limit(10, "event:012\nevent:0123456789\n\ndata:x\n\n", "message \"x\"\n");
}

Test(limits, line_16_repaired_text_counts)
{
    check_limit(9, "data:\xff\xff\xff\n\n",
                "message \"\\xef\\xbf\\xbd\\xef\\xbf\\xbd\\xef\\xbf\\xbd\"\n");
    check_limit(8, "data:\xff\xff\xff\n\n", "! SSE_ETOOBIG 1\n");
    check_limit(8, ":\xff\xff\xff\n\n", "! SSE_ETOOBIG 1\n");
    check_limit(8, "event:\xff\xff\xff\n\n", "! SSE_ETOOBIG 1\n");
}

Test(limits, line_16_told_once_and_usable_after_it)
{
    check_limit(5,
                "data:012345\ndata:012345\n"
                "data:01234501234501234501234501234501234501234501234501234\nevent:0123456\n\n"
                "data:ok\n\n",
                "! SSE_ETOOBIG 1\nmessage \"ok\"\n");
    check_limit(5, "data:012345\n\ndata:012345\n\ndata:ok\n\n",
                "! SSE_ETOOBIG 1\n! SSE_ETOOBIG 3\nmessage \"ok\"\n");
}

/* Whatever the field, a line without end is too big. */
Test(limits, line_16_any_line_without_end)
{
    check_limit(5, ":comment that goes on and on and on\n\ndata:ok\n\n",
                "! SSE_ETOOBIG 1\nmessage \"ok\"\n");
    check_limit(5, "unknown field that goes on and on\n\ndata:ok\n\n",
                "! SSE_ETOOBIG 1\nmessage \"ok\"\n");
    check_limit(5, "data:and it is never over............", "! SSE_ETOOBIG 1\nunfinished\n");
}

Test(limits, line_16_the_id_of_a_lost_event_counts)
{
    check_limit(5, "id:1\ndata:012345\n\ndata:a\n\n",
                "! SSE_ETOOBIG 2\nid \"1\"\nmessage #\"1\" \"a\"\n");
    check_limit(5, "data:012345\nid:1\n\ndata:a\n\n",
                "! SSE_ETOOBIG 1\nid \"1\"\nmessage #\"1\" \"a\"\n");
    check_limit(5, "id:1\ndata:a\nid:012345\ndata:b\n\ndata:c\n\n",
                "! SSE_ETOOBIG 3\nid \"1\"\nmessage #\"1\" \"c\"\n");
    check_limit(5, "data:012345\nretry:7\n:c\nfoo\n\ndata:c\n\n",
                "! SSE_ETOOBIG 1\nretry 7\n: \"c\"\n! SSE_EINVAL 4\nmessage \"c\"\n");
}

/* An endless line, an endless event, endless ids and types, much data and then a line without end: the memory stays bounded. */
static void check_peak(size_t max, const struct text *in, struct cut cut)
{
    struct sum s = {0};
    alloc_count_reset();
    sse_parser *p = new_parser(max, &s);
    feed_large(p, in, cut);
    size_t peak = alloc_peak_bytes();
    cr_assert_eq(s.too_big, 1);
    cr_assert_eq(sse_parser_feed(p, "\n\ndata:b\n\n", 10), SSE_OK);
    cr_assert_eq(s.events, 1);
    cr_expect_lt(peak, max + max / 4, "%.8s..., cut %d %zu: %zu bytes", in->ptr, (int)cut.kind,
                 cut.n, peak);
    sse_parser_free(p);
}

Test(limits, line_16_memory_is_bounded)
{
    const size_t max = 1 << 20;
    const struct {
        const char *start, *piece;
        size_t before, times;
    } inputs[] = {
        {"data:", "aaaaaaaa", 0, max / 4}, {"event:", "aaaaaaaa", 0, max / 4},
        {"id:", "aaaaaaaa", 0, max / 4},   {":", "aaaaaaaa", 0, max / 4},
        {"", "aaaaaaaa", 0, max / 4},      {"", "data:aaaaaaaaaaaaaaaaaaa\n", 0, max / 10},
        {"data:", "\xff", 0, max * 3 / 2}, {"\ndata:", "aaaaaaaa", max * 9 / 10, max / 16}};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        struct text in = {0};
        if (inputs[i].before > 0) {
            add(&in, "data:");
            add_many(&in, 'a', inputs[i].before);
        }
        add(&in, inputs[i].start);
        for (size_t k = 0; k < inputs[i].times; k++)
            add(&in, inputs[i].piece);
        for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++)
            check_peak(max, &in, cuts[k]);
        free(in.ptr);
    }
}

/* Blocks that use each buffer to the full, one after the other. */
Test(limits, line_16_memory_is_bounded_over_many_blocks)
{
    const size_t max = 1 << 20;
    static const char *const fields[] = {"event:", "id:", "data:", "id:", "event:", ":"};
    struct text in = {0};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        add(&in, fields[i]);
        add_many(&in, 'a', max);
        add(&in, "\n\n");
    }
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct sum s = {0};
        alloc_count_reset();
        sse_parser *p = new_parser(max, &s);
        feed_large(p, &in, cuts[i]);
        cr_assert_eq(s.too_big, 0);
        cr_assert_eq(s.events, 1);
        cr_assert_eq(sse_parser_last_event_id(p).len, max);
        /* Twice the limit, and the last event id. */
        cr_expect_lt(alloc_peak_bytes(), 3 * max + (256 << 10), "cut %zu", i);
        sse_parser_free(p);
    }
    free(in.ptr);
}

/* Once the buffers have grown, events cost no allocation, however they are cut. */
Test(limits, no_allocation_per_event)
{
    const char block[] = ":c\nid:%d\nevent:tick\nretry:10\ndata:one\ndata:tw\xff\n\n";
    struct sum s = {0};
    sse_parser *p = new_parser(0, &s);
    for (int i = 0; i < 3000; i++) {
        char in[128];
        int n = snprintf(in, sizeof in, block, i % 10);
        if (i == 1000)
            alloc_count_reset();
        for (int at = 0, step = 1 + i % 60; at < n; at += step)
            if (sse_parser_feed(p, in + at, (size_t)(n - at < step ? n - at : step)) != SSE_OK)
                cr_assert_fail("feed failed");
    }
    cr_assert_eq(s.events, 3000);
    cr_assert_eq(alloc_count(), 0);
    sse_parser_free(p);
}

/* Growing is by doubling: a megabyte byte by byte takes a handful of allocations. */
Test(limits, growing_takes_few_allocations)
{
    struct sum s = {0};
    alloc_count_reset();
    sse_parser *p = new_parser(0, &s);
    cr_assert_eq(sse_parser_feed(p, "data:", 5), SSE_OK);
    for (int i = 0; i < 1 << 20; i++)
        if (sse_parser_feed(p, "a", 1) != SSE_OK)
            cr_assert_fail("feed failed");
    cr_assert_lt(alloc_count(), 20);
    cr_assert_eq(sse_parser_feed(p, "\n\n", 2), SSE_OK);
    cr_assert_eq(s.count['a'], 1 << 20);
    sse_parser_free(p);
}
