/* Broken, hostile and unlucky requests to sse-server: each ends in a clear error or a closed
 * connection, and a legitimate subscriber beside notices nothing. What servers do to sse-sub is in
 * bad_server_test.c. */
#include "../support/cert.h"
#include "e2e.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A server with a legitimate subscriber, who gets an event after every attack. */
typedef struct target {
    hub h;
    http_conn *legitimate;
    size_t events;
} target;

static target target_start(void)
{
    target t = {.h = hub_start(ARGS("--stream=s", "--request-timeout=0.5",
                                    "--max-event-bytes=10000", "--replay=none"))};
    t.legitimate = follow(&t.h, "s", NULL, NULL);
    return t;
}

static void undisturbed(target *t)
{
    const char *data = text("event %zu", t->events++);
    publish(&t->h, "s", NULL, data);
    expect_data(t->legitimate, data);
}

static void target_end(target *t)
{
    undisturbed(t);
    cr_assert_eq(stream_number(&t->h, "s", "subscribers"), 1u);
    cr_assert_eq(stream_number(&t->h, "s", "events"), t->events, "something was published");
    http_close(t->legitimate);
    hub_end(&t->h);
}

/* Send these bytes; the answer must have one of two statuses (0: closed without an answer). */
static void attack_bytes(target *t, const void *bytes, size_t n, int status, int other)
{
    http_conn *c = http_connect(t->h.port);
    cr_assert_not_null(c);
    http_response r = {.status = 0};
    int got = 0;
    (void)http_send(c, bytes, n, LONG); /* it may well be closed before all is sent */
    if (http_read_head(c, &r, LONG)) {
        got = r.status;
        http_response_fini(&r);
    }
    http_close(c);
    cr_assert(got == status || got == other, "%d, not %d or %d, to: %.60s", got, status, other,
              (const char *)bytes);
    undisturbed(t);
}

static void attack(target *t, const char *bytes, int status, int other)
{
    attack_bytes(t, bytes, strlen(bytes), status, other);
}

