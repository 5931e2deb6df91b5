/* Checking events, and messages: immutable copies of events with a reference count.
 *
 * Threads: any. A message is one block of memory: the struct, then the bytes of its parts, each
 * with a NUL behind it. Nothing in it changes once others have it but the reference count, so
 * readers need no lock. */
#include "msg.h"

#include <stdlib.h>
#include <string.h>

struct sse_msg {
    sse_event event;    /* immutable; points into bytes[] */
    const char *stream; /* immutable; points into bytes[], or NULL */
    uint64_t time_ns;   /* set before anybody else has it */
    _Atomic(size_t) refs;
    char bytes[];
};

static bool well_formed(sse_str s) { return s.ptr || s.len == 0; }

/* True when s can be the value of one line without breaking out of it. */
static bool fits_in_line(sse_str s)
{
    if (!s.ptr || s.len == 0)
        return well_formed(s);
    return !memchr(s.ptr, '\n', s.len) && !memchr(s.ptr, '\r', s.len) &&
           !memchr(s.ptr, '\0', s.len);
}

sse_err sse_event_check(const sse_event *event)
{
    bool ok = fits_in_line(event->id) && fits_in_line(event->type) && well_formed(event->data) &&
              well_formed(event->comment);
    return ok ? SSE_OK : SSE_EINVAL;
}

/* Bytes that a part takes in a message, or SIZE_MAX when that and `sum` are more than there can
 * be. */
static size_t add_part(size_t sum, sse_str s)
{
    if (!s.ptr)
        return sum;
    return s.len < SIZE_MAX - 1 && sum < SIZE_MAX - 1 - s.len ? sum + s.len + 1 : SIZE_MAX;
}

static char *copy_part(sse_str *to, sse_str from, char *at)
{
    to->ptr = NULL;
    to->len = 0;
    if (!from.ptr)
        return at;
    if (from.len > 0)
        memcpy(at, from.ptr, from.len);
    at[from.len] = '\0';
    to->ptr = at;
    to->len = from.len;
    return at + from.len + 1;
}

sse_err sse_msg_new(const sse_event *event, const char *stream, sse_msg **out)
{
    sse_str name = sse_cstr(stream), copied;
    size_t size = add_part(sizeof(sse_msg), event->id);
    size = add_part(size, event->type);
    size = add_part(size, event->data);
    size = add_part(size, event->comment);
    size = add_part(size, name);
    sse_msg *msg = size == SIZE_MAX ? NULL : malloc(size);
    *out = msg;
    if (!msg)
        return SSE_ENOMEM;

    msg->event = *event;
    msg->time_ns = 0;
    atomic_init(&msg->refs, 1);
    char *at = copy_part(&msg->event.id, event->id, msg->bytes);
    at = copy_part(&msg->event.type, event->type, at);
    at = copy_part(&msg->event.data, event->data, at);
    at = copy_part(&msg->event.comment, event->comment, at);
    copy_part(&copied, name, at);
    msg->stream = copied.ptr;
    return SSE_OK;
}

sse_msg *sse_msg_ref(sse_msg *msg)
{
    /* Relaxed: the caller holds a reference, so that nothing hangs on this one being seen. */
    atomic_fetch_add_explicit(&msg->refs, 1, memory_order_relaxed);
    return msg;
}

void sse_msg_unref(sse_msg *msg)
{
    /* Acquire-release: pairs with the same decrement of the other holders, whose reads must be over
     * before the free. */
    if (msg && atomic_fetch_sub_explicit(&msg->refs, 1, memory_order_acq_rel) == 1)
        free(msg);
}

const sse_event *sse_msg_event(const sse_msg *msg) { return &msg->event; }

const char *sse_msg_stream(const sse_msg *msg) { return msg->stream; }

void sse__msg_set_time(sse_msg *msg, uint64_t ns) { msg->time_ns = ns; }

uint64_t sse__msg_time(const sse_msg *msg) { return msg->time_ns; }
