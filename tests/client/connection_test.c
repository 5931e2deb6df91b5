/* How connections open, end and come back: conformance 18, 19, 21, 22, 24, and what a hostile server may try. */
#include "clock.h"
#include "fixture.h"
#include "recorder.h"
#include "scripted_server.h"
#include "subscription.h"
#include "wait.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void ends_for_good(const char *reply, sse_err why, int status)
{
    char want[100];
    snprintf(want, sizeof want, "error %s final\nclose %s\n", sse_errname(why), sse_errname(why));
    sse_client_options o = quick();
    struct fixture f = start(scripted_play, REPLIES({reply, 0, 0}), &o);
    cr_assert(recorder_wait(f.rec, "close"), "%s", reply);
    cr_assert_str_eq(recorder_lines(f.rec), want, "%s", reply);
    recorded_error last = recorder_last_error(f.rec);
    cr_assert_eq(last.e.http_status, status);
    cr_assert_eq(last.e.err, why);
    cr_assert(last.e.final);
    cr_assert_str_eq(last.url, scripted_url(f.server, "/"));
    cr_assert_eq(sse_subscription_reason(f.sub), why);
    cr_assert_eq(sse_subscription_state(f.sub), SSE_SUBSCRIPTION_CLOSED);
    sse_subscription_stop(f.sub);
    cr_assert_eq(scripted_connections(f.server), 1);
    finish(&f);
}

/* The first connection ends as this error, the second one opens. */
static void comes_back(const char *reply, reply_end end, const char *want_error)
{
    sse_client_options o = quick();
    struct fixture f = start(
        scripted_play, REPLIES({reply, end, 0}, {STREAM_HEAD "data: back\n\n", END_HOLD, 0}), &o);
    cr_assert(recorder_wait(f.rec, "event |message|back"), "%s", reply);
    cr_assert(recorder_wait(f.rec, want_error), "%s: %s", reply, recorder_lines(f.rec));
    cr_assert_eq(recorder_count(f.rec, "error"), 1);
    cr_assert_eq(recorder_count(f.rec, "retry"), 1);
    finish(&f);
}

/* ---- 18: open ---- */

Test(conformance_18, open_comes_with_the_headers_before_any_event)
{
    struct fixture f = start(scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}), NULL);
    cr_assert(recorder_wait(f.rec, "open"));
    cr_assert_eq(sse_subscription_state(f.sub), SSE_SUBSCRIPTION_OPEN);
    cr_assert_str_eq(recorder_lines(f.rec), "open 200\n");
    finish(&f);
}

Test(conformance_18, open_also_when_all_arrives_at_once)
{
    struct fixture f =
        start(scripted_play, REPLIES({STREAM_HEAD ":c\ndata: a\n\n", END_HOLD, 0}), NULL);
    cr_assert(recorder_wait(f.rec, "event"));
    cr_assert_str_eq(recorder_lines(f.rec), "open 200\ncomment c\nevent |message|a\n");
    finish(&f);
}

Test(conformance_18, content_types_that_open)
{
    const char *const types[] = {"text/event-stream", "Text/Event-Stream",
                                 "text/event-stream; charset=ISO-8859-1",
                                 "text/event-stream;charset=utf-8"};
    for (size_t i = 0; i < 4; i++) {
        char reply[200];
        snprintf(reply, sizeof reply,
                 "HTTP/1.1 200 OK\r\ncOnTeNt-TyPe: %s\r\n\r\ndata: \xc3\xa9\n\n", types[i]);
        struct fixture f = start(scripted_play, REPLIES({reply, END_HOLD, 0}), NULL);
        cr_assert(recorder_wait(f.rec, "event |message|\xc3\xa9"), "%s", types[i]);
        finish(&f);
    }
}

Test(conformance_18, an_informational_answer_comes_before)
{
    struct fixture f =
        start(scripted_play,
              REPLIES({"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" STREAM_HEAD "data: a\n\n",
                       END_HOLD, 0}),
              NULL);
    cr_assert(recorder_wait(f.rec, "event"));
    cr_assert_str_eq(recorder_lines(f.rec), "open 200\nevent |message|a\n");
    finish(&f);
}

/* ---- 19: failed for good, or for now ---- */

Test(conformance_19, the_server_says_stop)
{
    ends_for_good("HTTP/1.1 204 No Content\r\n\r\n", SSE_ESTOPPED, 204);
}

