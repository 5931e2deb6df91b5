/* Limits of connections and connects from one address, over real sockets: the addresses are 127.0.0.2 and so on. How the limits count is
 * tested in admission_test.c. */
#include "fixture.h"

#include "cert.h"
#include "clock.h"
#include "hub.h"
#include "metrics.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *const none[] = {"none"};
static const char here[] = "127.0.0.2", elsewhere[] = "127.0.0.3";

static sse_server *server;
static uint16_t port;

static sse_server_options limited(void)
{
    sse_server_options options = fixture_options();
    options.connect_exempt = none;
    options.connect_exempt_count = 1;
    return options;
}

static void start(const sse_server_options *options)
{
    server = serve(options, &port);
    create(server, "s");
}

/* A subscriber from this address. */
static http_conn *join_from(const char *address)
{
    http_response r;
    http_conn *c = http_connect_from(address, port);
    cr_assert_not_null(c, "no connection from %s", address);
    cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(c, &r, LONG), "no answer to %s", address);
    cr_assert_eq(r.status, 200, "%d to %s", r.status, address);
    http_response_fini(&r);
    return c;
}

static void expect_served(const char *address) { http_close(join_from(address)); }

/* With 429 and the seconds, and over TLS without a handshake. */
static void expect_refused(const char *address, const char *retry_after)
{
    http_response r;
    http_conn *c = http_connect_from(address, port);
    if (cert_tls()) {
        cr_assert_null(c, "a handshake from %s", address);
        return;
    }
    cr_assert_not_null(c);
    cr_assert(http_request(c, "GET", "/healthz", NULL, NULL, 0, &r, LONG), "no answer");
    cr_assert_eq(r.status, 429, "%d", r.status);
    cr_assert_str_eq(http_header(&r, "Retry-After"), retry_after);
    cr_assert_str_eq(http_header(&r, "Connection"), "close");
    http_response_fini(&r);
    http_close(c);
}

static bool nobody_is_connected(void *arg)
{
    (void)arg;
    return totals(server).connections == 0;
}

static bool all_are_back(void *arg)
{
    (void)arg;
    return sse__admission_look(server->admission).addresses == 0 && nobody_is_connected(NULL);
}

/* Without a rate, an address that has no connections is not kept. */
static void wait_places(void)
{
    cr_assert(wait_until(all_are_back, NULL, LONG), "%d addresses, %d connections",
              (int)sse__admission_look(server->admission).addresses,
              (int)totals(server).connections);
}

static uint64_t denied(sse__denial denial) { return atomic_load(&server->denials.counts[denial]); }

/* ---- connections of an address ---- */

Test(connects, so_many_connections_of_an_address)
{
    enum { PLACES = 3 };
    sse_server_options options = limited();
    options.max_connections_per_address = PLACES;
    start(&options);
    http_conn *c[PLACES], *other = join_from(elsewhere);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PLACES; i++)
            c[i] = join_from(here);
        expect_refused(here, "5");
        say(server, "s", "to all");
        for (int i = 0; i < PLACES; i++) {
            expect_data(c[i], "to all");
            http_close(c[i]);
        }
        expect_data(other, "to all");
        wait_subscribers(server, "s", 1);
        cr_assert_eq(sse_server_clear_history(server, "s"), SSE_OK);
    }
    cr_assert_eq(denied(SSE__DENIED_ADDRESS), 3);
    cr_assert_eq(totals(server).connects_refused, 3);
    http_close(other);
    wait_places();
    sse_server_free(server);
}

/* Ways in which a connection ends. */
static void by_fin(void) { http_close(join_from(here)); }

static void by_rst(void) { http_reset(join_from(here)); }

static void after_an_answer(void)
{
    http_response r;
    http_conn *c = http_connect_from(here, port);
    cr_assert(http_request(c, "GET", "/none", "Connection: close\r\n", NULL, 0, &r, LONG));
    http_response_fini(&r);
    http_close(c);
}

/* Plain bytes, in TLS instead of a handshake; then nothing more until the server ends it. */
static void say_and_wait(const char *bytes)
{
    char buf[512];
    struct sockaddr_in own = {.sin_family = AF_INET}, to = own;
    inet_pton(AF_INET, here, &own.sin_addr);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    if (*bytes)
        cr_assert_gt(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), 0);
    ssize_t n;
    do {
        cr_assert(wait_readable(fd, LONG), "the server does not end it: '%s'", bytes);
        n = recv(fd, buf, sizeof buf, 0);
    } while (n > 0);
    close(fd);
}

static void silent(void) { say_and_wait(""); }

static void half_a_request(void) { say_and_wait("GET /events?stream=s HTTP/1.1\r\nHost:"); }

static void garbage(void) { say_and_wait("\x01\x02 garbage\r\n\r\n"); }

