/* From the socket to the user: callbacks, channels, base64, ids, and the callbacks that judge and configure. */
#include "fixture.h"
#include "recorder.h"
#include "scripted_server.h"
#include "wait.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static sse_chan *channel(size_t capacity)
{
    sse_chan_options o = SSE_CHAN_OPTIONS_INIT;
    sse_chan *chan;
    o.capacity = capacity;
    cr_assert_eq(sse_chan_new(&o, &chan), SSE_OK);
    return chan;
}

static void next_is(sse_chan *chan, const char *id, const char *data, const char *stream)
{
    sse_msg *msg;
    cr_assert_eq(sse_chan_recv(chan, &msg), SSE_OK);
    const sse_event *e = sse_msg_event(msg);
    cr_assert_str_eq(e->id.ptr, id);
    cr_assert_str_eq(e->data.ptr, data);
    if (stream)
        cr_assert_str_eq(sse_msg_stream(msg), stream);
    else
        cr_assert_null(sse_msg_stream(msg));
    sse_msg_unref(msg);
}

/* ---- Channels ---- */

Test(channel, of_several_streams)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD
                 "id: a%20b 0123456789ab-1,0123456789ac-0\ndata: x\n\n"
                 "id: c 0123456789ab-1,0123456789ac-1 own\ndata: y\n\nid: 7\ndata: z\n\n",
                 END_FIN, 0},
                {"HTTP/1.1 204 Stop\r\n\r\n", END_FIN, 0}));
    sse_client_options o = quick();
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    sse_chan *chan = channel(10);
    static const char *const streams[] = {"a b", "c"};
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    so.chan = chan;
    so.streams = streams;
    so.stream_count = 2;
    so.stream = "both";
    sse_subscription *sub;
    cr_assert_eq(sse_subscription_new(client, &so, &sub), SSE_EINVAL);
    so.stream = NULL;
    so.streams = NULL;
    cr_assert_eq(sse_subscription_new(client, &so, &sub), SSE_EINVAL);
    so.streams = (const char *const[]){"a b", NULL};
    cr_assert_eq(sse_subscription_new(client, &so, &sub), SSE_EINVAL);
    so.streams = streams;
    cr_assert_eq(sse_subscription_new(client, &so, &sub), SSE_OK);
    cr_assert_null(sse_subscription_stream(sub));
    cr_assert_eq(sse_subscription_start(sub), SSE_OK);
    next_is(chan, "a%20b 0123456789ab-1,0123456789ac-0", "x", "a b");
    next_is(chan, "c 0123456789ab-1,0123456789ac-1 own", "y", "c");
    next_is(chan, "7", "z", NULL);
    sse_msg *msg;
    cr_assert_eq(sse_chan_recv(chan, &msg), SSE_ECLOSED);
    cr_assert_eq(strncmp(scripted_request(s, 0), "GET /?stream=a%20b&stream=c HTTP/1.1\r\n", 38), 0,
                 "%s", scripted_request(s, 0));
    sse_subscription_free(sub);
    sse_chan_unref(chan);
    sse_client_free(client);
    scripted_stop(s);
}

Test(channel, receives_and_is_closed_with_the_reason)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({STREAM_HEAD "id: 1\ndata: a\n\nid: 2\ndata: b\n\n", END_FIN, 0},
                               {"HTTP/1.1 204 Stop\r\n\r\n", END_FIN, 0}));
    sse_client_options o = quick();
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    sse_chan *chan = channel(10);
    sse_subscription *sub;
    cr_assert_eq(sse_client_subscribe_chan(client, "st", chan, &sub), SSE_OK);
    next_is(chan, "1", "a", "st");
    next_is(chan, "2", "b", "st");
    sse_msg *msg;
    cr_assert_eq(sse_chan_recv(chan, &msg), SSE_ECLOSED);
    cr_assert_eq(sse_chan_reason(chan), SSE_ESTOPPED);
    sse_subscription_free(sub);
    sse_chan_unref(chan);
    sse_client_free(client);
    scripted_stop(s);
}

Test(channel, survives_reconnections)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "id: 1\ndata: a\n\n", 0, 0},
                                                        {STREAM_HEAD "data: b\n\n", END_HOLD, 0}));
    sse_client_options o = quick();
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    sse_chan *chan = channel(10);
    cr_assert_eq(sse_client_subscribe_chan(client, NULL, chan, NULL), SSE_OK);
    next_is(chan, "1", "a", NULL);
    next_is(chan, "1", "b", NULL);
    cr_assert_not(sse_chan_closed(chan));
    sse_client_unsubscribe(client, chan);
    cr_assert(sse_chan_closed(chan));
    cr_assert_eq(sse_chan_reason(chan), SSE_ECANCELED);
    sse_client_unsubscribe(client, chan);
    sse_client_unsubscribe(client, NULL);
    sse_chan_unref(chan);
    sse_client_free(client);
    scripted_stop(s);
}

