/* The queue of frames that wait before the log: it grows while its oldest are somewhere in the middle of its memory. */
#include "subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>

static sse__frame *frame_of(uint64_t number)
{
    char text[24];
    sse__frame *frame;
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    sse_event event = {.data = sse_cstr(text)};
    cr_assert_eq(sse__frame_new(&event, (sse_str){0}, &frame), SSE_OK);
    return frame;
}

static sse__held held;
static uint64_t pushed, popped, bytes;

static void push(void)
{
    sse__frame *frame = frame_of(pushed);
    bytes += frame->len;
    cr_assert(sse__held_push(&held, frame, pushed + 7, pushed % 2));
    pushed++;
}

static void pop(void)
{
    struct sse__held_item item = sse__held_pop(&held);
    sse__frame *want = frame_of(popped);
    cr_assert_eq(item.frame->len, want->len);
    cr_assert_eq(memcmp(item.frame->bytes, want->bytes, want->len), 0, "%llu comes out of turn",
                 (unsigned long long)popped);
    cr_assert_eq(item.next, popped + 7);
    cr_assert_eq(item.event, popped % 2);
    bytes -= want->len;
    popped++;
    sse__frame_unref(want);
    sse__frame_unref(item.frame);
}

static void check(void)
{
    cr_assert_eq(held.count, pushed - popped);
    cr_assert_eq(held.bytes, bytes);
}

/* From each place of the oldest, through each size. */
Test(held, keeps_the_order_while_it_wraps_and_grows)
{
    for (int ahead = 0; ahead < 40; ahead++) {
        push(); /* one stays, so that the place of the oldest does too */
        for (int i = 0; i < ahead; i++) {
            push();
            pop();
            check();
        }
        for (int i = 0; i < 70; i++) {
            push();
            check();
        }
        while (held.count > 0) {
            pop();
            check();
        }
        cr_assert_null(held.items, "an empty one takes no memory");
    }
}

Test(held, gives_back_what_is_left)
{
    for (int i = 0; i < 10; i++)
        push();
    pop();
    sse__held_fini(&held); /* what leaks AddressSanitizer sees */
    cr_assert_eq(held.count, 0);
}
