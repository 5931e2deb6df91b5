/* The hub in a libmicrohttpd daemon of the user's own, in each of its threading modes. */
#include "fixture.h"

#include "sync.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum mode { MODE_EPOLL, MODE_SELECT, MODE_POLL, MODE_POOL, MODE_EXTERNAL, MODES } mode;

static const struct {
    const char *name;
    unsigned flags;
    unsigned pool;
} modes[MODES] = {
    [MODE_EPOLL] = {"epoll thread", MHD_USE_EPOLL_INTERNAL_THREAD, 0},
    [MODE_SELECT] = {"select thread", MHD_USE_INTERNAL_POLLING_THREAD, 0},
    [MODE_POLL] = {"poll thread", MHD_USE_POLL_INTERNAL_THREAD, 0},
    [MODE_POOL] = {"thread pool", MHD_USE_EPOLL_INTERNAL_THREAD, 3},
    [MODE_EXTERNAL] = {"external loop", MHD_USE_EPOLL, 0},
};

static sse_server *server;
static struct MHD_Daemon *mhd;
static uint16_t port;
static atomic_uint completed;
static sse__thread driver;
static bool driven;
static atomic_bool stop_driver;

/* What a user's program looks like: routes of its own beside the hub. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **con_cls)
{
    if (strcmp(url, "/sse") == 0)
        return (enum MHD_Result)sse_server_handle(cls, connection, url, method, version, upload,
                                                  upload_size, con_cls);
    struct MHD_Response *r =
        MHD_create_response_from_buffer(5, (void *)(uintptr_t) "mine\n", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return result;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode toe)
{
    completed++;
    sse_server_completed(cls, connection, con_cls, (int)toe);
}

/* A program's own loop: it waits for the daemon's descriptor, as long as the daemon says. */
static void *drive(void *arg)
{
    (void)arg;
    int fd = MHD_get_daemon_info(mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    while (!stop_driver) {
        unsigned MHD_LONG_LONG timeout_ms = 10;
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        if (MHD_get_timeout(mhd, &timeout_ms) != MHD_YES || timeout_ms > 10)
            timeout_ms = 10;
        poll(&pfd, 1, (int)timeout_ms);
        MHD_run(mhd);
    }
    return NULL;
}

static void start_with(mode m, const sse_server_options *options)
{
    sse_server_options own = fixture_options();
    cr_assert_eq(sse_server_new(options ? options : &own, &server), SSE_OK);
    create(server, "s");
    struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)modes[m].pool, NULL},
                                    {MHD_OPTION_END, 0, NULL}};
    if (modes[m].pool == 0)
        pool[0] = pool[1];
    mhd = MHD_start_daemon(modes[m].flags | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request,
                           server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
                           MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
    cr_assert_not_null(mhd, "%s", modes[m].name);
    port = MHD_get_daemon_info(mhd, MHD_DAEMON_INFO_BIND_PORT)->port;
    driven = m == MODE_EXTERNAL;
    stop_driver = false;
    if (driven)
        cr_assert_eq(sse__thread_start(&driver, "driver", 0, drive, NULL), SSE_OK);
}

static void start(mode m) { start_with(m, NULL); }

/* In the order that the header asks for. */
static void stop(void)
{
    sse_server_stop(server);
    cr_assert_eq(totals(server).subscribers, 0);
    stop_driver = true;
    if (driven)
        sse__thread_join(&driver);
    MHD_stop_daemon(mhd);
    sse_server_free(server);
}

static http_conn *subscribe(const char *query, const char *headers)
{
    char target[128];
    snprintf(target, sizeof target, "/sse?stream=s%s", query);
    http_conn *c = http_open_stream(port, target, headers, NULL, LONG);
    cr_assert_not_null(c);
    return c;
}