static void count_up(scripted_conn *c, void *user)
{
    char text[64];
    (void)user;
    conn_read_request(c);
    conn_puts(c, STREAM_HEAD);
    for (int i = 1;; i++) {
        snprintf(text, sizeof text, "id: %d\ndata: %d\n\n", i, i);
        if (!conn_puts(c, text))
            return;
    }
}

static bool is_full(void *chan) { return sse_chan_len(chan) == sse_chan_capacity(chan); }

/* A full channel slows the server down; it neither loses anything nor keeps the subscription from ending. */
Test(channel, a_full_channel_blocks_the_reader_but_not_its_end)
{
    scripted *s = scripted_start(count_up, NULL);
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_chan *chan = channel(4);
    sse_subscription *sub;
    cr_assert_eq(sse_client_subscribe_chan(client, NULL, chan, &sub), SSE_OK);
    for (int i = 1; i <= 100; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        next_is(chan, text, text, NULL);
    }
    cr_assert(wait_until(is_full, chan, 60000)); /* the reader waits for room, or is about to */
    sse_subscription_reconnect(sub);             /* goes by */
    sse_client_unsubscribe(client, chan);
    cr_assert_eq(sse_chan_dropped(chan), 0);
    cr_assert_eq(sse_chan_len(chan), 4);
    /* The id is that of the last event in the channel, not of the one that found no room. */
    char id[16] = "";
    size_t n = sse_subscription_last_event_id(sub, id, sizeof id - 1);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(id, "104");
    next_is(chan, "101", "101", NULL);
    next_is(chan, "102", "102", NULL);
    next_is(chan, "103", "103", NULL);
    next_is(chan, "104", "104", NULL);
    sse_msg *msg;
    cr_assert_eq(sse_chan_recv(chan, &msg), SSE_ECLOSED);
    sse_subscription_free(sub);
    sse_chan_unref(chan);
    sse_client_free(client);
    scripted_stop(s);
}

Test(channel, closed_by_its_receiver_ends_the_subscription)
{
    scripted *s = scripted_start(count_up, NULL);
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_chan *chan = channel(4);
    recorder *r = recorder_new();
    sse_client_callbacks callbacks = recorder_callbacks();
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    so.chan = chan;
    so.callbacks = &callbacks;
    so.user = r;
    sse_subscription *sub;
    cr_assert_eq(sse_subscription_new(client, &so, &sub), SSE_OK);
    cr_assert_eq(sse_subscription_start(sub), SSE_OK);
    next_is(chan, "1", "1", NULL);
    sse_chan_close(chan, SSE_OK);
    cr_assert(recorder_wait(r, "close SSE_ECLOSED"));
    sse_subscription_stop(sub);
    cr_assert_str_eq(recorder_lines(r), "open 200\nerror SSE_ECLOSED final\nclose SSE_ECLOSED\n");
    cr_assert_eq(scripted_connections(s), 1);
    sse_subscription_free(sub);
    sse_chan_unref(chan);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(channel, several_subscriptions_share_one)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_HOLD, 0}));
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_chan *chan = channel(1);
    sse_subscription *subs[3];
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    so.chan = chan;
    so.keep_chan_open = true;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(sse_subscription_new(client, &so, &subs[i]), SSE_OK);
        cr_assert_eq(sse_subscription_start(subs[i]), SSE_OK);
    }
    next_is(chan, "", "a", NULL);
    sse_subscription_stop(subs[0]);
    cr_assert_not(sse_chan_closed(chan));
    sse_client_unsubscribe(client, chan);
    cr_assert_not(sse_chan_closed(chan));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(sse_subscription_state(subs[i]), SSE_SUBSCRIPTION_CLOSED);
        sse_subscription_free(subs[i]);
    }
    sse_client_free(client);
    sse_chan_unref(chan);
    scripted_stop(s);
}

