/* The frames that a subscriber gets before the log: a small growing queue. No lock of its own: stream.mu guards it. */
#include "subscriber.h"

#include <stdlib.h>

bool sse__held_push(sse__held *held, sse__frame *frame, uint64_t next, bool event)
{
    if (held->count == held->allocated) {
        size_t allocated = held->allocated ? held->allocated * 2 : 4;
        struct sse__held_item *items = malloc(allocated * sizeof *items);
        if (!items) {
            sse__frame_unref(frame);
            return false;
        }
        for (size_t i = 0; i < held->count; i++)
            items[i] = held->items[(held->head + i) % held->allocated];
        free(held->items);
        *held = (sse__held){items, allocated, 0, held->count, held->bytes};
    }
    held->bytes += frame->len;
    held->items[(held->head + held->count++) % held->allocated] =
        (struct sse__held_item){frame, next, event};
    return true;
}

struct sse__held_item sse__held_pop(sse__held *held)
{
    struct sse__held_item item = held->items[held->head];
    held->head = (held->head + 1) % held->allocated;
    held->bytes -= item.frame->len;
    if (--held->count == 0) {
        free(held->items);
        *held = (sse__held){0};
    }
    return item;
}

void sse__held_fini(sse__held *held)
{
    while (held->count > 0)
        sse__frame_unref(sse__held_pop(held).frame);
}
