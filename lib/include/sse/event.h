/* Events: what is published, what is received, and how both look on the wire.
 *
 * WHATWG HTML, "Server-sent events". */
#ifndef SSE_EVENT_H
#define SSE_EVENT_H

#include <sse/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes with a length. ptr == NULL: absent. ptr != NULL and len == 0: present and empty. Only the
 * parts of a message (sse_msg_event()) are followed by a NUL; elsewhere go by len: printf("%.*s",
 * (int)s.len, s.ptr). */
typedef struct sse_str {
    const char *ptr; /* the bytes */
    size_t len;      /* how many */
} sse_str;

/* A C string as sse_str. NULL gives an absent one. */
static inline sse_str sse_cstr(const char *s)
{
    sse_str str;
    str.ptr = s;
    str.len = s ? strlen(s) : 0;
    return str;
}

/* One event. All parts are optional; zero-initialise it and set what is needed.
 * When publishing, id and type may not hold CR, LF or NUL. Data and comment may hold anything; CR,
 * LF and CRLF in data arrive as LF, and in a comment they begin a new comment line. Readers take
 * the text for UTF-8 and replace what is not.
 * An event that is received has data, and an id: the last event id, "" when there is none. Its type
 * is absent when it is "message" by default. */
typedef struct sse_event {
    sse_str id;        /* what a reader sends as Last-Event-ID when it comes back */
    sse_str type;      /* absent or empty: "message" */
    sse_str data;      /* what it is about */
    sse_str comment;   /* for people who look at the stream; readers ignore it */
    uint64_t retry_ms; /* counts if has_retry */
    bool has_retry;    /* the event has a retry field */
    bool reserved[7];  /* zero */
} sse_event;

/* Check that an event can be written to the wire.
 * Thread:  any.
 * Returns: SSE_OK; SSE_EINVAL: id or type holds CR, LF or NUL, or a part has no pointer but a
 *          length. */
SSE_API SSE_NODISCARD sse_err sse_event_check(const sse_event *event);

/* How many bytes sse_event_encode() writes for an event (exact).
 * Thread:  any. */
SSE_API size_t sse_event_encoded_size(const sse_event *event);

/* Write an event in wire format, with the empty line that ends it. No terminating NUL is written.
 * Order of the fields: comment lines, id, event, retry, data. An event with nothing in it writes
 * ":" as its only line.
 * Thread:  any. No allocation.
 * Returns: SSE_OK and *len, the bytes written; SSE_EINVAL as sse_event_check(); SSE_ETOOBIG when
 *          cap is too small, *len is then what it takes. */
SSE_API SSE_NODISCARD sse_err sse_event_encode(const sse_event *event, char *buf, size_t cap,
                                               size_t *len);

/* The stream that an event came from on a connection with several (`?stream=a&stream=b`): the server puts its name into each
 * event's id, "NAME POSITION,POSITION,... [ID]" with NAME percent-encoded. In a browser: decodeURIComponent(
 * event.lastEventId.split(' ')[0]).
 * Thread:  any.
 * Owns:    fills name, decoded, with a NUL, cut to fit.
 * Returns: the name's length, as it is uncut; 0 when the id is not of this form. */
SSE_API size_t sse_event_stream(const sse_event *event, char *name, size_t size);

/* The id that the publisher gave an event: the last part of an id as above (absent when it gave none), or the whole id otherwise.
 * Thread:  any. Points into the event's id. */
SSE_API sse_str sse_event_own_id(const sse_event *event);

/* An immutable copy of an event with a reference count, for queues and for keeping. */
typedef struct sse_msg sse_msg;

/* Copy an event (and the name of the stream it came from, or NULL) into a message with one
 * reference.
 * Thread:  any.
 * Owns:    borrows the arguments; the caller owns *out and gives it back with sse_msg_unref().
 * Returns: SSE_OK, SSE_ENOMEM. The event is not checked as sse_event_check() does. */
SSE_API SSE_NODISCARD sse_err sse_msg_new(const sse_event *event, const char *stream,
                                          sse_msg **out);

/* Take one more reference; returns its argument.
 * Thread:  any that holds a reference. */
SSE_API sse_msg *sse_msg_ref(sse_msg *msg);

/* Give a reference back; the last one frees. NULL is fine.
 * Thread:  any that holds a reference. */
SSE_API void sse_msg_unref(sse_msg *msg);

/* The event inside; each part that is present is followed by a NUL byte that its length does not
 * count. Valid as long as the reference.
 * Thread:  any that holds a reference. */
SSE_API const sse_event *sse_msg_event(const sse_msg *msg);

/* The stream's name, or NULL when it is not known. Valid as long as the reference. */
SSE_API const char *sse_msg_stream(const sse_msg *msg);

#ifdef __cplusplus
}
#endif
#endif
