/* Incremental parser for text/event-stream: bytes in, events out. No I/O, no threads, no allocation
 * per event once its buffers have grown.
 *
 * WHATWG HTML, "Server-sent events", sections "Parsing" and "Interpreting". */
#ifndef SSE_PARSER_H
#define SSE_PARSER_H

#include <sse/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The handle. */
typedef struct sse_parser sse_parser;

/* What is called from inside sse_parser_feed(), in the order of the stream. All are optional.
 * Pointers are valid until the callback returns. A callback that returns anything but 0 stops the
 * parser at once: no further callback comes, the rest of the bytes is dropped, and feed returns
 * SSE_ECANCELED. A callback may not feed, reset or free its parser. */
typedef struct sse_parser_callbacks {
    size_t size; /* set by SSE_PARSER_CALLBACKS_INIT */
    /* The end of a block that has data. id: the last event id, "" when there is none. type: absent
     * when the block has none or an empty one, which means "message". Text is valid UTF-8, whatever
     * came in; it may hold NUL. */
    int (*on_event)(void *user, const sse_event *event);
    /* A comment line without its colon and one leading space, as soon as the line has ended. */
    int (*on_comment)(void *user, sse_str comment);
    /* A valid retry field, as soon as its line has ended. Saturates at UINT64_MAX. */
    int (*on_retry)(void *user, uint64_t ms);
    /* The last event id has changed: at the end of its block, before the block's event if it has
     * one. */
    int (*on_id)(void *user, sse_str id);
    /* Something was ignored or lost. `line` counts from 1, since the last reset. `what` says which,
     * in words. `err`:
     * SSE_ETOOBIG: the event is larger than max_event_bytes and is lost; told once per event, as
     *              soon as it is known. Its id takes effect all the same when it could be read: who
     *              reconnected with the id before it would be sent the same event again.
     * SSE_ENOMEM:  no memory for the event; it is lost. Its id takes effect if there was memory for
     *              it.
     * SSE_EINVAL:  a line that the standard says to ignore: unknown field, id with NUL, retry that
     *              is not a number. Informational; streams from elsewhere may hold such lines. */
    int (*on_problem)(void *user, sse_err err, uint64_t line, const char *what);
} sse_parser_callbacks;
#define SSE_PARSER_CALLBACKS_INIT                                                                  \
    {                                                                                              \
        sizeof(sse_parser_callbacks), NULL, NULL, NULL, NULL, NULL                                 \
    }

/* Options of a parser. */
typedef struct sse_parser_options {
    size_t size; /* set by SSE_PARSER_OPTIONS_INIT */
    /* What an event may have in bytes: data (with the LF between its lines), type and id (and
     * comment, with raw_blocks) together, as text after repair of invalid UTF-8. A line, whatever
     * its field, may have no more than what is left of it, plus 16 for its name. 0 = 16 MiB.
     * The parser's memory stays within this and a constant of some 200 KiB, unless types and ids
     * are that large too: then within twice this (three times with raw_blocks, which keeps
     * comments), plus the last event id. */
    size_t max_event_bytes;
    /* Report every block as it was written, for bodies of publishers and for recording: an event is
     * reported when its block holds a comment or any field that is not ignored. Its id, type and
     * data are absent when the block has none; its comment is set (lines joined by LF) and its
     * retry too. on_comment, on_retry and on_id are called as well. */
    bool raw_blocks;
    bool reserved[7];
} sse_parser_options;
#define SSE_PARSER_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(sse_parser_options), 0, false, { false }                                            \
    }

/* Make a parser. options may be NULL; options and callbacks are copied.
 * Thread:  any; afterwards one thread at a time.
 * Owns:    the caller owns *out: sse_parser_free().
 * Returns: SSE_OK, SSE_EINVAL (no callbacks; a size that is not set), SSE_ENOMEM. */
SSE_API SSE_NODISCARD sse_err sse_parser_new(const sse_parser_options *options,
                                             const sse_parser_callbacks *callbacks, void *user,
                                             sse_parser **out);

/* NULL is fine. */
SSE_API void sse_parser_free(sse_parser *parser);

/* Feed the next n bytes, cut anywhere.
 * Thread:  one at a time.
 * Owns:    borrows the bytes until it returns; keeps a copy of what is unfinished.
 * Returns: SSE_OK, also when an event was too big (on_problem told) and the parser goes on;
 *          SSE_ECANCELED when a callback stopped it, until the next reset. */
SSE_API SSE_NODISCARD sse_err sse_parser_feed(sse_parser *parser, const void *bytes, size_t n);

/* The stream has ended or a new one begins: drops an unfinished block with its id; keeps the last
 * event id and the grown buffers. A parser that a callback stopped goes on.
 * Thread:  one at a time.
 * Returns: true when there was an unfinished block, which the standard says to discard; comments
 *          that nothing else followed do not count, unless raw_blocks is set. */
SSE_API bool sse_parser_reset(sse_parser *parser);

/* The last event id, "" when there is none; valid until the next call on this parser.
 * Thread:  one at a time, callbacks included. */
SSE_API sse_str sse_parser_last_event_id(const sse_parser *parser);

/* Set it, for a stream that goes on where another one stopped; absent or empty: none. on_id is not
 * called.
 * Thread:  one at a time.
 * Owns:    copies the id.
 * Returns: SSE_OK, SSE_EINVAL (NUL, CR or LF), SSE_ENOMEM. */
SSE_API SSE_NODISCARD sse_err sse_parser_set_last_event_id(sse_parser *parser, sse_str id);

#ifdef __cplusplus
}
#endif
#endif
