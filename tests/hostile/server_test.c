/* sse-server under attack, in masses and from all sides at once: legitimate subscribers beside do not notice, and when it is over
 * the server has its descriptors and its memory back. What a single bad request is answered is in e2e/bad_input_test.c. */
#include "../support/cert.h"
#include "bystanders.h"
#include "e2e.h"
#include "scale.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MASS = SCALED(60, 10),
    SILENT = SCALED(10000, 1000),
    SILENT_TLS = SCALED(1000, 200),
    MEMORY = 8 << 20
};

/* ---- what the server holds ---- */

/* Sockets, not descriptors: each shard that is used for the first time takes some for good. */
static int count_sockets(const hub *h)
{
    char directory[64], path[400], target[32];
    int n = 0;
    snprintf(directory, sizeof directory, "/proc/%ld/fd", (long)proc_pid(h->process));
    DIR *dir = opendir(directory);
    cr_assert_not_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        n += len > 7 && memcmp(target, "socket:", 7) == 0;
    }
    closedir(dir);
    return n;
}

typedef struct balance {
    const hub *h;
    int sockets;
} balance;

static bool is_back(void *arg)
{
    const balance *b = arg;
    return count_sockets(b->h) <= b->sockets;
}

static void wait_sockets(const hub *h, int sockets)
{
    balance b = {h, sockets};
    cr_assert(wait_until(is_back, &b, LONG), "%d sockets, not %d", count_sockets(h), sockets);
}

static uint64_t metric(const hub *h, const char *name)
{
    http_response r = ask(h, "GET", "/metrics", NULL, NULL);
    const char *line = strstr(r.body, text("\n%s ", name));
    cr_assert_not_null(line, "no %s", name);
    uint64_t value = strtoull(line + strlen(name) + 2, NULL, 10);
    http_response_fini(&r);
    return value;
}

/* For which the attackers wait. Over TLS the handshakes of the others must get done in it, on a machine that is busy. */
static const char *short_timeout(void)
{
    return cert_tls() ? "--request-timeout=4" : "--request-timeout=1";
}

/* Attack twice beside legitimate subscribers: the second time must not cost anything that stays. */
static void attack_twice(const char *const args[], bool restless,
                         void (*attack)(const hub *h, bystanders *b))
{
    hub h = hub_start(args);
    bystanders *b = bystanders_start(h.port, restless);
    bystanders_go_on(b, 10);
    long memory = 0;
    for (int i = 0; i < 2; i++) {
        size_t before = bystanders_events(b);
        attack(&h, b);
        cr_assert_gt(bystanders_events(b), before);
        wait_sockets(&h, 1 + 1 + 20); /* listener, publisher, subscribers */
        long growth = wait_resident_bytes(proc_pid(h.process)) - memory;
        cr_assert(SANITIZED || i == 0 || growth < MEMORY, "%ld bytes more", growth);
        memory += growth;
        bystanders_go_on(b, 10);
    }
    bystanders_stop(b);
    hub_end(&h);
}

/* ---- requests that are none ---- */

typedef struct bytes {
    const char *ptr;
    size_t len;
} bytes;
#define BYTES(literal)                                                                             \
    {                                                                                              \
        literal, sizeof literal - 1                                                                \
    }

