/* Callbacks: authorize, on_subscribe and on_unsubscribe; what they see, how often, with which
 * reason; and calls into the hub from inside them. */
#include "fixture.h"

#include "sync.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 2000 };

/* What the callbacks have seen. They come from several threads. */
typedef struct seen {
    sse_server *server;
    void (*in_subscribe)(struct seen *s, const sse_subscriber_info *info);
    void (*in_unsubscribe)(struct seen *s, const sse_subscriber_info *info);
    sse__mutex mu; /* guards what follows */
    unsigned came[MOST];
    unsigned went[MOST];
    sse_leave_reason reason[MOST];
    uint64_t last_number;
    size_t authorized;
    char address[64];
    char last_event_id[64];
    char stream[64];
    char request[256];
    bool stopped; /* nothing may come any more */
    bool late;
} seen;

static seen s;
static uint16_t port;

static int on_authorize(void *user, const sse_request *request)
{
    seen *to = user;
    const char *want = sse_request_header(request, "X-Want");
    const char *token = sse_request_query(request, "token");
    const char *stream = sse_request_stream(request);
    sse__mutex_lock(&to->mu);
    to->authorized++;
    to->late |= to->stopped;
    snprintf(to->request, sizeof to->request, "%d %s %s %s %s %s", (int)sse_request_action(request),
             sse_request_method(request), sse_request_path(request), stream ? stream : "-",
             sse_request_address(request), token ? token : "-");
    sse__mutex_unlock(&to->mu);
    return want ? atoi(want) : 0;
}

static void on_subscribe(void *user, const sse_subscriber_info *info)
{
    seen *to = user;
    sse__mutex_lock(&to->mu);
    to->came[info->number % MOST]++;
    to->last_number = info->number;
    to->late |= to->stopped;
    snprintf(to->address, sizeof to->address, "%s", info->address);
    snprintf(to->stream, sizeof to->stream, "%s", info->stream);
    snprintf(to->last_event_id, sizeof to->last_event_id, "%s", info->last_event_id);
    sse__mutex_unlock(&to->mu);
    if (to->in_subscribe)
        to->in_subscribe(to, info);
}

static void on_unsubscribe(void *user, const sse_subscriber_info *info, sse_leave_reason reason)
{
    seen *to = user;
    sse__mutex_lock(&to->mu);
    to->went[info->number % MOST]++;
    to->reason[info->number % MOST] = reason;
    to->late |= to->stopped;
    sse__mutex_unlock(&to->mu);
    if (to->in_unsubscribe)
        to->in_unsubscribe(to, info);
}

static sse_server_options options_with_callbacks(void)
{
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = on_authorize,
                                                   .on_subscribe = on_subscribe,
                                                   .on_unsubscribe = on_unsubscribe};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    options.user = &s;
    options.http_publish = true;
    return options;
}

static void start(const sse_server_options *options)
{
    sse_server_options own = options_with_callbacks();
    sse__mutex_init(&s.mu, SSE__RANK_LEAF);
    s.server = serve(options ? options : &own, &port);
    create(s.server, "a");
}

static void stop(void)
{
    sse_server_stop(s.server);
    sse__mutex_lock(&s.mu);
    s.stopped = true;
    sse__mutex_unlock(&s.mu);
    sse_server_free(s.server);
    cr_assert_not(s.late, "a callback came after the stop");
    sse__mutex_fini(&s.mu);
}

/* Each that came has left exactly once; n came in all. */
static void check_pairs(size_t n)
{
    size_t came = 0;
    for (size_t i = 0; i < MOST; i++) {
        cr_assert_leq(s.came[i], 1);
        cr_assert_eq(s.came[i], s.went[i], "number %zu came %u times, left %u times", i, s.came[i],
                     s.went[i]);
        came += s.came[i];
    }
    cr_assert_eq(came, n);
}

static void check_reason(sse_leave_reason reason)
{
    for (size_t i = 0; i < MOST; i++)
        if (s.went[i])
            cr_assert_eq(s.reason[i], reason, "%s instead of %s",
                         sse_leave_reason_name(s.reason[i]), sse_leave_reason_name(reason));
}

