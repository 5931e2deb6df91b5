/* The i-th allocation fails, for every i, in the life of a client: made, subscribed, connected,
 * receiving, reconnecting, closed. So do the allocations of libcurl, threads that cannot be
 * started, and handles of libcurl that cannot be had. Each failure is the error of a call, or is
 * told to on_error and the life goes on: every event arrives or is announced as lost. That nothing
 * leaks is AddressSanitizer's to find.
 *
 * The allocation functions are wrapped by the linker, so they see the test and its server too: the
 * server's threads are spared, and the callbacks here allocate nothing. */
#include "alloc_fail.h"
#include "proc.h"
#include "scale.h"
#include "scripted_server.h"
#include "wait.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sse/base64.h>
#include <sse/client.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 8, A_CONNECTION = 3, MOST = 5000, LONG_MS = 60000 };

/* ---- What the linker sends here ---- */

static atomic_int threads_left = INT_MAX, handles_left = INT_MAX;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
CURL *__real_curl_easy_init(void);
CURL *__wrap_curl_easy_init(void);
CURLM *__real_curl_multi_init(void);
CURLM *__wrap_curl_multi_init(void);
CURLcode __real_curl_global_init(long flags);
CURLcode __wrap_curl_global_init(long flags);

struct start {
    void *(*run)(void *);
    void *arg;
};

static void *run_spared(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    alloc_spare_thread(true);
    return start.run(start.arg);
}

/* A thread is spared when the one that starts it is. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    if (!alloc_thread_is_spared())
        return threads_left-- > 0 ? __real_pthread_create(thread, attr, run, arg) : EAGAIN;
    struct start *start = malloc(sizeof *start);
    if (!start)
        return EAGAIN;
    *start = (struct start){run, arg};
    return __real_pthread_create(thread, attr, run_spared, start);
}

CURL *__wrap_curl_easy_init(void) { return handles_left-- > 0 ? __real_curl_easy_init() : NULL; }

CURLM *__wrap_curl_multi_init(void) { return handles_left-- > 0 ? __real_curl_multi_init() : NULL; }

CURLcode __wrap_curl_global_init(long flags)
{
    return handles_left-- > 0 ? __real_curl_global_init(flags) : CURLE_FAILED_INIT;
}

/* ---- The server: numbered events, from the one after Last-Event-ID, a few with each connection ---- */

static void put_event(scripted_conn *c, int number, bool base64)
{
    char id[32], data[24], encoded[40], text[160];
    size_t len;
    snprintf(id, sizeof id, "id-of-event-%d", number);
    snprintf(data, sizeof data, "%d\nmore", number);
    sse_event event = {.id = sse_cstr(id), .type = sse_cstr("number"), .data = sse_cstr(data)};
    if (base64) {
        sse_base64_encode(data, event.data.len, encoded);
        event.data = (sse_str){encoded, sse_base64_encoded_size(event.data.len)};
    }
    cr_assert_eq(sse_event_encode(&event, text, sizeof text - 1, &len), SSE_OK);
    text[len] = '\0';
    conn_puts(c, text);
}

static void follow_on(scripted_conn *c, void *user)
{
    static const char name[] = "Last-Event-ID: id-of-event-";
    if (!conn_read_request(c))
        return;
    const char *last = strstr(conn_request(c), name);
    int next = last ? atoi(last + sizeof name - 1) + 1 : 1;
    if (!conn_puts(c, STREAM_HEAD ":hello\nretry: 1\n\n"))
        return;
    for (int i = 0; i < A_CONNECTION && next <= EVENTS; i++, next++)
        put_event(c, next, user != NULL);
    if (next > EVENTS)
        conn_puts(c, "event: end\ndata: \n\n");
}

static scripted *server;

static void start_server(bool base64)
{
    static bool yes = true;
    alloc_spare_thread(true);
    server = scripted_start(follow_on, base64 ? &yes : NULL);
    alloc_spare_thread(false);
}

/* ---- What a subscription tells ---- */

enum way { CALLBACKS, CHANNEL, BLOCKING };

struct life {
    enum way way;
    bool from;   /* all allocations from the i-th on fail, until that is noticed */
    bool base64; /* the events are encoded, and the client decodes them */
    sse_client *client;
    int last, delivered; /* the subscription's thread only, until it has ended */
    atomic_int told;     /* calls of on_error */
    atomic_int lost;     /* that told of a lost event */
    atomic_int closes;
    atomic_int why;
    atomic_bool ended; /* the last event has come */
    atomic_bool wrong;
};

