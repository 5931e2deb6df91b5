/* Streams: create, remove, exists, names; what publish refuses; statistics and lists. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* features: New */
Test(streams, a_hub_needs_no_options)
{
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    cr_assert_eq(totals(server).streams, 0);
    sse_server_free(server);
    sse_server_free(NULL);
}

/* features: CreateStream (idempotent), RemoveStream, StreamExists */
Test(streams, come_and_go)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    cr_assert_not(sse_server_stream_exists(server, "a"));
    create(server, "a");
    say(server, "a", "kept");
    create(server, "a");
    cr_assert(sse_server_stream_exists(server, "a"));
    cr_assert_eq(totals(server).streams, 1);
    cr_assert_eq(stats_of(server, "a").published, 1, "creating it again changes nothing");
    cr_assert_eq(sse_server_remove_stream(server, "a"), SSE_OK);
    cr_assert_not(sse_server_stream_exists(server, "a"));
    cr_assert_eq(sse_server_remove_stream(server, "a"), SSE_ENOSTREAM);
    create(server, "a");
    cr_assert_eq(stats_of(server, "a").published, 0, "a new stream of an old name");
    sse_server_free(server);
}

/* features: Publish, to a missing stream is an error */
Test(streams, calls_for_a_missing_stream_say_so)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    sse_event event = {.data = sse_cstr("x")};
    sse_stream_stats stats;
    cr_assert_eq(sse_server_publish(server, "none", &event), SSE_ENOSTREAM);
    cr_assert_eq(sse_server_try_publish(server, "none", &event), SSE_ENOSTREAM);
    cr_assert_eq(sse_server_clear_history(server, "none"), SSE_ENOSTREAM);
    cr_assert_eq(sse_server_stream_stats(server, "none", &stats), SSE_ENOSTREAM);
    /* features: 404 and 400 where r3labs answers 500 */
    cr_assert_eq(status_of(port, "GET", "/events?stream=none", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "HEAD", "/events?stream=none", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "GET", "/events", NULL, NULL), 400);
    cr_assert_eq(status_of(port, "GET", "/events?stream=", NULL, NULL), 400);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a&stream=a", NULL, NULL), 400);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a%00b", NULL, NULL), 400);
    cr_assert_eq(totals(server).streams, 0);
    sse_server_free(server);
}

Test(streams, names_are_checked)
{
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    char name[514];
    memset(name, 'n', sizeof name);
    name[513] = '\0';
    cr_assert_eq(sse_server_create_stream(server, name, NULL), SSE_EINVAL);
    name[512] = '\0';
    cr_assert_eq(sse_server_create_stream(server, name, NULL), SSE_OK);
    static const char *const bad[] = {NULL, "", "a\nb", "a\rb", "\x01", "a\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(sse_server_create_stream(server, bad[i], NULL), SSE_EINVAL);
    create(server, "a b/c?d&e=f \xc3\xa9");
    cr_assert(sse_server_stream_exists(server, "a b/c?d&e=f \xc3\xa9"));
    sse_server_free(server);
}

Test(streams, names_are_decoded_from_the_query)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    create(server, "a b/c?d&e=f \xc3\xa9");
    http_conn *c = join(port, "a+b%2Fc%3fd%26e%3Df%20%C3%A9");
    say(server, "a b/c?d&e=f \xc3\xa9", "found");
    expect_data(c, "found");
    http_close(c);
    sse_server_free(server);
}

/* conformance 29 */
Test(streams, publish_refuses_what_would_break_out)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    create(server, "a");
    static const sse_str bad[] = {{"a\nb", 3}, {"a\rb", 3}, {"a\0b", 3}, {"\n", 1}, {NULL, 3}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sse_event id = {.id = bad[i], .data = sse_cstr("x")};
        sse_event type = {.type = bad[i], .data = sse_cstr("x")};
        cr_assert_eq(sse_server_publish(server, "a", &id), SSE_EINVAL);
        cr_assert_eq(sse_server_try_publish(server, "a", &type), SSE_EINVAL);
    }
    cr_assert_eq(sse_server_publish(server, "a", NULL), SSE_EINVAL);
    sse_event event = {.data = sse_cstr("x")};
    cr_assert_eq(sse_server_publish(server, NULL, &event), SSE_EINVAL);
    cr_assert_eq(stats_of(server, "a").published, 0, "nothing was queued");
    sse_server_free(server);
}

