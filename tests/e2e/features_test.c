/* The client's rows of the table "Every feature of r3labs/sse and what carries it here"
 * (features.md), each with the real server. The server's rows are in server_*_test.c here and in
 * tests/server. */
#include "e2e.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <sse/client.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef struct seen {
    _Atomic int opens, events, errors, retries, closes, requests, asked;
    _Atomic int reason; /* sse_err of on_close */
    int want;           /* close after so many events */
    char last[64];      /* data of the last event; valid after the end */
} seen;

static void on_open(void *user, sse_subscription *sub, const sse_response *response)
{
    (void)sub;
    seen *s = user;
    cr_assert_eq(sse_response_status(response), 200);
    s->opens++;
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    seen *s = user;
    snprintf(s->last, sizeof s->last, "%.*s", (int)event->data.len, event->data.ptr);
    if (++s->events == s->want)
        sse_subscription_close(sub);
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    (void)sub, (void)error;
    ((seen *)user)->errors++;
}

static void on_retry(void *user, sse_subscription *sub, const sse_client_error *error,
                     uint64_t delay_ms)
{
    (void)sub, (void)error, (void)delay_ms;
    ((seen *)user)->retries++;
}

static void on_close(void *user, sse_subscription *sub, const sse_client_error *why)
{
    (void)sub;
    seen *s = user;
    s->reason = why->err;
    s->closes++;
}

static const sse_client_callbacks callbacks = {sizeof callbacks, on_open,  on_event, NULL,
                                               on_error,         on_retry, on_close};

static sse_client_options defaults(void)
{
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.cacert = trusted();
    return options;
}

static sse_client *client_new(const hub *h, const sse_client_options *options)
{
    sse_client *c;
    sse_client_options otherwise = defaults();
    cr_assert_eq(sse_client_new(text("%s/events", h->url), options ? options : &otherwise, &c),
                 SSE_OK);
    return c;
}

struct count {
    const _Atomic int *counter;
    int value;
};

static bool reached(void *arg)
{
    const struct count *c = arg;
    return *c->counter >= c->value;
}

static void wait_count(const _Atomic int *counter, int value)
{
    struct count c = {counter, value};
    cr_assert(wait_until(reached, &c, LONG), "%d, not %d", *counter, value);
}

/* features r3labs `Subscribe`, `SubscribeRaw`: blocks, with callbacks, until one of them ends it.
 */
Test(features, subscribe_blocks)
{
    seen s = {.want = 3};
    hub h = hub_start(ARGS("--stream=s"));
    sse_client *c = client_new(&h, NULL);
    publish_numbers(&h, "s", 0, 5);
    cr_assert_eq(sse_client_subscribe(c, "s", &callbacks, &s), SSE_ECANCELED);
    cr_assert_eq(s.events, 3);
    cr_assert_str_eq(s.last, "2");
    cr_assert_eq(s.closes, 1);
    sse_client_free(c);
    hub_end(&h);
}

static void *cancel_when_open(void *arg)
{
    void **args = arg;
    wait_count(&((seen *)args[1])->opens, 1);
    sse_client_close(args[0]);
    return NULL;
}

/* features r3labs `SubscribeWithContext`: cancelled from another thread. */
Test(features, subscribe_with_context)
{
    seen s = {.want = -1};
    pthread_t thread;
    hub h = hub_start(ARGS("--stream=s"));
    sse_client *c = client_new(&h, NULL);
    void *args[] = {c, &s};
    cr_assert_eq(pthread_create(&thread, NULL, cancel_when_open, args), 0);
    cr_assert_eq(sse_client_subscribe(c, "s", &callbacks, &s), SSE_ECANCELED);
    pthread_join(thread, NULL);
    wait_number(&h, "s", "subscribers", 0);
    sse_client_free(c);
    hub_end(&h);
}

/* features r3labs `SubscribeChan`, `SubscribeChanRaw`: a channel that poll() can wait on, beside
 * other descriptors. */
