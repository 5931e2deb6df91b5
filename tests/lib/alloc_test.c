/* The i-th allocation fails, for every i: nothing leaks, nothing breaks, the error is told, and
 * what failed works when it is done again. AddressSanitizer's leak check is part of the proof. */
#include "alloc_fail.h"
#include "frame.h"
#include "ring.h"
#include "trace.h"

#include <criterion/criterion.h>
#include <sse/chan.h>
#include <stdio.h>

/* Runs a scenario with every allocation failing in turn, until one runs through. It returns what it
 * says went wrong. */
static void for_every_allocation(sse_err (*scenario)(void), size_t at_least)
{
    size_t i = 0;
    for (bool failed = true; failed; i++) {
        alloc_fail_at(i);
        sse_err err = scenario();
        failed = alloc_fail_disarm();
        cr_assert_eq(err, failed ? SSE_ENOMEM : SSE_OK, "allocation %zu: %s", i, sse_errname(err));
        cr_assert_lt(i, 1000);
    }
    cr_assert_geq(i, at_least + 1, "only %zu allocations", i - 1);
    /* No memory at all is no worse. */
    alloc_fail_from(0);
    cr_assert_eq(scenario(), SSE_ENOMEM);
    alloc_fail_disarm();
}

static const sse_event full_event = {
    .id = {"17", 2},
    .type = {"tick", 4},
    .data = {"one\ntwo", 7},
    .comment = {"note", 4},
    .retry_ms = 3,
    .has_retry = true,
};

static sse_err make_msg(void)
{
    sse_msg *msg = (sse_msg *)1;
    sse_err err = sse_msg_new(&full_event, "news", &msg);
    cr_assert_eq(msg == NULL, err != SSE_OK);
    sse_msg_unref(msg);
    return err;
}

Test(alloc, msg) { for_every_allocation(make_msg, 1); }

static sse_err make_frame(void)
{
    sse__frame *frame = (sse__frame *)1;
    sse_err err = sse__frame_new(&full_event, sse_cstr("18"), &frame);
    cr_assert_eq(frame == NULL, err != SSE_OK);
    sse__frame_unref(frame);
    return err;
}

Test(alloc, frame) { for_every_allocation(make_frame, 1); }

static sse_err fill_ring(void)
{
    sse__ring ring;
    int items[100];
    size_t in = 0;
    sse_err err = SSE_OK;
    sse__ring_init(&ring, 100);
    for (int i = 0; i < 100 && err == SSE_OK; i++) {
        err = sse__ring_push(&ring, &items[i]);
        in += err == SSE_OK;
    }
    cr_assert_eq(ring.count, in);
    for (size_t i = 0; i < in; i++)
        cr_assert_eq(sse__ring_pop(&ring), &items[i]);
    cr_assert_null(sse__ring_pop(&ring));
    sse__ring_fini(&ring);
    return err;
}

Test(alloc, ring) { for_every_allocation(fill_ring, 4); }

static sse_err use_chan(void)
{
    sse_chan *chan = NULL;
    sse_msg *msg = NULL, *got;
    sse_err err = sse_msg_new(&full_event, NULL, &msg);
    if (err == SSE_OK)
        err = sse_chan_new(NULL, &chan);
    size_t sent = 0;
    for (int i = 0; i < 40 && err == SSE_OK; i++) {
        err = sse_chan_send(chan, msg);
        sent += err == SSE_OK;
    }
    if (chan)
        cr_assert_eq(sse_chan_len(chan), sent);
    for (size_t i = 0; i < sent / 2; i++) {
        cr_assert_eq(sse_chan_try_recv(chan, &got), SSE_OK);
        cr_assert_eq(got, msg);
        sse_msg_unref(got);
    }
    sse_msg_unref(msg);
    sse_chan_unref(chan);
    return err;
}

Test(alloc, chan) { for_every_allocation(use_chan, 4); }

/* Parsing: the event that there was no memory for is lost and told once, all others arrive. */
static const char stream[] = "id:1\nevent:first\n:a comment\ndata:one\ndata:more\n\n"
                             "id:22\nevent:\xffsecond\ndata:two\xfe\n\n"
                             "id:333\ndata:three\n\ndata:four\n\n";
static const char numbers[] = "data:1\n\n";
static size_t step;
static bool raw;