Test(conformance_19, statuses_that_fail_for_good)
{
    ends_for_good("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", SSE_EHTTP, 205);
    ends_for_good("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", SSE_EHTTP, 404);
    ends_for_good("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", SSE_EHTTP, 410);
    ends_for_good("HTTP/1.1 401 No\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n",
                  SSE_EHTTP, 401);
    ends_for_good("HTTP/1.1 403 No\r\n\r\n", SSE_EHTTP, 403);
    ends_for_good("HTTP/1.1 304 Same\r\n\r\n", SSE_EHTTP, 304);
}

Test(conformance_19, other_content_types_fail_for_good)
{
    ends_for_good("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\ndata: a\n\n", SSE_ECONTENT,
                  200);
    ends_for_good("HTTP/1.1 200 OK\r\n\r\ndata: a\n\n", SSE_ECONTENT, 200);
    ends_for_good("HTTP/1.1 200 OK\r\nContent-Type: text/event-streamx\r\n\r\n", SSE_ECONTENT, 200);
}

Test(conformance_19, errors_carry_what_happened)
{
    struct fixture f = start(
        scripted_play,
        REPLIES({"HTTP/1.1 200 OK\r\nContent-Type: text/html; x=y\r\n\r\n<html>", END_HOLD, 0}),
        NULL);
    cr_assert(recorder_wait(f.rec, "close"));
    recorded_error last = recorder_last_error(f.rec);
    cr_assert_str_eq(last.content_type, "text/html; x=y");
    cr_assert_not_null(strstr(last.message, "text/html; x=y"));
    cr_assert_eq(last.e.attempt, 1);
    cr_assert_eq(last.e.curl_code, 0);
    cr_assert_eq(last.body_len, 0); /* only refusals have one */
    cr_assert(last.body_ends);
    finish(&f);
}