Test(features, subscribe_chan)
{
    sse_chan *chan;
    sse_msg *msg;
    hub h = hub_start(ARGS("--stream=s"));
    sse_client *c = client_new(&h, NULL);
    cr_assert_eq(sse_chan_new(NULL, &chan), SSE_OK);
    cr_assert_eq(sse_client_subscribe_chan(c, "s", chan, NULL), SSE_OK);
    publish(&h, "s", "&event=t&id=1", "polled");
    struct pollfd pfd = {.fd = sse_chan_fd(chan), .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, LONG), 1);
    cr_assert_eq(sse_chan_try_recv(chan, &msg), SSE_OK);
    cr_assert_str_eq(sse_msg_event(msg)->data.ptr, "polled");
    cr_assert_str_eq(sse_msg_event(msg)->type.ptr, "t");
    cr_assert_str_eq(sse_msg_stream(msg), "s");
    sse_msg_unref(msg);
    /* features r3labs `Unsubscribe(ch)`: idempotent, prompt. */
    sse_client_unsubscribe(c, chan);
    sse_client_unsubscribe(c, chan);
    cr_assert(sse_chan_closed(chan));
    wait_number(&h, "s", "subscribers", 0);
    sse_chan_unref(chan);
    sse_client_free(c);
    hub_end(&h);
}

/* features r3labs `OnConnect`, `OnDisconnect`, `ReconnectNotify`: once for each connection, at its
 * time. */
Test(features, on_connect_and_on_disconnect)
{
    seen s = {.want = -1};
    sse_client_options options = defaults();
    options.retry_ms = 5;
    options.max_retry_ms = 20;
    hub h = hub_start(ARGS("--stream=s"));
    sse_client *c = client_new(&h, &options);
    cr_assert_eq(sse_client_subscribe_start(c, "s", &callbacks, &s, NULL), SSE_OK);
    wait_count(&s.opens, 1);
    cr_assert_eq(s.errors, 0);
    uint16_t port = h.port;
    hub_kill(&h);
    wait_count(&s.errors, 1);
    wait_count(&s.retries, 1);
    h = hub_start_at(port, ARGS("--stream=s"));
    wait_count(&s.opens, 2);
    cr_assert_eq(s.closes, 0);
    sse_client_stop(c);
    cr_assert_eq(s.closes, 1);
    cr_assert_eq(s.reason, SSE_ECANCELED);
    cr_assert_eq(s.retries, s.errors);
    sse_client_free(c);
    hub_end(&h);
}

static bool never_again(void *user, sse_subscription *sub, const sse_client_error *error,
                        uint64_t *delay_ms)
{
    (void)sub, (void)error;
    seen *s = user;
    *delay_ms = 1;
    return ++s->asked < 3;
}

/* features r3labs `ReconnectStrategy`: the user's own, which may also give up. */
Test(features, reconnect_strategy)
{
    seen s = {.want = -1};
    sse_client_options options = defaults();
    options.next_delay = never_again;
    options.user = &s;
    hub h = hub_start(ARGS("--stream=s"));
    sse_client *c = client_new(&h, &options);
    hub_kill(&h);
    cr_assert_eq(sse_client_subscribe(c, "s", &callbacks, &s), SSE_EGAVEUP);
    cr_assert_eq(s.asked, 3);
    cr_assert_eq(s.retries, 2);
    sse_client_free(c);
}

static sse_verdict only_with_header(void *user, sse_subscription *sub, const sse_response *response)
{
    (void)user, (void)sub;
    return sse_response_header(response, "X-Version") ? SSE_VERDICT_DEFAULT : SSE_VERDICT_FAIL;
}

