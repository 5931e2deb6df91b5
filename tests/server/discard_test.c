/* Who is refused while still sending gets the answer, and no reset before it; and does not keep the server busy for that. */
#include "fixture.h"

#include "cert.h"
#include "clock.h"
#include "hub.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY = 1000000, AT_ONCE = 64, ROUNDS = 5 };

static const char *const none[] = {"none"};
static const char here[] = "127.0.0.2", elsewhere[] = "127.0.0.3";
static const char with_a_body[] = "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: 1000000\r\n\r\n";

static sse_server *server;
static uint16_t port;
static _Atomic uint64_t now_ns = 1000000000000;

/* How often the server has looked whether somebody still sends. */
static atomic_int looks;

ssize_t __real_recv(int fd, void *buf, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t n, int flags)
{
    looks += n == 1 && (flags & MSG_PEEK);
    return __real_recv(fd, buf, n, flags);
}

static uint64_t clock_of_the_test(void) { return now_ns; }

/* One connection of an address at a time. */
static void start(void)
{
    sse__clock_set_source(clock_of_the_test);
    sse_server_options options = fixture_options();
    options.threads = 1;
    options.request_timeout_ms = SSE_OFF;
    options.http_publish = true;
    options.connect_exempt = none;
    options.connect_exempt_count = 1;
    options.max_connections_per_address = 1;
    server = serve(&options, &port);
    create(server, "s");
}

static void stop(void) { sse_server_free(server); }

TestSuite(discard, .init = start, .fini = stop);
TestSuite(refused, .init = start, .fini = stop);

static http_conn *connect_from(const char *address)
{
    http_conn *c = http_connect_from(address, port);
    cr_assert_not_null(c);
    return c;
}

static void expect_status(http_conn *c, int status)
{
    http_response r;
    cr_assert(http_read_head(c, &r, LONG), "no answer, where %d was to come", status);
    cr_assert_eq(r.status, status, "%d, not %d", r.status, status);
    cr_assert(http_read_body(c, &r, false, LONG));
    cr_assert_str_eq(http_header(&r, "Connection"), "close");
    cr_assert_gt(r.body_len, 0u);
    http_response_fini(&r);
}

/* Like a client that reads nothing before it has sent all. */
static void send_all_then_read(http_conn *c, const char *head, size_t body, int status)
{
    cr_assert(http_send_text(c, head, LONG));
    cr_assert(http_send(c, bulk(body), body, LONG), "reset while it sent");
    expect_status(c, status);
}

static bool sending_fails(void *conn) { return !http_send(conn, "x", 1, LONG); }

/* Its time may begin only when the answer has been read already. */
static bool later_sending_fails(void *conn)
{
    now_ns += 6000000000;
    return sending_fails(conn);
}

static bool nobody_is_counted(void *arg)
{
    (void)arg;
    return sse__admission_look(server->admission).addresses == 0;
}

static void wait_places(void) { cr_assert(wait_until(nobody_is_counted, NULL, LONG)); }

/* ---- by the HTTP library, or by ourselves after it has the connection ---- */

Test(discard, the_answer_comes_before_the_end)
{
    static const struct {
        const char *head;
        int status;
    } cases[] = {
        /* it asked, and did not wait */
        {"POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
         "Expect: 100-continue\r\n\r\n",
         404},
        {"POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
         "Content-Length: 3\r\n\r\n",
         400},
        {"POST /none HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nCookie: ", 431},
        {"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", 400} /* and no Host */
    };
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            http_conn *c = connect_from(here);
            send_all_then_read(c, cases[i].head, BODY, cases[i].status);
            http_close(c);
            wait_places();
        }
}

/* More than anybody would read: answered, whatever becomes of the rest. */
Test(discard, a_body_without_end_is_answered_at_once)
{
    http_conn *c = connect_from(here);
    cr_assert(http_send_text(c,
                             "POST /none HTTP/1.1\r\nHost: localhost\r\n"
                             "Content-Length: 99999999999\r\n\r\n",
                             LONG));
    expect_status(c, 404);
    http_close(c);
}

