/* The log of a stream: limits, ages, the index of ids, growth and loss. Times are passed in. */
#include "history.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const sse__history_limits roomy = {1000, 1u << 20, 1000, 1u << 20, 0};

static sse__frame *frame_with(const char *id, size_t data_len)
{
    char *data = malloc(data_len + 1);
    cr_assert_not_null(data);
    memset(data, 'x', data_len);
    sse_event event = {.data = {data, data_len}, .id = sse_cstr(id)};
    sse__frame *frame;
    cr_assert_eq(sse__frame_new(&event, (sse_str){0}, &frame), SSE_OK);
    free(data);
    return frame;
}

/* Append as the worker does it: make room first. */
static void append(sse__history *log, const sse__history_limits *limits, const char *id,
                   size_t data_len, uint64_t now_ms)
{
    sse__frame *frame = frame_with(id, data_len);
    while (sse__history_full(log, limits, frame->len))
        sse__history_drop_to(log, log->first + 1);
    cr_assert_eq(sse__history_append(log, limits, frame, id != NULL, now_ms), SSE_OK);
}

static uint64_t find(const sse__history *log, const char *id)
{
    uint64_t seq = 0;
    return sse__history_find(log, sse_cstr(id), &seq) ? seq : 0;
}

/* What the invariants in history.c say. */
static void check(const sse__history *log)
{
    cr_assert_leq(log->first, log->visible);
    cr_assert_leq(log->visible, log->end);
    uint64_t backlog = 0, visible = 0;
    for (uint64_t seq = log->first; seq < log->end; seq++) {
        const sse__frame *frame = sse__history_frame(log, seq);
        *(seq < log->visible ? &backlog : &visible) += frame ? frame->len : 0;
    }
    cr_assert_eq(log->backlog_bytes, backlog);
    cr_assert_eq(log->visible_bytes, visible);
}

Test(history, starts_empty_and_without_memory)
{
    sse__history log;
    sse__history_init(&log, 7);
    cr_assert_eq(log.first, 7);
    cr_assert_eq(log.end, 7);
    cr_assert_eq(sse__history_memory(&log), 0);
    cr_assert_not(sse__history_full(&log, &roomy, 4000000000u), "one event is always taken");
    cr_assert_eq(find(&log, "a"), 0);
    sse__history_hide(&log, log.end);
    sse__history_drop_to(&log, 100);
    cr_assert_eq(log.first, 7, "there is nothing to drop");
    sse__history_fini(&log);
}

Test(history, keeps_frames_by_number_while_it_grows)
{
    sse__history log;
    sse__history_init(&log, 5);
    for (size_t i = 0; i < 700; i++)
        append(&log, &roomy, NULL, i, 0);
    cr_assert_eq(log.end, 705);
    cr_assert_eq(log.allocated, 1024);
    for (uint64_t seq = 5; seq < 705; seq++) {
        sse_event same = {.data = {"", 0}};
        size_t bare = sse_event_encoded_size(&same);
        size_t len = seq - 5;
        cr_assert_eq(sse__history_frame(&log, seq)->len, bare + len + (len > 0));
    }
    check(&log);
    sse__history_fini(&log);
}

Test(history, shows_as_many_events_as_the_limit_says)
{
    sse__history_limits limits = roomy;
    limits.history_events = 3;
    limits.backlog_events = 2;
    sse__history log;
    sse__history_init(&log, 1);
    for (int i = 0; i < 20; i++) {
        append(&log, &limits, NULL, 10, 0);
        cr_assert_leq(log.end - log.visible, 3);
        cr_assert_leq(log.end - log.first, 5);
        check(&log);
    }
    cr_assert_eq(log.end - log.visible, 3);
    cr_assert_eq(log.visible - log.first, 2, "the backlog keeps what the history hides");
    sse__history_fini(&log);
}

Test(history, shows_as_many_bytes_as_the_limit_says)
{
    sse__frame *one = frame_with(NULL, 93);
    uint32_t bytes = one->len;
    sse__frame_unref(one);
    sse__history_limits limits = {1000, bytes * 4, 1000, bytes * 2, 0};
    sse__history log;
    sse__history_init(&log, 1);
    for (int i = 0; i < 20; i++) {
        append(&log, &limits, NULL, 93, 0);
        cr_assert_leq(log.visible_bytes, bytes * 4);
        cr_assert_leq(log.visible_bytes + log.backlog_bytes, bytes * 6);
        check(&log);
    }
    cr_assert_eq(log.end - log.visible, 4);
    cr_assert_eq(log.end - log.first, 6);
    sse__history_fini(&log);
}