/* criterion wants a list of values. */
#define MOUNT_TEST(name)                                                                           \
    static void run_##name(mode m);                                                                \
    ParameterizedTestParameters(mount, name)                                                       \
    {                                                                                              \
        static int all[] = {MODE_EPOLL, MODE_SELECT, MODE_POLL, MODE_POOL, MODE_EXTERNAL};         \
        return cr_make_param_array(int, all, MODES);                                               \
    }                                                                                              \
    ParameterizedTest(int *m, mount, name) { run_##name((mode)*m); }                               \
    static void run_##name(mode m)

/* features: ServeHTTP mounted in the user's own mux; conformance 27, 28 */
MOUNT_TEST(delivers_and_replays)
{
    start(m);
    http_response head;
    http_conn *c = http_open_stream(port, "/sse?stream=s", NULL, &head, LONG);
    cr_assert_not_null(c);
    cr_assert_str_eq(http_header(&head, "Content-Type"), "text/event-stream");
    cr_assert_str_eq(http_header(&head, "Cache-Control"), "no-cache");
    cr_assert_str_eq(http_header(&head, "X-Accel-Buffering"), "no");
    http_response_fini(&head);
    say_id(server, "s", "first", "0");
    say_numbers(server, "s", 1, 2000);
    expect_numbers(c, 0, 2001);
    http_conn *late = subscribe("&lastEventId=first", NULL);
    cr_assert_eq(expect_gap(late), 2000 - 1024, "it has fallen out of the history");
    expect_numbers(late, 2001 - 1024, 1024);
    cr_assert_eq(status_of(port, "GET", "/other", NULL, NULL), 200, "the user's own");
    cr_assert_eq(status_of(port, "GET", "/sse?stream=none", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "HEAD", "/sse?stream=s", NULL, NULL), 200);
    cr_assert_eq(status_of(port, "POST", "/sse?stream=s", NULL, "x"), 405);
    http_close(c);
    http_close(late);
    wait_left(server, SSE_LEFT_GONE, 2);
    stop();
}

/* conformance 32 */
MOUNT_TEST(notices_who_leaves)
{
    start(m);
    http_conn *c[20];
    for (int i = 0; i < 20; i++)
        c[i] = subscribe("", NULL);
    cr_assert_eq(stats_of(server, "s").subscribers, 20);
    for (int i = 0; i < 10; i++)
        http_close(c[i]);
    wait_subscribers(server, "s", 10);
    say(server, "s", "x");
    for (int i = 10; i < 20; i++)
        expect_data(c[i], "x");
    for (int i = 10; i < 20; i++)
        http_reset(c[i]);
    wait_left(server, SSE_LEFT_GONE, 20);
    cr_assert_eq(stats_of(server, "s").published, 1);
    stop();
}

/* conformance 33 */
MOUNT_TEST(sends_heartbeats)
{
    sse_server_options options = fixture_options();
    options.heartbeat_ms = 20;
    options.retry_ms = 9;
    start_with(m, &options);
    http_conn *c = subscribe("", NULL);
    http_block block;
    cr_assert_eq(http_next_block(c, &block, LONG), HTTP_OK);
    cr_assert_str_eq(block.retry, "9");
    http_block_fini(&block);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(http_next_block(c, &block, LONG), HTTP_OK);
        cr_assert_str_eq(block.comment, "");
        http_block_fini(&block);
    }
    http_close(c);
    wait_subscribers(server, "s", 0);
    stop();
}

/* The request says for how many seconds it is good; without a number there is no end. */
static int for_some_seconds(void *user, const sse_request *request)
{
    (void)user;
    const char *seconds = sse_request_query(request, "good-for");
    if (seconds)
        sse_request_set_expiry(request, (int64_t)time(NULL) + atoi(seconds));
    return 0;
}

/* A permission ends although nothing else happens on the connection, and nobody of the user's looks at the time. */
MOUNT_TEST(ends_permissions)
{
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = for_some_seconds};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    start_with(m, &options);
    create(server, "t");
    http_conn *stays = subscribe("", NULL), *idle = subscribe("&good-for=2", NULL);
    http_conn *two = subscribe("&stream=t&good-for=2", NULL);
    expect_farewell(subscribe("&good-for=-1", NULL));
    expect_farewell(idle);
    expect_farewell(two);
    wait_subscribers(server, "s", 1);
    say_numbers(server, "s", 0, 10);
    expect_numbers(stays, 0, 10);
    http_close(stays);
    wait_left(server, SSE_LEFT_EXPIRED, 4);
    stop();
}

/* features: RemoveStream, Close */
MOUNT_TEST(ends_streams)
{
    start(m);
    http_conn *c[10];
    for (int i = 0; i < 10; i++)
        c[i] = subscribe("", NULL);
    say_numbers(server, "s", 0, 100);
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    for (int i = 0; i < 10; i++) {
        expect_numbers(c[i], 0, 100);
        expect_end(c[i]);
        http_close(c[i]);
    }
    wait_left(server, SSE_LEFT_REMOVED, 10);
    create(server, "s");
    for (int i = 0; i < 10; i++)
        c[i] = subscribe("", NULL);
    say_numbers(server, "s", 0, 100);
    stop();
    for (int i = 0; i < 10; i++) {
        expect_numbers(c[i], 0, 100);
        expect_end(c[i]);
        http_close(c[i]);
    }
}

