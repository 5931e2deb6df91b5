/* HTTP around the streams: methods, routes, headers, CORS, HTTP/1.0, heartbeats, retry. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sse_server *server;
static uint16_t port;

static void start(const sse_server_options *options)
{
    server = serve(options, &port);
    create(server, "s");
}

static void stop(void) { sse_server_free(server); }

static void expect_header(const http_response *r, const char *name, const char *value)
{
    const char *got = http_header(r, name);
    if (value)
        cr_assert_str_eq(got ? got : "(none)", value, "%s: %s", name, got ? got : "(none)");
    else
        cr_assert_null(got, "%s: %s", name, got);
}

/* conformance 34 */
Test(http, head_answers_without_a_body)
{
    start(NULL);
    http_response r;
    cr_assert_eq(ask(port, "HEAD", "/events?stream=s", NULL, NULL, &r), 200);
    expect_header(&r, "Content-Type", "text/event-stream");
    expect_header(&r, "Cache-Control", "no-cache");
    cr_assert_eq(r.body_len, 0);
    http_response_fini(&r);
    cr_assert_eq(status_of(port, "HEAD", "/healthz", NULL, NULL), 200);
    cr_assert_eq(status_of(port, "HEAD", "/streams", NULL, NULL), 200);
    cr_assert_eq(stats_of(server, "s").subscribers, 0);
    cr_assert_eq(totals(server).subscribed, 0);
    stop();
}

/* conformance 34 */
Test(http, other_methods_are_refused_with_allow)
{
    start(NULL);
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "TRACE", "FOO"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        http_response r;
        cr_assert_eq(ask(port, methods[i], "/events?stream=s", NULL, "body", &r), 405, "%s",
                     methods[i]);
        expect_header(&r, "Allow", "GET, HEAD, OPTIONS");
        cr_assert_gt(r.body_len, 0);
        http_response_fini(&r);
        cr_assert_eq(status_of(port, methods[i], "/streams", NULL, NULL), 405);
    }
    cr_assert(sse_server_stream_exists(server, "s"));
    stop();
}

/* features: http_publish adds to what is allowed */
Test(http, allow_names_what_publishing_adds)
{
    sse_server_options options = fixture_options();
    options.http_publish = true;
    start(&options);
    http_response r;
    cr_assert_eq(ask(port, "PUT", "/events?stream=s", NULL, "x", &r), 405);
    expect_header(&r, "Allow", "GET, HEAD, POST, DELETE, OPTIONS");
    http_response_fini(&r);
    cr_assert_eq(ask(port, "POST", "/streams", NULL, "x", &r), 405);
    expect_header(&r, "Allow", "GET, HEAD, OPTIONS");
    http_response_fini(&r);
    cr_assert_eq(ask(port, "OPTIONS", "/events?stream=s", NULL, NULL, &r), 204);
    expect_header(&r, "Allow", "GET, HEAD, POST, DELETE, OPTIONS");
    expect_header(&r, "Access-Control-Allow-Methods", NULL);
    http_response_fini(&r);
    stop();
}

Test(http, unknown_paths_are_404)
{
    start(NULL);
    http_response r;
    cr_assert_eq(ask(port, "GET", "/eventsx?stream=s", NULL, NULL, &r), 404);
    cr_assert_not_null(strstr(r.body, "/eventsx"));
    expect_header(&r, "Content-Type", "text/plain; charset=utf-8");
    http_response_fini(&r);
    cr_assert_eq(status_of(port, "POST", "/", NULL, "x"), 404);
    stop();
}

/* features: extra response headers; conformance 28: plus the user's */
Test(http, extra_headers_are_on_every_answer)
{
    static const char *const extra[] = {"X-Served-By: tests", "Cache-Control: no-transform",
                                        "x-accel-buffering: yes"};
    sse_server_options options = fixture_options();
    options.headers = extra;
    options.header_count = 3;
    start(&options);
    http_response r;
    http_conn *c = http_open_stream(port, "/events?stream=s", NULL, &r, LONG);
    cr_assert_not_null(c);
    expect_header(&r, "Content-Type", "text/event-stream");
    expect_header(&r, "X-Served-By", "tests");
    expect_header(&r, "Cache-Control", "no-transform");
    cr_assert_null(strstr(r.head, "no-cache"), "the user's replaces ours");
    expect_header(&r, "X-Accel-Buffering", "yes");
    http_response_fini(&r);
    http_close(c);
    cr_assert_eq(ask(port, "GET", "/nothing", NULL, NULL, &r), 404);
    expect_header(&r, "X-Served-By", "tests");
    cr_assert_null(strstr(r.head, "no-store"));
    http_response_fini(&r);
    stop();
}

