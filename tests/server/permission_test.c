/* Permissions that end while a subscriber is connected. The hub's clock is the test's: an hour passes in no time. */
#include "fixture.h"

#include "clock.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* More than a socket may ever hold (tcp_wmem): an event of that size cannot come to its end while nobody reads. */
#define STUCK_BYTES (16u << 20)

static sse_server *server;
static uint16_t port;
static _Atomic uint64_t now_ns = 1000000000000;

static uint64_t clock_of_the_test(void) { return now_ns; }

/* And let the I/O thread look at the clock, which it does at the end of a turn, behind the answer: so the second request is
 * answered in a turn that follows a look. */
static void advance(uint64_t seconds)
{
    now_ns += seconds * 1000000000;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(status_of(port, "GET", "/healthz", NULL, NULL), 200);
}

/* ?ends=SECONDS from now, or "min" or "max". */
static int authorize(void *user, const sse_request *request)
{
    (void)user;
    const char *ends = sse_request_query(request, "ends");
    if (ends && strcmp(ends, "min") == 0)
        sse_request_set_expiry(request, INT64_MIN);
    else if (ends && strcmp(ends, "max") == 0)
        sse_request_set_expiry(request, INT64_MAX);
    else if (ends)
        sse_request_set_expiry(request, (int64_t)time(NULL) + atoi(ends));
    return 0;
}

static void start(void)
{
    sse__clock_set_source(clock_of_the_test);
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = authorize};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    options.max_event_bytes = STUCK_BYTES;
    options.request_timeout_ms = SSE_OFF;
    options.drain_ms = SSE_OFF; /* its end would wait for the test's clock */
    options.threads = 1;
    server = serve(&options, &port);
    create(server, "s");
}

static void stop(void) { sse_server_free(server); }

TestSuite(permission, .init = start, .fini = stop);

static http_conn *join_until(const char *ends)
{
    char target[64];
    snprintf(target, sizeof target, "/events?stream=s&ends=%s", ends);
    http_conn *c = http_open_stream(port, target, NULL, NULL, LONG);
    cr_assert_not_null(c, "%s", ends);
    return c;
}

static uint64_t expired(void) { return totals(server).left[SSE_LEFT_EXPIRED]; }

/* The wall clock has gone on by some of the test's own seconds since the permission was given: a minute is more than that. */
Test(permission, ends_at_its_time_and_not_before)
{
    http_conn *goes = join_until("3600"), *stays = join(port, "s");
    advance(3600 - 60);
    say(server, "s", "before");
    expect_data(goes, "before");
    expect_data(stays, "before");
    cr_assert_eq(expired(), 0);
    advance(61);
    expect_farewell(goes);
    wait_subscribers(server, "s", 1);
    cr_assert_eq(expired(), 1);
    say(server, "s", "after");
    expect_data(stays, "after");
    advance(7 * 86400);
    say(server, "s", "a week later");
    expect_data(stays, "a week later");
    http_close(stays);
}

/* Nobody publishes, and no request wakes the thread up: it looks at the clock by itself. */
Test(permission, ends_in_silence)
{
    http_conn *c = join_until("3600");
    now_ns += 3601000000000;
    expect_farewell(c);
}

Test(permission, each_at_its_own_time)
{
    enum { N = 9 };
    static const char *const ends[N] = {"500", "100", "900", "300", "700",
                                        "200", "800", "400", "600"};
    http_conn *c[N];
    for (int i = 0; i < N; i++)
        c[i] = join_until(ends[i]);
    /* Two leave by themselves before. */
    http_close(c[2]);
    http_reset(c[5]);
    wait_subscribers(server, "s", N - 2);
    advance(50);
    uint64_t left = 0;
    for (int hundreds = 1; hundreds <= 9; hundreds++) {
        advance(100); /* to 150, 250, … */
        for (int i = 0; i < N; i++)
            if (atoi(ends[i]) == hundreds * 100 && i != 2 && i != 5) {
                expect_farewell(c[i]);
                left++;
            }
        wait_subscribers(server, "s", N - 2 - left);
        cr_assert_eq(expired(), left);
    }
    cr_assert_eq(left, N - 2);
}

Test(permission, that_has_ended_already)
{
    static const char *const ends[] = {"0", "-1000", "min"};
    for (size_t i = 0; i < 3; i++) {
        http_conn *c = join_until(ends[i]);
        advance(1);
        expect_farewell(c);
    }
    wait_left(server, SSE_LEFT_EXPIRED, 3);
}

Test(permission, that_never_ends)
{
    http_conn *c = join_until("max");
    advance(7 * 86400);
    say(server, "s", "x");
    expect_data(c, "x");
    http_close(c);
}

/* Its socket takes no more: the thread has had many turns, and nothing has left in any of them. */
static bool is_stuck(void *arg)
{
    uint64_t *last = arg, bytes = stats_of(server, "s").bytes_out;
    bool stuck = bytes > 0 && bytes == *last;
    for (int i = 0; i < 20 && stuck; i++) {
        advance(0);
        stuck = stats_of(server, "s").bytes_out == bytes;
    }
    *last = bytes;
    return stuck;
}

/* One that has begun to get an event may have the rest of it, but not for ever: it is cut off. */
Test(permission, one_that_does_not_read_is_cut_off)
{
    enum { CUT_MS = 5000 };
    static char text[STUCK_BYTES];
    char target[64] = "/events?stream=s&ends=3600";
    http_conn *c = http_connect_rcvbuf(port, 4096);
    cr_assert(http_send_request(c, "GET", target, NULL, NULL, 0, LONG));
    wait_subscribers(server, "s", 1);
    memset(text, 'x', STUCK_BYTES - 1);
    say(server, "s", text);
    uint64_t last = 0;
    cr_assert(wait_until(is_stuck, &last, LONG));
    cr_assert_lt(stats_of(server, "s").bytes_out, STUCK_BYTES);
    advance(3600 - 60);
    cr_assert_eq(stats_of(server, "s").subscribers, 1);
    advance(61);
    cr_assert_eq(stats_of(server, "s").subscribers, 1, "it has some time");
    now_ns += (uint64_t)(CUT_MS - 1) * 1000000;
    advance(0);
    cr_assert_eq(stats_of(server, "s").subscribers, 1, "so much");
    now_ns += 2000000;
    advance(0);
    wait_left(server, SSE_LEFT_EXPIRED, 1);
    http_close(c);
}

/* Of several streams over one connection, the first permission that ends ends the connection. */
static int first_or_second(void *user, const sse_request *request)
{
    (void)user;
    bool first = strcmp(sse_request_stream(request), "s") == 0;
    sse_request_set_expiry(request, (int64_t)time(NULL) + (first ? 7200 : 3600));
    return 0;
}

Test(permission_of_several, ends_with_the_first)
{
    sse__clock_set_source(clock_of_the_test);
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = first_or_second};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    options.request_timeout_ms = SSE_OFF;
    options.threads = 1;
    server = serve(&options, &port);
    create(server, "s");
    create(server, "t");
    http_conn *c = join(port, "s&stream=t"), *alone = join(port, "s");
    advance(3600 - 60);
    cr_assert_eq(totals(server).subscribers, 2);
    advance(61);
    expect_farewell(c);
    advance(3500);
    say(server, "s", "x");
    expect_data(alone, "x");
    advance(100);
    expect_farewell(alone);
    sse_server_free(server);
}