static bool nobody_is_connected(void *arg)
{
    (void)arg;
    return atomic_load(&server->counters.connections) == 0;
}

static void subscribe_and_leave(void (*leave)(http_conn *c))
{
    leave(join(port, "s"));
    cr_assert(wait_until(nobody_is_connected, NULL, LONG));
}

/* Of a subscriber that has left there is nothing to learn, so no system call is spent on it. */
Test(discard, who_has_left_is_not_looked_at)
{
    for (int i = 0; i < 10; i++) {
        subscribe_and_leave(http_close);
        subscribe_and_leave(http_reset);
    }
    cr_assert_eq(totals(server).left[SSE_LEFT_GONE], 20);
    cr_assert_eq(looks, 0, "%d looks", (int)looks);
    cr_assert_eq(status_of(port, "GET", "/healthz", NULL, NULL), 200);
    cr_assert(wait_until(nobody_is_connected, NULL, LONG));
    cr_assert_eq(looks, 1, "what is counted is no look");
}

static bool has_closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, LONG) == 1;
}

/* The library refuses it by itself, and its client goes on only when our side has closed. */
Test(discard, also_that_of_a_second_request)
{
    for (int round = 0; round < ROUNDS; round++) {
        http_response r;
        http_conn *c = connect_from(here);
        cr_assert(http_request(c, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        cr_assert_eq(r.status, 200);
        http_response_fini(&r);
        cr_assert(http_send_text(c, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", LONG));
        cr_assert(has_closed(http_fd(c)));
        send_all_then_read(c, "", BODY, 400); /* it had no Host */
        http_close(c);
        wait_places();
    }
}

/* Nobody knows how long it is, so it is read for a while: longer than that, and it is answered in its midst. */
Test(discard, a_chunked_body_without_end_is_answered)
{
    enum { MUCH = 70 }; /* MB, a few more than are read */
    static const struct {
        const char *head;
        int status;
        const char *says;
    } cases[] = {{"POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n",
                  413, "The body is larger than 1048576 bytes.\n"},
                 {"DELETE /events?stream=none HTTP/1.1\r\nHost: localhost\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n",
                  413, "The body is larger than 67108864 bytes.\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_conn *c = connect_from(here);
        cr_assert(http_send_text(c, cases[i].head, LONG));
        for (int sent = 0; sent < MUCH; sent++)
            cr_assert(http_send_text(c, "f4240\r\n", LONG) &&
                          http_send(c, bulk(BODY), BODY, LONG) && http_send_text(c, "\r\n", LONG),
                      "reset after %d MB", sent);
        http_response r;
        cr_assert(http_read_head(c, &r, LONG), "no answer");
        cr_assert_eq(r.status, cases[i].status, "%d", r.status);
        cr_assert(http_read_body(c, &r, false, LONG));
        cr_assert_str_eq(r.body, cases[i].says);
        cr_assert_str_eq(http_header(&r, "Connection"), "close");
        cr_assert_str_eq(http_header(&r, "Cache-Control"), "no-store");
        cr_assert_str_eq(http_header(&r, "Content-Type"), "text/plain; charset=utf-8");
        http_response_fini(&r);
        http_close(c);
        wait_places();
    }
}

/* The place of an address stays with the descriptor. */
Test(discard, it_keeps_its_place)
{
    http_conn *c = connect_from(here);
    cr_assert(http_send_text(c,
                             "POST /none HTTP/1.1\r\nHost: localhost\r\n"
                             "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
                             LONG));
    expect_status(c, 404);
    http_conn *other = http_connect_from(here, port);
    if (cert_tls()) {
        cr_assert_null(other);
    } else {
        cr_assert(http_send_text(other, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", LONG));
        expect_status(other, 429);
    }
    http_close(other);
    cr_assert(http_send(c, bulk(BODY), BODY, LONG));
    http_close(c);
    wait_places();
}

/* ---- as soon as they are accepted ---- */

static http_conn *take_the_place(void)
{
    http_response r;
    http_conn *c = connect_from(here);
    cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    return c;
}

Test(refused, with_a_body)
{
    http_conn *first = take_the_place();
    for (int round = 0; round < ROUNDS; round++) {
        http_conn *c = connect_from(here);
        send_all_then_read(c, with_a_body, BODY, 429);
        http_close(c);
    }
    http_close(first);
}

Test(refused, where_the_server_is_full)
{
    uint64_t before = atomic_fetch_add(&server->counters.connections, UINT32_MAX);
    for (int round = 0; round < ROUNDS; round++) {
        http_conn *c = connect_from(elsewhere);
        send_all_then_read(c, with_a_body, BODY, 503);
        http_close(c);
    }
    atomic_store(&server->counters.connections, before);
}

/* As many as may be; of those that come then, nothing is read. */
Test(refused, so_many_and_no_more)
{
    http_conn *first = take_the_place(), *c[AT_ONCE + 1];
    for (int i = 0; i <= AT_ONCE; i++) {
        c[i] = connect_from(here);
        cr_assert(http_send_text(c[i], with_a_body, LONG));
        expect_status(c[i], 429);
    }
    cr_assert(wait_until(sending_fails, c[AT_ONCE], LONG));
    for (int i = 0; i < AT_ONCE; i++)
        cr_assert(http_send(c[i], bulk(BODY / 10), BODY / 10, LONG), "the %dth", i);
    for (int i = 0; i <= AT_ONCE; i++)
        http_close(c[i]);
    http_close(first);
}

Test(refused, so_much_and_no_more)
{
    enum { MOST = 16, MUCH = 64 }; /* MB; what is in the sockets' buffers comes on top */
    http_conn *first = take_the_place(), *c = connect_from(here);
    int sent = 0;
    cr_assert(http_send_text(c, with_a_body, LONG));
    while (sent < MUCH && http_send(c, bulk(BODY), BODY, LONG))
        sent++;
    cr_assert_geq(sent, MOST);
    cr_assert_lt(sent, MUCH, "still read after %d MB", sent);
    http_close(c);
    http_close(first);
}

Test(refused, so_long_and_no_longer)
{
    http_conn *first = take_the_place(), *c = connect_from(here);
    cr_assert(http_send_text(c, with_a_body, LONG));
    expect_status(c, 429);
    cr_assert(http_send(c, bulk(BODY), BODY, LONG));
    cr_assert(wait_until(later_sending_fails, c, LONG));
    http_close(c);
    http_close(first);
}

/* The fixture's end, with a sanitizer, looks whether they are given back. */
Test(refused, the_server_stops_meanwhile)
{
    http_conn *first = take_the_place(), *c = connect_from(here);
    cr_assert(http_send_text(c, with_a_body, LONG));
    expect_status(c, 429);
    sse_server_stop(server);
    cr_assert(wait_until(sending_fails, c, LONG));
    http_close(c);
    http_close(first);
}

/* Plain bytes to a port that speaks TLS. */
Test(discard, plain_bytes_for_tls)
{
    char answer[512] = "";
    size_t len = 0;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (!cert_tls())
        cr_skip_test("the server speaks plainly");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_gt(send(fd, with_a_body, strlen(with_a_body), MSG_NOSIGNAL), 0);
    for (size_t sent = 0; sent < BODY;) {
        ssize_t n = send(fd, bulk(BODY), BODY - sent, MSG_NOSIGNAL);
        cr_assert_gt(n, 0, "reset while it sent");
        sent += (size_t)n;
    }
    for (ssize_t n = 1; n > 0; len += (size_t)n) {
        cr_assert(wait_readable(fd, LONG));
        n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
        cr_assert_geq(n, 0);
    }
    cr_assert(strstr(answer, "400 Bad Request") && strstr(answer, "speaks HTTPS"), "%s", answer);
    cr_assert_eq(sse__refusals[0], 400);
    cr_assert_eq(atomic_load(&server->counters.refused[0]), 1);
    close(fd);
    wait_places();
}
