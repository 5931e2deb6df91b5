/* The end: close, stop and free, twice, from anywhere, under load; draining; what is given back. */
#include "fixture.h"

#include "hub.h"

#include "sync.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sse_server *server;
static uint16_t port;

static void start(uint32_t drain_ms)
{
    sse_server_options options = fixture_options();
    options.drain_ms = drain_ms;
    options.http_publish = true;
    server = serve(&options, &port);
    create(server, "s");
}

/* Those that are told to come back are told moments as far apart as they are many (the farewell in reader.c). */
Test(lifecycle, close_counts_those_who_will_come_back)
{
    start(0);
    http_conn *c[3];
    for (int i = 0; i < 3; i++)
        c[i] = join(port, "s");
    sse_server_close(server);
    cr_assert_eq(atomic_load(&server->nsubs_at_close), 3);
    for (int i = 0; i < 3; i++)
        http_close(c[i]);
    sse_server_free(server);
}

/* features: Close */
Test(lifecycle, close_refuses_what_is_new)
{
    start(0);
    sse_server_close(server);
    sse_server_close(server);
    sse_event event = {.data = sse_cstr("x")};
    cr_assert_eq(sse_server_publish(server, "s", &event), SSE_ECLOSED);
    cr_assert_eq(sse_server_try_publish(server, "s", &event), SSE_ECLOSED);
    cr_assert_eq(sse_server_create_stream(server, "new", NULL), SSE_ECLOSED);
    http_response r;
    cr_assert_eq(ask(port, "GET", "/events?stream=s", NULL, NULL, &r), 503);
    cr_assert_not_null(http_header(&r, "Retry-After"));
    http_response_fini(&r);
    cr_assert_eq(ask(port, "GET", "/healthz", NULL, NULL, &r), 503);
    http_response_fini(&r);
    cr_assert_eq(status_of(port, "GET", "/metrics", NULL, NULL), 200, "the last look");
    sse_server_stop(server);
    sse_server_stop(server);
    cr_assert_null(http_connect(port), "nobody listens any more");
    cr_assert_eq(totals(server).subscribers, 0);
    cr_assert_eq(sse_server_publish(server, "s", &event), SSE_ECLOSED);
    sse_server_free(server);
}

Test(lifecycle, a_hub_that_never_listened_ends_too)
{
    for (int how = 0; how < 3; how++) {
        cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
        if (how > 0)
            create(server, "s");
        if (how > 1)
            say(server, "s", "x");
        sse_server_free(server);
    }
}

/* A drain delivers what was accepted, then says when to come back, then ends as it should. */
Test(lifecycle, drain_delivers_what_is_queued)
{
    start(LONG);
    http_conn *c[10];
    for (int i = 0; i < 10; i++)
        c[i] = join(port, "s");
    say_numbers(server, "s", 0, 1000);
    sse_server_close(server);
    char retries[10][16];
    for (int i = 0; i < 10; i++) {
        expect_numbers(c[i], 0, 1000);
        http_block block;
        cr_assert_eq(http_next_block(c[i], &block, LONG), HTTP_OK);
        cr_assert_not_null(block.retry);
        cr_assert_null(block.data);
        uint64_t ms = strtoull(block.retry, NULL, 10);
        cr_assert(ms >= 1000 && ms < 3000, "%s", block.retry);
        snprintf(retries[i], sizeof retries[i], "%s", block.retry);
        http_block_fini(&block);
        cr_assert_eq(http_next_block(c[i], &block, LONG), HTTP_END);
        http_close(c[i]);
    }
    size_t different = 0;
    for (int i = 1; i < 10; i++)
        different += strcmp(retries[i], retries[0]) != 0;
    cr_assert_geq(different, 5, "each its own moment");
    sse_server_free(server);
}

/* Who does not read is cut off at the deadline; the others have had everything by then. */
Test(lifecycle, drain_has_a_deadline)
{
    start(2000); /* long enough for the one that reads on, however busy the machine */
    http_conn *stuck = join_silently(port, "s", 4096), *c = join(port, "s");
    wait_subscribers(server, "s", 2);
    for (int i = 0; i < 100; i++)
        say(server, "s", bulk(100000));
    for (int i = 0; i < 100; i++)
        expect_data(c, bulk(100000));
    sse_server_stop(server);
    expect_end(c);
    cr_assert_eq(totals(server).left[SSE_LEFT_DRAINED], 2);
    http_close(stuck);
    http_close(c);
    sse_server_free(server);
}