static void start_cors(const char *const *origins, size_t n)
{
    sse_server_options options = fixture_options();
    options.cors_origins = origins;
    options.cors_origin_count = n;
    options.http_publish = true;
    start(&options);
}

/* features: CORS */
Test(cors, listed_origins_may_read)
{
    static const char *const origins[] = {"https://a.example", "https://b.example:8443"};
    start_cors(origins, 2);
    http_response r;
    http_conn *c =
        http_open_stream(port, "/events?stream=s", "Origin: https://b.example:8443\r\n", &r, LONG);
    cr_assert_not_null(c);
    expect_header(&r, "Access-Control-Allow-Origin", "https://b.example:8443");
    expect_header(&r, "Access-Control-Allow-Credentials", "true");
    expect_header(&r, "Vary", "Origin");
    http_response_fini(&r);
    http_close(c);
    c = http_open_stream(port, "/events?stream=s", "Origin: https://c.example\r\n", &r, LONG);
    cr_assert_not_null(c, "the browser decides, by what is not there");
    expect_header(&r, "Access-Control-Allow-Origin", NULL);
    expect_header(&r, "Vary", "Origin");
    http_response_fini(&r);
    http_close(c);
    /* Errors too, or a page could not read why. */
    cr_assert_eq(ask(port, "GET", "/events?stream=none", "Origin: https://a.example\r\n", NULL, &r),
                 404);
    expect_header(&r, "Access-Control-Allow-Origin", "https://a.example");
    http_response_fini(&r);
    stop();
}

Test(cors, star_is_for_all_without_credentials)
{
    static const char *const origins[] = {"*"};
    start_cors(origins, 1);
    http_response r;
    cr_assert_eq(ask(port, "HEAD", "/events?stream=s", "Origin: https://x\r\n", NULL, &r), 200);
    expect_header(&r, "Access-Control-Allow-Origin", "*");
    expect_header(&r, "Access-Control-Allow-Credentials", NULL);
    http_response_fini(&r);
    stop();
}

/* conformance 34: CORS preflight */
Test(cors, preflight)
{
    static const char *const origins[] = {"https://a.example"};
    start_cors(origins, 1);
    http_response r;
    cr_assert_eq(ask(port, "OPTIONS", "/events?stream=s",
                     "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"
                     "Access-Control-Request-Headers: authorization\r\n",
                     NULL, &r),
                 204);
    expect_header(&r, "Access-Control-Allow-Origin", "https://a.example");
    expect_header(&r, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
    expect_header(&r, "Access-Control-Allow-Headers",
                  "Authorization, Cache-Control, Content-Type, Last-Event-ID");
    cr_assert_not_null(http_header(&r, "Access-Control-Max-Age"));
    cr_assert_eq(r.body_len, 0);
    http_response_fini(&r);
    cr_assert_eq(ask(port, "OPTIONS", "/events?stream=s",
                     "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
                     NULL, &r),
                 204);
    expect_header(&r, "Access-Control-Allow-Origin", NULL);
    expect_header(&r, "Access-Control-Allow-Methods", NULL);
    http_response_fini(&r);
    stop();
}

/* conformance 34: HTTP/1.0 gets an unchunked stream that ends with the connection */
Test(http, version_1_0_is_served_unchunked)
{
    start(NULL);
    say_numbers(server, "s", 1, 3);
    http_conn *c = http_connect(port);
    http_response r;
    cr_assert(http_send_text(c, "GET /events?stream=s HTTP/1.0\r\n\r\n", LONG));
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200);
    expect_header(&r, "Transfer-Encoding", NULL);
    expect_header(&r, "Content-Length", NULL);
    expect_header(&r, "Content-Type", "text/event-stream");
    http_response_fini(&r);
    expect_numbers(c, 1, 3);
    say(server, "s", bulk(100000));
    expect_data(c, bulk(100000));
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    expect_end(c);
    http_close(c);
    stop();
}

