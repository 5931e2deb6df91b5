/* The parser, with the oracles that the whole of an input gives what the reference says, unless there is a limit, and that any cut of
 * it gives what the whole gives.
 *
 * The last five bytes of an input say how it is parsed, so that the rest is a stream as it is on
 * the wire: the last one picks the options, the four before it are lengths of chunks, used in
 * turn. */
#include "reference.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { CONTROL = 5 };

static const size_t limits[8] = {0, 0, 1, 7, 20, 64, 300, 1000};

static void feed(struct trace *t, sse_parser *p, sse_str input, const uint8_t *lengths)
{
    for (size_t at = 0, turn = 0; at < input.len; turn++) {
        size_t left = input.len - at, want = lengths[turn % 4] % 40, n = want < left ? want : left;
        if (turn > 4 * input.len)
            n = left; /* all lengths are 0 */
        if (trace_feed(p, (sse_str){input.ptr + at, n}, (struct cut){CUT_WHOLE, 0}) != SSE_OK)
            abort();
        at += n;
    }
    trace_end(t, p);
}

static void compare_reference(const struct trace *whole, sse_str input)
{
    static const char last[] = "unfinished\n";
    struct trace expected;
    trace_init(&expected);
    expected.raw = whole->raw;
    size_t len = whole->len;
    if (reference_run(&expected, input)) {
        if (len < sizeof last - 1 || strcmp(whole->text + len - (sizeof last - 1), last) != 0)
            abort();
        len -= sizeof last - 1;
    }
    if (len != expected.len || (len > 0 && memcmp(whole->text, expected.text, len) != 0)) {
        fprintf(stderr, "expected:\n%s--- got:\n%s", trace_text(&expected), trace_text(whole));
        abort();
    }
    trace_fini(&expected);
}

static void compare(const char *what, const struct trace *whole, const struct trace *cut)
{
    if (strcmp(trace_text(whole), trace_text(cut)) == 0)
        return;
    fprintf(stderr, "whole:\n%s--- %s:\n%s", trace_text(whole), what, trace_text(cut));
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < CONTROL)
        return 0;
    const uint8_t *control = bytes + n - CONTROL;
    sse_str input = {(const char *)bytes, n - CONTROL};
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = control[4] & 1;
    options.max_event_bytes = limits[control[4] >> 1 & 7];

    struct trace whole, single, cut;
    trace_init(&whole);
    trace_init(&single);
    trace_init(&cut);
    trace_run(&whole, &options, input, (struct cut){CUT_WHOLE, 0});
    if (whole.malformed)
        abort();
    if (options.max_event_bytes == 0)
        compare_reference(&whole, input);
    trace_run(&single, &options, input, (struct cut){CUT_EVERY, 1});
    compare("byte by byte", &whole, &single);

    sse_parser *p;
    cut.raw = options.raw_blocks;
    if (sse_parser_new(&options, &trace_callbacks, &cut, &p) != SSE_OK)
        abort();
    feed(&cut, p, input, control);
    compare("in chunks", &whole, &cut);

    /* Once more on the parser that has grown and has an id: what begins anew is the stream. */
    trace_clear(&cut);
    if (sse_parser_set_last_event_id(p, sse_cstr("")) != SSE_OK)
        abort();
    feed(&cut, p, input, control);
    compare("again", &whole, &cut);

    sse_parser_free(p);
    trace_fini(&whole);
    trace_fini(&single);
    trace_fini(&cut);
    return 0;
}
