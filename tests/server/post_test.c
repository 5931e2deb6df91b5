/* Publishing and removing over HTTP. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_TYPE "Content-Type: text/event-stream\r\n"

static sse_server *server;
static uint16_t port;
static http_conn *c;

static void start(const sse_server_options *options)
{
    sse_server_options own = fixture_options();
    if (options)
        own = *options;
    own.http_publish = true;
    server = serve(&own, &port);
    create(server, "s");
    c = join(port, "s");
}

static void stop(void)
{
    http_close(c);
    sse_server_free(server);
}

/* POST; the answer's body is as expected when it is a 200, else it holds that text. */
static void post(const char *query, const char *headers, const char *body, int status,
                 const char *text)
{
    char target[512];
    snprintf(target, sizeof target, "/events?stream=s%s", query);
    http_response r;
    cr_assert_eq(ask(port, "POST", target, headers, body, &r), status, "%d %s", r.status, r.body);
    if (status == 200)
        cr_assert_str_eq(r.body, text);
    else
        cr_assert_not_null(strstr(r.body, text), "%s", r.body);
    http_response_fini(&r);
}

/* What was refused has published nothing. */
static void refused(const char *query, const char *headers, const char *body, int status,
                    const char *text)
{
    uint64_t before = stats_of(server, "s").published;
    post(query, headers, body, status, text);
    cr_assert_eq(stats_of(server, "s").published, before);
}

/* features: publishing over HTTP, only when asked for */
Test(post, is_off_by_default)
{
    server = serve(NULL, &port);
    create(server, "s");
    cr_assert_eq(status_of(port, "POST", "/events?stream=s", NULL, "x"), 405);
    cr_assert_eq(status_of(port, "DELETE", "/events?stream=s", NULL, NULL), 405);
    cr_assert(sse_server_stream_exists(server, "s"));
    sse_server_free(server);
}

Test(post, publishes_the_body)
{
    start(NULL);
    post("&id=my+id&event=greet&retry=77", NULL, "line 1\nline 2", 200, "my id\n");
    http_block block = next(c);
    cr_assert_str_eq(block.id, "my id");
    cr_assert_str_eq(block.type, "greet");
    cr_assert_str_eq(block.retry, "77");
    cr_assert_str_eq(block.data, "line 1\nline 2");
    http_block_fini(&block);

    http_response r;
    cr_assert_eq(ask(port, "POST", "/events?stream=s", "Content-Type: text/plain\r\n",
                     "id: not a field", &r),
                 200);
    expect_data(c, "id: not a field");
    cr_assert_eq(strspn(r.body, "0123456789abcdef"), 12, "%s", r.body);
    cr_assert_str_eq(r.body + 12, "-2\n");
    http_response_fini(&r);

    cr_assert_eq(status_of(port, "POST", "/events?stream=s", NULL, ""), 200);
    expect_data(c, "");
    cr_assert_eq(status_of(port, "POST", "/events?stream=s&id=&event=", NULL, "x"), 200);
    block = next(c);
    cr_assert_str_eq(block.id + 12, "-4", "an empty argument is none");
    cr_assert_null(block.type);
    http_block_fini(&block);
    stop();
}

Test(post, refuses_what_cannot_be_sent)
{
    start(NULL);
    refused("&id=a%0Ab", NULL, "x", 400, "Event 1: an id or a type cannot hold CR, LF or NUL.");
    refused("&id=a%00b", NULL, "x", 400, "Event 1");
    refused("&event=a%0Db", NULL, "x", 400, "Event 1");
    refused("&retry=1x", NULL, "x", 400, "retry");
    refused("&retry=", NULL, "x", 400, "retry");
    refused("&retry=-1", NULL, "x", 400, "retry");
    refused("&retry=99999999999999999999", NULL, "x", 400, "retry");
    refused("&stream=t", NULL, "x", 400, "one stream only");
    /* What is checked is what is used: names of parameters are exact. */
    create(server, "t");
    http_response named;
    cr_assert_eq(ask(port, "POST", "/events?STREAM=t&stream=s", NULL, "to s", &named), 200);
    http_response_fini(&named);
    cr_assert_eq(stats_of(server, "t").published, 0);
    expect_data(c, "to s");
    cr_assert_eq(status_of(port, "POST", "/events", NULL, "x"), 400);
    http_response r;
    cr_assert_eq(ask(port, "POST", "/events?stream=none", NULL, "x", &r), 404);
    cr_assert_str_eq(r.body, "There is no stream 'none'.\n");
    http_response_fini(&r);
    expect_nothing_but(server, c, "s", "alive");
    stop();
}