static bool one_connection_is_left(void *arg) { return totals(arg).connections == 1; }

/* Whoever came before them to the same daemon of the HTTP library, and stays. */
Test(http, version_1_0_ends_beside_an_idle_connection)
{
    sse_server_options options = fixture_options();
    options.request_timeout_ms = SSE_OFF;
    options.threads = 1;
    start(&options);
    http_conn *idle = http_connect(port), *subs[3];
    http_response r;
    cr_assert(http_request(idle, "PUT", "/events?stream=s", NULL, NULL, 0, &r, LONG));
    cr_assert_eq(r.status, 405);
    http_response_fini(&r);
    for (int i = 0; i < 3; i++) {
        subs[i] = http_connect(port);
        cr_assert(http_send_text(subs[i], "GET /events?stream=s HTTP/1.0\r\n\r\n", LONG));
        cr_assert(http_read_head(subs[i], &r, LONG));
        http_response_fini(&r);
    }
    http_close(subs[0]); /* one leaves, the others are told of the end */
    wait_subscribers(server, "s", 2);
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    expect_end(subs[1]);
    expect_end(subs[2]);
    cr_assert(wait_until(one_connection_is_left, server, LONG));
    http_close(subs[1]);
    http_close(subs[2]);
    http_close(idle);
    stop();
}

Test(http, connections_are_used_again)
{
    start(NULL);
    http_conn *c = http_connect(port);
    http_response r;
    for (int i = 0; i < 20; i++) {
        cr_assert(http_request(c, "GET", i % 2 ? "/healthz" : "/events?stream=none", NULL, NULL, 0,
                               &r, LONG));
        cr_assert_eq(r.status, i % 2 ? 200 : 404);
        http_response_fini(&r);
    }
    cr_assert_eq(totals(server).accepted, 1);
    http_close(c);
    stop();
}

Test(http, health_streams_and_metrics)
{
    start(NULL);
    create(server, "quo\"te");
    say_id(server, "s", "id-1", "x");
    wait_published(server, "s", 1);
    http_conn *c = join(port, "s");
    http_response r;
    cr_assert_eq(ask(port, "GET", "/healthz", NULL, NULL, &r), 200);
    cr_assert_str_eq(r.body, "ok\n");
    http_response_fini(&r);
    cr_assert_eq(ask(port, "GET", "/streams", NULL, NULL, &r), 200);
    expect_header(&r, "Content-Type", "application/json");
    cr_assert_not_null(strstr(r.body, "{\"name\":\"quo\\\"te\",\"subscribers\":0,\"events\":0,"));
    cr_assert_not_null(
        strstr(r.body, "{\"name\":\"s\",\"subscribers\":1,\"events\":1,\"history\":1,"));
    cr_assert_not_null(strstr(r.body, "\"oldest_id\":\"id-1\",\"newest_id\":\"id-1\""));
    cr_assert_not_null(strstr(r.body, "\"oldest_id\":null,\"newest_id\":null"));
    cr_assert_not_null(strstr(r.body, "\"drops\":0"));
    http_response_fini(&r);
    cr_assert_eq(ask(port, "GET", "/metrics", NULL, NULL, &r), 200);
    expect_header(&r, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    cr_assert_not_null(strstr(r.body, "\nsse_streams 2\n"));
    cr_assert_not_null(strstr(r.body, "\nsse_subscribers 1\n"));
    cr_assert_not_null(strstr(r.body, "\nsse_events_published_total 1\n"));
    cr_assert_not_null(strstr(r.body, "# TYPE sse_events_published_total counter\n"));
    cr_assert_not_null(strstr(r.body, "\nsse_unsubscribed_total{reason=\"gone\"} 0\n"));
    http_response_fini(&r);
    http_close(c);
    stop();
}

/* The page is there when asked for, and needs no leave: that is entered there. */
static int refuse_all(void *user, const sse_request *request)
{
    (void)user;
    (void)request;
    return 401;
}

static void expect_page(const char *path, const char *type, const char *start)
{
    http_response r;
    cr_assert_eq(ask(port, "GET", path, NULL, NULL, &r), 200, "%s", path);
    expect_header(&r, "Content-Type", type);
    expect_header(&r, "X-Content-Type-Options", "nosniff");
    expect_header(&r, "Referrer-Policy", "no-referrer");
    expect_header(&r, "X-Frame-Options", "SAMEORIGIN"); /* the user's word counts */
    cr_assert_not_null(strstr(http_header(&r, "Content-Security-Policy"), "default-src 'none'"));
    cr_assert_eq(strncmp(r.body, start, strlen(start)), 0, "%s: %.40s", path, r.body);
    cr_assert_eq(strlen(r.body), r.body_len);
    http_response_fini(&r);
    cr_assert_eq(status_of(port, "POST", path, NULL, "x"), 405);
}

Test(http, page)
{
    static const char *const paths[] = {"/", "/page.js", "/page.css", "/feed.js", "/index.html"};
    start(NULL);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_assert_eq(status_of(port, "GET", paths[i], NULL, NULL), 404);
    stop();

    static const char *const headers[] = {"X-Frame-Options: SAMEORIGIN"};
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = refuse_all};
    sse_server_options options = fixture_options();
    options.page = true;
    options.http_publish = true;
    options.callbacks = &callbacks;
    options.headers = headers;
    options.header_count = 1;
    start(&options);
    expect_page("/", "text/html; charset=utf-8", "<!DOCTYPE html>");
    expect_page("/page.css", "text/css; charset=utf-8", ":root");
    expect_page("/page.js", "text/javascript; charset=utf-8", "//");
    expect_page("/feed.js", "text/javascript; charset=utf-8", "//");
    cr_assert_eq(status_of(port, "GET", "/page.h", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "GET", "/streams", NULL, NULL), 401);
    stop();
}