Test(history, holds_one_event_that_is_larger_than_all_limits)
{
    sse__history_limits limits = {10, 100, 10, 100, 0};
    sse__history log;
    sse__history_init(&log, 1);
    append(&log, &limits, NULL, 10, 0);
    append(&log, &limits, NULL, 5000, 0);
    cr_assert_eq(log.end - log.first, 1, "it is there for the subscribers that are connected");
    cr_assert_eq(log.end - log.visible, 0, "it is not replayed");
    append(&log, &limits, NULL, 10, 0);
    cr_assert_eq(log.end - log.first, 1);
    cr_assert_eq(log.end - log.visible, 1);
    check(&log);
    sse__history_fini(&log);
}

Test(history, without_history_everything_goes_to_the_backlog)
{
    sse__history_limits limits = roomy;
    limits.history_events = 0;
    limits.backlog_events = 4;
    sse__history log;
    sse__history_init(&log, 1);
    for (int i = 0; i < 10; i++)
        append(&log, &limits, NULL, 1, 0);
    cr_assert_eq(log.visible, log.end);
    cr_assert_eq(log.end - log.first, 4);
    sse__history_fini(&log);
}

/* features: EventTTL */
Test(history, hides_what_is_too_old)
{
    sse__history_limits limits = roomy;
    limits.ttl_ms = 100;
    sse__history log;
    sse__history_init(&log, 1);
    append(&log, &limits, NULL, 1, 1000);
    append(&log, &limits, NULL, 1, 1050);
    append(&log, &limits, NULL, 1, 1090);
    sse__history_expire(&log, &limits, 1099);
    cr_assert_eq(log.visible, 1);
    sse__history_expire(&log, &limits, 1100);
    cr_assert_eq(log.visible, 2);
    sse__history_expire(&log, &limits, 1189);
    cr_assert_eq(log.visible, 3);
    append(&log, &limits, NULL, 1, 1300);
    cr_assert_eq(log.visible, 4, "an append looks at the age, too");
    cr_assert_eq(log.first, 1, "expired events still wait for slow subscribers");
    check(&log);
    sse__history_fini(&log);
}

/* features: Eventlog.Clear */
Test(history, expires_all_on_demand)
{
    sse__history log;
    sse__history_init(&log, 1);
    for (int i = 0; i < 5; i++)
        append(&log, &roomy, "same", 1, 0);
    sse__history_hide(&log, log.end);
    cr_assert_eq(log.visible, log.end);
    cr_assert_eq(log.visible_bytes, 0);
    append(&log, &roomy, NULL, 1, 0);
    cr_assert_eq(log.end - log.visible, 1);
    check(&log);
    sse__history_fini(&log);
}

Test(history, drops_up_to_a_number)
{
    sse__history log;
    sse__history_init(&log, 1);
    for (int i = 0; i < 10; i++)
        append(&log, &roomy, NULL, 1, 0);
    sse__history_drop_to(&log, 4);
    cr_assert_eq(log.first, 4);
    cr_assert_eq(log.visible, 4, "what is dropped is not visible either");
    sse__history_drop_to(&log, 2);
    cr_assert_eq(log.first, 4, "never backwards");
    check(&log);
    sse__history_drop_to(&log, 1000);
    cr_assert_eq(log.first, 11, "never beyond the end");
    cr_assert_eq(log.end, 11);
    check(&log);
    sse__history_fini(&log);
}

Test(history, finds_events_by_the_publishers_id)
{
    sse__history log;
    sse__history_init(&log, 1);
    append(&log, &roomy, "a", 1, 0);
    append(&log, &roomy, NULL, 1, 0);
    append(&log, &roomy, "b", 1, 0);
    append(&log, &roomy, "", 1, 0); /* "id:" resets; there is nothing to look up */
    cr_assert_eq(find(&log, "a"), 1);
    cr_assert_eq(find(&log, "b"), 3);
    cr_assert_eq(find(&log, "c"), 0);
    cr_assert_eq(find(&log, ""), 0);
    append(&log, &roomy, "a", 1, 0);
    cr_assert_eq(find(&log, "a"), 5, "published twice: the newest counts");
    sse__history_drop_to(&log, 2);
    cr_assert_eq(find(&log, "a"), 5, "the older one going takes nothing along");
    sse__history_drop_to(&log, 5);
    cr_assert_eq(find(&log, "b"), 0);
    cr_assert_eq(find(&log, "a"), 5);
    sse__history_drop_to(&log, 6);
    cr_assert_eq(find(&log, "a"), 0);
    cr_assert_eq(log.index.live, 0);
    sse__history_fini(&log);
}

