/* Frames: encoded events that the history and all subscribers of a stream share.
 *
 * Threads: any. A frame is one block of memory and nothing in it changes after sse__frame_new()
 * but the reference count. */
#include "frame.h"

#include <stdlib.h>

/* Where the value of the id line starts: behind the comment lines and "id: ". */
static size_t id_offset(const sse_event *event)
{
    sse_event head = {.comment = event->comment};
    size_t comments = head.comment.ptr ? sse_event_encoded_size(&head) - 1 : 0;
    return comments + 4;
}

sse_err sse__frame_new(const sse_event *event, sse_str id, sse__frame **out)
{
    *out = NULL;
    sse_event ev = *event;
    if (id.ptr)
        ev.id = id;
    sse_err err = sse_event_check(&ev);
    if (err != SSE_OK)
        return err;
    size_t len = sse_event_encoded_size(&ev);
    if (len > UINT32_MAX)
        return SSE_ETOOBIG;
    sse__frame *f = malloc(offsetof(sse__frame, bytes) + len);
    if (!f)
        return SSE_ENOMEM;
    err = sse_event_encode(&ev, f->bytes, len, &len);
    if (err != SSE_OK) {
        free(f);
        return err;
    }
    f->len = (uint32_t)len;
    f->id_len = (uint32_t)ev.id.len;
    f->id_at = f->id_len > 0 ? (uint32_t)id_offset(&ev) : 0;
    atomic_init(&f->refs, 1);
    *out = f;
    return SSE_OK;
}

sse__frame *sse__frame_ref(sse__frame *f)
{
    /* Relaxed: the caller holds a reference, so that nothing hangs on this one being seen. */
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void sse__frame_unref(sse__frame *f)
{
    /* Acquire-release: pairs with the same decrement of the other holders, whose reads must be over
     * before the free. */
    if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
        free(f);
}