Test(channel, unsubscribe_ends_only_its_own)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_HOLD, 0}));
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_chan *one = channel(4), *two = channel(4);
    cr_assert_eq(sse_client_subscribe_chan(client, NULL, one, NULL), SSE_OK);
    cr_assert_eq(sse_client_subscribe_chan(client, NULL, two, NULL), SSE_OK);
    sse_client_unsubscribe(client, one);
    cr_assert(sse_chan_closed(one));
    next_is(two, "", "a", NULL);
    cr_assert_not(sse_chan_closed(two));
    sse_client_free(client);
    cr_assert(sse_chan_closed(two));
    sse_chan_unref(one);
    sse_chan_unref(two);
    scripted_stop(s);
}

Test(channel, needs_one)
{
    sse_client *client = client_for("http://127.0.0.1:9/", NULL);
    sse_subscription *sub = (sse_subscription *)(uintptr_t)1;
    cr_assert_eq(sse_client_subscribe_chan(client, NULL, NULL, &sub), SSE_EINVAL);
    cr_assert_null(sub);
    sse_client_free(client);
}

static void start_the_next(void *user, sse_subscription *sub, const sse_client_error *why)
{
    (void)sub, (void)why;
    cr_assert_eq(sse_subscription_start(user), SSE_OK);
}

struct unsubscribing {
    sse_client *client;
    sse_chan *chan;
    atomic_bool done;
};

static void *unsubscribe(void *arg)
{
    struct unsubscribing *u = arg;
    sse_client_unsubscribe(u->client, u->chan);
    u->done = true;
    return NULL;
}

static bool is_done(void *arg) { return ((struct unsubscribing *)arg)->done; }

/* One that starts while others into the same channel are being waited for does not keep unsubscribe waiting for ever. */
Test(channel, unsubscribe_ends_one_that_starts_meanwhile)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_HOLD, 0}));
    sse_client_options o = quick();
    struct unsubscribing u = {client_for(scripted_url(s, "/"), &o), channel(10), false};
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    sse_subscription *first, *second;
    so.chan = u.chan;
    so.keep_chan_open = true;
    cr_assert_eq(sse_subscription_new(u.client, &so, &second), SSE_OK);
    callbacks.on_close = start_the_next;
    so.callbacks = &callbacks;
    so.user = second;
    cr_assert_eq(sse_subscription_new(u.client, &so, &first), SSE_OK);
    cr_assert_eq(sse_subscription_start(first), SSE_OK);
    next_is(u.chan, "", "a", NULL);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, unsubscribe, &u), 0);
    cr_assert(wait_until(is_done, &u, 20000));
    pthread_join(thread, NULL);
    cr_assert_eq(sse_subscription_reason(second), SSE_ECANCELED);
    sse_subscription_free(first);
    sse_subscription_free(second);
    sse_chan_unref(u.chan);
    sse_client_free(u.client);
    scripted_stop(s);
}

/* ---- Events ---- */

Test(events, in_order_with_comments_and_ids)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD ": one\ndata: a\n\nevent: x\nid: 7\ndata: b\ndata: c\n\n"
                             ":two\ndata\n\nid\ndata: d\n\n",
                 END_HOLD, 0}));
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event |message|d"));
    cr_assert_str_eq(recorder_lines(r), "open 200\ncomment one\nevent |message|a\n"
                                        "event 7|x|b\nc\ncomment two\nevent 7|message|\n"
                                        "event |message|d\n");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

static void byte_by_byte(scripted_conn *c, void *user)
{
    conn_read_request(c);
    for (const char *at = user; *at; at++)
        conn_send(c, at, 1);
    conn_wait_peer(c);
}

Test(events, whatever_the_chunks)
{
    scripted *s = scripted_start(byte_by_byte, STREAM_HEAD "data: \xe2\x82\xac\r\n\r\ndata: b\r\r");
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event |message|b"));
    cr_assert_str_eq(recorder_lines(r),
                     "open 200\nevent |message|\xe2\x82\xac\nevent |message|b\n");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(events, base64)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: aGVs\ndata: bG8=\n\ndata: ???\n\n"
                                                           "data:\n\nid: 9\ndata: eA==\n\n",
                                               END_HOLD, 0}));
    sse_client_options o = quick();
    o.base64 = true;
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event 9"));
    cr_assert_str_eq(recorder_lines(r), "open 200\nevent |message|hello\nerror SSE_EBASE64 lost\n"
                                        "event |message|\nevent 9|message|x\n");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

static void id_is(void *user, sse_subscription *sub, const char *line)
{
    atomic_uint *right = user;
    char id[8] = "";
    size_t n = sse_subscription_last_event_id(sub, id, sizeof id - 1);
    if (strncmp(line, "event ", 6) == 0 && n == 1 && id[0] == line[6])
        (*right)++;
}