Test(history, does_not_index_ids_that_are_not_the_publishers)
{
    sse__history log;
    sse__history_init(&log, 1);
    cr_assert_eq(sse__history_append(&log, &roomy, frame_with("x", 1), false, 0), SSE_OK);
    cr_assert_eq(find(&log, "x"), 0);
    cr_assert_eq(log.index.size, 0);
    sse__history_fini(&log);
}

/* Against a plain table: random ids come, are published again, and go. */
Test(history, index_survives_churn)
{
    enum { IDS = 50, ROUNDS = 20000 };
    uint64_t newest[IDS] = {0};
    sse__history_limits limits = roomy;
    limits.history_events = 30;
    limits.backlog_events = 7;
    sse__history log;
    sse__history_init(&log, 1);
    uint32_t random = 12345;
    for (int round = 0; round < ROUNDS; round++) {
        random = random * 1664525u + 1013904223u;
        size_t which = (random >> 16) % IDS;
        char id[32];
        snprintf(id, sizeof id, "id-%zu", which);
        append(&log, &limits, id, 3, 0);
        newest[which] = log.end - 1;
        for (size_t i = 0; i < IDS && round % 97 == 0; i++) {
            snprintf(id, sizeof id, "id-%zu", i);
            cr_assert_eq(find(&log, id), newest[i] >= log.first ? newest[i] : 0);
        }
    }
    cr_assert_leq(log.index.size, 256, "the index does not grow with what has gone");
    check(&log);
    sse__history_fini(&log);
}

Test(history, ids_may_share_their_beginning)
{
    sse__history log;
    sse__history_init(&log, 1);
    append(&log, &roomy, "12", 1, 0);
    append(&log, &roomy, "1", 1, 0);
    append(&log, &roomy, "123", 1, 0);
    cr_assert_eq(find(&log, "1"), 2);
    cr_assert_eq(find(&log, "12"), 1);
    cr_assert_eq(find(&log, "123"), 3);
    sse__history_fini(&log);
}

Test(history, records_a_loss_as_an_empty_place)
{
    sse__history log;
    sse__history_init(&log, 1);
    append(&log, &roomy, "a", 1, 0);
    cr_assert_eq(sse__history_append(&log, &roomy, NULL, true, 0), SSE_OK);
    append(&log, &roomy, "b", 1, 0);
    cr_assert_null(sse__history_frame(&log, 2));
    check(&log);
    sse__history_drop_to(&log, 3);
    check(&log);
    cr_assert_eq(find(&log, "b"), 3);
    sse__history_fini(&log);
}

Test(history, can_lose_everything_and_go_on)
{
    sse__history log;
    sse__history_init(&log, 1);
    sse__history_lose(&log);
    cr_assert_eq(log.first, 2, "also when it is empty");
    append(&log, &roomy, "a", 1, 0);
    append(&log, &roomy, "b", 1, 0);
    sse__history_lose(&log);
    cr_assert_eq(log.first, 5);
    cr_assert_eq(log.visible, 5);
    cr_assert_eq(log.end, 5);
    cr_assert_eq(log.backlog_bytes + log.visible_bytes, 0);
    cr_assert_eq(find(&log, "a"), 0);
    append(&log, &roomy, "a", 1, 0);
    cr_assert_eq(find(&log, "a"), 5);
    check(&log);
    sse__history_fini(&log);
}

Test(history, memory_is_what_it_holds)
{
    sse__history_limits limits = {16, 1u << 20, 16, 1u << 20, 0};
    sse__history log;
    sse__history_init(&log, 1);
    size_t most = 0;
    for (int i = 0; i < 2000; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        append(&log, &limits, id, 100, 0);
        if (sse__history_memory(&log) > most)
            most = sse__history_memory(&log);
    }
    size_t frames = log.backlog_bytes + log.visible_bytes;
    cr_assert_gt(frames, 32u * 100);
    cr_assert_leq(most, frames + 64 * sizeof(sse__history_entry) + 256 * sizeof(uint64_t));
    sse__history_fini(&log);
}
