/* Frames: encoded events that the history and all subscribers of a stream share.
 *
 * Threads: any. A frame is one block of memory and nothing in it changes once others have it
 * but the reference count. */
#include "frame.h"

#include "encoder.h"

#include <stdlib.h>
#include <string.h>

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
    sse__event_write(&ev, f->bytes);
    f->len = (uint32_t)len;
    f->id_len = (uint32_t)ev.id.len;
    f->id_at = f->id_len > 0 ? (uint32_t)id_offset(&ev) : 0;
    f->accepted_ns = 0;
    atomic_init(&f->refs, 1);
    *out = f;
    return SSE_OK;
}

/* The line with the id: behind the comments. NULL when there is none. */
static const char *id_line(const sse__frame *f, const char **end)
{
    const char *at = f->bytes, *stop = f->bytes + f->len;
    while (at < stop && *at == ':')
        at = (const char *)memchr(at, '\n', (size_t)(stop - at)) + 1;
    if (stop - at < 3 || memcmp(at, "id:", 3) != 0)
        return NULL;
    *end = (const char *)memchr(at, '\n', (size_t)(stop - at)) + 1;
    return at;
}

sse_err sse__frame_with_id(sse__frame *frame, sse_str id, sse__frame **out)
{
    const char *rest, *line = id_line(frame, &rest);
    if (!line) {
        *out = sse__frame_ref(frame);
        return SSE_OK;
    }
    *out = NULL;
    size_t before = (size_t)(line - frame->bytes);
    size_t after = (size_t)(frame->bytes + frame->len - rest);
    size_t len = before + 4 + id.len + 1 + after;
    if (len > UINT32_MAX)
        return SSE_ETOOBIG;
    sse__frame *f = malloc(offsetof(sse__frame, bytes) + len);
    if (!f)
        return SSE_ENOMEM;
    char *at = mempcpy(f->bytes, frame->bytes, before);
    at = mempcpy(at, "id: ", 4);
    at = mempcpy(at, id.ptr, id.len);
    *at++ = '\n';
    memcpy(at, rest, after);
    f->len = (uint32_t)len;
    f->id_len = (uint32_t)id.len;
    f->id_at = (uint32_t)before + 4;
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
