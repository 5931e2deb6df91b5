/* What the client sends: conformance 17, 20, 25 and 26, and the options about the request. */
#include "fixture.h"
#include "layout.h"
#include "recorder.h"
#include "scripted_server.h"
#include "subscription.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* Options for tests: no waiting between attempts. */
/* Subscribe, wait until the server has read n requests, and stop. */
static void until_requests(scripted *s, const sse_client_options *o, const char *path, size_t n)
{
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, path), o);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(scripted_wait_requests(s, n));
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
}

static void header_is(scripted *s, size_t i, const char *name, const char *want)
{
    const char *got = scripted_request_header(s, i, name);
    if (!want) {
        cr_assert_null(got, "%s: %s", name, got);
        return;
    }
    cr_assert_not_null(got, "%s", name);
    cr_assert_str_eq(got, want);
    cr_assert_eq(scripted_request_header_count(s, i, name), 1);
}

static void request_line_is(scripted *s, size_t i, const char *want)
{
    const char *request = scripted_request(s, i);
    cr_assert(strncmp(request, want, strlen(want)) == 0 && request[strlen(want)] == '\r', "%.60s",
              request);
}

Test(conformance_17, first_request)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    until_requests(s, &o, "/a?b=c#d", 1);
    request_line_is(s, 0, "GET /a?b=c HTTP/1.1");
    header_is(s, 0, "Accept", "text/event-stream");
    header_is(s, 0, "Cache-Control", "no-cache");
    header_is(s, 0, "Last-Event-ID", NULL);
    header_is(s, 0, "Accept-Encoding", NULL);
    header_is(s, 0, "Expect", NULL);
    header_is(s, 0, "Content-Type", NULL);
    scripted_stop(s);
}

Test(conformance_17, last_event_id_verbatim)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({STREAM_HEAD "id: a \xc3\xa9\xe2\x82\xac:;,\"x\n"
                                                           "data: 1\n\ndata: 2\n\n",
                                               END_FIN, 0}));
    sse_client_options o = quick();
    until_requests(s, &o, "/", 3);
    header_is(s, 0, "Last-Event-ID", NULL);
    header_is(s, 1, "Last-Event-ID", "a \xc3\xa9\xe2\x82\xac:;,\"x");
    header_is(s, 2, "Last-Event-ID", "a \xc3\xa9\xe2\x82\xac:;,\"x");
    scripted_stop(s);
}

Test(conformance_17, no_header_after_a_reset)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "id: 7\ndata: 1\n\n", 0, 0},
                                                        {STREAM_HEAD "id\ndata: 2\n\n", 0, 0},
                                                        {STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    until_requests(s, &o, "/", 3);
    header_is(s, 1, "Last-Event-ID", "7");
    header_is(s, 2, "Last-Event-ID", NULL);
    scripted_stop(s);
}

Test(conformance_17, id_of_a_block_that_was_cut_off_is_not_sent)
{
    scripted *s = scripted_start(scripted_play,
                                 REPLIES({STREAM_HEAD "id: 1\ndata: a\n\nid: 2\ndata: b", 0, 0},
                                         {STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    until_requests(s, &o, "/", 2);
    header_is(s, 1, "Last-Event-ID", "1");
    scripted_stop(s);
}

Test(conformance_17, a_long_id)
{
    char id[3001], reply[4000];
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    snprintf(reply, sizeof reply, STREAM_HEAD "id: %s\ndata: a\n\n", id);
    scripted *s = scripted_start(scripted_play, REPLIES({reply, END_FIN, 0}));
    sse_client_options o = quick();
    until_requests(s, &o, "/", 2);
    header_is(s, 1, "Last-Event-ID", id);
    scripted_stop(s);
}

Test(conformance_17, an_id_alone_is_remembered)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "id: 5\n\n", END_FIN, 0}));
    sse_client_options o = quick();
    until_requests(s, &o, "/", 2);
    header_is(s, 1, "Last-Event-ID", "5");
    scripted_stop(s);
}

Test(request, headers_of_the_user_replace_those_of_the_library)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    const char *const headers[] = {"accept: text/x", "Cache-Control:",    "X-One: 1",
                                   "User-Agent: me", "last-event-id: 41", NULL};
    o.headers = headers;
    until_requests(s, &o, "/", 1);
    header_is(s, 0, "Accept", "text/x");
    header_is(s, 0, "Cache-Control", NULL);
    header_is(s, 0, "X-One", "1");
    header_is(s, 0, "User-Agent", "me");
    header_is(s, 0, "Last-Event-ID", "41");
    scripted_stop(s);
}

