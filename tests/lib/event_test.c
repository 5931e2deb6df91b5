/* Checking events, and messages. */
#include "event_stream.h"
#include "sync.h"

#include <criterion/criterion.h>
#include <sse/event.h>
#include <stdio.h>
#include <string.h>

Test(event, check_refuses_what_breaks_out_of_its_line)
{
    static const char *const bad[] = {"a\nb", "a\rb", "\n", "\r", "a\r\n"};
    sse_event ev = {0};
    cr_assert_eq(sse_event_check(&ev), SSE_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ev = (sse_event){.id = sse_cstr(bad[i])};
        cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
        ev = (sse_event){.type = sse_cstr(bad[i])};
        cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
        ev = (sse_event){.data = sse_cstr(bad[i]), .comment = sse_cstr(bad[i])};
        cr_assert_eq(sse_event_check(&ev), SSE_OK);
    }
    ev = (sse_event){.id = {"a\0b", 3}};
    cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
    ev = (sse_event){.type = {"\0", 1}};
    cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
    ev = (sse_event){.data = {"a\0b", 3}, .comment = {"a\0b", 3}};
    cr_assert_eq(sse_event_check(&ev), SSE_OK);
    ev = (sse_event){.id = {"", 0}, .type = {"", 0}, .data = {"", 0}, .comment = {"", 0}};
    cr_assert_eq(sse_event_check(&ev), SSE_OK);
}

Test(event, check_refuses_a_length_without_bytes)
{
    sse_event ev = {.id = {NULL, 1}};
    cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
    ev = (sse_event){.type = {NULL, 1}};
    cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
    ev = (sse_event){.data = {NULL, 1}};
    cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
    ev = (sse_event){.comment = {NULL, 1}};
    cr_assert_eq(sse_event_check(&ev), SSE_EINVAL);
}

static void same(sse_str copy, sse_str original)
{
    cr_assert_eq(copy.ptr == NULL, original.ptr == NULL);
    cr_assert_eq(copy.len, original.len);
    if (!copy.ptr)
        return;
    cr_assert_neq(copy.ptr, original.ptr);
    cr_assert_eq(memcmp(copy.ptr, original.ptr, copy.len), 0);
    cr_assert_eq(copy.ptr[copy.len], '\0');
}

Test(msg, is_a_copy_with_a_nul_behind_each_part)
{
    /* Every combination of absent, empty and present parts. */
    static const sse_str parts[] = {{NULL, 0}, {"", 0}, {"a\0b", 3}, {"text", 4}};
    for (int i = 0; i < 256; i++) {
        sse_event ev = {.id = parts[i & 3],
                        .type = parts[i >> 2 & 3],
                        .data = parts[i >> 4 & 3],
                        .comment = parts[i >> 6],
                        .retry_ms = 17,
                        .has_retry = i % 2};
        const char *stream = i % 3 ? "news" : NULL;
        sse_msg *msg;
        cr_assert_eq(sse_msg_new(&ev, stream, &msg), SSE_OK);
        const sse_event *copy = sse_msg_event(msg);
        same(copy->id, ev.id);
        same(copy->type, ev.type);
        same(copy->data, ev.data);
        same(copy->comment, ev.comment);
        cr_assert_eq(copy->retry_ms, 17);
        cr_assert_eq(copy->has_retry, i % 2);
        if (stream)
            cr_assert_str_eq(sse_msg_stream(msg), "news");
        else
            cr_assert_null(sse_msg_stream(msg));
        sse_msg_unref(msg);
    }
}

Test(msg, does_not_hang_on_what_it_was_made_from)
{
    char data[] = "data", stream[] = "stream";
    sse_event ev = {.data = sse_cstr(data)};
    sse_msg *msg;
    cr_assert_eq(sse_msg_new(&ev, stream, &msg), SSE_OK);
    memset(data, 'X', sizeof data);
    memset(stream, 'X', sizeof stream);
    cr_assert_str_eq(sse_msg_event(msg)->data.ptr, "data");
    cr_assert_str_eq(sse_msg_stream(msg), "stream");
    sse_msg_unref(msg);
    sse_msg_unref(NULL);
}

Test(msg, a_size_beyond_memory_is_no_memory)
{
    sse_event ev = {.data = {"x", SIZE_MAX - 2}};
    sse_msg *msg;
    cr_assert_eq(sse_msg_new(&ev, NULL, &msg), SSE_ENOMEM);
    cr_assert_null(msg);
    ev = (sse_event){.data = {"x", SIZE_MAX}};
    cr_assert_eq(sse_msg_new(&ev, NULL, &msg), SSE_ENOMEM);
    ev = (sse_event){.data = {"x", SIZE_MAX / 2}, .comment = {"x", SIZE_MAX / 2}};
    cr_assert_eq(sse_msg_new(&ev, NULL, &msg), SSE_ENOMEM);
}

