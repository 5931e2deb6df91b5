/* What a server says with a refusal: how much of it is read, for how long, and that nothing waits for it.
 *
 * Where a bound other than the deadline is tested, the clock stands still, so that the deadline
 * cannot be what ended it. */
#include "clock.h"
#include "fixture.h"
#include "recorder.h"
#include "scripted_server.h"
#include "subscription.h"
#include "wait.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Atomic uint64_t fake_now_ns = 1000000000;

static uint64_t fake_clock(void) { return fake_now_ns; }

static void advance(struct fixture *f, uint64_t ms)
{
    fake_now_ns += ms * 1000000;
    sse__transport_wakeup(f->sub->transport);
}

/* ---- Bodies that end ---- */

static void gives(const char *reply, reply_end end, const char *body, size_t n)
{
    sse_client_options o = quick();
    struct fixture f = start(scripted_play, REPLIES({reply, end, 0}), &o);
    cr_assert(recorder_wait(f.rec, "close"), "%s", reply);
    cr_assert_str_eq(recorder_lines(f.rec), "error SSE_EHTTP final\nclose SSE_EHTTP\n");
    recorded_error last = recorder_last_error(f.rec);
    cr_assert_str_eq(last.message, "the server answered with status 404");
    cr_assert_eq(last.body_len, n, "%s: %zu", reply, last.body_len);
    cr_assert_eq(memcmp(last.body, body, n), 0, "%s", reply);
    cr_assert(last.body_ends);
    finish(&f);
}
#define GIVES(reply, end, body) gives(reply, end, body, sizeof(body) - 1)

Test(refusal, short_bodies)
{
    GIVES("HTTP/1.1 404 No\r\nContent-Length: 15\r\n\r\nno such stream\n", END_FIN,
          "no such stream\n");
    GIVES("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", END_HOLD, "no");
    GIVES("HTTP/1.1 404 No\r\n\r\nuntil the end", END_FIN, "until the end");
    GIVES("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\none\r\n4\r\n two\r\n0\r\n\r\n",
          END_HOLD, "one two");
}

Test(refusal, empty_bodies)
{
    GIVES("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", END_HOLD, "");
    GIVES("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", END_HOLD, "");
    GIVES("HTTP/1.1 404 No\r\n\r\n", END_FIN, "");
}

/* It is a refusal, whatever becomes of its body. */
Test(refusal, bodies_that_break_off)
{
    GIVES("HTTP/1.1 404 No\r\nContent-Length: 99\r\n\r\npart of it", END_FIN, "part of it");
    GIVES("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\nnot a chunk", END_FIN,
          "one");
}

static void send_any_bytes(scripted_conn *c, void *user)
{
    (void)user;
    conn_read_request(c);
    conn_puts(c, "HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n");
    conn_send(c, "a\0b\x1b[31m\xff", 9);
}

Test(refusal, any_bytes)
{
    sse_client_options o = quick();
    struct fixture f = start(send_any_bytes, NULL, &o);
    cr_assert(recorder_wait(f.rec, "close SSE_EHTTP"));
    recorded_error last = recorder_last_error(f.rec);
    cr_assert_eq(last.body_len, 9);
    cr_assert_eq(memcmp(last.body, "a\0b\x1b[31m\xff", 10), 0);
    cr_assert(last.body_ends);
    finish(&f);
}

/* ---- Bodies that are too long ---- */

static size_t fill(char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + i % 26);
    return n;
}

/* user: how the answer's headers end; NULL: without a length, and without an end. */
static void send_much(scripted_conn *c, void *user)
{
    static char body[1 << 20];
    size_t n = fill(body, sizeof body);
    conn_read_request(c);
    conn_puts(c, "HTTP/1.1 404 No\r\n");
    conn_puts(c, user ? user : "\r\n");
    while (conn_send(c, body, n) && !user)
        ;
    conn_wait_peer(c);
}

static void begins_with_4096_bytes(struct fixture *f)
{
    char want[4096];
    cr_assert(recorder_wait(f->rec, "close SSE_EHTTP"));
    recorded_error last = recorder_last_error(f->rec);
    cr_assert_eq(last.body_len, fill(want, sizeof want));
    cr_assert_eq(memcmp(last.body, want, sizeof want), 0);
    cr_assert(last.body_ends);
    cr_assert(scripted_wait_ended(f->server, 1));
}