/* As sse/client.h says. */
Test(request, defaults)
{
    sse_client *client = client_for("http://127.0.0.1:1/", NULL);
    const sse__reconnect_config *r = &client->reconnect;
    const sse__transport_config *t = &client->transport;
    cr_assert(r->base_ms == 1000 && r->max_ms == 30000 && r->server_max_ms == 3600000);
    cr_assert(r->max_attempts == 0 && !r->no_reconnect);
    cr_assert(t->connect_timeout_ms == 30000 && t->response_timeout_ms == 60000);
    cr_assert(t->idle_timeout_ms == SSE_OFF && t->max_redirects == 10 && !t->insecure);
    sse_client_free(client);
}

Test(request, stream_name_becomes_a_parameter)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    sse_client *client = client_for(scripted_url(s, "/events?x=1#frag"), NULL);
    recorder *r = recorder_new();
    sse_subscription *sub = recorder_subscribe(r, client, "a b&c");
    cr_assert(scripted_wait_requests(s, 1));
    request_line_is(s, 0, "GET /events?x=1&stream=a%20b%26c HTTP/1.1");
    cr_assert_str_eq(sse_subscription_stream(sub), "a b&c");
    cr_assert_eq(sse_subscription_client(sub), client);
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

/* ---- 20: redirects ---- */

static void follows(const char *status_line)
{
    char reply[200];
    snprintf(reply, sizeof reply,
             "HTTP/1.1 %s\r\nLocation: /next?x=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             status_line);
    scripted *s = scripted_start(scripted_play,
                                 REPLIES({reply, 0, 0}, {STREAM_HEAD "data: a\n\n", END_HOLD, 0}));
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/first"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event"), "%s", status_line);
    cr_assert_str_eq(recorder_lines(r), "open 200\nevent |message|a\n");
    request_line_is(s, 1, "GET /next?x=1 HTTP/1.1");
    header_is(s, 1, "Accept", "text/event-stream");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(conformance_20, redirects_are_followed)
{
    follows("301 Moved Permanently");
    follows("302 Found");
    follows("303 See Other");
    follows("307 Temporary Redirect");
    follows("308 Permanent Redirect");
}

/* One subscription against replies that end it for good. Returns how many connections it took. */
static size_t ends_with(scripted *s, const sse_client_options *o, const char *want)
{
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), o);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "close"));
    cr_assert_str_eq(recorder_lines(r), want);
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    size_t n = scripted_connections(s);
    scripted_stop(s);
    return n;
}

#define BAD_REDIRECT "error SSE_EREDIRECT final\nclose SSE_EREDIRECT\n"

Test(conformance_20, without_a_location_it_is_an_error)
{
    const char *const replies[] = {
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation:\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 308 Moved\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n",
        "HTTP/1.1 301 Moved\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        scripted *s = scripted_start(scripted_play, REPLIES({replies[i], 0, 0}));
        cr_assert_eq(ends_with(s, NULL, BAD_REDIRECT), 1);
    }
}

#define LOOP "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Test(conformance_20, a_loop_ends)
{
    sse_client_options o = quick();
    o.max_redirects = 3;
    scripted *s = scripted_start(scripted_play, REPLIES({LOOP, 0, 0}));
    cr_assert_eq(ends_with(s, &o, BAD_REDIRECT), 4);
    s = scripted_start(scripted_play, REPLIES({LOOP, 0, 0}));
    cr_assert_eq(ends_with(s, NULL, BAD_REDIRECT), 11);
}

Test(conformance_20, following_can_be_turned_off)
{
    sse_client_options o = quick();
    o.max_redirects = SSE_OFF;
    scripted *s = scripted_start(scripted_play, REPLIES({LOOP, 0, 0}));
    cr_assert_eq(ends_with(s, &o, BAD_REDIRECT), 1);
}

Test(conformance_20, only_to_http_and_https)
{
    const char *const replies[] = {
        "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://\r\nContent-Length: 0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        scripted *s = scripted_start(scripted_play, REPLIES({replies[i], 0, 0}));
        cr_assert_eq(ends_with(s, NULL, BAD_REDIRECT), 1, "%zu", i);
    }
}