enum { THREADS = 4, ROUNDS = 10000 };

static void *take_and_give(void *arg)
{
    sse_msg *msg = arg;
    for (int i = 0; i < ROUNDS; i++)
        sse_msg_unref(sse_msg_ref(msg));
    size_t len = sse_msg_event(msg)->data.len;
    sse_msg_unref(msg);
    return (void *)len;
}

Test(msg, references_are_counted_across_threads)
{
    sse_event ev = {.data = sse_cstr("data")};
    sse_msg *msg;
    sse__thread threads[THREADS];
    cr_assert_eq(sse_msg_new(&ev, NULL, &msg), SSE_OK);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(sse__thread_start(&threads[i], "ref", 0, take_and_give, sse_msg_ref(msg)),
                     SSE_OK);
    cr_assert_str_eq(sse_msg_event(msg)->data.ptr, "data");
    sse_msg_unref(msg); /* the threads' references keep it */
    for (int i = 0; i < THREADS; i++)
        sse__thread_join(&threads[i]);
}

/* ---- ids of connections with several streams ---- */

static void stream_is(const char *id, const char *stream, const char *own)
{
    char name[32];
    sse_event event = {.id = sse_cstr(id)};
    cr_assert_eq(sse_event_stream(&event, name, sizeof name), strlen(stream), "%s", id);
    cr_assert_str_eq(name, stream);
    sse_str got = sse_event_own_id(&event);
    cr_assert_eq(got.len, own ? strlen(own) : 0, "%s", id);
    cr_assert(own ? memcmp(got.ptr, own, got.len) == 0 : got.ptr == NULL, "%s", id);
}

Test(event, the_stream_in_an_id)
{
    stream_is("news 0123456789ab-7", "news", NULL);
    stream_is("news 0123456789ab-7,0123456789ac-18446744073709551615", "news", NULL);
    stream_is("a%20b%25%2f%2F 0123456789ab-0 its own, id", "a b%//", "its own, id");
    stream_is("a 0123456789ab-0 ", "a", "");
    stream_is("100%,%4,%zz,% 0123456789ab-1", "100%,%4,%zz,%", NULL);
}

/* Ids of other forms are what they are. */
Test(event, no_stream_in_an_id)
{
    static const char *const others[] = {"",
                                         "7",
                                         " ",
                                         "news",
                                         "news ",
                                         " 0123456789ab-7",
                                         "0123456789ab-7",
                                         "news 0123456789ab",
                                         "news 0123456789ab-",
                                         "news 0123456789ab-x",
                                         "news 0123456789a-7",
                                         "news 0123456789abc-7",
                                         "news 0123456789ag-7",
                                         "news 0123456789ab-7,",
                                         "news 0123456789ab-7,8",
                                         "news  0123456789ab-7",
                                         "news 0123456789ab-7x",
                                         "news 0123456789AB-7",
                                         "news 0123456789ab-7,0123456789AC-7"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        stream_is(others[i], "", others[i]);
    char name[4];
    cr_assert_eq(sse_event_stream(&(sse_event){0}, name, sizeof name), 0);
    cr_assert_null(sse_event_own_id(&(sse_event){0}).ptr);
}

/* The server asks for the positions one by one. */
Test(event, the_positions_in_an_id)
{
    static const char *const texts[] = {"0123456789ab-7", "00000000000f-0",
                                        "ffffffffffff-18446744073709551615"};
    static const uint64_t epochs[] = {0x0123456789ab, 0xf, 0xffffffffffff};
    char id[128];
    for (size_t n = 1; n <= 3; n++) {
        snprintf(id, sizeof id, "news %s%s%s%s%s its own,1", texts[0], n > 1 ? "," : "",
                 n > 1 ? texts[1] : "", n > 2 ? "," : "", n > 2 ? texts[2] : "");
        sse__event_id parts;
        cr_assert(sse__event_id_split(sse_cstr(id), &parts), "%s", id);
        sse_str position;
        uint64_t epoch;
        for (size_t i = 0; i < n; i++) {
            cr_assert(sse__event_id_next(&parts.positions, &position, &epoch));
            cr_assert_eq(position.len, strlen(texts[i]));
            cr_assert_eq(memcmp(position.ptr, texts[i], position.len), 0);
            cr_assert_eq(epoch, epochs[i]);
        }
        cr_assert_not(sse__event_id_next(&parts.positions, &position, &epoch));
        cr_assert_eq(parts.positions.len, 0);
    }
}

Test(event, a_name_that_does_not_fit_is_cut)
{
    char name[4];
    sse_event event = {.id = sse_cstr("abcdef 0123456789ab-7")};
    cr_assert_eq(sse_event_stream(&event, name, sizeof name), 6);
    cr_assert_str_eq(name, "abc");
    cr_assert_eq(sse_event_stream(&event, NULL, 0), 6);
}
