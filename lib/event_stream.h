/* Reading the id of an event on a connection with several streams: "NAME POSITION,POSITION,... [ID]". The one reader of this form,
 * for clients (sse_event_stream()) and the server (together.c), which writes it.
 *
 * A position is the twelve hexadecimal digits (in lower case) of a stream's epoch, a hyphen, and a decimal number. */
#ifndef SSE__EVENT_STREAM_H
#define SSE__EVENT_STREAM_H

#include "sync.h"

#include <sse/event.h>

/* The parts of such an id; they point into it. */
typedef struct sse__event_id {
    sse_str name;      /* percent-encoded, not empty */
    sse_str positions; /* at least one */
    sse_str own;       /* the publisher's id; absent when there is none */
} sse__event_id;

/* Returns false when it is no such id.
 * Thread:  any. */
SSE_INTERNAL bool sse__event_id_split(sse_str id, sse__event_id *out);

/* Take the next position off a list that sse__event_id_split() found good. Returns false when there is none left.
 * Thread:  any. */
SSE_INTERNAL bool sse__event_id_next(sse_str *positions, sse_str *position, uint64_t *epoch);

#endif