/* features: authorisation callback */
Test(callbacks, authorize_sees_the_request)
{
    start(NULL);
    cr_assert_eq(status_of(port, "GET", "/events?stream=none&token=t%201", NULL, NULL), 404);
    cr_assert_str_eq(s.request, "1 GET /events none 127.0.0.1 t 1");
    cr_assert_eq(status_of(port, "HEAD", "/events?stream=a", NULL, NULL), 200);
    cr_assert_str_eq(s.request, "1 HEAD /events a 127.0.0.1 -");
    cr_assert_eq(status_of(port, "POST", "/events?stream=a", NULL, "x"), 200);
    cr_assert_str_eq(s.request, "2 POST /events a 127.0.0.1 -");
    cr_assert_eq(status_of(port, "GET", "/streams", NULL, NULL), 200);
    cr_assert_str_eq(s.request, "4 GET /streams - 127.0.0.1 -");
    cr_assert_eq(status_of(port, "GET", "/metrics?token", NULL, NULL), 200);
    cr_assert_str_eq(s.request, "4 GET /metrics - 127.0.0.1 ");
    cr_assert_eq(status_of(port, "DELETE", "/events?stream=a", NULL, NULL), 204);
    cr_assert_str_eq(s.request, "3 DELETE /events a 127.0.0.1 -");
    cr_assert_eq(s.authorized, 6, "once each");
    cr_assert_eq(status_of(port, "GET", "/healthz", NULL, NULL), 200);
    cr_assert_eq(status_of(port, "GET", "/events", NULL, NULL), 400);
    cr_assert_eq(s.authorized, 6, "not where there is nothing to allow");
    stop();
}

Test(callbacks, authorize_may_answer_any_error)
{
    start(NULL);
    static const int wanted[][2] = {{401, 401}, {403, 403}, {404, 404}, {429, 429}, {503, 503},
                                    {599, 599}, {200, 403}, {302, 403}, {-1, 403},  {600, 403}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        static const char *const requests[][2] = {{"GET", "/events?stream=a"},
                                                  {"HEAD", "/events?stream=a"},
                                                  {"POST", "/events?stream=a"},
                                                  {"DELETE", "/events?stream=a"},
                                                  {"GET", "/streams"}};
        for (size_t k = 0; k < sizeof requests / sizeof requests[0]; k++) {
            char header[32];
            snprintf(header, sizeof header, "X-Want: %d\r\n", wanted[i][0]);
            http_response r;
            const char *body = k == 2 ? "x" : NULL;
            cr_assert_eq(ask(port, requests[k][0], requests[k][1], header, body, &r), wanted[i][1]);
            const char *challenge = http_header(&r, "WWW-Authenticate");
            cr_assert_eq(challenge != NULL, wanted[i][1] == 401);
            http_response_fini(&r);
        }
    }
    cr_assert(sse_server_stream_exists(s.server, "a"));
    cr_assert_eq(stats_of(s.server, "a").published, 0);
    cr_assert_eq(totals(s.server).subscribed, 0);
    cr_assert_eq(totals(s.server).refused, 7 * 5, "401, 403 and 429 are counted");
    stop();
    check_pairs(0);
}

/* features: NewWithCallback(onSub, onUnsub) */
Test(callbacks, tell_who_came_and_went)
{
    start(NULL);
    http_conn *c = join_after(port, "a", "my-id");
    cr_assert_str_eq(s.stream, "a");
    cr_assert_str_eq(s.address, "127.0.0.1");
    cr_assert_str_eq(s.last_event_id, "my-id");
    http_conn *other = join(port, "a");
    cr_assert_str_eq(s.last_event_id, "");
    http_close(c);
    http_reset(other);
    wait_left(s.server, SSE_LEFT_GONE, 2);
    stop();
    check_pairs(2);
    check_reason(SSE_LEFT_GONE);
}