Test(conformance_20, credentials_stay_with_their_host)
{
    scripted *other = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    char reply[300];
    snprintf(reply, sizeof reply,
             "HTTP/1.1 307 There\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             scripted_url(other, "/x"));
    scripted *s = scripted_start(scripted_play, REPLIES({reply, 0, 0}));
    sse_client_options o = quick();
    const char *const headers[] = {"Authorization: Bearer secret", "Cookie: a=b", "X-Kept: 1",
                                   NULL};
    o.headers = headers;
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(scripted_wait_requests(other, 1));
    header_is(s, 0, "Authorization", "Bearer secret");
    header_is(other, 0, "Authorization", NULL);
    header_is(other, 0, "Cookie", NULL);
    header_is(other, 0, "X-Kept", "1");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
    scripted_stop(other);
}

Test(conformance_20, a_reconnection_asks_the_first_url_again)
{
    static const char away[] = "HTTP/1.1 301 Moved\r\nLocation: /moved\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    scripted *s =
        scripted_start(scripted_play, REPLIES({away, 0, 0}, {STREAM_HEAD "data: a\n\n", 0, 0},
                                              {away, 0, 0}, {STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    until_requests(s, &o, "/first", 4);
    request_line_is(s, 1, "GET /moved HTTP/1.1");
    request_line_is(s, 2, "GET /first HTTP/1.1");
    scripted_stop(s);
}

/* ---- 25: method, body, headers ---- */

Test(conformance_25, everything_is_sent_again)
{
    enum { SIZE = 2 << 20 };
    char *body = malloc(SIZE);
    memset(body, 'b', SIZE);
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", END_FIN, 0}));
    sse_client_options o = quick();
    const char *const headers[] = {"Content-Type: application/json", "X-One: 1", NULL};
    o.method = "REPORT";
    o.headers = headers;
    o.body = (sse_str){body, SIZE};
    until_requests(s, &o, "/", 3);
    for (size_t i = 0; i < 3; i++) {
        request_line_is(s, i, "REPORT / HTTP/1.1");
        header_is(s, i, "Content-Type", "application/json");
        header_is(s, i, "X-One", "1");
        header_is(s, i, "Expect", NULL);
        header_is(s, i, "Content-Length", "2097152");
        cr_assert_eq(strspn(scripted_request_body(s, i), "b"), SIZE);
    }
    scripted_stop(s);
    free(body);
}

Test(conformance_25, a_body_makes_it_a_post)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    o.body = (sse_str){"{}", 2};
    until_requests(s, &o, "/", 1);
    request_line_is(s, 0, "POST / HTTP/1.1");
    header_is(s, 0, "Content-Type", NULL);
    cr_assert_str_eq(scripted_request_body(s, 0), "{}");
    scripted_stop(s);
}

Test(conformance_25, an_empty_body_and_a_post_without_one)
{
    sse_client_options o = quick();
    o.body = (sse_str){"", 0};
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    until_requests(s, &o, "/", 1);
    request_line_is(s, 0, "POST / HTTP/1.1");
    header_is(s, 0, "Content-Length", "0");
    scripted_stop(s);
    o.body = (sse_str){NULL, 0};
    o.method = "POST";
    s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    until_requests(s, &o, "/", 1);
    request_line_is(s, 0, "POST / HTTP/1.1");
    header_is(s, 0, "Content-Length", "0");
    scripted_stop(s);
}

/* ---- 26: reconnect now, start from an id ---- */

Test(conformance_26, reconnect_now_while_waiting)
{
    scripted *s = scripted_start(scripted_play,
                                 REPLIES({STREAM_HEAD "retry: 3000000\ndata: a\n\n", END_FIN, 0}));
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    for (size_t i = 1; i <= 5; i++) {
        cr_assert(recorder_wait_nth(r, "retry", i));
        cr_assert_eq(scripted_connections(s), i);
        sse_subscription_reconnect(sub);
    }
    cr_assert(recorder_wait_nth(r, "retry", 6));
    cr_assert_eq(recorder_delay(r, 5), 3000000);
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(conformance_26, reconnect_now_while_open)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({STREAM_HEAD "id: 1\ndata: a\n\n", END_HOLD, 0}));
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event"));
    sse_subscription_reconnect(sub);
    cr_assert(recorder_wait_nth(r, "event", 2));
    cr_assert_str_eq(recorder_lines(r), "open 200\nevent 1|message|a\n"
                                        "open 200\nevent 1|message|a\n");
    cr_assert(scripted_wait_ended(s, 1));
    header_is(s, 1, "Last-Event-ID", "1");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(conformance_26, start_from_an_id)
{
    scripted *s = scripted_start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    o.last_event_id = "client's";
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    sse_subscribe_options so = SSE_SUBSCRIBE_OPTIONS_INIT;
    const char *const want[] = {"client's", "subscription's", "set", NULL};
    for (size_t i = 0; i < 4; i++) {
        sse_subscription *sub;
        so.last_event_id = i ? "subscription's" : NULL;
        cr_assert_eq(sse_subscription_new(client, &so, &sub), SSE_OK);
        if (i >= 2)
            cr_assert_eq(sse_subscription_set_last_event_id(sub, sse_cstr(i == 2 ? "set" : "")),
                         SSE_OK);
        char buf[20];
        cr_assert_eq(sse_subscription_last_event_id(sub, buf, sizeof buf),
                     want[i] ? strlen(want[i]) : 0);
        cr_assert_eq(sse_subscription_start(sub), SSE_OK);
        cr_assert(scripted_wait_requests(s, i + 1));
        header_is(s, i, "Last-Event-ID", want[i]);
        sse_subscription_free(sub);
    }
    sse_client_free(client);
    scripted_stop(s);
}

/* As a header it is the id to start from, not a line of every request: what the stream says later takes its place. */
Test(conformance_26, an_id_in_a_header_of_the_user_is_where_it_starts)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({STREAM_HEAD, 0, 0}, {STREAM_HEAD "id: 42\ndata: a\n\n", 0, 0},
                               {STREAM_HEAD "id\ndata: b\n\n", 0, 0}, {STREAM_HEAD, END_HOLD, 0}));
    sse_client_options o = quick();
    const char *const headers[] = {"last-event-id:  41", "Last-Event-ID: 40", NULL};
    o.headers = headers;
    until_requests(s, &o, "/", 4);
    const char *const want[] = {"41", "41", "42", NULL};
    for (size_t i = 0; i < 4; i++)
        header_is(s, i, "Last-Event-ID", want[i]);
    scripted_stop(s);
}

Test(conformance_26, an_id_in_a_header_is_known_before_the_start_and_gives_way_to_the_option)
{
    const char *const with_41[] = {"Last-Event-ID: 41", NULL};
    const char *const empty[] = {"Last-Event-ID:", NULL};
    const struct {
        const char *const *headers;
        const char *option, *want;
    } cases[] = {{with_41, NULL, "41"}, {with_41, "40", "40"}, {empty, NULL, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sse_client_options o = quick();
        o.headers = cases[i].headers;
        o.last_event_id = cases[i].option;
        sse_client *client = client_for("http://127.0.0.1:1/", &o);
        sse_subscription *sub;
        char id[20] = "";
        cr_assert_eq(sse_subscription_new(client, NULL, &sub), SSE_OK);
        cr_assert_lt(sse_subscription_last_event_id(sub, id, sizeof id - 1), sizeof id);
        cr_assert_str_eq(id, cases[i].want);
        sse_subscription_free(sub);
        sse_client_free(client);
    }
}

static void set_an_older_id(void *user, sse_subscription *sub, const char *line)
{
    (void)user;
    if (strcmp(line, "event 1|message|a") == 0)
        cr_assert_eq(sse_subscription_set_last_event_id(sub, sse_cstr("99")), SSE_OK);
}

/* What the stream says after it counts, also when it has come in the same piece. */
Test(conformance_26, an_id_that_comes_after_the_one_that_was_set_is_newer)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({STREAM_HEAD "id: 1\ndata: a\n\nid: 2\ndata: b\n\n", END_FIN, 0}));
    sse_client_options o = quick();
    recorder *r = recorder_new();
    recorder_on_line(r, set_an_older_id, NULL);
    sse_client *client = client_for(scripted_url(s, "/"), &o);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(scripted_wait_requests(s, 2));
    header_is(s, 1, "Last-Event-ID", "2");
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

Test(conformance_26, an_id_set_while_open_goes_into_the_next_request)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({STREAM_HEAD "id: 1\ndata: a\n\n", END_HOLD, 0}));
    recorder *r = recorder_new();
    sse_client *client = client_for(scripted_url(s, "/"), NULL);
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    cr_assert(recorder_wait(r, "event"));
    cr_assert_eq(sse_subscription_set_last_event_id(sub, sse_cstr("99")), SSE_OK);
    char buf[8];
    cr_assert_eq(sse_subscription_last_event_id(sub, buf, sizeof buf), 2);
    cr_assert_arr_eq(buf, "99", 2);
    sse_subscription_reconnect(sub);
    cr_assert(scripted_wait_requests(s, 2));
    header_is(s, 1, "Last-Event-ID", "99");
    cr_assert_eq(sse_subscription_set_last_event_id(sub, sse_cstr("a\nb")), SSE_EINVAL);
    cr_assert_eq(sse_subscription_set_last_event_id(sub, (sse_str){"a\0b", 3}), SSE_EINVAL);
    cr_assert_eq(sse_subscription_set_last_event_id(sub, (sse_str){NULL, 3}), SSE_EINVAL);
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(r);
    scripted_stop(s);
}