static void take(struct life *life, const sse_event *event)
{
    if (event->type.len == 3) {
        life->ended = true;
        return;
    }
    int number = event->data.ptr ? atoi(event->data.ptr) : 0;
    if (number <= life->last || number > EVENTS || event->data.len != 6 || event->type.len != 6)
        life->wrong = true;
    life->last = number;
    life->delivered++;
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    struct life *life = user;
    take(life, event);
    if (life->ended || life->wrong)
        sse_subscription_close(sub);
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    struct life *life = user;
    (void)sub;
    life->lost += error->connected;
    if (error->err != SSE_EEOF)
        life->told++;
    if (error->final || error->message[0] == '\0') /* nothing here is for good */
        life->wrong = true;
}

static void on_close(void *user, sse_subscription *sub, const sse_client_error *why)
{
    struct life *life = user;
    (void)sub;
    life->why = (int)why->err;
    life->closes++;
}

static sse_client_callbacks callbacks(void)
{
    sse_client_callbacks c = SSE_CLIENT_CALLBACKS_INIT;
    c.on_event = on_event;
    c.on_error = on_error;
    c.on_close = on_close;
    return c;
}

/* ---- One life ---- */

static sse_client_options client_options(void)
{
    static const char *const headers[] = {"X-A: b", "X-C: d", "Last-Event-ID: id-of-event-0", NULL};
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.headers = headers;
    o.proxy = "";
    o.accept_encoding = "";
    o.method = "POST";
    o.body = sse_cstr("a body");
    o.retry_ms = 1;
    o.max_retry_ms = 2;
    return o;
}

/* What fails stays so until it has been noticed. */
static bool noticed(void *arg)
{
    const struct life *life = arg;
    return life->told > 0 || life->lost > 0 || life->ended;
}

static bool is_closed(void *arg) { return ((struct life *)arg)->closes > 0; }

static void until_it_is_noticed(struct life *life)
{
    if (life->from) {
        cr_assert(wait_until(noticed, life, LONG_MS));
        (void)alloc_fail_disarm();
    }
}

static sse_err with_callbacks(struct life *life)
{
    sse_client_callbacks c = callbacks();
    sse_subscription *sub = (sse_subscription *)1;
    sse_err err = sse_client_subscribe_start(life->client, "a stream", &c, life, &sub);
    cr_assert_eq(sub == NULL, err != SSE_OK);
    if (err != SSE_OK)
        return err;
    until_it_is_noticed(life);
    cr_assert(wait_until(is_closed, life, LONG_MS));
    sse_subscription_free(sub);
    return SSE_OK;
}

static sse_err blocking(struct life *life)
{
    sse_client_callbacks c = callbacks();
    sse_err err = sse_client_subscribe(life->client, "a stream", &c, life);
    cr_assert_eq(life->closes, err == SSE_ECANCELED);
    return err == SSE_ECANCELED ? SSE_OK : err;
}

/* No callbacks at all: the channel's counter tells of losses. */
static sse_err with_channel(struct life *life)
{
    sse_chan_options options = SSE_CHAN_OPTIONS_INIT;
    sse_chan *chan;
    sse_msg *msg;
    options.capacity = 16;
    sse_err err = sse_chan_new(&options, &chan);
    if (err != SSE_OK)
        return err;
    err = sse_client_subscribe_chan(life->client, "a stream", chan, NULL);
    while (err == SSE_OK && !life->ended && !life->wrong) {
        cr_assert_eq(sse_chan_recv_timeout(chan, LONG_MS, &msg), SSE_OK);
        take(life, sse_msg_event(msg));
        sse_msg_unref(msg);
    }
    sse_client_unsubscribe(life->client, chan);
    if (err == SSE_OK) {
        cr_assert(sse_chan_closed(chan));
        life->closes = 1;
        life->why = (int)sse_chan_reason(chan);
    }
    life->lost = (int)sse_chan_dropped(chan);
    sse_chan_unref(chan);
    return err;
}