Test(conformance_19, passing_statuses_are_retried)
{
    comes_back("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 0, "error SSE_EHTTP");
    comes_back("HTTP/1.1 500 Oh\r\n\r\nsorry", 0, "error SSE_EHTTP");
    comes_back("HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n", 0,
               "error SSE_EHTTP");
}

static void waits(const char *reply, uint64_t at_least, uint64_t at_most)
{
    struct fixture f = start(scripted_play, REPLIES({reply, END_HOLD, 0}), NULL);
    cr_assert(recorder_wait(f.rec, "retry"));
    cr_assert_geq(recorder_delay(f.rec, 0), at_least, "%s", reply);
    cr_assert_leq(recorder_delay(f.rec, 0), at_most, "%s", reply);
    cr_assert(recorder_last_error(f.rec).e.retry_after_ms >= at_least);
    finish(&f);
}

Test(conformance_19, retry_after_in_seconds_and_as_a_date)
{
    waits("HTTP/1.1 429 Slow\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", 120000, 120000);
    waits("HTTP/1.1 503 Busy\r\nretry-after: 7\r\nContent-Length: 0\r\n\r\n", 7000, 7000);
    waits("HTTP/1.1 503 Busy\r\nRetry-After: Fri, 01 Jan 2038 00:00:00 GMT\r\n"
          "Content-Length: 0\r\n\r\n",
          3600000, 3600000);
    waits("HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999999\r\nContent-Length: 0\r\n\r\n",
          3600000, 3600000);
}

/* It speaks of a refusal, not of the end of a stream that was open. */
Test(conformance_19, retry_after_with_a_stream_is_not_the_delay)
{
    struct fixture f = start(scripted_play,
                             REPLIES({"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                      "Retry-After: 120\r\n\r\nretry: 7\n\n",
                                      END_FIN, 0}),
                             NULL);
    cr_assert(recorder_wait(f.rec, "retry"));
    cr_assert_eq(recorder_delay(f.rec, 0), 7);
    finish(&f);
}

/* An error whose body never comes is judged by its headers. */
Test(conformance_19, an_error_without_the_body_that_it_promised)
{
    waits("HTTP/1.1 429 Slow\r\nRetry-After: 120\r\nContent-Length: 99\r\n\r\n", 120000, 120000);
}

/* ---- 21: every end comes back ---- */

Test(conformance_21, a_clean_end)
{
    comes_back(STREAM_HEAD "data: a\n\n", END_FIN, "error SSE_EEOF");
    comes_back(STREAM_HEAD, END_FIN, "error SSE_EEOF");
    comes_back("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\n"
               "data: a\n\n",
               END_FIN, "error SSE_EEOF");
    comes_back("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
               "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n0\r\n\r\n",
               END_FIN, "error SSE_EEOF");
}

Test(conformance_21, a_broken_connection)
{
    comes_back(STREAM_HEAD "data: a\n\n", END_RST, "error SSE_ENETWORK");
    comes_back("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n"
               "data: a\n\n",
               END_FIN, "error SSE_ENETWORK");
    comes_back("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
               "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n5\r\nda",
               END_FIN, "error SSE_ENETWORK");
    comes_back("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
               "Transfer-Encoding: chunked\r\n\r\nnot a chunk",
               END_HOLD, "error SSE_ENETWORK");
    comes_back("", END_FIN, "error SSE_ENETWORK");
    comes_back("", END_RST, "error SSE_ENETWORK");
    comes_back("HTTP/1.1 20", END_FIN, "error SSE_ENETWORK");
    comes_back("HTTP/1.1 200 OK\r\nContent-Ty", END_RST, "error SSE_ENETWORK");
    comes_back("\x16\x03\x01 binary noise \xff\xfe\r\n\r\n", END_FIN, "error SSE_ENETWORK");
}

Test(conformance_21, an_event_that_is_cut_off_is_not_delivered)
{
    sse_client_options o = quick();
    struct fixture f = start(scripted_play,
                             REPLIES({STREAM_HEAD "data: a\n\ndata: b\n", END_FIN, 0},
                                     {STREAM_HEAD "\ndata: c\n\n", END_HOLD, 0}),
                             &o);
    cr_assert(recorder_wait(f.rec, "event |message|c"));
    cr_assert_eq(recorder_count(f.rec, "event"), 2);
    finish(&f);
}

/* After a chunked end the connection is kept; the next attempt goes over it. */
static void twice_on_one_connection(scripted_conn *c, void *user)
{
    (void)user;
    while (conn_read_request(c))
        conn_puts(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n0\r\n\r\n");
}

Test(conformance_21, a_clean_end_on_a_connection_that_stays)
{
    sse_client_options o = quick();
    struct fixture f = start(twice_on_one_connection, NULL, &o);
    cr_assert(recorder_wait_nth(f.rec, "event", 3));
    cr_assert_geq(recorder_count(f.rec, "error SSE_EEOF"), 2);
    cr_assert_eq(scripted_connections(f.server), 1);
    finish(&f);
}

/* ---- 22: delays ---- */

Test(conformance_22, the_retry_of_the_server)
{
    struct fixture f =
        start(scripted_play, REPLIES({STREAM_HEAD "retry: 12\ndata: a\n\n", END_FIN, 0}), NULL);
    cr_assert(recorder_wait_nth(f.rec, "retry", 3));
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(recorder_delay(f.rec, i), 12);
    cr_assert(recorder_last_error(f.rec).e.has_server_retry);
    cr_assert_eq(recorder_last_error(f.rec).e.server_retry_ms, 12);
    finish(&f);
}

Test(conformance_22, a_retry_without_an_event_counts_too)
{
    struct fixture f = start(scripted_play, REPLIES({STREAM_HEAD "retry: 3\n", END_FIN, 0}), NULL);
    cr_assert(recorder_wait(f.rec, "retry"));
    cr_assert_eq(recorder_delay(f.rec, 0), 3);
    finish(&f);
}

Test(conformance_22, a_retry_of_ten_to_the_thirty_neither_overflows_nor_hangs)
{
    struct fixture f = start(
        scripted_play,
        REPLIES({STREAM_HEAD "retry: 1000000000000000000000000000000\ndata: a\n\n", 0, 0}), NULL);
    cr_assert(recorder_wait(f.rec, "retry"));
    cr_assert_eq(recorder_delay(f.rec, 0), 3600000);
    sse_subscription_stop(f.sub);
    cr_assert_eq(scripted_connections(f.server), 1);
    finish(&f);
}

Test(conformance_22, own_delays_grow_while_nothing_lives)
{
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.retry_ms = 2;
    o.max_retry_ms = 16;
    struct fixture f =
        start(scripted_play, REPLIES({"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 0, 0}), &o);
    cr_assert(recorder_wait_nth(f.rec, "retry", 6));
    const uint64_t most[] = {2, 4, 8, 16, 16, 16};
    for (size_t i = 0; i < 6; i++) {
        cr_assert_leq(recorder_delay(f.rec, i), most[i]);
        cr_assert_geq(recorder_delay(f.rec, i), most[i] / 2);
    }
    finish(&f);
}

struct strategy {
    unsigned asked;
    unsigned give_up_at;
    uint64_t offered; /* by the library, first time */
    uint64_t delay_ms;
    sse_err err;
};

static bool next_delay(void *user, sse_subscription *sub, const sse_client_error *error,
                       uint64_t *delay_ms)
{
    struct strategy *s = user;
    (void)sub;
    if (s->asked++ == 0)
        s->offered = *delay_ms;
    s->err = error->err;
    *delay_ms = s->delay_ms;
    return s->asked != s->give_up_at;
}

Test(conformance_22, the_user_replaces_the_strategy)
{
    struct strategy strategy = {.give_up_at = 4, .delay_ms = 1};
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.retry_ms = 1000000;
    o.max_retry_ms = 1000000;
    o.user = &strategy;
    o.next_delay = next_delay;
    struct fixture f = start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", 0, 0}), &o);
    cr_assert(recorder_wait(f.rec, "close SSE_EGAVEUP"));
    cr_assert_eq(recorder_count(f.rec, "event"), 4);
    cr_assert_eq(recorder_count(f.rec, "retry"), 3);
    cr_assert_eq(recorder_delay(f.rec, 0), 1);
    sse_subscription_stop(f.sub);
    cr_assert_eq(strategy.asked, 4);
    cr_assert_eq(strategy.err, SSE_EEOF);
    cr_assert_geq(strategy.offered, 500000);
    finish(&f);
}

Test(conformance_22, max_attempts)
{
    scripted *gone = scripted_start(scripted_play, REPLIES({"", 0, 0}));
    char url[64];
    snprintf(url, sizeof url, "%s", scripted_url(gone, "/"));
    scripted_stop(gone); /* nobody listens there now */
    sse_client_options o = quick();
    o.max_attempts = 3;
    recorder *r = recorder_new();
    sse_client *client = client_for(url, &o);
    sse_client_callbacks callbacks = recorder_callbacks();
    cr_assert_eq(sse_client_subscribe(client, NULL, &callbacks, r), SSE_EGAVEUP);
    cr_assert_str_eq(recorder_lines(r), "error SSE_ECONNECT\nretry\n"
                                        "error SSE_ECONNECT\nretry\n"
                                        "error SSE_ECONNECT final\nclose SSE_EGAVEUP\n");
    recorded_error last = recorder_last_error(r);
    cr_assert_eq(last.e.attempt, 3);
    cr_assert_eq(last.e.http_status, 0);
    cr_assert_neq(last.e.curl_code, 0);
    cr_assert_gt(strlen(last.message), 10);
    sse_client_free(client);
    recorder_free(r);
}

Test(conformance_22, no_reconnect)
{
    sse_client_options o = quick();
    o.no_reconnect = true;
    struct fixture f = start(scripted_play, REPLIES({STREAM_HEAD "data: a\n\n", 0, 0}), &o);
    cr_assert(recorder_wait(f.rec, "close"));
    cr_assert_str_eq(recorder_lines(f.rec),
                     "open 200\nevent |message|a\nerror SSE_EEOF final\nclose SSE_EEOF\n");
    finish(&f);
}

/* ---- 24: timeouts ---- */

static _Atomic uint64_t fake_now_ns = 1000000000;

static uint64_t fake_clock(void) { return fake_now_ns; }

static void advance_ms(uint64_t ms) { fake_now_ns += ms * 1000000; }

/* The reader may still be busy with the last byte, whose time it then takes from after the step. */
static bool is_idle_after_a_while(void *fixture)
{
    struct fixture *f = fixture;
    advance_ms(10000);
    sse__transport_wakeup(f->sub->transport);
    return recorder_count(f->rec, "error SSE_EIDLE") > 0;
}

static void steps(scripted_conn *c, void *user)
{
    const char *const *parts = user;
    conn_read_request(c);
    conn_puts(c, STREAM_HEAD);
    for (unsigned i = 0; parts[i] && conn_wait(c, i + 1); i++)
        conn_puts(c, parts[i]);
    conn_wait_peer(c);
}

Test(conformance_24, the_idle_timeout_counts_from_the_last_byte)
{
    const char *parts[] = {":1\n", ":2\n", "data: x\n\n", ":3\n", NULL};
    const char *shows[] = {"comment 1", "comment 2", "event |message|x", "comment 3"};
    sse__clock_set_source(fake_clock);
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.idle_timeout_ms = 10000;
    struct fixture f = start(steps, parts, &o);
    cr_assert(recorder_wait(f.rec, "open"));
    for (unsigned i = 0; i < 4; i++) {
        advance_ms(9000); /* 36 seconds in the end, never 10 of them without a byte */
        scripted_open_gate(f.server, i + 1);
        cr_assert(recorder_wait(f.rec, shows[i]));
    }
    cr_assert_eq(recorder_count(f.rec, "error"), 0);
    cr_assert(wait_until(is_idle_after_a_while, &f, 60000));
    cr_assert(recorder_wait(f.rec, "retry"));
    sse__clock_set_source(NULL);
    finish(&f);
}

Test(conformance_24, idle_ends_in_a_reconnection)
{
    sse_client_options o = quick();
    o.idle_timeout_ms = 30;
    struct fixture f = start(scripted_play, REPLIES({STREAM_HEAD ":c\n", END_HOLD, 0}), &o);
    cr_assert(recorder_wait_nth(f.rec, "open", 3));
    cr_assert_geq(recorder_count(f.rec, "error SSE_EIDLE"), 2);
    cr_assert(scripted_wait_ended(f.server, 2));
    finish(&f);
}

Test(timeouts, a_server_that_accepts_and_says_nothing)
{
    sse_client_options o = quick();
    o.response_timeout_ms = 30;
    o.max_attempts = 2;
    struct fixture f = start(scripted_play, REPLIES({"", END_HOLD, 0}), &o);
    cr_assert(recorder_wait(f.rec, "close SSE_EGAVEUP"));
    cr_assert_eq(recorder_count(f.rec, "error SSE_ETIMEOUT"), 2);
    finish(&f);
}

static void drip_headers(scripted_conn *c, void *user)
{
    (void)user;
    conn_read_request(c);
    conn_puts(c, "HTTP/1.1 200 OK\r\n");
    while (conn_puts(c, "X-More: and more and more and more and more and more\r\n"))
        ;
}

Test(hostile, endless_headers)
{
    sse_client_options o = quick();
    o.max_attempts = 2;
    struct fixture f = start(drip_headers, NULL, &o);
    cr_assert(recorder_wait(f.rec, "close SSE_EGAVEUP"));
    cr_assert_eq(recorder_count(f.rec, "error SSE_ENETWORK"), 2);
    finish(&f);
}

static void endless_line(scripted_conn *c, void *user)
{
    static char filler[65536];
    (void)user;
    memset(filler, 'x', sizeof filler);
    conn_read_request(c);
    conn_puts(c, STREAM_HEAD "data: ");
    for (int i = 0; i < 64 && conn_send(c, filler, sizeof filler); i++)
        ;
    conn_puts(c, "\n\ndata: usable\n\n");
    conn_wait_peer(c);
}

Test(hostile, an_event_past_the_limit_is_reported_and_the_rest_goes_on)
{
    sse_client_options o = quick();
    o.max_event_bytes = 1000;
    struct fixture f = start(endless_line, NULL, &o);
    cr_assert(recorder_wait(f.rec, "event"));
    cr_assert_str_eq(recorder_lines(f.rec),
                     "open 200\nerror SSE_ETOOBIG lost\nevent |message|usable\n");
    cr_assert_eq(scripted_connections(f.server), 1);
    finish(&f);
}

Test(hostile, compressed_garbage)
{
    sse_client_options o = quick();
    o.accept_encoding = "";
    o.max_attempts = 3;
    struct fixture f = start(scripted_play,
                             REPLIES({"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                      "Content-Encoding: gzip\r\n\r\nthis is not gzip at all",
                                      END_HOLD, 0}),
                             &o);
    cr_assert(recorder_wait_nth(f.rec, "error SSE_ENETWORK", 2));
    cr_assert_eq(recorder_count(f.rec, "event"), 0);
    cr_assert_not_null(scripted_request_header(f.server, 0, "Accept-Encoding"));
    finish(&f);
}

Test(hostile, a_host_that_does_not_resolve)
{
    sse_client_options o = quick();
    o.max_attempts = 1;
    recorder *r = recorder_new();
    sse_client *client = client_for("http://no-such-host.invalid/", &o);
    sse_client_callbacks callbacks = recorder_callbacks();
    cr_assert_eq(sse_client_subscribe(client, NULL, &callbacks, r), SSE_EGAVEUP);
    cr_assert_str_eq(recorder_lines(r), "error SSE_ERESOLVE final\nclose SSE_EGAVEUP\n");
    sse_client_free(client);
    recorder_free(r);
}

/* A body that never ends a line must not grow without bound, and noise must not disturb what follows. */
Test(hostile, noise_in_the_stream)
{
    struct fixture f =
        start(scripted_play,
              REPLIES({STREAM_HEAD
                       "\xff\xfe\x01\x02 noise\r\n: \xc3\nretry: -1\nid\xff: 1\n\ndata: \xff\n\n",
                       END_HOLD, 0}),
              NULL);
    cr_assert(recorder_wait(f.rec, "event"));
    cr_assert_eq(recorder_count(f.rec, "event |message|\xef\xbf\xbd"), 1);
    cr_assert_eq(recorder_count(f.rec, "error"), 0);
    finish(&f);
}