/* features: the unsubscribe callback is not missing on remove */
Test(callbacks, tell_of_removal)
{
    start(NULL);
    http_conn *c[20];
    for (int i = 0; i < 20; i++)
        c[i] = join(port, "a");
    say(s.server, "a", "last words");
    cr_assert_eq(sse_server_remove_stream(s.server, "a"), SSE_OK);
    for (int i = 0; i < 20; i++) {
        expect_data(c[i], "last words");
        expect_end(c[i]);
        http_close(c[i]);
    }
    wait_left(s.server, SSE_LEFT_REMOVED, 20);
    stop();
    check_pairs(20);
    check_reason(SSE_LEFT_REMOVED);
}

/* features: nor on close */
Test(callbacks, tell_of_the_close)
{
    start(NULL);
    http_conn *c[20];
    for (int i = 0; i < 20; i++)
        c[i] = join(port, "a");
    sse_server_close(s.server);
    for (int i = 0; i < 20; i++) {
        expect_end(c[i]);
        http_close(c[i]);
    }
    wait_left(s.server, SSE_LEFT_DRAINED, 20);
    stop();
    check_pairs(20);
    check_reason(SSE_LEFT_DRAINED);
}

Test(callbacks, tell_of_slowness)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.ring_events = 8;
    stream.slow_grace_ms = 1;
    stream.history_events = SSE_OFF;
    sse_server_options options = options_with_callbacks();
    options.stream = &stream;
    start(&options);
    http_conn *c = join_silently(port, "a", 4096);
    wait_subscribers(s.server, "a", 1);
    for (int i = 0; i < 200; i++)
        say(s.server, "a", bulk(100000));
    wait_left(s.server, SSE_LEFT_SLOW, 1);
    cr_assert_eq(stats_of(s.server, "a").slow_closed, 1);
    http_close(c);
    stop();
    check_pairs(1);
    check_reason(SSE_LEFT_SLOW);
}

/* ---- calls from inside ---- */

static void publish_inside(seen *to, const sse_subscriber_info *info)
{
    sse_event event = {.data = sse_cstr("welcome")};
    if (sse_server_publish(to->server, info->stream, &event) != SSE_OK)
        abort();
}

Test(callbacks, may_publish)
{
    start(NULL);
    s.in_subscribe = publish_inside;
    http_conn *c = join(port, "a");
    expect_data(c, "welcome");
    http_conn *second = join(port, "a");
    expect_data(c, "welcome");
    expect_data(second, "welcome");
    http_close(second);
    s.in_subscribe = NULL;
    http_close(c);
    wait_left(s.server, SSE_LEFT_GONE, 2);
    stop();
    check_pairs(2);
}

static void publish_when_gone(seen *to, const sse_subscriber_info *info)
{
    sse_event event = {.data = sse_cstr("somebody left")};
    (void)!sse_server_publish(to->server, info->stream, &event);
}

Test(callbacks, may_publish_when_somebody_leaves)
{
    start(NULL);
    s.in_unsubscribe = publish_when_gone;
    http_conn *stays = join(port, "a");
    for (int i = 0; i < 20; i++) {
        http_close(join(port, "a"));
        expect_data(stays, "somebody left");
    }
    http_close(stays);
    wait_left(s.server, SSE_LEFT_GONE, 21);
    stop();
    check_pairs(21);
}

static void create_and_remove_inside(seen *to, const sse_subscriber_info *info)
{
    sse_server_stats totals_now;
    sse_stream_stats stats;
    if (sse_server_create_stream(to->server, "made-inside", NULL) != SSE_OK ||
        !sse_server_stream_exists(to->server, "made-inside") ||
        sse_server_stream_stats(to->server, info->stream, &stats) != SSE_OK ||
        sse_server_clear_history(to->server, info->stream) != SSE_OK ||
        sse_server_remove_stream(to->server, "made-inside") != SSE_OK ||
        sse_server_remove_stream(to->server, info->stream) != SSE_OK)
        abort();
    sse_server_get_stats(to->server, &totals_now);
    sse_server_get_stats(to->server, &totals_now);
}

/* The subscriber's own stream is removed while it is told that the subscriber came. */
Test(callbacks, may_remove_the_stream)
{
    start(NULL);
    s.in_subscribe = create_and_remove_inside;
    for (int i = 0; i < 20; i++) {
        create(s.server, "a");
        http_conn *c = join(port, "a");
        expect_end(c);
        http_close(c);
    }
    wait_left(s.server, SSE_LEFT_REMOVED, 20);
    stop();
    check_pairs(20);
    check_reason(SSE_LEFT_REMOVED);
}