static sse_err live(struct life *life)
{
    static sse_err (*const ways[])(struct life *) = {with_callbacks, with_channel, blocking};
    sse_client_options o = client_options();
    o.base64 = life->base64;
    life->client = (sse_client *)1;
    sse_err err = sse_client_new(scripted_url(server, "/"), &o, &life->client);
    cr_assert_eq(life->client == NULL, err != SSE_OK);
    if (err == SSE_OK)
        err = ways[life->way](life);
    sse_client_free(life->client);
    cr_assert_not(life->wrong);
    if (err == SSE_OK) {
        cr_assert_eq(life->why, SSE_ECANCELED);
        cr_assert_eq(life->closes, 1);
        cr_assert_leq(EVENTS - life->delivered, life->lost, "%d of %d, %d announced",
                      life->delivered, EVENTS, life->lost);
    } else {
        cr_assert_eq(life->delivered + life->told + life->closes, 0);
    }
    return err;
}

static bool fds_are(void *count) { return wait_count_fds(0) == *(int *)count; }

static bool threads_are(void *count) { return wait_count_threads(0) == *(int *)count; }

/* Lives until one in which nothing fails. `least`: so many allocations there are at least. */
static void for_every_allocation(struct life kind, size_t least, size_t step)
{
    bool failed = true;
    size_t i, told = 0, refused = 0;
    start_server(kind.base64);
    int fds = wait_count_fds(0), threads = wait_count_threads(0);
    for (i = 0; failed; i += step) {
        struct life life = kind;
        cr_assert_lt(i, MOST);
        if (kind.from)
            alloc_fail_from(i);
        else
            alloc_fail_at(i);
        sse_err err = live(&life);
        failed = alloc_fail_disarm();
        cr_assert(err == SSE_OK || (failed && err == SSE_ENOMEM), "allocation %zu: %s", i,
                  sse_errname(err));
        refused += err != SSE_OK;
        told += life.told > 0 || life.lost > 0;
    }
    cr_assert_geq(i, least, "only %zu allocations", i);
    cr_assert_gt(refused * step, 10);
    cr_assert_gt(told, 0);
    cr_assert(wait_until(fds_are, &fds, LONG_MS));
    cr_assert(wait_until(threads_are, &threads, LONG_MS));
    scripted_stop(server);
}

Test(client_alloc, with_callbacks) { for_every_allocation((struct life){.way = CALLBACKS}, 20, 1); }

Test(client_alloc, with_a_channel) { for_every_allocation((struct life){.way = CHANNEL}, 20, 1); }

Test(client_alloc, blocking) { for_every_allocation((struct life){.way = BLOCKING}, 20, 1); }

Test(client_alloc, for_a_while)
{
    for_every_allocation((struct life){.way = CALLBACKS, .from = true}, 20, 1);
}

Test(client_alloc, decoding_for_callbacks)
{
    for_every_allocation((struct life){.way = CALLBACKS, .base64 = true}, 20, 1);
}

Test(client_alloc, decoding_for_a_channel)
{
    for_every_allocation((struct life){.way = CHANNEL, .base64 = true}, 20, 1);
}

/* ---- libcurl's own ---- */

static void curl_allocates_through_us(void)
{
    cr_assert_eq(curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, calloc),
                 CURLE_OK);
}

Test(client_alloc, of_curl_with_callbacks)
{
    curl_allocates_through_us();
    for_every_allocation((struct life){.way = CALLBACKS}, 200, SCALED(1, 3));
}

Test(client_alloc, of_curl_with_a_channel)
{
    curl_allocates_through_us();
    for_every_allocation((struct life){.way = CHANNEL}, 200, SCALED(1, 7));
}

Test(client_alloc, of_curl_for_a_while)
{
    curl_allocates_through_us();
    for_every_allocation((struct life){.way = CALLBACKS, .from = true}, 200, SCALED(1, 3));
}

/* ---- Threads and handles ---- */

static sse_err one_life(enum way way)
{
    struct life life = {.way = way};
    return live(&life);
}

Test(client_threads, none_for_a_subscription)
{
    start_server(false);
    threads_left = 0;
    cr_assert_eq(one_life(CALLBACKS), SSE_ENOMEM);
    cr_assert_eq(one_life(CHANNEL), SSE_ENOMEM);
    cr_assert_eq(one_life(BLOCKING), SSE_OK); /* it has one */
    threads_left = 1;
    cr_assert_eq(one_life(CALLBACKS), SSE_OK);
    scripted_stop(server);
}