/* The beginning of a ClientHello that says it is longer. */
static void half_a_handshake(void)
{
    say_and_wait("\x16\x03\x01\x02\x20\x01\x01\x1c\x03\x03 random");
}

static void broken_handshake(void) { say_and_wait("\x16\x03\x01\x01\x04\x02\x01\x01\x01\x01"); }

Test(connects, places_come_back_however_it_ends)
{
    static void (*const ways[])(void) = {by_fin,           by_rst,          after_an_answer,
                                         silent,           garbage,         half_a_request,
                                         half_a_handshake, broken_handshake};
    sse_server_options options = limited();
    options.max_connections_per_address = 1;
    options.request_timeout_ms = 50;
    options.heartbeat_ms = 160; /* so often deadlines are looked at, sixteen times */
    start(&options);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (int round = 0; round < 3; round++) {
            ways[i]();
            wait_places();
        }
    cr_assert_eq(totals(server).connects_refused, 0);
    http_conn *c = join_from(here);
    expect_refused(here, "5");
    http_close(c);
    wait_places();
    sse_server_free(server);
}

/* Also when it is the server that ends them. */
Test(connects, places_at_the_end)
{
    sse_server_options options = limited();
    options.max_connections_per_address = 2;
    start(&options);
    http_conn *a = join_from(here), *b = join_from(here),
              *idle = http_connect_from(elsewhere, port);
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    expect_end(a);
    expect_end(b);
    http_close(a);
    http_close(b);
    http_close(idle);
    wait_places();
    create(server, "s");
    a = join_from(here);
    idle = http_connect_from(elsewhere, port);
    sse_server_free(server); /* AddressSanitizer looks whether all is given back */
    http_close(a);
    http_close(idle);
}

/* ---- how fast they come ---- */

static _Atomic uint64_t now_ns = 1000000000000;

static uint64_t clock_of_the_test(void) { return now_ns; }

static void start_rate(uint32_t per_minute, uint32_t burst)
{
    sse__clock_set_source(clock_of_the_test);
    sse_server_options options = limited();
    options.connects_per_minute = per_minute;
    options.connect_burst = burst;
    options.request_timeout_ms = SSE_OFF;
    start(&options);
}

Test(connects, an_address_that_comes_too_fast)
{
    start_rate(30, 4);
    http_conn *before = join_from(here);
    for (int i = 0; i < 3; i++)
        expect_served(here);
    for (int i = 0; i < 5; i++)
        expect_refused(here, "2");
    for (int i = 0; i < 4; i++)
        expect_served(elsewhere);
    now_ns += 1500000000;
    expect_refused(here, "1");
    now_ns += 500000000;
    expect_served(here);
    expect_refused(here, "2");
    say(server, "s", "undisturbed");
    expect_data(before, "undisturbed");
    cr_assert_eq(denied(SSE__DENIED_RATE), 7);
    http_close(before);
    sse_server_free(server);
}