Test(bad_input, request_lines)
{
    target t = target_start();
    attack(&t, "\r\n\r\n\r\n", 0, 400);
    attack(&t, "GET\r\n\r\n", 0, 400);
    attack(&t, "GET /events?stream=s\r\n\r\n", 0, 400);
    attack(&t, "GET /events?stream=s HTTP/9.9\r\nHost: localhost\r\n\r\n", 505, 400);
    attack(&t, "GET /events?stream=s FTP/1.1\r\nHost: localhost\r\n\r\n", 505, 400);
    attack(&t, "/events?stream=s GET HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, 404);
    attack(&t, "GET /events?stream=s HTTP/1.1\r\n\r\n", 400, 400); /* no Host */
    attack(&t, "GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 400);
    attack(&t, "GET /%zz%00?stream=%%% HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 400);
    attack(&t, "GET /events?stream=s&stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 400);
    attack(&t, "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 404);
    attack(&t, "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 405);
    attack(&t, "CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 405);
    target_end(&t);
}

Test(bad_input, methods)
{
    target t = target_start();
    static const char *const methods[] = {"PUT", "PATCH",    "get",
                                          "G",   "PROPFIND", "POSTPOSTPOSTPOSTPOSTPOSTPOSTPOST"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        attack(&t, text("%s /events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n", methods[i]), 405,
               405);
    target_end(&t);
}

static void make_noise(unsigned char *noise, size_t n)
{
    static unsigned seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245u + 12345u;
        noise[i] = (unsigned char)(seed >> 16);
    }
}

Test(bad_input, binary_noise)
{
    target t = target_start();
    for (int round = 0; round < 30; round++) {
        unsigned char noise[600];
        make_noise(noise, sizeof noise);
        if (round % 3 == 1)
            memcpy(noise, "GET /events?stream=s HTTP/1.1\r\n", 31);
        if (round % 3 == 2)
            memcpy(noise, "\x16\x03\x01\x02\x00\x01", 6); /* TLS */
        memcpy(noise + sizeof noise - 4, "\r\n\r\n", 4);
        attack_bytes(&t, noise, sizeof noise, 0, 400);
    }
    target_end(&t);
}

/* Read to the end: that the port speaks HTTPS if so, otherwise alerts of TLS at most. */
static void expect_no_handshake(http_conn *c, bool told)
{
    static const char answer[] = "HTTP/1.1 400 ";
    char bytes[4096];
    size_t len = 0;
    ssize_t n = 1;
    while (n > 0) {
        cr_assert(wait_readable(http_fd(c), LONG), "it stays open");
        n = recv(http_fd(c), bytes + len, sizeof bytes - len, 0);
        len += n > 0 ? (size_t)n : 0;
    }
    if (told)
        cr_assert(len > sizeof answer && memcmp(bytes, answer, sizeof answer - 1) == 0);
    else
        cr_assert(len == 0 || (bytes[0] == 0x15 && len < 64), "%zu bytes", len);
}

/* The same below TLS: nothing of it, a record that is none, a client's hello that ends as noise. */
Test(bad_input, noise_in_place_of_a_handshake)
{
    static const unsigned char record[] = {0x16, 3, 1, 2, 0, 0xff};
    static const unsigned char hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
    if (!cert_tls())
        cr_skip_test("without TLS this is binary_noise");
    target t = target_start();
    for (int round = 0; round < 30; round++) {
        unsigned char noise[600];
        make_noise(noise, sizeof noise);
        noise[0] |= 0x40; /* not what a record of TLS begins with */
        if (round % 3 == 1)
            memcpy(noise, record, sizeof record);
        if (round % 3 == 2)
            memcpy(noise, hello, sizeof hello);
        http_conn *c = http_connect_plain(t.h.port);
        cr_assert_not_null(c);
        (void)http_send(c, noise, sizeof noise, LONG);
        expect_no_handshake(c, round % 3 == 0);
        http_close(c);
        undisturbed(&t);
    }
    target_end(&t);
}

static void attack_with_header(target *t, size_t n, int status, int other)
{
    char *request = malloc(n + 200);
    int at = sprintf(request, "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
    memset(request + at, 'x', n);
    strcpy(request + at + n, "\r\n\r\n");
    attack(t, request, status, other);
    free(request);
}

Test(bad_input, huge_headers)
{
    target t = target_start();
    attack_with_header(&t, 65536, 431, 0);
    attack_with_header(&t, 1 << 20, 431, 0);
    char *many = malloc(70000);
    int at = sprintf(many, "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\n");
    while (at < 65536)
        at += sprintf(many + at, "X-%d: y\r\n", at);
    strcpy(many + at, "\r\n");
    attack(&t, many, 431, 0);
    free(many);
    target_end(&t);
}

Test(bad_input, huge_url)
{
    target t = target_start();
    char *request = malloc(70000);
    int at = sprintf(request, "GET /events?stream=");
    memset(request + at, 'x', 65536);
    strcpy(request + at + 65536, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    attack(&t, request, 414, 0);
    free(request);
    request = malloc(4000);
    at = sprintf(request, "GET /events?stream=");
    memset(request + at, 'x', 3000); /* fits, but is no name */
    strcpy(request + at + 3000, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    attack(&t, request, 404, 400);
    free(request);
    target_end(&t);
}

Test(bad_input, bodies)
{
    static const char post[] = "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n";
    target t = target_start();
    attack(&t, text("%sTransfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n0\r\n\r\n", post), 400, 0);
    attack(&t, text("%sTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", post), 400, 413);
    attack(&t, text("%sTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n", post), 400, 0);
    attack(&t, text("%sContent-Length: -1\r\n\r\n", post), 400, 400);
    attack(&t, text("%sContent-Length: 99999999999999999999\r\n\r\n", post), 400, 413);
    attack(&t, text("%sContent-Length: many\r\n\r\n", post), 400, 400);
    attack(&t, text("%sContent-Length: 20000\r\nExpect: 100-continue\r\n\r\n", post), 413, 413);
    target_end(&t);
}

Test(bad_input, body_over_the_limit)
{
    target t = target_start();
    char *body = malloc(20001);
    memset(body, 'x', 20000);
    body[20000] = '\0';
    expect_error(&t.h, "POST", "/events?stream=s", NULL, body, 413, "10000 bytes");
    char *request = malloc(30000);
    int at = sprintf(
        request,
        "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20; i++)
        at += sprintf(request + at, "3e8\r\n%.1000s\r\n", body);
    strcpy(request + at, "0\r\n\r\n");
    attack(&t, request, 413, 413);
    free(request);
    free(body);
    target_end(&t);
}

/* conformance 29 */
Test(bad_input, line_ends_in_fields)
{
    target t = target_start();
    static const char *const bad[] = {"id=a%0Ab", "id=a%0D%0Ab",      "id=%0D",
                                      "id=a%00b", "event=a%0Adata:x", "event=%00"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&t.h, "POST", text("/events?stream=s&%s", bad[i]), NULL, "x", 400,
                     "CR, LF or NUL");
    attack(&t, "GET /events?stream=s%0d%0aX-Injected:%20y HTTP/1.1\r\nHost: localhost\r\n\r\n", 404,
           400);
    target_end(&t);
}

/* ---- requests that do not end ---- */

Test(bad_input, half_a_request_then_close)
{
    static const char request[] =
        "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    target t = target_start();
    for (size_t n = 0; n < sizeof request - 1; n += 7) {
        http_conn *c = http_connect(t.h.port);
        cr_assert(http_send(c, request, n, LONG));
        if (n % 2)
            http_reset(c);
        else
            http_close(c);
    }
    undisturbed(&t);
    for (size_t n = 1; n < sizeof request - 1; n += 11) {
        http_conn *c = http_connect(t.h.port);
        cr_assert(http_send(c, request, n, LONG));
        http_shutdown(c);
        http_response r;
        if (http_read_head(c, &r, LONG)) {
            cr_assert_geq(r.status, 400);
            http_response_fini(&r);
        }
        http_close(c);
    }
    target_end(&t);
}

static bool ended(http_conn *c)
{
    http_response r;
    if (!http_read_head(c, &r, LONG))
        return wait_readable(http_fd(c), 0);
    bool error = r.status >= 400;
    http_response_fini(&r);
    return error;
}

/* The request timeout ends them, all at the same time. */
Test(bad_input, slow_requests)
{
    enum { N = 60 };
    static const char *const starts[] = {
        "",
        "G",
        "GET /events?stream=s HTTP/1.1\r\n",
        "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345",
        ("POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n"
         "Transfer-Encoding: chunked\r\n\r\n5\r\n12")};
    target t = target_start();
    http_conn *all[N];
    for (int i = 0; i < N; i++) {
        all[i] = http_connect(t.h.port);
        cr_assert_not_null(all[i]);
        cr_assert(http_send_text(all[i], starts[i % 6], LONG));
    }
    undisturbed(&t);
    for (int i = 0; i < N; i++) {
        cr_assert(ended(all[i]), "%s", starts[i % 6]);
        http_close(all[i]);
    }
    target_end(&t);
}

/* One header byte at a time keeps nobody's connection open for ever. */
Test(bad_input, trickled_headers)
{
    target t = target_start();
    http_conn *c = http_connect(t.h.port);
    cr_assert(http_send_text(c, "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nX: ", LONG));
    int64_t deadline = wait_now_ms() + LONG;
    while (!wait_readable(http_fd(c), 50)) {
        cr_assert_gt(wait_left_ms(deadline), 0, "it may go on and on");
        if (!http_send_text(c, "x", LONG))
            break;
    }
    http_close(c);
    target_end(&t);
}

/* ---- more than one request ---- */

Test(bad_input, pipelined_requests)
{
    target t = target_start();
    http_conn *c = http_connect(t.h.port);
    http_response r;
    for (int i = 0; i < 20; i++)
        cr_assert(http_send_text(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", LONG));
    cr_assert(http_send_text(c, "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", LONG));
    for (int i = 0; i < 21; i++) {
        cr_assert(http_read_head(c, &r, LONG));
        cr_assert_eq(r.status, i < 20 ? 200 : 404);
        cr_assert(http_read_body(c, &r, false, LONG));
        http_response_fini(&r);
    }
    http_close(c);
    /* Requests behind a subscription wait for its end, which does not come. */
    c = http_connect(t.h.port);
    cr_assert(http_send_text(c,
                             "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz "
                             "HTTP/1.1\r\nHost: localhost\r\n\r\n",
                             LONG));
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    undisturbed(&t);
    expect_data(c, text("event %zu", t.events - 1));
    http_close(c);
    wait_number(&t.h, "s", "subscribers", 1);
    target_end(&t);
}

/* A subscriber that goes on talking is not understood, and harms nobody. */
Test(bad_input, subscriber_that_talks)
{
    target t = target_start();
    http_conn *c = follow(&t.h, "s", NULL, NULL);
    for (int i = 0; i < 50; i++)
        (void)http_send_text(c, "blah blah blah blah blah blah blah blah blah blah\r\n\r\n", LONG);
    undisturbed(&t);
    http_close(c);
    wait_number(&t.h, "s", "subscribers", 1);
    target_end(&t);
}

/* A body on a GET. */
Test(bad_input, subscriber_with_a_body)
{
    target t = target_start();
    http_conn *c = http_connect(t.h.port);
    http_response r;
    cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, "unwanted", 8, LONG));
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    undisturbed(&t);
    expect_data(c, text("event %zu", t.events - 1));
    http_close(c);
    wait_number(&t.h, "s", "subscribers", 1);
    target_end(&t);
}

/* Connections that never say anything. */
Test(bad_input, silent_connections)
{
    enum { N = 200 };
    target t = target_start();
    http_conn *all[N];
    for (int i = 0; i < N; i++)
        cr_assert_not_null(all[i] = http_connect(t.h.port));
    undisturbed(&t);
    for (int i = 0; i < N; i++) {
        cr_assert(ended(all[i]));
        http_close(all[i]);
    }
    target_end(&t);
}