Test(streams, events_have_a_largest_size)
{
    sse_server_options options = fixture_options();
    options.max_event_bytes = 100;
    uint16_t port;
    sse_server *server = serve(&options, &port);
    create(server, "a");
    sse_event event = {.id = {bulk(100), 20},
                       .type = {bulk(100), 20},
                       .data = {bulk(100), 40},
                       .comment = {bulk(100), 20}};
    cr_assert_eq(sse_server_publish(server, "a", &event), SSE_OK);
    event.data.len++;
    cr_assert_eq(sse_server_publish(server, "a", &event), SSE_ETOOBIG);
    cr_assert_eq(sse_server_try_publish(server, "a", &event), SSE_ETOOBIG);
    cr_assert_eq(stats_of(server, "a").published, 1);
    sse_server_free(server);
}

Test(streams, statistics_say_what_happened)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    create(server, "a");
    cr_assert_str_eq(stats_of(server, "a").oldest_id, "");
    say_id(server, "a", "one", "1");
    say(server, "a", "2");
    wait_published(server, "a", 2);
    http_conn *c = join(port, "a"), *late = join_after(port, "a", "lost");
    expect_numbers(c, 1, 2);
    cr_assert_eq(expect_gap(late), UINT64_MAX);
    expect_numbers(late, 1, 2);
    say_id(server, "a", "three", "3");
    expect_data(c, "3");
    expect_data(late, "3");

    wait_published(server, "a", 3); /* queued until the worker is through with it */
    sse_stream_stats s = stats_of(server, "a");
    cr_assert_eq(s.subscribers, 2);
    cr_assert_eq(s.published, 3);
    cr_assert_eq(s.queued, 0);
    cr_assert_eq(s.history, 3);
    cr_assert_eq(s.history_bytes, s.bytes_in, "all is still held");
    /* "id: one", "data: 1" and so on; the second has an id of 14 characters */
    cr_assert_eq(s.bytes_in, (8 + 8 + 1) + (4 + 14 + 1 + 8 + 1) + (10 + 8 + 1));
    cr_assert_eq(s.delivered, 6);
    cr_assert_gt(s.bytes_out, 2 * s.bytes_in, "two subscribers, and a gap");
    cr_assert_eq(s.dropped, 0);
    cr_assert_eq(s.slow_closed, 0);
    cr_assert_eq(s.gaps, 1);
    cr_assert_eq(s.replayed, 2);
    cr_assert_str_eq(s.oldest_id, "one");
    cr_assert_str_eq(s.newest_id, "three");

    sse_server_stats t = totals(server);
    cr_assert_eq(t.streams, 1);
    cr_assert_eq(t.subscribers, 2);
    cr_assert_eq(t.subscribed, 2);
    cr_assert_eq(t.published, 3);
    cr_assert_eq(t.delivered, 6);
    cr_assert_eq(t.bytes_in, s.bytes_in);
    cr_assert_eq(t.bytes_out, s.bytes_out);
    cr_assert_eq(t.gaps, 1);
    cr_assert_eq(t.replayed, 2);
    cr_assert_eq(t.connections, 2);
    cr_assert_eq(t.accepted, 2);
    cr_assert_eq(t.accept_errors, 0);
    cr_assert_eq(t.refused, 0);
    cr_assert_eq(t.workers, 1);
    cr_assert_eq(t.draining, 0);
    http_close(c);
    http_close(late);
    wait_left(server, SSE_LEFT_GONE, 2);
    cr_assert_eq(sse_server_remove_stream(server, "a"), SSE_OK);
    t = totals(server);
    cr_assert_eq(t.streams, 0);
    cr_assert_eq(t.published, 3, "totals remember streams that are gone");
    cr_assert_eq(t.delivered, 6);
    cr_assert_eq(t.bytes_out, s.bytes_out);
    sse_server_close(server);
    cr_assert_eq(totals(server).draining, 1);
    sse_server_free(server);
}

Test(streams, long_ids_are_cut_in_statistics_only)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    create(server, "a");
    say_id(server, "a", bulk(300), "x");
    wait_published(server, "a", 1);
    sse_stream_stats s = stats_of(server, "a");
    cr_assert_eq(strlen(s.oldest_id), sizeof s.oldest_id - 1);
    http_conn *c = join(port, "a");
    http_block block = next(c);
    cr_assert_str_eq(block.id, bulk(300));
    http_block_fini(&block);
    http_close(c);
    sse_server_free(server);
}

/* An event without an id of its own is named by its position. */
Test(streams, statistics_name_events_without_an_id)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    create(server, "a");
    sse_event event = {.comment = sse_cstr("no id here")};
    cr_assert_eq(sse_server_publish(server, "a", &event), SSE_OK);
    wait_published(server, "a", 1);
    sse_stream_stats s = stats_of(server, "a");
    cr_assert_eq(strspn(s.oldest_id, "0123456789abcdef"), 12, "%s", s.oldest_id);
    cr_assert_str_eq(s.oldest_id + 12, "-1");
    /* And can be resumed from. */
    say(server, "a", "x");
    http_conn *c = join_after(port, "a", s.oldest_id);
    expect_data(c, "x");
    cr_assert_eq(stats_of(server, "a").gaps, 0);
    http_close(c);
    sse_server_free(server);
}