/* features r3labs `ResponseValidator` */
Test(features, response_validator)
{
    seen s = {.want = 1};
    sse_client_options options = defaults();
    options.validate = only_with_header;
    hub without = hub_start(ARGS("--stream=s")),
        with = hub_start(ARGS("--stream=s", "--header=X-Version: 1"));
    sse_client *c = client_new(&without, &options);
    cr_assert_eq(sse_client_subscribe(c, "s", &callbacks, &s), SSE_EREJECTED);
    cr_assert_eq(s.opens, 0);
    sse_client_free(c);
    c = client_new(&with, &options);
    publish(&with, "s", NULL, "x");
    cr_assert_eq(sse_client_subscribe(c, "s", &callbacks, &s), SSE_ECANCELED);
    cr_assert_eq(s.events, 1);
    sse_client_free(c);
    hub_end(&without);
    hub_end(&with);
}

static sse_err add_token(void *user, sse_subscription *sub, void *curl)
{
    (void)sub;
    ((seen *)user)->requests++;
    return curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, "secret") == CURLE_OK &&
                   curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) == CURLE_OK
               ? SSE_OK
               : SSE_EINVAL;
}

/* features r3labs `Connection` transport: the hook that receives the CURL *, before each request.
 */
Test(features, connection_hook)
{
    seen s = {.want = 1};
    sse_client_options options = defaults();
    options.on_request = add_token;
    options.user = &s;
    hub h = hub_start(ARGS("--stream=s", "--subscribe-token-file", temp_file("secret\n"),
                           "--publish-token-file", temp_file("p\n")));
    expect(&h, "POST", "/events?stream=s", "Authorization: Bearer p\r\n", "x", 200, NULL);
    sse_client *c = client_new(&h, &options);
    cr_assert_eq(sse_client_subscribe(c, "s", &callbacks, &s), SSE_ECANCELED);
    cr_assert_eq(s.requests, 1);
    cr_assert_str_eq(s.last, "x");
    sse_client_free(c);
    hub_end(&h);
}

/* features r3labs `NewClient(url, opts)`: `Headers`, and a query of the URL's own. */
Test(features, headers_and_query)
{
    seen s = {.want = 1};
    static const char *const headers[] = {"Authorization: Bearer secret", NULL};
    sse_client_options options = defaults();
    options.headers = headers;
    hub h = hub_start(ARGS("--stream=a b", "--subscribe-token-file", temp_file("secret\n"),
                           "--publish-token-file", temp_file("p\n")));
    expect(&h, "POST", "/events?stream=a%20b", "Authorization: Bearer p\r\n", "x", 200, NULL);
    sse_client *c;
    cr_assert_eq(sse_client_new(text("%s/events?stream=a+b&more=1", h.url), &options, &c), SSE_OK);
    cr_assert_eq(sse_client_subscribe(c, NULL, &callbacks, &s), SSE_ECANCELED);
    cr_assert_str_eq(s.last, "x");
    sse_client_free(c);
    hub_end(&h);
}

/* features r3labs `LastEventID`: get and set. */
Test(features, last_event_id)
{
    seen s = {.want = 2};
    char id[16] = "";
    sse_subscription *sub;
    hub h = hub_start(ARGS("--stream=s"));
    for (int i = 0; i < 4; i++)
        publish(&h, "s", text("&id=id%d", i), text("%d", i));
    sse_client *c = client_new(&h, NULL);
    sse_subscribe_options options = SSE_SUBSCRIBE_OPTIONS_INIT;
    options.stream = "s";
    options.callbacks = &callbacks;
    options.user = &s;
    cr_assert_eq(sse_subscription_new(c, &options, &sub), SSE_OK);
    cr_assert_eq(sse_subscription_set_last_event_id(sub, sse_cstr("id0")), SSE_OK);
    cr_assert_eq(sse_subscription_run(sub), SSE_ECANCELED);
    cr_assert_str_eq(s.last, "2");
    cr_assert_eq(sse_subscription_last_event_id(sub, id, sizeof id), 3u);
    cr_assert_str_eq(id, "id2");
    sse_subscription_free(sub);
    sse_client_free(c);
    hub_end(&h);
}