static void close_inside(seen *to, const sse_subscriber_info *info)
{
    (void)info;
    sse_server_close(to->server);
}

Test(callbacks, may_close_the_server)
{
    start(NULL);
    http_conn *before = join(port, "a");
    s.in_subscribe = close_inside;
    http_conn *c = join(port, "a");
    expect_end(c);
    expect_end(before);
    http_close(c);
    http_close(before);
    stop();
    check_pairs(2);
    check_reason(SSE_LEFT_DRAINED);
}

/* The subscriber that would make room is served by the thread that this runs on. */
static void publish_without_end(seen *to, const sse_subscriber_info *info)
{
    sse_event event = {.data = sse_cstr("x")};
    sse_err err = SSE_OK;
    for (int i = 0; i < 1000000 && err == SSE_OK; i++)
        err = sse_server_publish(to->server, info->stream, &event);
    if (err != SSE_EFULL)
        abort();
}

Test(callbacks, publishing_does_not_wait_inside)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.ring_events = 4;
    stream.history_events = 4;
    stream.slow = SSE_SLOW_BLOCK;
    sse_server_options options = options_with_callbacks();
    options.stream = &stream;
    start(&options);
    s.in_subscribe = publish_without_end;
    http_conn *c = join(port, "a");
    expect_data(c, "x");
    s.in_subscribe = NULL;
    http_close(c);
    stop();
}

static int remove_in_authorize(void *user, const sse_request *request)
{
    (void)user;
    (void)!sse_server_remove_stream(s.server, sse_request_stream(request));
    return 0;
}

Test(callbacks, authorize_may_remove_the_stream)
{
    sse_server_options options = options_with_callbacks();
    sse_server_callbacks callbacks = *options.callbacks;
    callbacks.authorize = remove_in_authorize;
    options.callbacks = &callbacks;
    start(&options);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a", NULL, NULL), 404);
    create(s.server, "a");
    cr_assert_eq(status_of(port, "POST", "/events?stream=a", NULL, "x"), 404);
    stop();
    check_pairs(0);
}

/* Many at once, from all sides. */
Test(callbacks, come_in_pairs_under_churn)
{
    start(NULL);
    for (int round = 0; round < 20; round++) {
        http_conn *c[20];
        create(s.server, "a");
        for (int i = 0; i < 20; i++)
            c[i] = join(port, "a");
        for (int i = 0; i < 10; i++) {
            say(s.server, "a", "x");
            http_close(c[i]);
        }
        if (round % 2)
            cr_assert_eq(sse_server_remove_stream(s.server, "a"), SSE_OK);
        for (int i = 10; i < 20; i++)
            http_reset(c[i]);
    }
    stop();
    check_pairs(400);
}

static int until(void *user, const sse_request *request)
{
    sse_request_set_expiry(request, atomic_load((_Atomic int64_t *)user));
    return 0;
}

/* Any moment will do, the first and the last that a number can tell included. */
Test(callbacks, a_permission_may_end_at_any_time)
{
    static _Atomic int64_t moment;
    static const int64_t over[] = {0, -1, INT64_MIN / 1000 - 1, INT64_MIN};
    static const int64_t never[] = {INT64_MAX / 1000, INT64_MAX / 1000 + 1, INT64_MAX};
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks, .authorize = until};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    options.user = &moment;
    sse_server *server = serve(&options, &port);
    create(server, "s");
    for (size_t i = 0; i < sizeof over / sizeof over[0]; i++) {
        atomic_store(&moment, over[i]);
        http_conn *c = join(port, "s");
        expect_farewell(c);
        wait_left(server, SSE_LEFT_EXPIRED, i + 1);
    }
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        atomic_store(&moment, never[i]);
        http_conn *c = join(port, "s");
        expect_nothing_but(server, c, "s", "x");
        http_close(c);
        wait_subscribers(server, "s", 0);
    }
    sse_server_free(server);
}
