/* Limits: streams, subscribers, per address, request time; and how a leaving client frees them. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sse_server *server;
static uint16_t port;

static void expect_limit(const char *target)
{
    http_response r;
    cr_assert_eq(ask(port, "GET", target, NULL, NULL, &r), 429);
    cr_assert_not_null(http_header(&r, "Retry-After"));
    http_response_fini(&r);
}

Test(limits, of_streams)
{
    sse_server_options options = fixture_options();
    options.max_streams = 3;
    options.auto_stream = true;
    server = serve(&options, &port);
    create(server, "a");
    create(server, "b");
    create(server, "c");
    create(server, "a"); /* it exists */
    cr_assert_eq(sse_server_create_stream(server, "d", NULL), SSE_ELIMIT);
    sse_event event = {.data = sse_cstr("x")};
    cr_assert_eq(sse_server_publish(server, "d", &event), SSE_ELIMIT);
    expect_limit("/events?stream=d");
    cr_assert_eq(sse_server_remove_stream(server, "b"), SSE_OK);
    create(server, "d");
    cr_assert_eq(totals(server).streams, 3);
    cr_assert_eq(totals(server).refused, 1);
    sse_server_free(server);
}

Test(limits, of_subscribers)
{
    sse_server_options options = fixture_options();
    options.max_subscribers = 2;
    server = serve(&options, &port);
    create(server, "a");
    create(server, "b");
    http_conn *first = join(port, "a"), *second = join(port, "b");
    expect_limit("/events?stream=a");
    cr_assert_eq(stats_of(server, "a").subscribers, 1);
    say(server, "a", "x");
    expect_data(first, "x");
    http_close(second);
    wait_subscribers(server, "b", 0);
    second = join(port, "a");
    expect_limit("/events?stream=b");
    cr_assert_eq(totals(server).subscribed, 3, "those that were refused do not count");
    cr_assert_eq(totals(server).refused, 2);
    http_close(first);
    http_close(second);
    sse_server_free(server);
}

Test(limits, of_subscribers_per_address)
{
    sse_server_options options = fixture_options();
    options.max_subscribers_per_ip = 3;
    server = serve(&options, &port);
    create(server, "a");
    http_conn *c[3];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++)
            c[i] = join(port, "a");
        expect_limit("/events?stream=a");
        /* Two leave, one stays and still counts. */
        http_close(c[0]);
        http_close(c[1]);
        wait_subscribers(server, "a", 1);
        c[0] = join(port, "a");
        c[1] = join(port, "a");
        expect_limit("/events?stream=a");
        for (int i = 0; i < 3; i++)
            http_close(c[i]);
        wait_subscribers(server, "a", 0);
        wait_left(server, SSE_LEFT_GONE, 5 * ((uint64_t)round + 1));
    }
    sse_server_free(server);
}

static bool refused_again(void *arg)
{
    http_conn *c = arg;
    http_response r;
    bool end = http_read_head(c, &r, 0);
    if (end)
        http_response_fini(&r);
    return end;
}

/* Who sends half a request, or nothing, is not kept for ever. */
Test(limits, of_the_time_for_a_request)
{
    sse_server_options options = fixture_options();
    options.request_timeout_ms = 50;
    server = serve(&options, &port);
    create(server, "a");
    http_conn *subscriber = join(port, "a");
    static const char *const parts[] = {"", "G", "GET /events?stream=a HTTP/1.1\r\n",
                                        "GET /events?stream=a HTTP/1.1\r\nHost: localhost\r\n",
                                        ("POST /events?stream=a HTTP/1.1\r\nHost: localhost\r\n"
                                         "Content-Length: 10\r\n\r\nhalf")};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        http_conn *c = http_connect(port);
        cr_assert(http_send_text(c, parts[i], LONG));
        cr_assert(wait_readable(http_fd(c), LONG), "it is ended: %s", parts[i]);
        cr_assert_not(refused_again(c), "without an answer");
        http_close(c);
    }
    say(server, "a", "x");
    expect_data(subscriber, "x"); /* the limit is not for streams */
    http_close(subscriber);
    sse_server_free(server);
}

static bool one_connection(void *arg) { return totals(arg).connections == 1; }

/* Idle connections between two requests end too. */
Test(limits, of_idle_connections)
{
    sse_server_options options = fixture_options();
    options.request_timeout_ms = 50;
    server = serve(&options, &port);
    create(server, "a");
    http_conn *subscriber = join(port, "a"), *c[10];
    for (int i = 0; i < 10; i++) {
        http_response r;
        c[i] = http_connect(port);
        cr_assert(http_request(c[i], "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        http_response_fini(&r);
    }
    cr_assert(wait_until(one_connection, server, LONG));
    for (int i = 0; i < 10; i++)
        http_close(c[i]);
    say(server, "a", "x");
    expect_data(subscriber, "x");
    http_close(subscriber);
    sse_server_free(server);
}

/* contract: 400 for a header field that is too large; others do not notice. */
Test(limits, of_request_headers)
{
    server = serve(NULL, &port);
    create(server, "a");
    http_conn *subscriber = join(port, "a");
    char *header = malloc(70000);
    cr_assert_not_null(header);
    int at = snprintf(header, 70000, "Cookie: ");
    memset(header + at, 'c', 65536);
    strcpy(header + at + 65536, "\r\n");
    http_conn *c = http_connect(port);
    (void)http_send_request(c, "GET", "/events?stream=a", header, NULL, 0, LONG);
    http_response r;
    if (http_read_head(c, &r, LONG)) {
        cr_assert_geq(r.status, 400);
        http_response_fini(&r);
    }
    free(header);
    http_close(c);
    cr_assert_eq(stats_of(server, "a").subscribers, 1);
    say(server, "a", "x");
    expect_data(subscriber, "x");
    http_close(subscriber);
    sse_server_free(server);
}