/* Off: no time at all; who is there is cut off. */
Test(lifecycle, drain_can_be_off)
{
    start(SSE_OFF);
    http_conn *stuck = join_silently(port, "s", 4096), *c = join(port, "s");
    wait_subscribers(server, "s", 2);
    for (int i = 0; i < 50; i++)
        say(server, "s", bulk(100000));
    sse_server_stop(server);
    cr_assert_eq(totals(server).subscribers, 0);
    http_close(stuck);
    http_close(c);
    sse_server_free(server);
}

/* Connections that are not subscribers, in all stages, do not hold it up. */
Test(lifecycle, half_open_connections_do_not_matter)
{
    start(LONG);
    http_conn *silent = http_connect(port), *half = http_connect(port), *idle = http_connect(port),
              *body = http_connect(port);
    cr_assert(http_send_text(half, "GET /events?str", LONG));
    cr_assert(http_send_text(
        body, "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc", LONG));
    http_response r;
    cr_assert(http_request(idle, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
    http_response_fini(&r);
    sse_server_free(server);
    http_close(silent);
    http_close(half);
    http_close(idle);
    http_close(body);
}

Test(lifecycle, remove_ends_with_all_that_was_accepted)
{
    start(LONG);
    http_conn *c = join(port, "s");
    say_numbers(server, "s", 0, 500);
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    create(server, "s");
    say(server, "s", "of the new one");
    expect_numbers(c, 0, 500);
    expect_end(c);
    http_close(c);
    c = join(port, "s");
    expect_data(c, "of the new one");
    http_close(c);
    sse_server_free(server);
}

/* ---- given back ---- */

static bool threads_are(void *arg) { return wait_count_threads(0) == *(int *)arg; }

Test(lifecycle, threads_and_descriptors_come_back)
{
    int threads = wait_count_threads(0), fds = wait_count_fds(0);
    for (int round = 0; round < 10; round++) {
        start(LONG);
        http_conn *c[10];
        for (int i = 0; i < 10; i++) {
            char name[16];
            snprintf(name, sizeof name, "s%d", i);
            create(server, name);
            c[i] = join(port, name);
            say(server, name, "x");
            expect_data(c[i], "x");
        }
        cr_assert_gt(wait_count_threads(0), threads);
        sse_server_free(server);
        for (int i = 0; i < 10; i++) {
            expect_end(c[i]);
            http_close(c[i]);
        }
        /* Workers are detached: the kernel may take a moment to forget a thread that has ended. */
        cr_assert(wait_until(threads_are, &threads, LONG), "%d threads instead of %d",
                  wait_count_threads(0), threads);
        cr_assert_eq(wait_count_fds(0), fds);
    }
}

/* ---- from many threads ---- */

enum { WORKERS = 4 };

typedef struct crowd {
    atomic_bool stop;
    atomic_uint published;
    atomic_uint joined;
    atomic_uint wrong; /* results that cannot be */
} crowd;

static crowd all;

/* Anything that these say while the hub ends, or streams come and go, is fine; nothing else is. */
static void count_result(sse_err err)
{
    if (err == SSE_OK)
        all.published++;
    else if (err != SSE_ECLOSED && err != SSE_ENOSTREAM && err != SSE_EFULL)
        all.wrong++;
}

static void *publisher_main(void *arg)
{
    size_t self = (size_t)(uintptr_t)arg;
    for (size_t i = 0; !all.stop; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%zu", i % 4);
        sse_event event = {.data = sse_cstr("some data of an event")};
        count_result((i + self) % 2 ? sse_server_publish(server, name, &event)
                                    : sse_server_try_publish(server, name, &event));
    }
    return NULL;
}

static void *subscriber_main(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg * 7919u + 1;
    while (!all.stop) {
        random = random * 1664525u + 1013904223u;
        char target[48];
        snprintf(target, sizeof target, "/events?stream=s%u", (random >> 16) % 4);
        http_conn *c = http_open_stream(port, target, NULL, NULL, LONG);
        if (!c)
            continue;
        all.joined++;
        http_block block;
        for (uint32_t n = (random >> 20) % 20; n > 0; n--)
            if (http_next_block(c, &block, 100) == HTTP_OK)
                http_block_fini(&block);
        if (random & 0x10000)
            http_reset(c);
        else
            http_close(c);
    }
    return NULL;
}

static void *remover_main(void *arg)
{
    (void)arg;
    for (size_t i = 0; !all.stop; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%zu", i % 4);
        sse_err err = i % 3 ? sse_server_create_stream(server, name, NULL)
                            : sse_server_remove_stream(server, name);
        if (err != SSE_OK && err != SSE_ENOSTREAM && err != SSE_ECLOSED)
            all.wrong++;
        (void)totals(server);
        (void)stats_of(server, name);
    }
    return NULL;
}

static sse__thread threads[2 * WORKERS + 1];
static size_t nthreads;

static void run(void *(*fn)(void *), size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(sse__thread_start(&threads[nthreads++], "crowd", 0, fn, (void *)(uintptr_t)i),
                     SSE_OK);
}

static bool busy(void *arg)
{
    (void)arg;
    return all.published > 2000 && all.joined > 40;
}

static void start_load(bool with_remover)
{
    start(LONG);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        create(server, name);
    }
    run(publisher_main, WORKERS);
    run(subscriber_main, WORKERS);
    if (with_remover)
        run(remover_main, 1);
    cr_assert(wait_until(busy, NULL, LONG), "%u published, %u joined", all.published, all.joined);
}

static void end_load(void)
{
    all.stop = true;
    for (size_t i = 0; i < nthreads; i++)
        sse__thread_join(&threads[i]);
    cr_assert_eq(all.wrong, 0);
}

/* features: RemoveStream, under load */
Test(lifecycle, streams_come_and_go_under_load)
{
    start_load(true);
    end_load();
    sse_server_free(server);
}

Test(lifecycle, stop_under_load)
{
    start_load(true);
    sse_server_stop(server);
    sse_server_stats t = totals(server);
    cr_assert_eq(t.subscribers, 0);
    cr_assert_eq(t.subscribed, t.left[1] + t.left[2] + t.left[3] + t.left[4] + t.left[5]);
    end_load();
    sse_server_free(server);
}

static void *poster_main(void *arg)
{
    (void)arg;
    while (!all.stop) {
        http_response r;
        http_conn *c = http_connect(port);
        while (c && !all.stop &&
               http_request(c, "POST", "/events?stream=s1", NULL, "some data", 9, &r, 1000)) {
            all.published += r.status == 200;
            http_response_fini(&r);
        }
        http_close(c);
    }
    return NULL;
}

/* Free at once, while peers come, go and publish from everywhere. */
Test(lifecycle, free_under_load)
{
    int before = wait_count_threads(0), fds = wait_count_fds(0);
    start(LONG);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        create(server, name);
    }
    run(poster_main, WORKERS);
    run(subscriber_main, WORKERS);
    cr_assert(wait_until(busy, NULL, LONG), "%u published, %u joined", all.published, all.joined);
    sse_server_free(server);
    end_load();
    cr_assert(wait_until(threads_are, &before, LONG), "%d threads", wait_count_threads(0));
    cr_assert_eq(wait_count_fds(0), fds);
}