Test(events, last_event_id_is_exact_inside_callbacks_and_after_the_end)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\nid: 4\ndata",
                 END_HOLD, 0}));
    atomic_uint right = 0;
    recorder *r = recorder_new();
    recorder_on_line(r, id_is, &right);
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event 3"));
    sse_subscription_stop(sub);
    cr_assert_eq(right, 3);
    char id[8] = "";
    cr_assert_eq(sse_subscription_last_event_id(sub, id, sizeof id), 1);
    cr_assert_eq(id[0], '3');
    cr_assert_eq(sse_subscription_last_event_id(sub, id, 0), 1);
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

static void close_at_b(void *user, sse_subscription *sub, const char *line)
{
    (void)user;
    if (strcmp(line, "event 2|message|b") == 0)
        sse_subscription_close(sub);
}

/* Whoever stops and resumes later with this id misses nothing and sees nothing twice. */
Test(events, the_id_after_a_close_is_that_of_the_last_event_seen)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES(
            {STREAM_HEAD "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n", END_HOLD, 0}));
    recorder *r = recorder_new();
    recorder_on_line(r, close_at_b, NULL);
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "close"));
    sse_subscription_stop(sub);
    cr_assert_eq(recorder_count(r, "event"), 2);
    char id[8] = "";
    cr_assert_eq(sse_subscription_last_event_id(sub, id, sizeof id), 1);
    cr_assert_eq(id[0], '2');
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

static void reconnect_at_b(void *user, sse_subscription *sub, const char *line)
{
    atomic_uint *times = user;
    if (strcmp(line, "event 2|message|b") == 0 && (*times)++ == 0)
        sse_subscription_reconnect(sub);
}

Test(events, a_reconnection_asked_for_inside_an_event_resumes_after_it)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n", END_HOLD, 0},
                {STREAM_HEAD "id: 3\ndata: c\n\n", END_HOLD, 0}));
    atomic_uint times = 0;
    recorder *r = recorder_new();
    recorder_on_line(r, reconnect_at_b, &times);
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event 3"));
    cr_assert_str_eq(recorder_lines(r), "open 200\nevent 1|message|a\nevent 2|message|b\n"
                                        "open 200\nevent 3|message|c\n");
    cr_assert_str_eq(scripted_request_header(s, 1, "Last-Event-ID"), "2");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(events, callbacks_are_optional)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD ":c\ndata: a\n\n", 0, 0},
                                                        {"HTTP/1.1 204 S\r\n\r\n", 0, 0}));
    sse_client_options o = quick();
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    cr_assert_eq(sse_client_subscribe(client, NULL, NULL, NULL), SSE_ESTOPPED);
    cr_assert_eq(scripted_connections(s), 2);
    sse_client_free(client);
    scripted_stop(s);
}

Test(events, several_subscriptions_of_one_client)
{
    scripted *s = scripted_start(count_up, NULL);
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_chan *chans[5];
    for (int i = 0; i < 5; i++) {
        chans[i] = channel(16);
        char stream[16];
        snprintf(stream, sizeof stream, "s%d", i);
        cr_assert_eq(sse_client_subscribe_chan(client, stream, chans[i], NULL), SSE_OK);
    }
    for (int n = 1; n <= 200; n++)
        for (int i = 0; i < 5; i++) {
            char text[16], stream[16];
            snprintf(text, sizeof text, "%d", n);
            snprintf(stream, sizeof stream, "s%d", i);
            next_is(chans[i], text, text, stream);
        }
    sse_client_free(client);
    for (int i = 0; i < 5; i++)
        sse_chan_unref(chans[i]);
    scripted_stop(s);
}

/* ---- Hook, validator, response ---- */

static sse_err set_user_agent(void *user, sse_subscription *sub, void *handle)
{
    atomic_uint *calls = user;
    char agent[32];
    (void)sub;
    snprintf(agent, sizeof agent, "hook %u", ++*calls);
    return curl_easy_setopt((CURL *)handle, CURLOPT_USERAGENT, agent) == CURLE_OK ? SSE_OK
                                                                                  : SSE_ENOMEM;
}

Test(hook, sees_the_handle_before_each_request)
{
    atomic_uint calls = 0;
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_FIN, 0}));
    sse_client_options o = quick();
    o.user = &calls;
    o.on_request = set_user_agent;
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    recorder *r = recorder_new();
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(scripted_wait_requests(s, 2));
    cr_assert_str_eq(scripted_request_header(s, 0, "User-Agent"), "hook 1");
    cr_assert_str_eq(scripted_request_header(s, 1, "User-Agent"), "hook 2");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