/* ---- What cannot be sent is refused at once ---- */

static sse_err made(const char *url, const sse_client_options *o)
{
    sse_client *client = (sse_client *)(uintptr_t)1;
    sse_err err = sse_client_new(url, o, &client);
    cr_assert((client != NULL) == (err == SSE_OK));
    sse_client_free(client);
    return err;
}

Test(request, what_cannot_be_sent_is_refused)
{
    cr_assert_eq(made(NULL, NULL), SSE_EINVAL);
    cr_assert_eq(made("", NULL), SSE_EINVAL);
    cr_assert_eq(made("ftp://h/", NULL), SSE_EINVAL);
    cr_assert_eq(made("file:///etc/passwd", NULL), SSE_EINVAL);
    cr_assert_eq(made("http://", NULL), SSE_EINVAL);
    cr_assert_eq(made("http://h/a b", NULL), SSE_EINVAL);
    cr_assert_eq(made("http://h:99999/", NULL), SSE_EINVAL);
    cr_assert_eq(made("http://h/", NULL), SSE_OK);
    cr_assert_eq(made("HTTPS://h", NULL), SSE_OK);
    cr_assert_eq(made("h:8080/x", NULL), SSE_OK);
    sse_client_options o = quick();
    const char *const bad_header[] = {"A: b", "C: d\r\nE: f", NULL};
    o.headers = bad_header;
    cr_assert_eq(made("http://h/", &o), SSE_EINVAL);
    o = quick();
    o.method = "GET /";
    cr_assert_eq(made("http://h/", &o), SSE_EINVAL);
    o = quick();
    o.last_event_id = "a\rb";
    cr_assert_eq(made("http://h/", &o), SSE_EINVAL);
    o = quick();
    o.size = 0;
    cr_assert_eq(made("http://h/", &o), SSE_EINVAL);
}