struct seen {
    size_t events;
    size_t lost;
};

static int saw_event(void *user, const sse_event *event)
{
    struct seen *seen = user;
    seen->events += event->data.len > 0;
    /* Nothing that was left in a chunk which is gone. */
    const sse_str parts[] = {event->id, event->type, event->data, event->comment};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_assert(parts[i].len == 0 || !memchr(parts[i].ptr, '#', parts[i].len));
    return 0;
}

static int saw_problem(void *user, sse_err err, uint64_t line, const char *what)
{
    struct seen *seen = user;
    cr_assert_eq(err, SSE_ENOMEM, "line %d: %s", (int)line, what);
    seen->lost++;
    return 0;
}

static int saw_comment(void *user, sse_str comment)
{
    (void)user;
    cr_assert_eq(comment.len, 9);
    return 0;
}

static sse_err parse(void)
{
    static const sse_parser_callbacks callbacks = {.size = sizeof callbacks,
                                                   .on_event = saw_event,
                                                   .on_comment = saw_comment,
                                                   .on_problem = saw_problem};
    struct seen seen = {0, 0};
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    options.raw_blocks = raw;
    sse_parser *p;
    sse_err err = sse_parser_new(&options, &callbacks, &seen, &p);
    if (err != SSE_OK) {
        cr_assert_null(p);
        return err;
    }
    for (size_t at = 0; at < sizeof stream - 1; at += step) {
        size_t left = sizeof stream - 1 - at;
        char chunk[sizeof stream];
        size_t n = left < step ? left : step;
        memcpy(chunk, stream + at, n);
        cr_assert_eq(sse_parser_feed(p, chunk, n), SSE_OK);
        memset(chunk, '#', sizeof chunk);
    }
    cr_assert_eq(seen.events + seen.lost, 4, "%zu arrived, %zu lost", seen.events, seen.lost);
    alloc_fail_disarm();
    size_t before = seen.events;
    cr_assert(seen.lost > 0 || sse_parser_last_event_id(p).len == 3);
    cr_assert_eq(sse_parser_feed(p, numbers, sizeof numbers - 1), SSE_OK);
    cr_assert_eq(seen.events, before + 1);
    sse_parser_free(p);
    return seen.lost > 0 ? SSE_ENOMEM : SSE_OK;
}

/* Here the scenario disarms in the middle, so that the loop is its own. */
static void parse_with_every_failure(void)
{
    for (step = 1; step <= sizeof stream; step++) {
        size_t i = 0;
        do {
            cr_assert_lt(i, 100);
            alloc_fail_at(i++);
        } while (parse() == SSE_ENOMEM);
        cr_assert_gt(i, 2);
        alloc_fail_from(1); /* the parser is there, and nothing else */
        parse();
    }
}

Test(alloc, parser) { parse_with_every_failure(); }

Test(alloc, parser_with_raw_blocks)
{
    raw = true;
    parse_with_every_failure();
}

Test(alloc, parser_set_last_event_id)
{
    sse_parser *p;
    sse_parser_callbacks none = SSE_PARSER_CALLBACKS_INIT;
    cr_assert_eq(sse_parser_new(NULL, &none, NULL, &p), SSE_OK);
    cr_assert_eq(sse_parser_set_last_event_id(p, sse_cstr("a")), SSE_OK);
    alloc_fail_at(0);
    char longer[2000];
    memset(longer, 'x', sizeof longer);
    sse_err err = sse_parser_set_last_event_id(p, (sse_str){longer, sizeof longer});
    cr_assert(alloc_fail_disarm());
    cr_assert_eq(err, SSE_ENOMEM);
    cr_assert_eq(sse_parser_last_event_id(p).len, 1);
    cr_assert_eq(*sse_parser_last_event_id(p).ptr, 'a');
    sse_parser_free(p);
}

/* The encoder writes into the caller's memory and asks for none. */
Test(alloc, encoder_needs_none)
{
    char buf[200];
    size_t len;
    alloc_count_reset();
    cr_assert_eq(sse_event_encode(&full_event, buf, sizeof buf, &len), SSE_OK);
    cr_assert_eq(sse_event_encoded_size(&full_event), len);
    cr_assert_eq(alloc_count(), 0);
}
