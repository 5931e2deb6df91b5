/* What the parser reads is what the encoder was given, with line ends as LF and invalid UTF-8
 * replaced. */
#include "trace.h"
#include "utf8.h"

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

/* What should arrive of a text: CR and CRLF as LF, U+FFFD for what is not UTF-8. */
static sse_str normal(sse_str in, char *out)
{
    char lf[1024];
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        bool cr = in.ptr[i] == '\r';
        lf[len++] = cr ? '\n' : in.ptr[i];
        if (cr && i + 1 < in.len && in.ptr[i + 1] == '\n')
            i++;
    }
    sse__utf8_repair(lf, len, out);
    return (sse_str){out, sse__utf8_repaired_size(lf, len)};
}

struct seen {
    size_t count;
    bool matches;
    sse_event expected;
};

static bool equal(sse_str a, sse_str b)
{
    return (a.ptr == NULL) == (b.ptr == NULL) && a.len == b.len &&
           (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static int compare(void *user, const sse_event *event)
{
    struct seen *seen = user;
    const sse_event *want = &seen->expected;
    seen->count++;
    seen->matches = equal(event->id, want->id) && equal(event->type, want->type) &&
                    equal(event->data, want->data) && equal(event->comment, want->comment) &&
                    event->has_retry == want->has_retry &&
                    (!want->has_retry || event->retry_ms == want->retry_ms);
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
    static const sse_parser_callbacks callbacks = {.on_event = compare, .on_problem = no_problem};
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = true;
    uint64_t seed = 11;
    struct seen seen = {.count = 0};
    sse_parser *p;
    cr_assert_eq(sse_parser_new(&options, &callbacks, &seen, &p), SSE_OK);
    for (size_t round = 0; round < 30000; round++) {
        char id[512], type[512], data[512], comment[512], out[4][2048];
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

        seen.expected = ev;
        if (ev.id.ptr)
            seen.expected.id = normal(ev.id, out[0]);
        if (ev.type.ptr)
            seen.expected.type = normal(ev.type, out[1]);
        if (ev.data.ptr)
            seen.expected.data = normal(ev.data, out[2]);
        if (ev.comment.ptr)
            seen.expected.comment = normal(ev.comment, out[3]);
        if (ev.type.len == 0)
            seen.expected.type = sse_cstr(NULL); /* an empty type is not written */
        if (!ev.id.ptr && ev.type.len == 0 && !ev.data.ptr && !ev.comment.ptr && !ev.has_retry)
            seen.expected.comment = sse_cstr(""); /* an event with nothing in it is a comment */

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
