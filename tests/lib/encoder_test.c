/* The encoder's bytes, exactly. That they mean what was put in is tested in roundtrip_test.c. */
#include <criterion/criterion.h>
#include <sse/event.h>

static void check(const sse_event *ev, const char *expected, size_t n)
{
    char buf[512];
    size_t len;
    cr_assert_eq(sse_event_encoded_size(ev), n, "size %zu of %s", sse_event_encoded_size(ev),
                 expected);
    cr_assert_eq(sse_event_encode(ev, buf, n, &len), SSE_OK);
    cr_assert_eq(len, n);
    cr_assert_eq(memcmp(buf, expected, n), 0, "%.*s instead of %s", (int)len, buf, expected);
    /* A byte less is not enough, and nothing is written. */
    memset(buf, '#', sizeof buf);
    cr_assert_eq(sse_event_encode(ev, buf, n - 1, &len), SSE_ETOOBIG);
    cr_assert_eq(len, n);
    cr_assert_eq(buf[0], '#');
}

static void data_is(sse_str data, const char *expected)
{
    sse_event ev = {.data = data};
    check(&ev, expected, strlen(expected));
}

static void comment_is(const char *comment, const char *expected)
{
    sse_event ev = {.comment = sse_cstr(comment)};
    check(&ev, expected, strlen(expected));
}

Test(encoder, fields_have_their_order)
{
    sse_event ev = {.id = sse_cstr("1"),
                    .type = sse_cstr("tick"),
                    .data = sse_cstr("x"),
                    .comment = sse_cstr("c"),
                    .retry_ms = 2000,
                    .has_retry = true};
    const char *expected = ": c\nid: 1\nevent: tick\nretry: 2000\ndata: x\n\n";
    check(&ev, expected, strlen(expected));
}

Test(encoder, an_event_with_nothing_is_a_comment)
{
    sse_event ev = {0};
    check(&ev, ":\n\n", 3);
    ev.type = sse_cstr(""); /* the same as none */
    check(&ev, ":\n\n", 3);
}

/* Conformance 30. */
Test(encoder, parts_are_optional)
{
    sse_event ev = {.id = sse_cstr("")};
    check(&ev, "id:\n\n", 5);
    ev = (sse_event){.id = sse_cstr(" 7")};
    check(&ev, "id:  7\n\n", 8);
    ev = (sse_event){.type = sse_cstr("message")};
    check(&ev, "event: message\n\n", 16);
    ev = (sse_event){.has_retry = true};
    check(&ev, "retry: 0\n\n", 10);
    ev = (sse_event){.has_retry = true, .retry_ms = UINT64_MAX};
    check(&ev, "retry: 18446744073709551615\n\n", 29);
    ev = (sse_event){.retry_ms = 5, .data = sse_cstr("x")};
    check(&ev, "data: x\n\n", 9);
}

/* Conformance 29. */
Test(encoder, data_is_cut_at_every_line_end)
{
    data_is(sse_cstr(""), "data:\n\n");
    data_is(sse_cstr("a"), "data: a\n\n");
    data_is(sse_cstr(" a"), "data:  a\n\n");
    data_is(sse_cstr("a\n"), "data: a\ndata:\n\n");
    data_is(sse_cstr("\n"), "data:\ndata:\n\n");
    data_is(sse_cstr("\r"), "data:\ndata:\n\n");
    data_is(sse_cstr("\r\n"), "data:\ndata:\n\n");
    data_is(sse_cstr("\n\r"), "data:\ndata:\ndata:\n\n");
    data_is(sse_cstr("\r\r\n\n"), "data:\ndata:\ndata:\ndata:\n\n");
    data_is(sse_cstr("a\rb\nc\r\nd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
    data_is(sse_cstr("a\n\nid: 7\n\ndata: b"),
            "data: a\ndata:\ndata: id: 7\ndata:\ndata: data: b\n\n");
    data_is(sse_cstr(":not a comment"), "data: :not a comment\n\n");
    data_is((sse_str){"a\nbc", 2}, "data: a\ndata:\n\n");
    data_is((sse_str){"a\r\n", 2}, "data: a\ndata:\n\n");
}

Test(encoder, nul_is_data)
{
    sse_event ev = {.data = {"a\0\nb", 4}};
    check(&ev, "data: a\0\ndata: b\n\n", 18);
}

Test(encoder, comments_are_cut_at_every_line_end)
{
    comment_is("", ":\n\n");
    comment_is("hello", ": hello\n\n");
    comment_is(" x", ":  x\n\n");
    comment_is("a\nb\r\nc\rdata: d", ": a\n: b\n: c\n: data: d\n\n");
    comment_is("a\n\n", ": a\n:\n:\n\n");
}

Test(encoder, what_cannot_be_written_is_refused)
{
    char buf[64];
    size_t len = 7;
    sse_event ev = {.id = sse_cstr("a\nb"), .data = sse_cstr("x")};
    cr_assert_eq(sse_event_encode(&ev, buf, sizeof buf, &len), SSE_EINVAL);
    cr_assert_eq(len, 0);
    ev = (sse_event){.type = sse_cstr("a\rb")};
    cr_assert_eq(sse_event_encode(&ev, buf, sizeof buf, &len), SSE_EINVAL);
}

Test(encoder, no_room_at_all)
{
    size_t len;
    sse_event ev = {.data = sse_cstr("x")};
    cr_assert_eq(sse_event_encode(&ev, NULL, 0, &len), SSE_ETOOBIG);
    cr_assert_eq(len, 9);
}

/* Megabytes with only LF, only CR, or one of each: cutting stays linear, else this does not end. */
Test(encoder, large_data)
{
    static const char *const patterns[] = {"\n", "\r", "\r\n", "a", "\ra", "a\na\r"};
    const size_t n = 2000000;
    char *data = malloc(n);
    cr_assert(data);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        size_t step = strlen(patterns[i]);
        for (size_t at = 0; at < n; at++)
            data[at] = patterns[i][at % step];
        data[0] = '\n';
        sse_event ev = {.data = {data, n}};
        size_t size = sse_event_encoded_size(&ev), len;
        char *buf = malloc(size);
        cr_assert(buf);
        cr_assert_eq(sse_event_encode(&ev, buf, size, &len), SSE_OK);
        cr_assert_eq(len, size);
        cr_assert_eq(memcmp(buf + size - 2, "\n\n", 2), 0);
        free(buf);
    }
    free(data);
}
