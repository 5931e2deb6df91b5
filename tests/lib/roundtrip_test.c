/* What the parser reads is what the encoder was given, with line ends as LF and invalid UTF-8
 * replaced. */
#include "received.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <sse/event.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const pieces[] = {"a",
                                     "\n",
                                     "\r",
                                     "\r\n",
                                     ":",
                                     " ",
                                     "data: ",
                                     "id: 1",
                                     "\xef\xbb\xbf",
                                     "\xc3\xa4",
                                     "\xff",
                                     "\n\n",
                                     "  ",
                                     "retry: 7",
                                     "\t",
                                     "event: x",
                                     "long long text"};

static size_t make(uint64_t *seed, char *out, bool line_ends)
{
    size_t len = 0;
    for (uint64_t left = test_random(seed) % 12; left > 0; left--) {
        const char *piece = pieces[test_random(seed) % (sizeof pieces / sizeof pieces[0])];
        if (!line_ends && strpbrk(piece, "\r\n"))
            continue;
        len += (size_t)snprintf(out + len, 32, "%s", piece);
        if (line_ends && test_random(seed) % 16 == 0)
            out[len++] = '\0';
    }
    return len;
}

struct seen {
    size_t count;
    bool matches;
    sse_event expected;
};

static int compare(void *user, const sse_event *event)
{
    struct seen *seen = user;
    seen->count++;
    seen->matches = received_equal(event, &seen->expected);
    return 0;
}

static int no_problem(void *user, sse_err err, uint64_t line, const char *what)
{
    (void)user;
    cr_assert_fail("%s in line %d: %s", sse_errname(err), (int)line, what);
    return 0;
}

Test(roundtrip, what_is_encoded_is_parsed_again)
{
    static const sse_parser_callbacks callbacks = {
        .size = sizeof callbacks, .on_event = compare, .on_problem = no_problem};
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = true;
    uint64_t seed = 11;
    struct seen seen = {.count = 0};
    sse_parser *p;
    cr_assert_eq(sse_parser_new(&options, &callbacks, &seen, &p), SSE_OK);
    for (size_t round = 0; round < 30000; round++) {
        char id[512], type[512], data[512], comment[512];
        uint64_t parts = test_random(&seed);
        sse_event ev = {0};
        if (parts & 1)
            ev.id = (sse_str){id, make(&seed, id, false)};
        if (parts & 2)
            ev.type = (sse_str){type, make(&seed, type, false)};
        if (parts & 4)
            ev.data = (sse_str){data, make(&seed, data, true)};
        if (parts & 8)
            ev.comment = (sse_str){comment, make(&seed, comment, true)};
        ev.has_retry = parts & 16;
        ev.retry_ms = parts & 32 ? test_random(&seed) : parts >> 60;

        struct received texts;
        seen.expected = received_event(&texts, &ev);
        size_t size = sse_event_encoded_size(&ev), len;
        char *wire = malloc(size);
        cr_assert(wire);
        if (sse_event_encode(&ev, wire, size, &len) != SSE_OK || len != size)
            cr_assert_fail("round %zu: not encoded", round);
        size_t before = seen.count;
        if (trace_feed(p, (sse_str){wire, len}, (struct cut){CUT_RANDOM, round}) != SSE_OK ||
            seen.count != before + 1 || !seen.matches)
            cr_assert_fail("round %zu:\n%.*s", round, (int)len, wire);
        free(wire);
        received_free(&texts);
    }
    cr_assert_not(sse_parser_reset(p));
    sse_parser_free(p);
}

/* An ordinary reader gets the data and the type; injection through them is not possible. */
Test(roundtrip, data_cannot_break_out)
{
    sse_event ev = {.type = sse_cstr("t"),
                    .data = sse_cstr("a\n\nevent: evil\rid: 666\r\n\r\ndata: b\n:c")};
    char wire[256];
    size_t len;
    cr_assert_eq(sse_event_encode(&ev, wire, sizeof wire, &len), SSE_OK);
    struct trace t;
    trace_init(&t);
    trace_run(&t, NULL, (sse_str){wire, len}, (struct cut){CUT_EVERY, 1});
    cr_assert_str_eq(
        trace_text(&t),
        "event \"t\" \"a\\x0a\\x0aevent: evil\\x0aid: 666\\x0a\\x0adata: b\\x0a:c\"\n");
    trace_fini(&t);
}