/* Requests on a connection that stays are no connects. */
Test(connects, requests_do_not_count)
{
    start_rate(1, 1);
    http_conn *c = http_connect_from(here, port);
    for (int i = 0; i < 20; i++) {
        http_response r;
        cr_assert(http_request(c, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        cr_assert_eq(r.status, 200);
        http_response_fini(&r);
    }
    expect_refused(here, "60");
    http_close(c);
    sse_server_free(server);
}

Test(connects, a_burst_by_default)
{
    start_rate(60, 0);
    for (int i = 0; i < 20; i++)
        expect_served(here);
    expect_refused(here, "1");
    sse_server_free(server);
    start_rate(60 * 30, 0);
    for (int i = 0; i < 30; i++)
        expect_served(here);
    expect_refused(here, "1");
    sse_server_free(server);
}

/* ---- who is exempt ---- */

Test(connects, loopback_is_exempt_unless_told)
{
    static const char *const one[] = {"127.0.0.3", "192.0.2.0/24"};
    sse_server_options options = fixture_options();
    options.connects_per_minute = options.connect_burst = options.max_connections_per_address = 1;
    start(&options);
    http_conn *a = join_from(here), *b = join_from(here), *c = join(port, "s");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(status_of(port, "GET", "/healthz", NULL, NULL), 200);
    cr_assert_eq(totals(server).connects_refused, 0);
    http_close(a);
    http_close(b);
    http_close(c);
    sse_server_free(server);
    options.connect_exempt = one;
    options.connect_exempt_count = 2;
    start(&options);
    a = join_from(here);
    expect_refused(here, "5");
    b = join_from(elsewhere);
    c = join_from(elsewhere);
    http_close(a);
    http_close(b);
    http_close(c);
    sse_server_free(server);
}

Test(connects, a_unix_socket_has_no_address)
{
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/sse-connects-%ld.sock", (long)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    sse_server_options options = limited();
    options.connects_per_minute = options.connect_burst = options.max_connections_per_address = 1;
    start(&options);
    cr_assert_eq(sse_server_listen(server, address, NULL, 0), SSE_OK);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, path);
    http_conn *c[5];
    for (int i = 0; i < 5; i++) {
        http_response r;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        c[i] = http_wrap(fd);
        cr_assert(http_request(c[i], "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        cr_assert_eq(r.status, 200);
        http_response_fini(&r);
    }
    for (int i = 0; i < 5; i++)
        http_close(c[i]);
    sse_server_free(server);
}

Test(connects, without_limits_nobody_is_counted)
{
    sse_server_options options = limited();
    start(&options);
    cr_assert_null(server->admission);
    for (int i = 0; i < 50; i++)
        expect_served(here);
    sse_server_free(server);
}

/* ---- what they are told; without TLS ---- */

#define PROGRAM "User-Agent: curl/7.88\r\n"
#define BROWSER "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0\r\n"
#define WANTS_EVENTS "Accept: text/event-stream\r\n"

static void fill_the_place(void)
{
    sse_server_options options = limited();
    options.max_connections_per_address = 1;
    options.threads = 1;
    start(&options);
}

/* 0: closed without an answer. */
static int status_told(const char *method, const char *headers)
{
    http_response r;
    http_conn *c = http_connect_from(here, port);
    cr_assert(http_send_request(c, method, "/events?stream=s", headers, NULL, 0, LONG));
    bool answered = http_read_head(c, &r, LONG);
    int status = answered ? r.status : 0;
    if (answered)
        http_response_fini(&r);
    else
        cr_assert(wait_readable(http_fd(c), 0), "it is closed");
    http_close(c);
    return status;
}

/* An EventSource would never come back after a status. */
Test(connects_told, a_browsers_event_source_is_told_nothing)
{
    fill_the_place();
    http_conn *c = join_from(here);
    cr_assert_eq(status_told("GET", NULL), 429);
    cr_assert_eq(status_told("GET", PROGRAM WANTS_EVENTS), 429);
    cr_assert_eq(status_told("GET", BROWSER "Accept: text/html,*/*\r\n"), 429);
    cr_assert_eq(status_told("GET", BROWSER "Accept: */*\r\nX-A: text/event-stream\r\n"), 429);
    cr_assert_eq(status_told("POST", BROWSER "Accept: */*\r\n"), 429);
    cr_assert_eq(denied(SSE__DENIED_ADDRESS), 5);
    cr_assert_eq(totals(server).refused, 5);
    cr_assert_eq(status_told("GET", BROWSER WANTS_EVENTS), 0);
    cr_assert_eq(status_told("GET", "accept: TEXT/Event-Stream\r\nuser-agent: mozilla/5.0\r\n"), 0);
    cr_assert_eq(denied(SSE__DENIED_ADDRESS), 7);
    cr_assert_eq(totals(server).refused, 5);
    http_close(c);
    sse_server_free(server);
}

/* A head of which the rest is still to come may be an EventSource's. */
Test(connects_told, half_a_head_is_told_nothing)
{
    fill_the_place();
    http_conn *c = join_from(here), *other = http_connect_from(here, port);
    cr_assert(http_send_text(
        other, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n", LONG));
    char byte;
    cr_assert(wait_readable(http_fd(other), LONG), "it is closed");
    cr_assert_leq(recv(http_fd(other), &byte, 1, MSG_DONTWAIT), 0, "nothing is said");
    cr_assert_eq(denied(SSE__DENIED_ADDRESS), 1);
    cr_assert_eq(totals(server).refused, 0);
    http_close(other);
    http_close(c);
    sse_server_free(server);
}

static bool has_denied(void *arg) { return denied(SSE__DENIED_ADDRESS) >= *(uint64_t *)arg; }

/* Those that say nothing: some are waited for, and the others cost no descriptor. */
Test(connects_told, who_says_nothing_costs_little)
{
    enum { WAITING = 64, MORE = 100 };
    fill_the_place();
    http_conn *place = join_from(here), *c[WAITING + MORE];
    uint64_t all = WAITING;
    for (int i = 0; i < WAITING; i++)
        c[i] = http_connect_from(here, port);
    cr_assert(wait_until(has_denied, &all, LONG));
    cr_assert_eq(totals(server).connections, 1 + WAITING);
    for (int i = WAITING; i < WAITING + MORE; i++) {
        c[i] = http_connect_from(here, port);
        cr_assert(wait_readable(http_fd(c[i]), LONG), "it is closed");
    }
    cr_assert_eq(totals(server).connections, 1 + WAITING);
    cr_assert_eq(denied(SSE__DENIED_ADDRESS), WAITING + MORE);
    for (int i = 0; i < WAITING; i++) {
        http_response r;
        cr_assert_not(wait_readable(http_fd(c[i]), 0));
        cr_assert(http_request(c[i], "GET", "/", NULL, NULL, 0, &r, LONG));
        cr_assert_eq(r.status, 429);
        http_response_fini(&r);
    }
    for (int i = 0; i < WAITING + MORE; i++)
        http_close(c[i]);
    expect_refused(here, "5"); /* who comes now is told again */
    http_close(place);
    wait_places();
    sse_server_free(server);
}

/* The limit of the whole server goes before, and is told as ever. */
Test(connects_told, the_servers_own_limit)
{
    sse_server_options options = limited();
    options.max_connections_per_address = 1;
    options.max_subscribers = 1;
    start(&options);
    atomic_fetch_add(&server->counters.connections, 1001); /* as if these were there */
    cr_assert_eq(status_told("GET", NULL), 503);
    atomic_fetch_sub(&server->counters.connections, 1001);
    cr_assert_eq(denied(SSE__DENIED_SERVER), 1);
    expect_served(here);
    wait_places();
    sse_server_free(server);
}

/* ---- the log and the metrics ---- */

static char lines[8][512];
static atomic_size_t nlines;

static void on_log(void *user, sse_log_level level, const char *line)
{
    (void)user;
    if (level == SSE_LOG_WARN && strncmp(line, "connections refused: ", 21) == 0 && nlines < 8) {
        snprintf(lines[nlines], sizeof lines[0], "%s", line);
        nlines++;
    }
}

static bool has_lines(void *arg) { return nlines >= *(size_t *)arg; }

Test(connects_told, one_line_for_many)
{
    sse__clock_set_source(clock_of_the_test);
    sse_server_options options = limited();
    options.connects_per_minute = 1;
    options.connect_burst = 2;
    options.max_connections_per_address = 1;
    options.request_timeout_ms = SSE_OFF;
    options.logger = (sse_logger){.fn = on_log};
    start(&options);
    http_conn *c = join_from(here);
    for (int i = 0; i < 20; i++)
        expect_refused(here, "5");
    cr_assert_eq(nlines, 1);
    cr_assert_str_eq(lines[0], "connections refused: 1 beyond the limit of their address; the last "
                               "one from 127.0.0.2");
    http_close(c);
    cr_assert(wait_until(nobody_is_connected, NULL, LONG));
    expect_served(here);
    cr_assert(wait_until(nobody_is_connected, NULL, LONG));
    for (int i = 0; i < 2; i++)
        expect_refused(here, "60");
    cr_assert_eq(nlines, 1);
    now_ns += 10000000000;
    size_t two = 2;
    cr_assert(wait_until(has_lines, &two, LONG), "the rest is told without another one");
    cr_assert_str_eq(lines[1], "connections refused: 2 that came too fast from their address, 19 "
                               "beyond the limit of their address");
    now_ns += 10000000000;
    expect_refused(here, "40");
    cr_assert_eq(nlines, 3);
    cr_assert_str_eq(lines[2], "connections refused: 1 that came too fast from their address; the "
                               "last one from 127.0.0.2");
    expect_refused(here, "40");
    sse_server_free(server);
    cr_assert_eq(nlines, 4, "what is left at the end");
    cr_assert_str_eq(lines[3], "connections refused: 1 that came too fast from their address");
}

Test(connects_told, metrics)
{
    start_rate(1, 3);
    http_conn *c = join_from(here);
    expect_served(here);
    expect_served(elsewhere);
    expect_served(here);
    for (int i = 0; i < 4; i++)
        expect_refused(here, "60");
    http_response r;
    cr_assert_eq(ask(port, "GET", "/metrics", NULL, NULL, &r), 200);
    metrics *m = metrics_parse(r.body);
    cr_assert_not_null(m, "%s", r.body);
    http_response_fini(&r);
    cr_assert_eq(metrics_value(m, "sse_connects_refused_total{reason=\"rate\"}"), 4);
    cr_assert_eq(metrics_value(m, "sse_connects_refused_total{reason=\"address\"}"), 0);
    cr_assert_eq(metrics_value(m, "sse_connects_refused_total{reason=\"server\"}"), 0);
    cr_assert_eq(metrics_value(m, "sse_connects_refused_total{reason=\"memory\"}"), 0);
    cr_assert_eq(metrics_count(m, "sse_connects_refused_total"), 4);
    cr_assert_eq(metrics_value(m, "sse_requests_refused_total{status=\"429\"}"), 4);
    cr_assert_eq(metrics_value(m, "sse_addresses"), 3);
    cr_assert_eq(metrics_value(m, "sse_addresses_forgotten_total"), 0);
    metrics_free(m);
    http_close(c);
    sse_server_free(server);
}