/* contract: wire format, one or many events, in order */
Test(post, publishes_a_batch)
{
    start(NULL);
    post("", STREAM_TYPE,
         "id: 1\nevent: a\ndata: x\ndata: y\n\n: remark\nretry: 9\nid: 2\n\r\n\r\ndata:z\rid:3\r\r",
         200, "1\n2\n3\n");
    http_block block = next(c);
    cr_assert_str_eq(block.id, "1");
    cr_assert_str_eq(block.type, "a");
    cr_assert_str_eq(block.data, "x\ny");
    http_block_fini(&block);
    cr_assert_eq(http_next_block(c, &block, LONG), HTTP_OK);
    cr_assert_str_eq(block.comment, "remark");
    cr_assert_str_eq(block.retry, "9");
    cr_assert_str_eq(block.id, "2");
    cr_assert_null(block.data);
    http_block_fini(&block);
    block = next(c);
    cr_assert_str_eq(block.id, "3");
    cr_assert_str_eq(block.data, "z");
    http_block_fini(&block);
    cr_assert_eq(stats_of(server, "s").published, 3);

    /* The id of an event does not pass to the next one, as it would with a reader. */
    http_response r;
    cr_assert_eq(ask(port, "POST", "/events?stream=s",
                     "content-type: Text/Event-Stream; charset=utf-8\r\n",
                     "id:own\ndata:1\n\ndata:2\n\n", &r),
                 200);
    cr_assert_eq(strncmp(r.body, "own\n", 4), 0);
    cr_assert_str_eq(r.body + 4 + 12, "-5\n");
    http_response_fini(&r);
    stop();
}

Test(post, a_batch_is_all_or_none)
{
    start(NULL);
    refused("", STREAM_TYPE, "data: 1\n\nbogus: 2\n\ndata: 3\n\n", 400, "Line 3: ");
    refused("", STREAM_TYPE, "data: 1\n\nno colon\n\n", 400, "Line 3: ");
    refused("", STREAM_TYPE, "data: 1\n\nretry: soon\n\n", 400, "Line 3: ");
    refused("", STREAM_TYPE, "data: 1\n\ndata: unfinished", 400, "Event 2 is not ended");
    refused("", STREAM_TYPE, "data: 1\n\ndata: unfinished\n", 400, "Event 2 is not ended");
    refused("", STREAM_TYPE, "", 400, "The body holds no event.");
    refused("", STREAM_TYPE, "\n\n\n", 400, "The body holds no event.");
    http_conn *raw = http_connect(port);
    http_response r;
    cr_assert(http_request(raw, "POST", "/events?stream=s", STREAM_TYPE, "id: a\0b\ndata: 1\n\n",
                           17, &r, LONG));
    cr_assert_eq(r.status, 400);
    cr_assert_not_null(strstr(r.body, "Line 1: "), "%s", r.body);
    http_response_fini(&r);
    http_close(raw);
    cr_assert_eq(stats_of(server, "s").published, 0);
    expect_nothing_but(server, c, "s", "alive");
    stop();
}

Test(post, bodies_have_a_largest_size)
{
    sse_server_options options = fixture_options();
    options.max_event_bytes = 1000;
    start(&options);
    post("&id=i", NULL, bulk(999), 200, "i\n");
    cr_assert_eq(status_of(port, "POST", "/events?stream=s", NULL, bulk(1000)), 200);
    refused("&id=ij", NULL, bulk(999), 413, "Event 1 is larger than 1000 bytes.");
    refused("", NULL, bulk(1001), 413, "The body is larger than 1000 bytes.");
    refused("", NULL, bulk(1000000), 413, "The body is larger than 1000 bytes.");
    expect_data(c, bulk(999));
    expect_data(c, bulk(1000));

    /* A batch may hold more, each of its events not. */
    char body[4096], *at = body;
    for (int i = 0; i < 3; i++)
        at += sprintf(at, "id: %d\ndata: %s\n\n", i, bulk(900));
    post("", STREAM_TYPE, body, 200, "0\n1\n2\n");
    sprintf(at, "data: %s\n\n", bulk(1001));
    refused("", STREAM_TYPE, body, 413, "Event 4 is larger than 1000 bytes.");
    refused("", STREAM_TYPE, bulk(16001), 413, "The body is larger than 16000 bytes.");
    for (int i = 0; i < 3; i++)
        expect_data(c, bulk(900));
    stop();
}