/* The same subscription can be started when there are threads again. */
Test(client_threads, it_starts_later)
{
    struct life life = {.way = CALLBACKS};
    sse_client_options o = client_options();
    sse_client_callbacks c = callbacks();
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    sse_subscription *sub;
    so.callbacks = &c;
    so.user = &life;
    start_server(false);
    cr_assert_eq(sse_client_new(scripted_url(server, "/"), &o, &life.client), SSE_OK);
    cr_assert_eq(sse_subscription_new(life.client, &so, &sub), SSE_OK);
    threads_left = 0;
    cr_assert_eq(sse_subscription_start(sub), SSE_ENOMEM);
    cr_assert_eq(sse_subscription_state(sub), SSE_SUBSCRIPTION_NEW);
    threads_left = INT_MAX;
    cr_assert_eq(sse_subscription_start(sub), SSE_OK);
    cr_assert(wait_until(noticed, &life, LONG_MS));
    sse_subscription_free(sub);
    sse_client_free(life.client);
    cr_assert_eq(life.delivered, EVENTS);
    cr_assert_eq(life.closes, 1);
    scripted_stop(server);
}

/* curl_global_init, curl_multi_init, curl_easy_init, in this order; the first only once. */
Test(client_threads, none_of_curls_handles)
{
    start_server(false);
    static const int had[] = {0, 1, 1};
    for (size_t i = 0; i < 3; i++) {
        handles_left = had[i];
        cr_assert_eq(one_life(CALLBACKS), SSE_ENOMEM, "%zu", i);
    }
    handles_left = 2;
    cr_assert_eq(one_life(CALLBACKS), SSE_OK);
    scripted_stop(server);
}

/* ---- Publishing: sse-pub, built with the same allocator ---- */

static void accept_event(scripted_conn *c, void *user)
{
    (void)user;
    while (conn_read_request(c))
        conn_puts(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nid-7\n");
}

/* Returns whether an allocation has failed. */
static bool publish_with_failure(size_t i, const char *input, const char *const args[])
{
    char at[40], url[256];
    const char *argv[16] = {"env", at, getenv("SSE_PUB_ALLOC"), url};
    int code = -1;
    size_t before = scripted_requests(server);
    for (size_t n = 0; args[n]; n++)
        argv[4 + n] = args[n];
    snprintf(at, sizeof at, "ALLOC_FAIL_AT=%zu", i);
    snprintf(url, sizeof url, "%s", scripted_url(server, "/"));
    alloc_spare_thread(true);
    proc *p = proc_run(argv, input, LONG_MS, &code);
    cr_assert_not_null(p);
    const char *err = proc_stderr(p, NULL);
    bool failed = strcmp(err, "nothing failed\n") != 0;
    if (code == 0) {
        /* Nothing of curl's that can be done without is told. */
        cr_assert(!failed || *err == '\0', "allocation %zu: %s", i, err);
        cr_assert_str_eq(proc_stdout(p, NULL), "id-7\n");
        cr_assert_eq(scripted_requests(server), before + 1);
        cr_assert_not_null(strstr(scripted_request(server, before), "a message"));
    } else {
        cr_assert_eq(code, 69, "allocation %zu: code %d: %s", i, code, err);
        cr_assert(strncmp(err, "sse-pub: ", 9) == 0 || strcmp(err, "out of memory\n") == 0,
                  "allocation %zu: %s", i, err);
        cr_assert_str_eq(proc_stdout(p, NULL), "");
    }
    proc_free(p);
    alloc_spare_thread(false);
    return failed;
}

static void publish_with_every_failure(const char *input, const char *const args[])
{
    size_t i = 0;
    alloc_spare_thread(true);
    server = scripted_start(accept_event, NULL);
    alloc_spare_thread(false);
    for (; publish_with_failure(i, input, args); i += SCALED(1, 5))
        cr_assert_lt(i, MOST);
    cr_assert_gt(i, 50);
    scripted_stop(server);
}

Test(client_alloc, publishing_a_message)
{
    static const char *const args[] = {"--stream=s", "--event=t", "--header=X-A: b", "a message",
                                       NULL};
    publish_with_every_failure(NULL, args);
}

Test(client_alloc, publishing_events)
{
    static const char *const args[] = {"--stream=s", "--events", NULL};
    publish_with_every_failure("data: a message\n\n", args);
}
