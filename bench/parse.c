/* `parse`: how fast the library's parser takes a file, fed in pieces of several sizes, beside a
 * loop that only looks for line ends in the same bytes.
 *
 * One thread, timed by the CPU time that it had, so that other programs disturb little. */
#include "bench.h"
#include "interrupt.h"
#include "output.h"
#include "procstat.h"

#include <errno.h>
#include <sse/parser.h>
#include <string.h>

#define LEAST_NS UINT64_C(500000000)

typedef struct measured {
    uint64_t events; /* in one pass */
    double seconds;  /* of one pass */
} measured;

static int count_event(void *user, const sse_event *event)
{
    (void)event;
    ++*(uint64_t *)user;
    return 0;
}

static sse_err pass_parser(sse_parser *parser, const tool_buffer *file, size_t piece)
{
    for (size_t at = 0; at < file->len; at += piece) {
        size_t n = file->len - at < piece ? file->len - at : piece;
        sse_err err = sse_parser_feed(parser, file->bytes + at, n);
        if (err != SSE_OK)
            return err;
    }
    sse_parser_reset(parser);
    return SSE_OK;
}

static uint64_t pass_memchr(const tool_buffer *file)
{
    uint64_t lines = 0;
    const char *end = file->bytes + file->len;
    for (const char *p = file->bytes; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

static int measure_parser(const bench *b, const tool_buffer *file, size_t piece, measured *m)
{
    uint64_t events = 0, passes = 0, began, now;
    uint64_t least =
        b->options->duration_ms ? b->options->duration_ms * UINT64_C(1000000) : LEAST_NS;
    const sse_parser_callbacks callbacks = {.size = sizeof callbacks, .on_event = count_event};
    sse_parser *parser = NULL;
    sse_err err = sse_parser_new(NULL, &callbacks, &events, &parser);
    if (err == SSE_OK)
        err = pass_parser(parser, file, piece); /* buffers grow */
    m->events = events;
    began = own_cpu_ns();
    do {
        if (err == SSE_OK)
            err = pass_parser(parser, file, piece);
        passes++;
        now = own_cpu_ns();
    } while (err == SSE_OK && now - began < least);
    sse_parser_free(parser);
    m->seconds = (double)(now - began) / 1e9 / (double)passes;
    if (err == SSE_OK)
        return TOOL_GO_ON;
    tool_say(b->tool, "%s", sse_strerror(err));
    return TOOL_UNAVAILABLE;
}

static void measure_memchr(const tool_buffer *file, measured *m)
{
    uint64_t began = own_cpu_ns(), now, passes = 0, lines = 0;
    do {
        lines += pass_memchr(file);
        passes++;
        now = own_cpu_ns();
    } while (now - began < LEAST_NS);
    m->events = lines / passes;
    m->seconds = (double)(now - began) / 1e9 / (double)passes;
}

static void take(result *r, const tool_buffer *file, const measured *m, bool events)
{
    r->mb_per_s = (double)file->len / 1e6 / m->seconds;
    r->seconds = m->seconds;
    if (events)
        r->events_per_s = (double)m->events / m->seconds;
}

static int measure_piece(bench *b, const tool_buffer *file, size_t piece, uint64_t expected)
{
    char name[64], what[160];
    measured m = {0}, lines = {0};
    snprintf(name, sizeof name, "parse@%zu", piece);
    int code = measure_parser(b, file, piece, &m);
    if (code != TOOL_GO_ON)
        return code;
    measure_memchr(file, &lines);
    snprintf(what, sizeof what, "%zu bytes, %llu events, %llu lines, fed %zu bytes at a time",
             file->len, (unsigned long long)m.events, (unsigned long long)lines.events, piece);
    scenario_result *s = results_scenario(&b->all, name, what);
    take(results_server(s, "memchr"), file, &lines, false);
    result *r = results_server(s, "parser");
    take(r, file, &m, true);
    /* However a stream is cut, its events are the same. */
    if (m.events == 0)
        result_note(r, "there is no event in it: is it a recorded stream?");
    r->lost = m.events < expected ? (double)(expected - m.events) : 0;
    r->duplicated = m.events > expected ? (double)(m.events - expected) : 0;
    output_scenario(b, s);
    return TOOL_GO_ON;
}

static int count_whole(const bench *b, const tool_buffer *file, uint64_t *events)
{
    const sse_parser_callbacks callbacks = {.size = sizeof callbacks, .on_event = count_event};
    sse_parser *parser = NULL;
    *events = 0;
    sse_err err = sse_parser_new(NULL, &callbacks, events, &parser);
    if (err == SSE_OK)
        err = sse_parser_feed(parser, file->bytes, file->len);
    sse_parser_free(parser);
    if (err == SSE_OK)
        return TOOL_GO_ON;
    tool_say(b->tool, "%s", sse_strerror(err));
    return TOOL_UNAVAILABLE;
}

int bench_parse(bench *b)
{
    static const size_t pieces[] = {64, 1024, 16384, 262144};
    tool_buffer file = {0};
    uint64_t expected;
    errno = 0;
    if (!tool_buffer_read_file(&file, b->word) || file.len == 0) {
        int code = tool_misuse(b->tool, "%s: %s", b->word, errno ? strerror(errno) : "it is empty");
        tool_buffer_free(&file);
        return code;
    }
    int code = count_whole(b, &file, &expected);
    for (size_t i = 0;
         i < sizeof pieces / sizeof pieces[0] && code == TOOL_GO_ON && !interrupt_signal(); i++)
        code = measure_piece(b, &file, pieces[i], expected);
    if (code == TOOL_GO_ON && !interrupt_signal() && pieces[3] < file.len)
        code = measure_piece(b, &file, file.len, expected);
    tool_buffer_free(&file);
    return code == TOOL_GO_ON ? TOOL_DONE : code;
}
