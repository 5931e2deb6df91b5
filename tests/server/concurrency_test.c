/* Many publishers, streams and subscribers at once: nothing lost, doubled or out of order, as far
 * as the history reaches; whatever peers do on their connections, the others do not notice. */
#include "../support/cert.h"
#include "fixture.h"

#include "clock.h"
#include "hub.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 10, PUBLISHERS = 4, SUBSCRIBERS = 20, EVENTS = 500 };

static sse_server *server;
static uint16_t port;
static atomic_uint failures;

static const char *name_of(size_t i)
{
    static _Thread_local char name[16];
    snprintf(name, sizeof name, "s%zu", i);
    return name;
}

/* Numbers "publisher number" to each stream in turn; now and then by try_publish. */
static void *publish_all(void *arg)
{
    size_t self = (size_t)(uintptr_t)arg;
    for (int n = 0; n < EVENTS; n++)
        for (size_t k = 0; k < STREAMS; k++) {
            char data[32];
            snprintf(data, sizeof data, "%zu %d", self, n);
            sse_event event = {.data = sse_cstr(data)};
            sse_err err = SSE_EFULL;
            if (n % 3 == 0)
                err = sse_server_try_publish(server, name_of(k), &event);
            if (err == SSE_EFULL)
                err = sse_server_publish(server, name_of(k), &event);
            failures += err != SSE_OK;
        }
    return NULL;
}

/* Each publisher's events come complete and in its order. The subscriber breaks off after a number
 * of events of its own and resumes with the last id, until it has all. */
static void *subscribe_all(void *arg)
{
    size_t self = (size_t)(uintptr_t)arg;
    int expected[PUBLISHERS] = {0}, received = 0;
    char header[128] = "", target[48];
    snprintf(target, sizeof target, "/events?stream=%s", name_of(self % STREAMS));
    while (received < PUBLISHERS * EVENTS) {
        http_conn *c = http_open_stream(port, target, header, NULL, LONG);
        for (size_t n = 0; c && n < 100 + self * 37 && received < PUBLISHERS * EVENTS; n++) {
            http_block block;
            int publisher, number;
            if (http_next_event(c, &block, LONG) != HTTP_OK) {
                failures++;
                http_close(c);
                return NULL;
            }
            snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", block.id);
            if (block.type || sscanf(block.data, "%d %d", &publisher, &number) != 2 ||
                publisher < 0 || publisher >= PUBLISHERS || number != expected[publisher]++)
                failures++;
            received++;
            http_block_fini(&block);
        }
        failures += c == NULL;
        http_close(c);
    }
    return NULL;
}

/* features: Publish, from any thread; conformance 31 */
Test(concurrency, nothing_is_lost_doubled_or_out_of_order)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.history_events = PUBLISHERS * EVENTS;
    stream.slow = SSE_SLOW_BLOCK;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    server = serve(&options, &port);
    for (size_t i = 0; i < STREAMS; i++)
        create(server, name_of(i));
    sse__thread threads[PUBLISHERS + SUBSCRIBERS];
    for (size_t i = 0; i < PUBLISHERS + SUBSCRIBERS; i++)
        cr_assert_eq(sse__thread_start(&threads[i], "test", 0,
                                       i < SUBSCRIBERS ? subscribe_all : publish_all,
                                       (void *)(uintptr_t)(i < SUBSCRIBERS ? i : i - SUBSCRIBERS)),
                     SSE_OK);
    for (size_t i = 0; i < PUBLISHERS + SUBSCRIBERS; i++)
        sse__thread_join(&threads[i]);
    cr_assert_eq(failures, 0);
    cr_assert_eq(totals(server).published, STREAMS * PUBLISHERS * EVENTS);
    cr_assert_eq(totals(server).gaps, 0);
    sse_server_free(server);
}

static void *publish_to_auto(void *arg)
{
    size_t self = (size_t)(uintptr_t)arg;
    for (size_t i = 0; i < 3000; i++) {
        sse_event event = {.data = sse_cstr("x")};
        failures += sse_server_publish(server, name_of((i + self) % 3), &event) != SSE_OK;
    }
    return NULL;
}

/* features: AutoStream. A stream that is just being reaped is made again: publishing to an automatic
 * stream does not fail because it was idle. */
