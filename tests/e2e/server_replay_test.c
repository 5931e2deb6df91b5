/* What the options of sse-server do for those who subscribe: history and replay, heartbeats, retry,
 * base64, headers. */
#include "e2e.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- streams ---- */

Test(server_streams, stream)
{
    hub h = hub_start(ARGS("--stream", "one", "--stream=two words", "--stream", "one"));
    cr_assert_eq(stream_count(&h), 2);
    publish(&h, "one", NULL, "1");
    publish(&h, "two%20words", NULL, "2");
    http_conn *c = follow(&h, "two+words", NULL, NULL);
    expect_data(c, "2");
    http_close(c);
    expect_error(&h, "GET", "/events?stream=three", NULL, NULL, 404, "three");
    hub_end(&h);
}

Test(server_streams, no_auto_stream_by_default)
{
    hub h = hub_start(NULL);
    expect_error(&h, "POST", "/events?stream=new", NULL, "x", 404, "new");
    expect_error(&h, "GET", "/events?stream=new", NULL, NULL, 404, "new");
    cr_assert_eq(stream_count(&h), 0);
    hub_end(&h);
}

static bool no_streams(void *h) { return stream_count(h) == 0; }

static bool one_stream(void *h) { return stream_count(h) == 1; }

/* features r3labs `AutoStream`: made on the first subscribe or publish, reaped when idle. */
Test(server_streams, auto_stream)
{
    hub h = hub_start(ARGS("--auto-stream", "--auto-stream-idle", "0.2"));
    http_conn *c = follow(&h, "by-subscriber", NULL, NULL);
    publish(&h, "by-publisher", NULL, "kept for a moment");
    publish(&h, "by-subscriber", NULL, "hello");
    expect_data(c, "hello");
    cr_assert_eq(stream_number(&h, "by-subscriber", "subscribers"), 1u);
    http_close(c);
    cr_assert(wait_until(no_streams, &h, LONG), "idle streams are not reaped");
    hub_end(&h);
}

/* A stream that --stream made is nobody's leftover. */
Test(server_streams, named_streams_are_not_reaped)
{
    hub h = hub_start(ARGS("--auto-stream", "--auto-stream-idle=0.1", "--stream=mine"));
    publish(&h, "automatic", NULL, "x");
    publish(&h, "mine", NULL, "still here");
    cr_assert(wait_until(one_stream, &h, LONG));
    http_conn *c = follow(&h, "mine", NULL, NULL);
    expect_data(c, "still here");
    http_close(c);
    hub_end(&h);
}

/* ---- history ---- */

Test(server_history, events)
{
    hub h = hub_start(ARGS("--stream=s", "--history=3"));
    publish_numbers(&h, "s", 0, 10);
    wait_number(&h, "s", "history", 3);
    cr_assert_eq(stream_number(&h, "s", "events"), 10u);
    http_conn *c = follow(&h, "s", NULL, NULL);
    expect_numbers(c, 7, 3);
    expect_nothing_before(&h, "s", c, "next");
    http_close(c);
    hub_end(&h);
}

Test(server_history, none)
{
    hub h = hub_start(ARGS("--stream=s", "--history", "0"));
    http_conn *live = follow(&h, "s", NULL, NULL);
    publish_numbers(&h, "s", 0, 10);
    expect_numbers(live, 0, 10);
    http_conn *late = follow(&h, "s", NULL, NULL);
    expect_nothing_before(&h, "s", late, "next");
    http_close(late);
    http_close(live);
    hub_end(&h);
}

Test(server_history, events_by_default)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *live = follow(&h, "s", NULL, NULL);
    publish_numbers(&h, "s", 0, 1500);
    expect_numbers(live, 0, 1500);
    http_close(live);
    cr_assert_eq(stream_number(&h, "s", "history"), 1024u);
    http_conn *c = follow(&h, "s", NULL, NULL);
    expect_numbers(c, 1500 - 1024, 1024);
    http_close(c);
    hub_end(&h);
}

static void publish_big(const hub *h, const char *stream, size_t bytes, int n)
{
    char *body = malloc(bytes + 1);
    cr_assert_not_null(body);
    memset(body, 'x', bytes);
    body[bytes] = '\0';
    for (int i = 0; i < n; i++)
        publish(h, stream, NULL, body);
    free(body);
}

Test(server_history, bytes)
{
    hub h = hub_start(ARGS("--stream=s", "--history-bytes", "10000"));
    publish_big(&h, "s", 3000, 20);
    wait_number(&h, "s", "history", 3);
    cr_assert_leq(stream_number(&h, "s", "history_bytes"), 10000u);
    hub_end(&h);
}

Test(server_history, bytes_by_default)
{
    hub h = hub_start(ARGS("--stream=s"));
    publish_big(&h, "s", 1 << 20, 18);
    wait_number(&h, "s", "events", 18);
    wait_number(&h, "s", "history", 15); /* of a MiB and a few bytes each in 16 MiB */
    cr_assert_leq(stream_number(&h, "s", "history_bytes"), 16u << 20);
    hub_end(&h);
}

/* features r3labs `EventTTL`, which never sent anything when replay was off. */
Test(server_history, event_ttl)
{
    hub h = hub_start(ARGS("--stream=s", "--event-ttl", "0.2"));
    http_conn *live = follow(&h, "s", NULL, NULL);
    publish(&h, "s", NULL, "short-lived");
    expect_data(live, "short-lived");
    wait_number(&h, "s", "history", 0);
    http_conn *late = follow(&h, "s", NULL, NULL);
    expect_nothing_before(&h, "s", late, "next");
    http_close(late);
    http_close(live);
    hub_end(&h);
    h = hub_start(ARGS("--stream=s", "--event-ttl", "0.2", "--no-replay"));
    live = follow(&h, "s", NULL, NULL);
    publish(&h, "s", NULL, "short-lived");
    expect_data(live, "short-lived");
    http_close(live);
    hub_end(&h);
}