static const bytes bad_requests[] = {
    BYTES(""),
    BYTES("G"),
    BYTES("GET /events?stream=s"),
    BYTES("GET /events?stream=s HTTP/1.1\r\n"),
    BYTES("GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nX-Half: a"),
    BYTES("\r\n\r\n\r\n\r\n"),
    BYTES("GET\r\n\r\n"),
    BYTES("GET /events?stream=s HTTP/9.9\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nx"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
          "99999999999999999999\r\n\r\nx"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
          "18446744073709551615\r\n\r\nx"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\nx"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nless"),
    BYTES(
        "POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: "
        "90\r\n\r\nx"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
          "chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
          "chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
          "chunked\r\n\r\nffffffffffffffffff\r\nx"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
          "chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
          "chunked\r\n\r\n5\r\nhel"),
    BYTES("POST /events?stream=x HTTP/1.1\r\nHost: localhost\r\nExpect: "
          "100-continue\r\nContent-Length: "
          "10\r\n\r\n"),
    BYTES("DELETE /events?stream=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nless"),
    BYTES("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhel"),
    BYTES("GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    BYTES("GET /events?stream=%00%ff%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    BYTES("GET /events?stream=none&stream=none HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: "
          "\xff\x01\r\n\r\n"),
    BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello \x00\x00\r\n\r\n"),
    BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BYTES("\x00\x00\x00\x00\x00\x00\x00\x00\n\n\n\n\r\n\r\n"),
};
enum { KINDS = sizeof bad_requests / sizeof bad_requests[0] };

static uint64_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void send_noise(http_conn *c, uint64_t *random)
{
    char noise[2048];
    size_t n = 1 + draw(random) % sizeof noise;
    for (size_t i = 0; i < n; i++)
        noise[i] = (char)draw(random);
    (void)http_send(c, noise, n, LONG);
}

/* Read until the server ends it; an answer may come first. */
static void wait_end(http_conn *c)
{
    struct pollfd pfd = {.fd = http_fd(c), .events = POLLIN};
    char buf[4096];
    ssize_t n;
    do {
        cr_assert_gt(poll(&pfd, 1, LONG), 0, "the server does not end it");
        n = read(http_fd(c), buf, sizeof buf);
    } while (n > 0);
}

/* All at once; a third leaves with RST, a third with FIN, the others wait for the server to end it. */
static void garbage(const hub *h, bystanders *b)
{
    static http_conn *conns[MASS * (KINDS + 1)];
    uint64_t random = 1;
    size_t n = 0;
    for (size_t i = 0; i < MASS; i++)
        for (size_t kind = 0; kind <= KINDS; kind++) {
            http_conn *c = http_connect(h->port);
            cr_assert_not_null(c);
            if (kind == KINDS)
                send_noise(c, &random);
            else
                (void)http_send(c, bad_requests[kind].ptr, bad_requests[kind].len, LONG);
            conns[n++] = c;
        }
    bystanders_go_on(b, 3);
    for (size_t i = 0; i < n; i++) {
        if (i % 3 == 0) {
            http_reset(conns[i]);
            continue;
        }
        if (i % 3 == 1)
            wait_end(conns[i]);
        http_close(conns[i]);
    }
    cr_assert_eq(metric(h, "sse_streams"), 1, "a bad request has made a stream");
}

Test(hostile, garbage_from_all_sides)
{
    attack_twice(ARGS("--stream=s", "--auto-stream", short_timeout(), "--heartbeat=0"), true,
                 garbage);
}

/* ---- requests that take for ever ---- */

/* The deadline is the request's, not that of a byte: sent byte by byte, each in time, it is ended long before its header is large.
 */
static void slowloris(const hub *h, bystanders *b)
{
    static const char start[] = "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    static struct pollfd fds[MASS * 4];
    static http_conn *conns[MASS * 4];
    size_t n = sizeof conns / sizeof *conns, left = n, rounds = 0;
    for (size_t i = 0; i < n; i++) {
        conns[i] = http_connect(h->port);
        cr_assert_not_null(conns[i]);
        (void)http_send_text(conns[i], start, LONG);
        fds[i] = (struct pollfd){.fd = http_fd(conns[i]), .events = POLLIN | POLLRDHUP};
    }
    for (; left > 0; rounds++) {
        cr_assert_lt(rounds, 4000, "%zu are still there", left);
        if (poll(fds, n, 20) == 0)
            for (size_t i = 0; i < n; i++)
                (void)(fds[i].fd >= 0 && http_send(conns[i], "x", 1, LONG));
        for (size_t i = 0; i < n; i++)
            if (fds[i].fd >= 0 && fds[i].revents) {
                fds[i].fd = -1;
                left--;
            }
    }
    bystanders_go_on(b, 3);
    for (size_t i = 0; i < n; i++)
        http_close(conns[i]);
}

Test(hostile, slowloris)
{
    attack_twice(ARGS("--stream=s", short_timeout(), "--heartbeat=0"), true, slowloris);
}

/* ---- headers and pipelines without measure ---- */

static void large_headers(const hub *h, bystanders *b)
{
    enum { HEADERS = 64 << 10 };
    char *request = malloc(HEADERS + 64);
    cr_assert_not_null(request);
    int n = sprintf(request, "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nX-Large: ");
    memset(request + n, 'x', HEADERS);
    memcpy(request + n + HEADERS, "\r\n\r\n", 5);
    for (int i = 0; i < MASS * 2; i++) {
        http_response r = {0};
        http_conn *c = http_connect(h->port);
        cr_assert_not_null(c);
        /* It may be refused, and the rest broken off, before all of it is sent. */
        (void)http_send_text(c, request, LONG);
        if (http_read_head(c, &r, LONG))
            cr_assert(r.status == 431 || r.status == 413 || r.status == 400, "%d", r.status);
        http_response_fini(&r);
        http_close(c);
    }
    free(request);
    bystanders_go_on(b, 3);
}

Test(hostile, headers_of_64_kib)
{
    attack_twice(ARGS("--stream=s", "--request-timeout=1", "--heartbeat=0"), true, large_headers);
}

/* Many requests in one go, and a subscription in the end, behind which more requests wait for ever. */
static void pipelines(const hub *h, bystanders *b)
{
    enum { REQUESTS = 300 };
    static const char one[] =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    static const char last[] = "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n";
    http_conn *conns[MASS];
    char *request = malloc(REQUESTS * sizeof one + sizeof last);
    cr_assert_not_null(request);
    size_t n = 0;
    for (int i = 0; i < REQUESTS; i++, n += sizeof one - 1)
        memcpy(request + n, one, sizeof one - 1);
    memcpy(request + n, last, sizeof last);
    for (int i = 0; i < MASS; i++) {
        conns[i] = http_connect(h->port);
        cr_assert_not_null(conns[i]);
        cr_assert(http_send_text(conns[i], request, LONG));
    }
    for (int i = 0; i < MASS; i++) {
        http_response r;
        http_block block;
        for (int k = 0; k < REQUESTS; k++) {
            cr_assert(http_read_head(conns[i], &r, LONG), "answer %d", k);
            cr_assert_eq(r.status, 200);
            cr_assert(http_read_body(conns[i], &r, false, LONG));
            cr_assert_str_eq(r.body, "ok\n");
            http_response_fini(&r);
        }
        cr_assert(http_read_head(conns[i], &r, LONG));
        cr_assert_str_eq(http_header(&r, "Content-Type"), "text/event-stream");
        http_response_fini(&r);
        cr_assert_eq(http_next_event(conns[i], &block, LONG), HTTP_OK);
        http_block_fini(&block);
        for (int k = 0; k < REQUESTS; k++)
            (void)http_send_text(conns[i], one, LONG);
    }
    bystanders_go_on(b, 3);
    for (int i = 0; i < MASS; i++)
        http_reset(conns[i]);
    free(request);
}

Test(hostile, pipelines)
{
    attack_twice(ARGS("--stream=s", "--request-timeout=5", "--heartbeat=0"), true, pipelines);
}

/* ---- connections that never send a byte ---- */

/* After the handshake, if `shaken`. */
static proc *flood_from(const char *address, const hub *h, int count, bool shaken)
{
    const char *program = getenv("HOSTILE_FLOOD");
    cr_assert_not_null(program, "HOSTILE_FLOOD names the program");
    proc *p = proc_start(
        ARGS(program, text("%u", h->port), text("%d", count), address, shaken ? "tls" : NULL));
    cr_assert_not_null(p);
    const char *line = proc_read_line(p, LONG);
    cr_assert(line && strcmp(line, text("open %d", count)) == 0, "%s %s", line ? line : "",
              err_of(p));
    return p;
}

static proc *flood(const hub *h, int count, bool shaken)
{
    return flood_from("", h, count, shaken);
}

static int refused(proc *p)
{
    const char *line = proc_read_line(p, LONG);
    cr_assert(line && strncmp(line, "refused ", 8) == 0, "%s", line ? line : "");
    return atoi(line + 8);
}

/* They stay until they leave by themselves, as RST all at once. */
static void silence(const hub *h, bystanders *b)
{
    int count = cert_tls() ? SILENT_TLS : SILENT;
    proc *p = flood(h, count, cert_tls());
    cr_assert_eq(refused(p), 0);
    cr_assert_geq(metric(h, "sse_connections"), (uint64_t)count);
    bystanders_go_on(b, 50);
    proc_signal(p, SIGKILL);
    cr_assert_eq(proc_wait(p, LONG), 128 + SIGKILL);
    proc_free(p);
}

Test(hostile, ten_thousand_that_never_send_a_byte)
{
    attack_twice(ARGS("--stream=s", "--request-timeout=0", "--heartbeat=0"), true, silence);
}

/* The same from one address that may have a few: nearly all are refused when they come, and cost no descriptor. */
enum {
    PLACES = 50,
    WAITING = 64 * 2
}; /* of refused ones, each of two threads waits for so many to say something */

static void flood_of_one_address(const hub *h, bystanders *b)
{
    uint64_t before = metric(h, "sse_connects_refused_total{reason=\"address\"}");
    proc *p = flood_from("127.0.0.66", h, SILENT, false);
    cr_assert_geq(refused(p), SILENT - PLACES - WAITING);
    cr_assert_leq(count_sockets(h), 40 + PLACES + WAITING);
    cr_assert_eq(metric(h, "sse_connects_refused_total{reason=\"address\"}") - before,
                 SILENT - PLACES);
    bystanders_go_on(b, 50);
    proc_signal(p, SIGKILL);
    cr_assert_eq(proc_wait(p, LONG), 128 + SIGKILL);
    proc_free(p);
}

Test(hostile, one_address_beyond_its_limit)
{
    attack_twice(ARGS("--stream=s", "--request-timeout=0", "--heartbeat=0", "--threads=2",
                      "--connect-exempt=none", text("--max-connections-per-address=%d", PLACES)),
                 true, flood_of_one_address);
}

static void end_of_silence(const hub *h, bystanders *b, bool shaken)
{
    proc *p = flood(h, cert_tls() ? SILENT_TLS : SILENT, shaken);
    bystanders_go_on(b, 10);
    const char *line;
    do
        line = proc_read_line(p, LONG);
    while (line && strncmp(line, "refused ", 8) == 0);
    cr_assert(line && strcmp(line, "closed") == 0, "%s", line ? line : "");
    proc_close_stdin(p);
    cr_assert_eq(proc_wait(p, LONG), 0);
    proc_free(p);
}

/* The server ends them at their deadline; over TLS also those that have shaken hands. */
static void silence_ends(const hub *h, bystanders *b)
{
    end_of_silence(h, b, false);
    if (cert_tls())
        end_of_silence(h, b, true);
}

Test(hostile, ten_thousand_that_never_send_a_byte_are_ended)
{
    attack_twice(ARGS("--stream=s", short_timeout(), "--heartbeat=0"), true, silence_ends);
}

/* Who comes too late is told so before it asks for anything; over TLS, where nothing can be told, it is cut off. */
static void expect_refusal(const hub *h)
{
    http_conn *late = http_connect(h->port);
    http_response r;
    cr_assert_eq(late == NULL, cert_tls());
    if (!late)
        return;
    cr_assert(http_read_head(late, &r, LONG));
    cr_assert_eq(r.status, 503);
    cr_assert_not_null(http_header(&r, "Retry-After"));
    http_response_fini(&r);
    http_close(late);
}

/* A server for 100 subscribers takes 1,000 connections more. */
static void too_many(const hub *h, bystanders *b)
{
    enum { LIMIT = 1100, MORE = 400 };
    proc *p = flood(h, LIMIT + MORE, false);
    int turned_away = refused(p);
    cr_assert(turned_away >= MORE && turned_away <= MORE + 100, "%d were refused", turned_away);
    expect_refusal(h);
    bystanders_go_on(b, 50);
    proc_close_stdin(p);
    cr_assert_eq(proc_wait(p, LONG), 0);
    proc_free(p);
    wait_sockets(h, 1 + 1 + 20);
    expect(h, "GET", "/healthz", NULL, NULL, 200, "ok"); /* there is room again */
}

Test(hostile, the_limit_of_connections_holds)
{
    attack_twice(
        ARGS("--stream=s", "--max-subscribers=100", "--request-timeout=0", "--heartbeat=0"), false,
        too_many);
}

/* The limit for one address does not depend on how they come and go. */
static void one_address(const hub *h, bystanders *b)
{
    for (int i = 0; i < MASS * 4; i++) {
        http_response r = ask(h, "GET", "/events?stream=s", "Connection: close\r\n", NULL);
        cr_assert_eq(r.status, 429, "%d", r.status);
        http_response_fini(&r);
    }
    cr_assert_eq(stream_number(h, "s", "subscribers"), 20);
    bystanders_go_on(b, 3);
}

Test(hostile, the_limit_of_subscribers_of_an_address_holds)
{
    attack_twice(ARGS("--stream=s", "--max-subscribers-per-ip=20", "--heartbeat=0"), false,
                 one_address);
}