Test(concurrency, automatic_streams_are_always_there)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    options.auto_stream_idle_ms = 1;
    options.heartbeat_ms = 16; /* the shortest tick: the reaper looks often */
    server = serve(&options, &port);
    sse__thread threads[PUBLISHERS];
    for (size_t i = 0; i < PUBLISHERS; i++)
        cr_assert_eq(
            sse__thread_start(&threads[i], "test", 0, publish_to_auto, (void *)(uintptr_t)i),
            SSE_OK);
    for (int i = 0; i < 300; i++) {
        http_conn *c = join(port, name_of((size_t)i % 5));
        http_close(c);
    }
    for (size_t i = 0; i < PUBLISHERS; i++)
        sse__thread_join(&threads[i]);
    cr_assert_eq(failures, 0);
    cr_assert_eq(totals(server).published, PUBLISHERS * 3000, "removed streams included");
    sse_server_free(server);
}

/* The same, step by step: between the look-up and the publishing comes the reaper. */
Test(concurrency, a_stream_in_use_is_not_reaped)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    server = serve(&options, &port);
    say(server, "s", "x");
    wait_published(server, "s", 1);
    sse__stream *st;
    cr_assert_eq(sse__hub_stream(server, "s", true, &st), SSE_OK);
    uint64_t later = sse__now_ms() + 1000 * 3600;
    sse__hub_reap(server, later);
    cr_assert(sse_server_stream_exists(server, "s"));
    sse__stream_unref(st);
    for (int64_t until = wait_now_ms() + LONG; wait_now_ms() < until;) {
        sse__hub_reap(server, later);
        if (!sse_server_stream_exists(server, "s"))
            break; /* at once, or when a worker that was about to go has gone */
    }
    cr_assert_not(sse_server_stream_exists(server, "s"));
    sse_server_free(server);
}

/* A stream that ended leaves its connection in order: the next request may come. */
Test(concurrency, a_connection_goes_on_after_a_stream)
{
    sse_server_options options = fixture_options();
    options.heartbeat_ms = 16; /* the shortest tick: what has ended is tidied up in between */
    server = serve(&options, &port);
    http_conn *c = http_connect(port);
    for (int round = 0; round < 10; round++) {
        create(server, "s");
        http_response r;
        cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
        cr_assert(http_read_head(c, &r, LONG));
        cr_assert_eq(r.status, 200);
        http_response_fini(&r);
        say_numbers(server, "s", 0, 5);
        cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
        expect_numbers(c, 0, 5);
        expect_end(c);
        cr_assert(http_request(c, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        cr_assert_eq(r.status, 200);
        http_response_fini(&r);
    }
    cr_assert_eq(totals(server).accepted, 1);
    http_close(c);
    wait_left(server, SSE_LEFT_REMOVED, 10);
    sse_server_free(server);
}

static bool no_connections(void *arg) { return totals(server).connections == *(uint64_t *)arg; }

/* Noise, requests in one piece and in many, bodies where none belong, requests behind a stream. */
Test(concurrency, strange_peers_disturb_nobody)
{
    sse_server_options options = fixture_options();
    options.http_publish = true;
    /* libmicrohttpd misses a FIN right behind empty lines: such a connection ends at this time. A handshake must be over by then, on
     * a machine that is busy. */
    options.request_timeout_ms = cert_tls() ? 5000 : 500;
    server = serve(&options, &port);
    create(server, "s");
    http_conn *quiet = join(port, "s");
    static const char *const noise[] = {
        "\r\n\r\n\r\n",
        "\x16\x03\x01\x02",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /events?stream=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "stream=s stream=s stream=\n\n",
        "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\nzz\r\n",
        "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        ("GET /events?stream=none HTTP/1.1\r\nHost: localhost\r\n\r\n"
         "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
         "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n\r\n")};
    for (int round = 0; round < 5; round++)
        for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++) {
            http_conn *whole = http_connect(port), *pieces = http_connect(port);
            cr_assert(whole && pieces);
            (void)http_send_text(whole, noise[i], LONG);
            for (const char *at = noise[i]; *at; at++)
                if (!http_send(pieces, at, 1, LONG))
                    break;
            if (round % 2 == 0) {
                http_response r;
                if (http_read_head(whole, &r, round == 0 ? 20 : 0))
                    http_response_fini(&r);
            }
            http_close(whole);
            http_reset(pieces);
        }
    say(server, "s", "still here");
    expect_data(quiet, "still here");
    uint64_t one = 1;
    cr_assert(wait_until(no_connections, &one, LONG), "%" PRIu64, totals(server).connections);
    cr_assert_eq(stats_of(server, "s").published, 1);
    http_close(quiet);
    sse_server_free(server);
}