/* retry is the first thing on the stream */
Test(http, retry_comes_first)
{
    sse_server_options options = fixture_options();
    options.retry_ms = 4321;
    start(&options);
    say(server, "s", "x");
    for (int i = 0; i < 2; i++) {
        http_conn *c = join_after(port, "s", i ? "unknown" : NULL);
        http_block block;
        cr_assert_eq(http_next_block(c, &block, LONG), HTTP_OK);
        cr_assert_str_eq(block.retry, "4321");
        cr_assert_null(block.data);
        http_block_fini(&block);
        if (i)
            cr_assert_eq(expect_gap(c), UINT64_MAX);
        expect_data(c, "x");
        http_close(c);
    }
    stop();
}

/* conformance 33 */
Test(http, heartbeats_on_idle_streams)
{
    sse_server_options options = fixture_options();
    options.heartbeat_ms = 20;
    start(&options);
    http_conn *c = join(port, "s");
    for (int i = 0; i < 5; i++) {
        http_block block;
        cr_assert_eq(http_next_block(c, &block, LONG), HTTP_OK);
        cr_assert_str_eq(block.comment, "");
        cr_assert_null(block.data);
        http_block_fini(&block);
    }
    expect_nothing_but(server, c, "s", "still there");
    http_close(c);
    stop();
}

/* conformance 33: they cost nothing while events flow. The interval is far above the distance of
 * two events, whatever the machine does. */
Test(http, no_heartbeats_while_events_flow)
{
    sse_server_options options = fixture_options();
    options.heartbeat_ms = 1000;
    start(&options);
    http_conn *c = join(port, "s");
    int64_t until = wait_now_ms() + 2500, last = wait_now_ms(), longest = 0;
    size_t comments = 0, events = 0;
    while (wait_now_ms() < until) {
        say(server, "s", "x");
        http_block block;
        do {
            cr_assert_eq(http_next_block(c, &block, LONG), HTTP_OK);
            comments += block.data == NULL;
            events += block.data != NULL;
        } while (!block.data && (http_block_fini(&block), true));
        http_block_fini(&block);
        int64_t now = wait_now_ms();
        longest = now - last > longest ? now - last : longest;
        last = now;
        (void)wait_readable(http_fd(c), 20);
    }
    cr_assert_gt(events, 2);
    if (longest < 600)
        cr_assert_eq(comments, 0, "%zu heartbeats among %zu events", comments, events);
    http_close(c);
    stop();
}

Test(http, no_heartbeats_when_off)
{
    sse_server_options options = fixture_options();
    start(&options);
    http_conn *c = join(port, "s");
    cr_assert_not(wait_readable(http_fd(c), 200));
    http_close(c);
    stop();
}