/* Chunked, so that only counting tells. */
Test(post, a_body_without_a_length_is_limited_too)
{
    sse_server_options options = fixture_options();
    options.max_event_bytes = 1000;
    start(&options);
    http_conn *raw = http_connect(port);
    cr_assert(http_send_text(raw,
                             "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                             LONG));
    http_response r;
    cr_assert(http_read_head(raw, &r, LONG));
    cr_assert_eq(r.status, 200);
    cr_assert(http_read_body(raw, &r, false, LONG));
    http_response_fini(&r);
    expect_data(c, "hello");
    cr_assert(http_send_text(raw,
                             "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n",
                             LONG));
    for (int i = 0; i < 3; i++) {
        cr_assert(http_send_text(raw, "1f4\r\n", LONG));
        cr_assert(http_send(raw, bulk(500), 500, LONG));
        cr_assert(http_send_text(raw, "\r\n", LONG));
    }
    cr_assert(http_send_text(raw, "0\r\n\r\n", LONG));
    cr_assert(http_read_head(raw, &r, LONG));
    cr_assert_eq(r.status, 413);
    http_response_fini(&r);
    http_close(raw);
    expect_nothing_but(server, c, "s", "alive");
    stop();
}

Test(post, who_asks_first_is_told_first)
{
    start(NULL);
    http_conn *raw = http_connect(port);
    http_response r;
    cr_assert(http_send_text(raw,
                             "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n"
                             "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n",
                             LONG));
    cr_assert(http_read_head(raw, &r, LONG), "without a byte of the body");
    cr_assert_eq(r.status, 413);
    http_response_fini(&r);
    http_close(raw);
    raw = http_connect(port);
    cr_assert(http_send_text(raw,
                             "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n"
                             "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
                             LONG));
    cr_assert(wait_readable(http_fd(raw), LONG), "100");
    cr_assert(http_send_text(raw, "ok", LONG));
    cr_assert(http_read_head(raw, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    http_close(raw);
    expect_data(c, "ok");
    stop();
}

Test(post, more_events_than_the_ring_holds_are_too_many)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.ring_events = 4;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    start(&options);
    refused("", STREAM_TYPE, "data:1\n\ndata:2\n\ndata:3\n\ndata:4\n\ndata:5\n\n", 413,
            "More events at once than the stream's ring holds (4).");
    post("", STREAM_TYPE, "id:1\ndata:1\n\nid:2\ndata:2\n\nid:3\ndata:3\n\nid:4\ndata:4\n\n", 200,
         "1\n2\n3\n4\n");
    expect_numbers(c, 1, 4);
    stop();
}

static bool ring_is_full(void *arg)
{
    (void)arg;
    sse_event event = {.data = {bulk(100000), 100000}};
    return sse_server_try_publish(server, "full", &event) == SSE_EFULL &&
           stats_of(server, "full").queued >= 4;
}

/* contract: 429 with Retry-After for a full ring */
Test(post, a_full_ring_is_429)
{
    start(NULL);
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.slow = SSE_SLOW_BLOCK;
    stream.ring_events = 4;
    stream.history_events = SSE_OFF;
    cr_assert_eq(sse_server_create_stream(server, "full", &stream), SSE_OK);
    http_conn *stuck = join_silently(port, "full", 4096);
    wait_subscribers(server, "full", 1);
    http_response r;
    int status = 0;
    for (int64_t until = wait_now_ms() + LONG; status != 429 && wait_now_ms() < until;) {
        cr_assert(wait_until(ring_is_full, NULL, LONG));
        status = ask(port, "POST", "/events?stream=full", NULL, "x", &r);
        if (status == 429) {
            cr_assert_str_eq(http_header(&r, "Retry-After"), "1");
            cr_assert_str_eq(r.body, "The ring of stream 'full' is full.\n");
        }
        http_response_fini(&r);
    }
    cr_assert_eq(status, 429);
    expect_nothing_but(server, c, "s", "others go on");
    http_close(stuck);
    stop();
}

/* contract: DELETE removes the stream and ends its subscribers */
Test(post, delete_removes)
{
    start(NULL);
    say(server, "s", "last");
    http_response r;
    cr_assert_eq(ask(port, "DELETE", "/events?stream=s", NULL, NULL, &r), 204);
    cr_assert_eq(r.body_len, 0);
    http_response_fini(&r);
    cr_assert_not(sse_server_stream_exists(server, "s"));
    expect_data(c, "last");
    expect_end(c);
    cr_assert_eq(status_of(port, "DELETE", "/events?stream=s", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "DELETE", "/events", NULL, NULL), 400);
    stop();
}

/* A page from elsewhere may not publish behind its reader's back. */
Test(post, other_origins_are_refused)
{
    static const char *const origins[] = {"https://friend.example"};
    sse_server_options options = fixture_options();
    options.cors_origins = origins;
    options.cors_origin_count = 1;
    start(&options);
    refused("", "Origin: https://evil.example\r\n", "x", 403, "origin");
    refused("", "Origin: null\r\n", "x", 403, "origin");
    refused("", "Origin: http://127.0.0.1.evil.example\r\n", "x", 403, "origin");
    refused("", "Origin: http://127.0.0.1:81\r\n", "x", 403, "origin");
    cr_assert_eq(
        status_of(port, "DELETE", "/events?stream=s", "Origin: https://evil.example\r\n", NULL),
        403);
    cr_assert(sse_server_stream_exists(server, "s"));
    post("&id=1", "Origin: https://friend.example\r\n", "1", 200, "1\n");
    post("&id=2", "Origin: http://127.0.0.1\r\n", "2", 200, "2\n");
    expect_numbers(c, 1, 2);
    stop();
}

/* features: AutoStream */
Test(post, makes_automatic_streams)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    start(&options);
    cr_assert_eq(status_of(port, "POST", "/events?stream=new", NULL, "first"), 200);
    http_conn *n = join(port, "new");
    expect_data(n, "first");
    http_close(n);
    stop();
}