/* A program that was built against an older header has a shorter struct: what follows is not looked
 * at. */
Test(request, a_shorter_options_struct_is_understood)
{
    sse_client_options o = quick();
    o.cacert = (const char *)(uintptr_t)1; /* must not be touched */
    o.size = offsetof(sse_client_options, cacert);
    cr_assert_eq(made("http://h/", &o), SSE_OK);
}

Test(request, shorter_structs_of_a_subscription_are_understood)
{
    sse_client *client;
    sse_subscription *sub;
    cr_assert_eq(sse_client_new("http://h/", NULL, &client), SSE_OK);
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    callbacks.on_close =
        (void (*)(void *, sse_subscription *, const sse_client_error *))(uintptr_t)1;
    callbacks.size = offsetof(sse_client_callbacks, on_close);
    sse_subscribe_options o = SSE_SUBSCRIBE_OPTIONS_INIT;
    o.callbacks = &callbacks;
    o.streams = (const char *const *)(uintptr_t)1;
    o.stream_count = 1;
    o.size = offsetof(sse_subscribe_options, streams);
    cr_assert_eq(sse_subscription_new(client, &o, &sub), SSE_OK);
    cr_assert_null(sub->callbacks.on_close);
    sse_subscription_free(sub);
    sse_client_free(client);
}

HAS_NO_GAP_BEHIND(sse_client_options, reserved);
HAS_NO_GAP_BEHIND(sse_client_callbacks, on_close);
HAS_NO_GAP_BEHIND(sse_subscribe_options, stream_count);
