/* A hundred thousand streams cost memory, but no threads: workers start when there is something to
 * do and retire when there is nothing. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* The sanitizers take their time for every thread that starts. */
#if defined(__SANITIZE_ADDRESS__)
#define STREAMS 10000
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STREAMS 5000
#endif
#endif
#ifndef STREAMS
#define STREAMS 100000
#endif

static sse_server *server;
static uint16_t port;

static const char *name_of(int i)
{
    static char name[16];
    snprintf(name, sizeof name, "s%d", i);
    return name;
}

static void start(void)
{
    sse_server_options options = fixture_options();
    options.max_streams = STREAMS;
    server = serve(&options, &port);
}

static bool no_workers(void *arg) { return totals(arg).workers == 0; }

static bool threads_are(void *arg) { return wait_count_threads(0) == *(int *)arg; }

Test(many_streams, cost_no_threads)
{
    start();
    int threads = wait_count_threads(0), most = 0;
    for (int i = 0; i < STREAMS; i++)
        create(server, name_of(i));
    cr_assert_eq(totals(server).streams, STREAMS);
    cr_assert_eq(wait_count_threads(0), threads, "creating starts none");
    cr_assert_eq(sse_server_create_stream(server, "one more", NULL), SSE_ELIMIT);
    for (int i = 0; i < STREAMS; i++) {
        say(server, name_of(i), "x");
        if (i % 100 == 0 && wait_count_threads(0) > most)
            most = wait_count_threads(0);
    }
    cr_assert_lt(most, STREAMS / 2, "%d threads at the most", most);
    cr_assert(wait_until(no_workers, server, LONG));
    cr_assert(wait_until(threads_are, &threads, LONG), "they retire");
    cr_assert_eq(totals(server).published, STREAMS);
    for (int i = 0; i < STREAMS; i += STREAMS / 50)
        cr_assert_eq(stats_of(server, name_of(i)).history, 1);

    /* One that has slept works as on the first day. */
    http_conn *c = join(port, name_of(STREAMS / 2));
    expect_data(c, "x");
    cr_assert_eq(wait_count_threads(0), threads, "a subscriber needs no worker");
    say(server, name_of(STREAMS / 2), "y");
    expect_data(c, "y");
    http_close(c);
    sse_server_free(server);
}

/* A worker that is about to retire and an event that comes just then: nothing gets stuck. */
Test(many_streams, workers_retire_and_start_again)
{
    start();
    for (int i = 0; i < 400; i++)
        create(server, name_of(i));
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < 400; i++)
            say(server, name_of(i), "x"); /* above the number that may linger */
    for (int i = 0; i < 400; i++)
        wait_published(server, name_of(i), 20);
    cr_assert_eq(totals(server).published, 400 * 20);
    sse_server_free(server);
}

/* Removing them all, and stopping while they all exist. */
Test(many_streams, go_at_once)
{
    start();
    for (int i = 0; i < STREAMS; i++)
        create(server, name_of(i));
    for (int i = 0; i < STREAMS; i += 2)
        cr_assert_eq(sse_server_remove_stream(server, name_of(i)), SSE_OK);
    cr_assert_eq(totals(server).streams, STREAMS / 2);
    sse_server_stop(server);
    cr_assert_eq(totals(server).streams, 0);
    sse_server_free(server);
}