static sse_err fail_twice(void *user, sse_subscription *sub, void *handle)
{
    atomic_uint *calls = user;
    (void)sub, (void)handle;
    return ++*calls <= 2 ? SSE_ENOMEM : SSE_ECANCELED;
}

Test(hook, its_error_is_that_of_the_attempt)
{
    atomic_uint calls = 0;
    sse_client_options o = quick();
    o.user = &calls;
    o.on_request = fail_twice;
    sse_client *client = client_for("http://127.0.0.1:9/", &o);
    recorder *r = recorder_new();
    sse_client_callbacks callbacks = recorder_callbacks();
    cr_assert_eq(sse_client_subscribe(client, NULL, &callbacks, r), SSE_ECANCELED);
    cr_assert_str_eq(recorder_lines(r), "error SSE_ENOMEM\nretry\nerror SSE_ENOMEM\nretry\n"
                                        "error SSE_ECANCELED final\nclose SSE_ECANCELED\n");
    sse_client_free(client);
    recorder_free(r);
}

struct judge {
    sse_verdict verdict;
    char seen[128];
};

static sse_verdict judge(void *user, sse_subscription *sub, const sse_response *response)
{
    struct judge *j = user;
    const char *x = sse_response_header(response, "x-kind");
    (void)sub;
    snprintf(j->seen, sizeof j->seen, "%d %s %s", sse_response_status(response), x ? x : "-",
             strrchr(sse_response_url(response), '/'));
    cr_assert_null(sse_response_header(response, "X-None"));
    return j->verdict;
}

static void judged(const char *reply, sse_verdict verdict, const char *want)
{
    struct judge j = {.verdict = verdict};
    scripted *s = scripted_start(scripted_play, REPLIES({reply, END_FIN, 0}));
    sse_client_options o = quick();
    o.user = &j;
    o.validate = judge;
    o.no_reconnect = true;
    sse_client *client = client_for(scripted_url(s, "/p"), &o);
    recorder *r = recorder_new();
    sse_client_callbacks callbacks = recorder_callbacks();
    (void)!sse_client_subscribe(client, NULL, &callbacks, r);
    cr_assert_str_eq(recorder_lines(r), want);
    cr_assert_not_null(strstr(j.seen, " Odd /p"), "%s", j.seen);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(validator, its_verdict_counts)
{
    static const char stream[] =
        "HTTP/1.1 200 OK\r\nX-Kind: Odd\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n";
    static const char other[] =
        "HTTP/1.1 404 No\r\nX-Kind: Odd\r\nContent-Length: 9\r\n\r\ndata: a\n\n";
    judged(stream, SSE_VERDICT_DEFAULT,
           "open 200\nevent |message|a\nerror SSE_EEOF final\nclose SSE_EEOF\n");
    judged(stream, SSE_VERDICT_FAIL, "error SSE_EREJECTED final\nclose SSE_EREJECTED\n");
    judged(stream, SSE_VERDICT_RETRY, "error SSE_EREJECTED final\nclose SSE_EGAVEUP\n");
    judged(other, SSE_VERDICT_ACCEPT,
           "open 404\nevent |message|a\nerror SSE_EEOF final\nclose SSE_EEOF\n");
    judged(other, SSE_VERDICT_DEFAULT, "error SSE_EHTTP final\nclose SSE_EHTTP\n");
}

/* ---- Log ---- */

static void count_lines(void *user, sse_log_level level, const char *line)
{
    atomic_uint *lines = user;
    if (level <= SSE_LOG_DEBUG && strchr(line, '\n') == NULL && line[0])
        (*lines)++;
}

Test(log, tells_what_happens)
{
    atomic_uint lines = 0;
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "bad\ndata: a\n\ndata", 0, 0},
                                                        {"HTTP/1.1 204 S\r\n\r\n", 0, 0}));
    sse_client_options o = quick();
    o.logger = (sse_logger){count_lines, &lines, SSE_LOG_DEBUG, 0};
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    cr_assert_eq(sse_client_subscribe(client, NULL, NULL, NULL), SSE_ESTOPPED);
    cr_assert_geq(lines, 6);
    sse_client_free(client);
    scripted_stop(s);
}

Test(status, has_names)
{
    cr_assert_str_eq(sse_subscription_status_name(SSE_SUBSCRIPTION_NEW), "new");
    cr_assert_str_eq(sse_subscription_status_name(SSE_SUBSCRIPTION_CLOSED), "closed");
    cr_assert_str_eq(sse_subscription_status_name((sse_subscription_status)99), "unknown");
}