static atomic_uint stopped;

static void *stop_main(void *arg)
{
    if ((uintptr_t)arg % 2)
        sse_server_close(server);
    sse_server_stop(server);
    if (totals(server).subscribers == 0)
        stopped++;
    return NULL;
}

/* Whoever calls stop returns when it is over, not before. */
Test(lifecycle, stop_from_many_threads_at_once)
{
    start(LONG);
    http_conn *c[20];
    for (int i = 0; i < 20; i++)
        c[i] = join(port, "s");
    say_numbers(server, "s", 0, 100);
    run(stop_main, 8);
    for (int i = 0; i < 20; i++) {
        expect_numbers(c[i], 0, 100);
        expect_end(c[i]);
        http_close(c[i]);
    }
    for (size_t i = 0; i < nthreads; i++)
        sse__thread_join(&threads[i]);
    cr_assert_eq(stopped, 8);
    sse_server_free(server);
}

/* Free, while subscribers are connected and read nothing of their end. */
Test(lifecycle, free_with_subscribers)
{
    for (int round = 0; round < 10; round++) {
        start(LONG);
        http_conn *c[20];
        for (int i = 0; i < 20; i++)
            c[i] = join(port, "s");
        say_numbers(server, "s", 0, (uint64_t)round * 20);
        sse_server_free(server);
        for (int i = 0; i < 20; i++)
            http_close(c[i]);
    }
}
