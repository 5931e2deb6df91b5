/* Frames: the bytes, the id inside, references. */
#include "frame.h"

#include <criterion/criterion.h>

static sse__frame *make(const sse_event *ev, sse_str id)
{
    sse__frame *f;
    cr_assert_eq(sse__frame_new(ev, id, &f), SSE_OK);
    return f;
}

static void check(const sse_event *ev, const char *id, const char *expected,
                  const char *expected_id)
{
    sse__frame *f = make(ev, sse_cstr(id));
    cr_assert_eq(f->len, strlen(expected));
    cr_assert_eq(memcmp(f->bytes, expected, f->len), 0);
    sse_str got = sse__frame_id(f);
    cr_assert_eq(got.len, strlen(expected_id));
    cr_assert_eq(memcmp(got.ptr, expected_id, got.len), 0);
    sse__frame_unref(f);
}

Test(frame, holds_the_wire_format_and_knows_its_id)
{
    sse_event ev = {.data = sse_cstr("x")};
    check(&ev, NULL, "data: x\n\n", "");
    check(&ev, "12-7", "id: 12-7\ndata: x\n\n", "12-7");
    ev.id = sse_cstr("own");
    check(&ev, NULL, "id: own\ndata: x\n\n", "own");
    check(&ev, "other", "id: other\ndata: x\n\n", "other");
    check(&ev, "", "id:\ndata: x\n\n", "");
    cr_assert_str_eq(ev.id.ptr, "own", "the caller's event is not touched");
    ev.comment = sse_cstr("id: no\n\nid: neither\n");
    check(&ev, "yes", ": id: no\n:\n: id: neither\n:\nid: yes\ndata: x\n\n", "yes");
    ev = (sse_event){.comment = sse_cstr("")};
    check(&ev, "1", ":\nid: 1\n\n", "1");
    ev = (sse_event){0};
    check(&ev, NULL, ":\n\n", "");
}

Test(frame, refuses_what_cannot_be_written)
{
    sse_event ev = {.data = sse_cstr("x")};
    sse__frame *f = (sse__frame *)1;
    cr_assert_eq(sse__frame_new(&ev, sse_cstr("a\nb"), &f), SSE_EINVAL);
    cr_assert_null(f);
    ev.type = (sse_str){"a\0b", 3};
    cr_assert_eq(sse__frame_new(&ev, sse_cstr(NULL), &f), SSE_EINVAL);
    ev.type = sse_cstr(NULL);
    ev.id = sse_cstr("bad\n");
    f = make(&ev, sse_cstr("good")); /* the event's own id does not matter then */
    sse__frame_unref(f);
}

static void *hold(void *arg)
{
    sse__frame *f = arg;
    for (int i = 0; i < 10000; i++)
        sse__frame_unref(sse__frame_ref(f));
    size_t len = f->len;
    sse__frame_unref(f);
    return (void *)len;
}

Test(frame, references_are_counted_across_threads)
{
    sse_event ev = {.data = sse_cstr("x")};
    sse__frame *f = make(&ev, sse_cstr("1"));
    sse__thread threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(sse__thread_start(&threads[i], "frame", 0, hold, sse__frame_ref(f)), SSE_OK);
    sse__frame_unref(f);
    for (int i = 0; i < 4; i++)
        sse__thread_join(&threads[i]);
    sse__frame_unref(NULL);
}

static void with_id_is(const sse_event *ev, const char *expected)
{
    sse__frame *f = make(ev, (sse_str){0}), *other;
    cr_assert_eq(sse__frame_with_id(f, sse_cstr("another id"), &other), SSE_OK);
    cr_assert_eq(other->len, strlen(expected));
    cr_assert_eq(memcmp(other->bytes, expected, other->len), 0, "%.*s", (int)other->len,
                 other->bytes);
    if (other != f) {
        cr_assert_eq(sse__frame_id(other).len, 10);
        cr_assert_eq(memcmp(sse__frame_id(other).ptr, "another id", 10), 0);
    }
    sse__frame_unref(other);
    sse__frame_unref(f);
}

Test(frame, gets_another_id)
{
    sse_event ev = {.id = sse_cstr("own"), .data = sse_cstr("id: x\nid: y")};
    with_id_is(&ev, "id: another id\ndata: id: x\ndata: id: y\n\n");
    ev.comment = sse_cstr("id: no\n\nid: neither");
    with_id_is(&ev, ": id: no\n:\n: id: neither\nid: another id\ndata: id: x\ndata: id: y\n\n");
    ev = (sse_event){.id = sse_cstr(""), .data = sse_cstr("")};
    with_id_is(&ev, "id: another id\ndata:\n\n");
    ev = (sse_event){.id = sse_cstr("only")};
    with_id_is(&ev, "id: another id\n\n");
    /* Without an id there is nothing to replace. */
    ev = (sse_event){.has_retry = true, .retry_ms = 5};
    with_id_is(&ev, "retry: 5\n\n");
    ev = (sse_event){0};
    with_id_is(&ev, ":\n\n");
    ev = (sse_event){.comment = sse_cstr("hello")};
    with_id_is(&ev, ": hello\n\n");
    ev = (sse_event){.type = sse_cstr("id"), .data = sse_cstr("x")};
    with_id_is(&ev, "event: id\ndata: x\n\n");
}
