/* Clients that go away are noticed without anything being published to them. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { N = 50 };

static sse_server *server;
static uint16_t port;
static http_conn *c[N];

static void start(void)
{
    server = serve(NULL, &port);
    create(server, "a");
    create(server, "b");
    for (int i = 0; i < N; i++)
        c[i] = join(port, i % 2 ? "a" : "b");
    cr_assert_eq(totals(server).subscribers, N);
}

/* By the log, so that the subscriber has been woken for the last of it. */
static bool all_is_taken(void *arg) { return stats_of(arg, "a").bytes_in > 12 * 1000000; }

static bool no_connection(void *arg) { return totals(arg).connections == 0; }

static void expect_all_gone(void)
{
    wait_left(server, SSE_LEFT_GONE, N);
    cr_assert(wait_until(no_connection, server, LONG));
    cr_assert_eq(stats_of(server, "a").subscribers, 0);
    cr_assert_eq(stats_of(server, "b").subscribers, 0);
    cr_assert_eq(stats_of(server, "a").published, 0);
    sse_server_free(server);
}

/* conformance 32; features: wrapper that notices a browser's disconnection */
Test(leaving, fin_is_noticed)
{
    start();
    for (int i = 0; i < N; i++)
        http_close(c[i]);
    expect_all_gone();
}

/* conformance 32 */
Test(leaving, rst_is_noticed)
{
    start();
    for (int i = 0; i < N; i++)
        http_reset(c[i]);
    expect_all_gone();
}

/* A client that says that it will send nothing more has left, as far as EventSource goes. */
Test(leaving, half_closed_is_noticed)
{
    start();
    for (int i = 0; i < N; i++)
        http_shutdown(c[i]);
    wait_left(server, SSE_LEFT_GONE, N);
    for (int i = 0; i < N; i++)
        http_close(c[i]);
    expect_all_gone();
}

/* conformance 32: within a second. The limit here is what a heartbeat would take, so that only the
 * notice of the kernel can be in time. */
Test(leaving, nothing_is_waited_for)
{
    sse_server_options options = fixture_options();
    options.heartbeat_ms = 3600000;
    server = serve(&options, &port);
    create(server, "a");
    for (int i = 0; i < 20; i++) {
        http_conn *one = join(port, "a");
        if (i % 2)
            http_close(one);
        else
            http_reset(one);
        wait_subscribers(server, "a", 0);
    }
    wait_left(server, SSE_LEFT_GONE, 20);
    sse_server_free(server);
}

Test(leaving, in_the_middle_of_a_large_event)
{
    server = serve(NULL, &port);
    create(server, "a");
    for (int i = 0; i < 10; i++) {
        http_conn *one = join_silently(port, "a", 4096);
        wait_subscribers(server, "a", 1);
        say(server, "a", bulk(1000000));
        cr_assert(wait_readable(http_fd(one), LONG));
        if (i % 2)
            http_close(one);
        else
            http_reset(one);
        wait_subscribers(server, "a", 0);
    }
    wait_left(server, SSE_LEFT_GONE, 10);
    sse_server_free(server);
}

/* More than its socket takes, so that the daemon waits for just that. */
Test(leaving, half_closed_while_its_socket_is_full)
{
    server = serve(NULL, &port);
    create(server, "a");
    http_conn *one = join_silently(port, "a", 4096);
    wait_subscribers(server, "a", 1);
    for (int i = 0; i < 12; i++)
        say(server, "a", bulk(1000000));
    cr_assert(wait_until(all_is_taken, server, LONG));
    http_shutdown(one);
    wait_subscribers(server, "a", 0);
    cr_assert(wait_until(no_connection, server, LONG));
    cr_assert_eq(totals(server).left[SSE_LEFT_GONE], 1);
    http_close(one);
    sse_server_free(server);
}

Test(leaving, thousands_of_times)
{
    server = serve(NULL, &port);
    create(server, "a");
    http_conn *stays = join(port, "a");
    int fds = wait_count_fds(0);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < N; i++)
            c[i] = join(port, "a");
        for (int i = 0; i < N; i++)
            http_close(c[i]);
    }
    wait_subscribers(server, "a", 1);
    cr_assert_eq(totals(server).left[SSE_LEFT_GONE], 40 * N);
    say(server, "a", "x");
    expect_data(stays, "x");
    /* The daemons of the shards that a first connection starts stay; sockets do not. */
    cr_assert_leq(wait_count_fds(0), fds + 10);
    http_close(stays);
    sse_server_free(server);
}
