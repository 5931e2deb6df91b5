/* What a parser called, as text that tests compare; and inputs cut in many ways. */
#ifndef TEST_TRACE_H
#define TEST_TRACE_H

#include <sse/parser.h>

/* One line for each callback:
 *     message "data"          an event without a type; with a type: event "x" "data"
 *     message #1 "data"       the same with the last event id 1
 *     : "text"                a comment
 *     retry 2000    id "7"    a retry, a change of the last event id
 *     ! SSE_EINVAL 3          a problem, and its line
 *     unfinished              what trace_end() found
 * With raw_blocks an event is: block id "1" type "x" retry 3 comment "c" data "d", with only the
 * parts that are there. Bytes that are not printable ASCII appear as \xNN. */
struct trace {
    char *text;
    size_t len;
    size_t cap;
    size_t calls;
    size_t stop_at; /* the call with this number returns 1; 0: none */
    bool problems;  /* they are traced */
    bool raw;
    bool malformed; /* an event was not as sse/event.h promises */
};

extern const sse_parser_callbacks trace_callbacks;

void trace_init(struct trace *t);
void trace_fini(struct trace *t);
void trace_clear(struct trace *t);
const char *trace_text(const struct trace *t);

/* How an input is cut into chunks. */
enum cut_kind {
    CUT_WHOLE,
    CUT_EVERY, /* chunks of n bytes */
    CUT_AT,    /* two chunks, the first has n bytes */
    CUT_RANDOM /* chunks of 1 to 16 bytes, and empty ones, from seed n */
};
struct cut {
    enum cut_kind kind;
    size_t n;
};

/* Feed a whole input, each chunk from memory of its own that is gone when feed returns, so that a
 * pointer that a parser keeps is found out. Returns the last answer of feed. */
sse_err trace_feed(sse_parser *p, sse_str input, struct cut cut);

/* Reset the parser and note what it says. */
void trace_end(struct trace *t, sse_parser *p);

/* All of it: a new parser, the input, the end. */
void trace_run(struct trace *t, const sse_parser_options *options, sse_str input, struct cut cut);

/* A sequence of numbers that a seed fixes. */
uint64_t test_random(uint64_t *state);

#endif