/* features: publishing over HTTP */
MOUNT_TEST(takes_posts)
{
    sse_server_options options = fixture_options();
    options.http_publish = true;
    start_with(m, &options);
    http_conn *c = subscribe("", NULL);
    completed = 0;
    for (int i = 0; i < 20; i++) {
        http_response r;
        char target[64], id[16], data[16];
        snprintf(target, sizeof target, "/sse?stream=s&id=%d", i);
        snprintf(id, sizeof id, "%d\n", i);
        snprintf(data, sizeof data, "%d", i);
        cr_assert_eq(ask(port, "POST", target, NULL, data, &r), 200);
        cr_assert_str_eq(r.body, id);
        http_response_fini(&r);
    }
    expect_numbers(c, 0, 20);
    say(server, "s", bulk(300000));
    expect_data(c, bulk(300000));
    cr_assert_eq(status_of(port, "POST", "/sse?stream=s", NULL, bulk(300000)), 200);
    expect_data(c, bulk(300000));
    cr_assert_eq(status_of(port, "DELETE", "/sse?stream=s", NULL, NULL), 204);
    expect_end(c);
    http_close(c);
    stop();
    cr_assert_geq(completed, 22);
}

/* Subscribers that do not read; the daemon waits for their sockets when the end comes. */
MOUNT_TEST(cuts_off_slow_ones)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.ring_events = 8;
    stream.history_events = SSE_OFF;
    stream.slow_grace_ms = 1;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    options.drain_ms = 100;
    start_with(m, &options);
    http_conn *slow = http_connect_rcvbuf(port, 4096), *quick = subscribe("", NULL);
    cr_assert(http_send_request(slow, "GET", "/sse?stream=s", NULL, NULL, 0, LONG));
    wait_subscribers(server, "s", 2);
    for (int i = 0; i < 200; i++) {
        say(server, "s", bulk(100000));
        expect_data(quick, bulk(100000));
    }
    wait_subscribers(server, "s", 1);
    cr_assert_eq(stats_of(server, "s").slow_closed, 1);
    http_close(slow);
    slow = http_connect_rcvbuf(port, 4096);
    cr_assert(http_send_request(slow, "GET", "/sse?stream=s", NULL, NULL, 0, LONG));
    wait_subscribers(server, "s", 2);
    for (int i = 0; i < 50; i++)
        say(server, "s", bulk(100000));
    stop();
    http_close(slow);
    http_close(quick);
}

/* No time to drain: who is there is cut off at once, and has left when the stop returns. */
MOUNT_TEST(stops_without_a_drain)
{
    sse_server_options options = fixture_options();
    options.drain_ms = SSE_OFF;
    start_with(m, &options);
    http_conn *slow = http_connect_rcvbuf(port, 4096), *c = subscribe("", NULL);
    cr_assert(http_send_request(slow, "GET", "/sse?stream=s", NULL, NULL, 0, LONG));
    wait_subscribers(server, "s", 2);
    for (int i = 0; i < 50; i++)
        say(server, "s", bulk(100000));
    stop();
    http_close(slow);
    http_close(c);
}

/* Both ways in at once. */
MOUNT_TEST(works_beside_a_listener)
{
    start(m);
    char bound[64];
    cr_assert_eq(sse_server_listen(server, "127.0.0.1:0", bound, sizeof bound), SSE_OK);
    http_conn *mounted = subscribe("", NULL);
    http_conn *own = join((uint16_t)atoi(bound + strlen("127.0.0.1:")), "s");
    cr_assert_eq(stats_of(server, "s").subscribers, 2);
    say_numbers(server, "s", 0, 1000);
    expect_numbers(mounted, 0, 1000);
    expect_numbers(own, 0, 1000);
    http_close(mounted);
    wait_subscribers(server, "s", 1);
    say_numbers(server, "s", 1000, 10);
    expect_numbers(own, 1000, 10);
    http_close(own);
    wait_left(server, SSE_LEFT_GONE, 2);
    stop();
}

static atomic_bool churning;

static void *churn(void *arg)
{
    (void)arg;
    while (churning) {
        http_conn *c = http_open_stream(port, "/sse?stream=s", NULL, NULL, LONG);
        http_block block;
        if (c && http_next_block(c, &block, 50) == HTTP_OK)
            http_block_fini(&block);
        http_close(c);
    }
    return NULL;
}

MOUNT_TEST(survives_churn)
{
    start(m);
    http_conn *stays = subscribe("", NULL);
    sse__thread threads[3];
    churning = true;
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(sse__thread_start(&threads[i], "churn", 0, churn, NULL), SSE_OK);
    for (uint64_t i = 0; i < 300 || totals(server).subscribed < 50; i++) {
        say_numbers(server, "s", i, 1);
        expect_numbers(stays, i, 1);
    }
    churning = false;
    for (size_t i = 0; i < 3; i++)
        sse__thread_join(&threads[i]);
    wait_subscribers(server, "s", 1);
    http_close(stays);
    wait_subscribers(server, "s", 0);
    stop();
}
