/* Incremental parser for text/event-stream: bytes in, events out. No I/O, no threads, no allocation per event once its
 * buffers have grown.
 *
 * WHATWG HTML, "Server-sent events", sections "Parsing" and "Interpreting". */
#ifndef SSE_PARSER_H
#define SSE_PARSER_H

#include <sse/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sse_parser sse_parser;

/* What is called from inside sse_parser_feed(), in the order of the stream. All are optional. Pointers are valid until
 * the callback returns. A callback that returns anything but 0 stops the parser at once: no further callback comes, the
 * rest of the bytes is dropped, and feed returns SSE_ECANCELED. A callback may not feed or free its parser. */
typedef struct sse_parser_callbacks {
    int (*on_event)(void *user, const sse_event *event);
    /* A comment line without its colon and one leading space, as soon as the line has ended. */
    int (*on_comment)(void *user, sse_str comment);
    /* A valid retry field, as soon as its line has ended. Saturates at UINT64_MAX. */
    int (*on_retry)(void *user, uint64_t ms);
    /* The last event id has changed: at the end of its block, before the block's event if it has one. */
    int (*on_id)(void *user, sse_str id);
    /* Something was ignored or lost. `line` counts from 1, since the last reset. `err`:
     * SSE_ETOOBIG: the event was larger than max_event_bytes and is lost.
     * SSE_ENOMEM:  no memory for the event; it is lost.
     * SSE_EINVAL:  a line that the standard says to ignore: unknown field, id with NUL, retry that is not a number.
     *              Informational; streams from elsewhere may hold such lines. `what` says which, in words. */
    int (*on_problem)(void *user, sse_err err, uint64_t line, const char *what);
} sse_parser_callbacks;

typedef struct sse_parser_options {
    size_t size;            /* set by SSE_PARSER_OPTIONS_INIT */
    size_t max_event_bytes; /* data, type, id and one line together; 0 = 16 MiB */
    /* Report every block as it was written, for bodies of publishers and for recording: an event is reported when its block
     * holds any field or comment; its id, type and data are absent when the block has none; its comment is set (lines
     * joined by LF) and its retry too. on_comment and on_retry are called as well. */
    bool raw_blocks;
    bool reserved[7];
} sse_parser_options;
#define SSE_PARSER_OPTIONS_INIT {sizeof(sse_parser_options), 0, false, {false}}

/* Make a parser. options may be NULL; the callbacks are copied.
 * Thread:  any; afterwards one thread at a time.
 * Returns: SSE_OK, SSE_EINVAL, SSE_ENOMEM. */
SSE_API SSE_NODISCARD sse_err sse_parser_new(const sse_parser_options *options,
                                             const sse_parser_callbacks *callbacks, void *user,
                                             sse_parser **out);

/* NULL is fine. */
SSE_API void sse_parser_free(sse_parser *parser);

/* Feed the next n bytes, cut anywhere.
 * Returns: SSE_OK, also when an event was too big (on_problem told) and the parser goes on; SSE_ECANCELED when a callback
 *          stopped it, until the next reset. */
SSE_API SSE_NODISCARD sse_err sse_parser_feed(sse_parser *parser, const void *bytes, size_t n);

/* The stream has ended or a new one begins: drops an unfinished block; keeps the last event id and the grown buffers.
 * Returns true when there was an unfinished block (one that the standard says to discard). */
SSE_API bool sse_parser_reset(sse_parser *parser);

/* The last event id, "" when there is none; valid until the next call on this parser. */
SSE_API sse_str sse_parser_last_event_id(const sse_parser *parser);

/* Set it, for a stream that goes on where another one stopped.
 * Returns: SSE_OK, SSE_EINVAL (NUL, CR or LF), SSE_ENOMEM. */
SSE_API SSE_NODISCARD sse_err sse_parser_set_last_event_id(sse_parser *parser, sse_str id);

#ifdef __cplusplus
}
#endif
#endif