/* ---- replay ---- */

static void check_replay(const char *option, bool all, bool resume)
{
    hub h = hub_start(ARGS("--stream=s", option));
    http_conn *live = follow(&h, "s", NULL, NULL);
    publish(&h, "s", "&id=a", "A");
    publish(&h, "s", "&id=b", "B");
    expect_data(live, "A");
    expect_data(live, "B");
    http_close(live);
    http_conn *c = follow(&h, "s", NULL, NULL);
    if (all) {
        expect_data(c, "A");
        expect_data(c, "B");
    }
    expect_nothing_before(&h, "s", c, "C");
    http_close(c);
    if (resume) {
        c = follow(&h, "s", NULL, "Last-Event-ID: a\r\n");
        expect_data(c, "B");
        expect_data(c, "C");
        http_close(c);
    }
    hub_end(&h);
}

/* features r3labs `AutoReplay`. */
Test(server_replay, all) { check_replay("--replay=all", true, true); }

Test(server_replay, all_by_default) { check_replay("--heartbeat=15", true, true); }

Test(server_replay, resume) { check_replay("--replay=resume", false, true); }

Test(server_replay, none) { check_replay("--replay=none", false, false); }

Test(server_replay, no_replay) { check_replay("--no-replay", false, false); }

/* With no history to resume from the subscriber learns that there is a hole. */
Test(server_replay, none_tells_of_the_gap)
{
    hub h = hub_start(ARGS("--stream=s", "--replay=none"));
    publish(&h, "s", "&id=a", "A");
    publish(&h, "s", "&id=b", "B");
    wait_number(&h, "s", "events", 2);
    http_conn *c = follow(&h, "s", NULL, "Last-Event-ID: a\r\n");
    http_block b;
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.type, "gap");
    http_block_fini(&b);
    http_close(c);
    hub_end(&h);
}

/* ---- what each subscriber gets ---- */

/* conformance 33: comments on an idle connection, and nothing else. */
Test(server_wire, heartbeat)
{
    hub h = hub_start(ARGS("--stream=s", "--heartbeat", "0.1"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    http_block b;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(http_next_block(c, &b, LONG), HTTP_OK);
        cr_assert_not_null(b.comment);
        cr_assert_null(b.data);
        cr_assert_null(b.id);
        http_block_fini(&b);
    }
    publish(&h, "s", NULL, "x");
    expect_data(c, "x");
    http_close(c);
    hub_end(&h);
}

static int count_comments(http_conn *c, size_t events)
{
    int comments = 0;
    while (events > 0) {
        http_block b;
        cr_assert_eq(http_next_block(c, &b, LONG), HTTP_OK);
        comments += b.comment != NULL;
        events -= b.data != NULL;
        http_block_fini(&b);
    }
    return comments;
}

Test(server_wire, no_heartbeat)
{
    hub with = hub_start(ARGS("--stream=s", "--heartbeat=0.1"));
    hub without = hub_start(ARGS("--stream=s", "--heartbeat=0"));
    http_conn *silent = follow(&without, "s", NULL, NULL);
    http_conn *beating = follow(&with, "s", NULL, NULL);
    http_block b;
    for (int i = 0; i < 5; i++) { /* the one that beats is the clock */
        cr_assert_eq(http_next_block(beating, &b, LONG), HTTP_OK);
        http_block_fini(&b);
    }
    publish(&without, "s", NULL, "x");
    cr_assert_eq(count_comments(silent, 1), 0);
    http_close(silent);
    http_close(beating);
    hub_end(&without);
    hub_end(&with);
}

Test(server_wire, retry)
{
    hub h = hub_start(ARGS("--stream=s", "--retry=4321"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    http_block b;
    cr_assert_eq(http_next_block(c, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.retry, "4321");
    cr_assert_null(b.data);
    http_block_fini(&b);
    http_close(c);
    hub_end(&h);
}

Test(server_wire, no_retry_by_default)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    http_block b;
    publish(&h, "s", NULL, "first");
    cr_assert_eq(http_next_block(c, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.data, "first");
    cr_assert_null(b.retry);
    http_block_fini(&b);
    http_close(c);
    hub_end(&h);
}

/* features r3labs `EncodeBase64`. */
Test(server_wire, base64)
{
    hub h = hub_start(ARGS("--stream=s", "--base64"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    publish(&h, "s", NULL, "two\nlines");
    expect_data(c, "dHdvCmxpbmVz");
    http_close(c);
    hub_end(&h);
}

/* features r3labs `Headers`; conformance 27, 28: the headers leave before any event, and these are
 * they. */
Test(server_wire, headers)
{
    hub h = hub_start(ARGS("--stream=s", "--header", "X-One: first", "--header=X-Two:second"));
    http_response head;
    http_conn *c = http_open_stream(h.port, "/events?stream=s", NULL, &head, LONG);
    cr_assert_not_null(c, "no headers before the first event");
    static const char *const wanted[][2] = {{"Content-Type", "text/event-stream"},
                                            {"Cache-Control", "no-cache"},
                                            {"X-Accel-Buffering", "no"},
                                            {"X-One", "first"},
                                            {"X-Two", "second"}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *value = http_header(&head, wanted[i][0]);
        cr_assert_not_null(value, "%s", wanted[i][0]);
        cr_assert_str_eq(value, wanted[i][1]);
    }
    http_response_fini(&head);
    http_close(c);
    hub_end(&h);
}