Test(refusal, only_the_beginning_of_a_long_body)
{
    sse__clock_set_source(fake_clock);
    static char length[] = "Content-Length: 1048576\r\n\r\n";
    struct fixture f = start(send_much, length, NULL);
    begins_with_4096_bytes(&f);
    finish(&f);
    f = start(send_much, NULL, NULL);
    begins_with_4096_bytes(&f);
    sse__clock_set_source(NULL);
    finish(&f);
}

static void send_trailers(scripted_conn *c, void *user)
{
    (void)user;
    conn_read_request(c);
    conn_puts(c, "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n");
    while (conn_puts(c, "X-More: and more and more and more and more and more\r\n"))
        ;
}

Test(refusal, trailers_without_an_end)
{
    sse__clock_set_source(fake_clock);
    struct fixture f = start(send_trailers, NULL, NULL);
    cr_assert(recorder_wait(f.rec, "close SSE_EHTTP"));
    cr_assert_str_eq(recorder_last_error(f.rec).body, "no");
    cr_assert_str_eq(recorder_last_error(f.rec).message, "the server answered with status 404");
    sse__clock_set_source(NULL);
    finish(&f);
}

/* ---- Bodies that stall ---- */

struct slow {
    scripted *server;
    atomic_bool judged;
};

/* The client has seen the beginning of the answer, and is about to read on. */
static sse_verdict on_judge(void *user, sse_subscription *sub, const sse_response *response)
{
    (void)sub, (void)response;
    struct slow *slow = user;
    slow->judged = true;
    scripted_open_gate(slow->server, 1);
    return SSE_VERDICT_DEFAULT;
}

static bool is_judged(void *user)
{
    const struct slow *slow = user;
    return slow->judged;
}

static void half_and_half(scripted_conn *c, void *user)
{
    const char *second_half = user;
    if (!conn_read_request(c))
        return;
    conn_puts(c, "HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\nhalf");
    if (second_half && conn_wait(c, 1))
        conn_puts(c, second_half);
    conn_wait_peer(c);
}

/* The clock stands still. */
static struct fixture start_slow(struct slow *slow, char *second_half, sse_client_options o)
{
    sse__clock_set_source(fake_clock);
    struct fixture f = {.server = scripted_start(half_and_half, second_half),
                        .rec = recorder_new()};
    slow->server = f.server;
    slow->judged = false;
    o.user = slow;
    o.validate = on_judge;
    f.client = client_for(scripted_url(f.server, "/"), &o);
    f.sub = recorder_subscribe(f.rec, f.client, NULL);
    cr_assert(wait_until(is_judged, slow, 60000));
    return f;
}

static void finish_slow(struct fixture *f)
{
    sse__clock_set_source(NULL);
    finish(f);
}

Test(refusal, the_rest_of_a_body_is_waited_for)
{
    char rest[] = " of it";
    struct slow slow;
    sse_client_options o = quick();
    o.no_reconnect = true;
    struct fixture f = start_slow(&slow, rest, o);
    cr_assert(recorder_wait(f.rec, "error SSE_EHTTP final"));
    cr_assert_str_eq(recorder_last_error(f.rec).body, "half of it");
    finish_slow(&f);
}

static bool is_told(void *fixture)
{
    struct fixture *f = fixture;
    advance(f, 1000);
    return recorder_count(f->rec, "error SSE_EHTTP") > 0;
}

Test(refusal, a_body_that_stalls_is_not_waited_for)
{
    struct slow slow;
    sse_client_options o = quick();
    o.no_reconnect = true;
    o.idle_timeout_ms = o.response_timeout_ms = SSE_OFF;
    struct fixture f = start_slow(&slow, NULL, o);
    cr_assert(wait_until(is_told, &f, 60000));
    cr_assert_str_eq(recorder_last_error(f.rec).body, "half");
    finish_slow(&f);
}

Test(refusal, the_response_timeout_holds_for_its_body_too)
{
    struct slow slow;
    sse_client_options o = quick();
    o.no_reconnect = true;
    o.response_timeout_ms = 500;
    struct fixture f = start_slow(&slow, NULL, o);
    advance(&f, 600);
    cr_assert(recorder_wait(f.rec, "error SSE_EHTTP final"));
    cr_assert_str_eq(recorder_last_error(f.rec).body, "half");
    finish_slow(&f);
}

