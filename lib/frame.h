/* A frame: one event as it goes over the wire, immutable, with a reference count. Encoded once,
 * shared by the history and all subscribers. */
#ifndef SSE__FRAME_H
#define SSE__FRAME_H

#include "sync.h"

#include <sse/event.h>

typedef struct sse__frame {
    uint32_t len;    /* bytes of wire format */
    uint32_t id_len; /* the id inside, 0 when there is none */
    uint32_t id_at;  /* where in bytes[] it starts */
    atomic_uint refs;
    uint64_t
        accepted_ns; /* when publish accepted it; 0: not published. Set by who made it, before others have it */
    char bytes[];
} sse__frame;

/* Encode an event (checked as sse_event_check() does), with `id` instead of the event's own when
 * id.ptr is set.
 * Returns: SSE_OK and one reference; SSE_EINVAL; SSE_ETOOBIG: 4 GiB or more; SSE_ENOMEM. */
SSE_INTERNAL SSE_NODISCARD sse_err sse__frame_new(const sse_event *event, sse_str id,
                                                  sse__frame **out);
/* The same event with another id; *out is `frame` itself, with one more reference, when it has no id line.
 * Returns: SSE_OK and one reference; SSE_ETOOBIG, SSE_ENOMEM. */
SSE_INTERNAL SSE_NODISCARD sse_err sse__frame_with_id(sse__frame *frame, sse_str id,
                                                      sse__frame **out);
SSE_INTERNAL sse__frame *sse__frame_ref(sse__frame *f);
SSE_INTERNAL void sse__frame_unref(sse__frame *f); /* NULL is fine */

static inline sse_str sse__frame_id(const sse__frame *f)
{
    sse_str id = {f->bytes + f->id_at, f->id_len};
    return id;
}

#endif