typedef struct visit {
    char names[200];
    int stop_after;
    int n;
} visit;

static int on_stream(void *user, const char *name, const sse_stream_stats *stats)
{
    visit *v = user;
    strcat(v->names, name);
    cr_assert_eq(stats->published, strcmp(name, "b") == 0 ? 1 : 0);
    return ++v->n == v->stop_after;
}

Test(streams, are_listed_in_the_order_of_their_names)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    visit v = {.n = 0};
    cr_assert_eq(sse_server_each_stream(server, on_stream, &v), SSE_OK);
    cr_assert_eq(v.n, 0);
    static const char *const names[] = {"d", "b", "e", "a", "c"};
    for (size_t i = 0; i < 5; i++)
        create(server, names[i]);
    say(server, "b", "x");
    cr_assert_eq(sse_server_each_stream(server, on_stream, &v), SSE_OK);
    cr_assert_str_eq(v.names, "abcde");
    v = (visit){.stop_after = 3};
    cr_assert_eq(sse_server_each_stream(server, on_stream, &v), SSE_OK);
    cr_assert_str_eq(v.names, "abc", "anything but 0 stops");
    sse_server_free(server);
}

static int remove_each(void *user, const char *name, const sse_stream_stats *stats)
{
    (void)stats;
    cr_assert_eq(sse_server_remove_stream(user, name), SSE_OK);
    return 0;
}

Test(streams, may_be_removed_while_they_are_listed)
{
    uint16_t port;
    sse_server *server = serve(NULL, &port);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        create(server, name);
    }
    cr_assert_eq(sse_server_each_stream(server, remove_each, server), SSE_OK);
    cr_assert_eq(totals(server).streams, 0);
    sse_server_free(server);
}

static bool gone(void *arg) { return totals(arg).streams == 0; }

static bool auto_gone(void *arg) { return !sse_server_stream_exists(arg, "auto"); }

/* features: AutoStream, an idle one is reaped */
Test(streams, automatic_ones_are_made_and_reaped)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    options.auto_stream_idle_ms = 50;
    uint16_t port;
    sse_server *server = serve(&options, &port);
    http_conn *c = join(port, "by-subscribing");
    cr_assert(sse_server_stream_exists(server, "by-subscribing"));
    say(server, "by-publishing", "x");
    cr_assert_eq(status_of(port, "HEAD", "/events?stream=other", NULL, NULL), 200);
    cr_assert_not(sse_server_stream_exists(server, "other"), "a look makes no stream");
    sse_event event = {.data = sse_cstr("x")};
    cr_assert_eq(sse_server_publish(server, "bad\nname", &event), SSE_EINVAL);
    cr_assert_eq(status_of(port, "GET", "/events?stream=bad%0Aname", NULL, NULL), 400);

    /* The one without subscribers goes, the other one stays as long as somebody is there. */
    int64_t deadline = wait_now_ms() + LONG;
    while (sse_server_stream_exists(server, "by-publishing") && wait_now_ms() < deadline) {
        say(server, "by-subscribing", "tick");
        expect_data(c, "tick");
    }
    cr_assert_not(sse_server_stream_exists(server, "by-publishing"));
    cr_assert(sse_server_stream_exists(server, "by-subscribing"));
    http_close(c);
    cr_assert(wait_until(gone, server, LONG));
    sse_server_free(server);
}

Test(streams, those_that_were_created_are_not_reaped)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    options.auto_stream_idle_ms = 1;
    uint16_t port;
    sse_server *server = serve(&options, &port);
    create(server, "kept");
    say(server, "auto", "x");
    cr_assert(wait_until(auto_gone, server, LONG));
    cr_assert(sse_server_stream_exists(server, "kept"));
    sse_server_free(server);
}

Test(streams, automatic_ones_stay_once_they_are_created)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    options.auto_stream_idle_ms = 50;
    uint16_t port;
    sse_server *server = serve(&options, &port);
    say(server, "kept", "x");
    say(server, "reaped", "x");
    create(server, "kept");
    int64_t deadline = wait_now_ms() + LONG;
    while (sse_server_stream_exists(server, "reaped") && wait_now_ms() < deadline)
        ;
    cr_assert_not(sse_server_stream_exists(server, "reaped"));
    cr_assert(sse_server_stream_exists(server, "kept"));
    sse_server_free(server);
}