Test(refusal, stop_does_not_wait_for_a_body_that_stalls)
{
    struct slow slow;
    struct fixture f = start_slow(&slow, NULL, quick());
    sse_subscription_stop(f.sub);
    cr_assert_str_eq(recorder_lines(f.rec), "close SSE_ECANCELED\n");
    finish_slow(&f);
}

Test(refusal, reconnect_does_not_wait_for_a_body_that_stalls)
{
    struct slow slow;
    struct fixture f = start_slow(&slow, NULL, quick());
    sse_subscription_reconnect(f.sub);
    cr_assert(scripted_wait_requests(f.server, 2));
    cr_assert_eq(recorder_total(f.rec), 0);
    finish_slow(&f);
}

/* ---- Whatever a body says, the delays and the rest are as without it ---- */

static void waits(const char *reply, uint64_t delay_ms, const char *body)
{
    struct fixture f = start(scripted_play, REPLIES({reply, END_FIN, 0}), NULL);
    cr_assert(recorder_wait(f.rec, "retry"));
    cr_assert_str_eq(recorder_lines(f.rec), "error SSE_EHTTP\nretry\n");
    cr_assert_eq(recorder_delay(f.rec, 0), delay_ms, "%s", reply);
    recorded_error last = recorder_last_error(f.rec);
    cr_assert_str_eq(last.body, body);
    cr_assert_eq(last.e.retry_after_ms, delay_ms);
    finish(&f);
}

Test(refusal, retry_after)
{
    waits("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy", 7000, "busy");
    waits("HTTP/1.1 429 Slow\r\nRetry-After: 120\r\n\r\n{\"error\":1}", 120000, "{\"error\":1}");
}

static void three_answers(scripted_conn *c, void *user)
{
    static const char *const answers[] = {"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
                                          "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
                                          STREAM_HEAD "data: a\n\n"};
    (void)user;
    for (size_t i = 0; i < 3 && conn_read_request(c); i++)
        conn_puts(c, answers[i]);
    conn_wait_peer(c);
}

struct bodies {
    char text[64];
};

static bool note_body(void *user, sse_subscription *sub, const sse_client_error *error,
                      uint64_t *delay_ms)
{
    struct bodies *bodies = user;
    (void)sub, (void)delay_ms;
    strncat(bodies->text, error->body.ptr, 20);
    strncat(bodies->text, ";", 2);
    return true;
}

/* A body that was read to its end leaves the connection fit for the next request, and is forgotten
 * with it. */
Test(refusal, each_answer_has_its_own_body)
{
    struct bodies bodies = {""};
    sse_client_options o = quick();
    o.user = &bodies;
    o.next_delay = note_body;
    struct fixture f = start(three_answers, NULL, &o);
    cr_assert(recorder_wait(f.rec, "event |message|a"));
    cr_assert_eq(scripted_connections(f.server), 1);
    sse_subscription_stop(f.sub);
    cr_assert_str_eq(bodies.text, "busy;;");
    finish(&f);
}

static sse_verdict fail(void *user, sse_subscription *sub, const sse_response *response)
{
    (void)user, (void)sub, (void)response;
    return SSE_VERDICT_FAIL;
}

Test(refusal, answers_that_the_user_rejects)
{
    sse_client_options o = quick();
    o.validate = fail;
    struct fixture f = start(
        scripted_play, REPLIES({"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", 0, 0}), &o);
    cr_assert(recorder_wait(f.rec, "close SSE_EREJECTED"));
    cr_assert_str_eq(recorder_last_error(f.rec).body, "busy");
    finish(&f);
}

/* ---- The log ---- */

struct log {
    char warning[512];
};

static void on_log(void *user, sse_log_level level, const char *line)
{
    struct log *log = user;
    if (level == SSE_LOG_WARN)
        snprintf(log->warning, sizeof log->warning, "%s", line);
}

Test(refusal, the_log_has_its_first_line)
{
    struct log log = {""};
    sse_client_options o = quick();
    o.logger.fn = on_log;
    o.logger.user = &log;
    struct fixture f = start(
        scripted_play, REPLIES({"HTTP/1.1 404 No\r\n\r\nno such\x1b stream\nmore\n", 0, 0}), &o);
    cr_assert(recorder_wait(f.rec, "close"));
    sse_subscription_stop(f.sub);
    char want[200];
    snprintf(want, sizeof want, "%s: the server answered with status 404: no such? stream",
             scripted_url(f.server, "/"));
    cr_assert_str_eq(log.warning, want);
    finish(&f);
}
