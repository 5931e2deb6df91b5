/* The options of sse-server that limit something: seen from outside by what is refused, and that
 * others go on. */
#include "cert.h"
#include "e2e.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *filled(size_t n)
{
    char *s = malloc(n + 1);
    cr_assert_not_null(s);
    memset(s, 'x', n);
    s[n] = '\0';
    return s;
}

/* n events in one request. */
static void publish_batch(const hub *h, int n, int status, const char *part)
{
    char *body = malloc((size_t)n * 16 + 1);
    cr_assert_not_null(body);
    for (int i = 0, at = 0; i < n; i++)
        at += sprintf(body + at, "data:%d\n\n", i);
    expect(h, "POST", "/events?stream=s", "Content-Type: text/event-stream\r\n", body, status,
           part);
    free(body);
}

/* features r3labs `BufferSize`: what a stream's ring takes at once is its size. */
Test(server_limits, buffer)
{
    hub h = hub_start(ARGS("--stream=s", "--buffer=4"));
    publish_batch(&h, 4, 200, NULL);
    publish_batch(&h, 5, 413, "(4)");
    hub_end(&h);
    h = hub_start(ARGS("--stream=s"));
    publish_batch(&h, 1024, 200, NULL);
    publish_batch(&h, 1025, 413, "(1024)");
    wait_number(&h, "s", "events", 1024);
    hub_end(&h);
}

Test(server_limits, max_streams)
{
    hub h = hub_start(ARGS("--auto-stream", "--max-streams=2", "--stream=s"));
    publish(&h, "second", NULL, "x");
    http_response r = ask(&h, "POST", "/events?stream=third", NULL, "x");
    cr_assert_eq(r.status, 429);
    cr_assert_not_null(http_header(&r, "Retry-After"));
    http_response_fini(&r);
    expect_error(&h, "GET", "/events?stream=third", NULL, NULL, 429, "limit");
    expect(&h, "DELETE", "/events?stream=s", NULL, NULL, 204, NULL);
    publish(&h, "third", NULL, "x");
    hub_end(&h);
    tool_fails("sse-server",
               ARGS("--listen=127.0.0.1:0", "--max-streams=1", "--stream=a", "--stream=b"), NULL,
               64, "'--stream': b");
}

Test(server_limits, max_subscribers)
{
    hub h = hub_start(ARGS("--stream=s", "--max-subscribers", "2"));
    http_conn *one = follow(&h, "s", NULL, NULL);
    http_conn *two = follow(&h, "s", NULL, NULL);
    http_response r = ask(&h, "GET", "/events?stream=s", NULL, NULL);
    cr_assert_eq(r.status, 429, "%d", r.status);
    cr_assert_not_null(http_header(&r, "Retry-After"));
    http_response_fini(&r);
    publish(&h, "s", NULL, "to both");
    expect_data(one, "to both");
    expect_data(two, "to both");
    http_close(one);
    wait_number(&h, "s", "subscribers", 1);
    one = follow(&h, "s", NULL, NULL);
    http_close(one);
    http_close(two);
    hub_end(&h);
}

Test(server_limits, max_subscribers_per_ip)
{
    hub h = hub_start(ARGS("--stream=s", "--max-subscribers-per-ip=1"));
    http_conn *one = follow(&h, "s", NULL, NULL);
    expect_error(&h, "GET", "/events?stream=s", NULL, NULL, 429, "limit");
    http_conn *other = http_connect_from("127.0.0.2", h.port);
    http_response r;
    cr_assert(http_send_request(other, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(other, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    http_close(other);
    http_close(one);
    hub_end(&h);
}

/* ---- connections from one address ---- */

#define REFUSED 429

/* The status that a connection from this address gets; over TLS, one that is refused gets no handshake. */
static int status_from(const hub *h, const char *address)
{
    http_response r;
    http_conn *c = http_connect_from(address, h->port);
    if (!c) {
        cr_assert(cert_tls(), "no connection from %s", address);
        return REFUSED;
    }
    cr_assert(http_request(c, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
    int status = r.status;
    if (status == REFUSED)
        cr_assert(http_header(&r, "Retry-After") && !cert_tls());
    http_response_fini(&r);
    http_close(c);
    return status;
}

Test(server_limits, max_connections_per_address)
{
    hub h =
        hub_start(ARGS("--stream=s", "--max-connections-per-address=1", "--connect-exempt=none"));
    http_conn *one = follow(&h, "s", NULL, NULL);
    cr_assert_eq(status_from(&h, "127.0.0.1"), REFUSED);
    cr_assert_eq(status_from(&h, "127.0.0.2"), 200);
    cr_assert(proc_wait_stderr(h.process,
                               "1 beyond the limit of their address; the last one from "
                               "127.0.0.1\n",
                               LONG));
    tool_fails("sse-pub", ARGS(h.url, "--stream=s", "--max-attempts=1", "x"), NULL, 69,
               cert_tls() ? h.url : "429: Your address has too many connections.");
    http_close(one);
    hub_end(&h);
}

Test(server_limits, connect_rate)
{
    hub h = hub_start(ARGS("--stream=s", "--connect-rate=1/m", "--connect-burst=3",
                           "--connect-exempt=127.0.0.1"));
    http_conn *legitimate = follow(&h, "s", NULL, NULL);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(status_from(&h, "127.0.0.2"), 200);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(status_from(&h, "127.0.0.2"), REFUSED);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(status_from(&h, "127.0.0.1"), 200, "exempt");
    cr_assert_eq(status_from(&h, "127.0.0.3"), 200);
    expect(&h, "GET", "/metrics", NULL, NULL, 200,
           "\nsse_connects_refused_total{reason=\"rate\"} 3\n");
    publish(&h, "s", NULL, "undisturbed");
    expect_data(legitimate, "undisturbed");
    http_close(legitimate);
    hub_end(&h);
}

Test(server_limits, connect_rate_and_its_values)
{
    static const char *const rates[] = {"-1",   "1/",  "1/h",      "/s",  "x",
                                        "1 /s", "0.5", "71582789", "1/ss"};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        tool_fails("sse-server", ARGS(text("--connect-rate=%s", rates[i])), NULL, 64,
                   "takes N[/s]");
    tool_fails("sse-server", ARGS("--connect-rate=5", "--connect-burst=1000001"), NULL, 64,
               "'--connect-burst'");
    tool_fails("sse-server", ARGS("--connect-burst=5"), NULL, 64,
               "'--connect-burst': it goes together with '--connect-rate'");
    tool_fails("sse-server", ARGS("--connect-exempt=10.0.0.0/40"), NULL, 64, "10.0.0.0/40");
    const char *file = temp_file("listen = 127.0.0.1:0\nconnect-rate = 30/m\nconnect-burst = 7\n"
                                 "max-connections-per-address = 9\nconnect-exempt = loopback\n"
                                 "connect-exempt = 2001:db8::/32\n");
    int code;
    proc *p = proc_run(ARGS(proc_bin("sse-server"), "--check-config", "--config", file), NULL, LONG,
                       &code);
    cr_assert_eq(code, 0, "%s", err_of(p));
    proc_free(p);
    file = temp_file("connect-rate = 5/s\n\nconnect-exempt = here\n");
    tool_fails("sse-server", ARGS("--config", file), NULL, 64, ":3: 'connect-exempt': 'here'");
}

/* ---- events, threads, memory, time ---- */

static void check_event_limit(hub h, size_t limit)
{
    char *body = filled(limit + 1);
    expect_error(&h, "POST", "/events?stream=s", NULL, body, 413, text("%zu", limit));
    body[limit] = '\0';
    publish(&h, "s", NULL, body);
    wait_number(&h, "s", "events", 1);
    http_conn *c = follow(&h, "s", NULL, NULL);
    expect_data(c, body);
    http_close(c);
    free(body);
    hub_end(&h);
}

Test(server_limits, max_event_bytes)
{
    check_event_limit(hub_start(ARGS("--stream=s", "--max-event-bytes=100")), 100);
}

Test(server_limits, max_event_bytes_by_default)
{
    check_event_limit(hub_start(ARGS("--stream=s")), 1 << 20);
}

/* The limit holds for each event of a batch, and none of the batch is published. */
Test(server_limits, max_event_bytes_in_a_batch)
{
    hub h = hub_start(ARGS("--stream=s", "--max-event-bytes=20"));
    const char *wire = "Content-Type: text/event-stream\r\n";
    expect_error(&h, "POST", "/events?stream=s", wire, "data:ok\n\ndata:0123456789012345678901\n\n",
                 413, "Event 2");
    cr_assert_eq(stream_number(&h, "s", "events"), 0u);
    hub_end(&h);
}

/* Threads of a process that bear this name. */
static int count_threads(pid_t pid, const char *name)
{
    int n = 0;
    DIR *dir = opendir(text("/proc/%ld/task", (long)pid));
    cr_assert_not_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char comm[32] = "";
        FILE *file = fopen(text("/proc/%ld/task/%.20s/comm", (long)pid, entry->d_name), "re");
        if (!file)
            continue;
        n += fgets(comm, sizeof comm, file) && strncmp(comm, name, strlen(name)) == 0;
        fclose(file);
    }
    closedir(dir);
    return n;
}

Test(server_limits, threads)
{
    hub h = hub_start(ARGS("--threads=3", "--stream=s"));
    cr_assert_eq(count_threads(proc_pid(h.process), "sse-io"), 3);
    http_conn *all[9];
    for (int i = 0; i < 9; i++)
        all[i] = follow(&h, "s", NULL, NULL);
    publish(&h, "s", NULL, "whatever the thread");
    for (int i = 0; i < 9; i++) {
        expect_data(all[i], "whatever the thread");
        http_close(all[i]);
    }
    hub_end(&h);
    h = hub_start(NULL);
    cr_assert_eq(count_threads(proc_pid(h.process), "sse-io"), sysconf(_SC_NPROCESSORS_ONLN));
    hub_end(&h);
}

/* 0: the connection was closed without an answer. */
static int status_with_long_header(const hub *h, size_t n)
{
    char *value = filled(n);
    char *request = malloc(n + 200);
    sprintf(request, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: %s\r\n\r\n", value);
    http_conn *c = http_connect(h->port);
    http_response r = {.status = 0};
    int status = 0;
    if (http_send_text(c, request, LONG) && http_read_head(c, &r, LONG)) {
        status = r.status;
        http_response_fini(&r);
    }
    http_close(c);
    free(request);
    free(value);
    return status;
}

Test(server_limits, connection_memory)
{
    hub small = hub_start(NULL), large = hub_start(ARGS("--connection-memory=65536"));
    cr_assert_eq(status_with_long_header(&small, 1000), 200);
    cr_assert_neq(status_with_long_header(&small, 20000), 200);
    cr_assert_eq(status_with_long_header(&large, 20000), 200);
    tool_fails("sse-server", ARGS("--listen=127.0.0.1:0", "--connection-memory=100"), NULL, 64,
               "--connection-memory");
    hub_end(&small);
    hub_end(&large);
}

/* The server ends it; a legitimate subscriber, who sends nothing either, stays. */
Test(server_limits, request_timeout)
{
    hub h = hub_start(ARGS("--stream=s", "--request-timeout=0.2"));
    http_conn *legitimate = follow(&h, "s", NULL, NULL);
    http_conn *c = http_connect(h.port);
    cr_assert(
        http_send_text(c, "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nX-Slow:", LONG));
    http_response r;
    cr_assert_not(http_read_head(c, &r, LONG));
    http_close(c);
    publish(&h, "s", NULL, "undisturbed");
    expect_data(legitimate, "undisturbed");
    http_close(legitimate);
    hub_end(&h);
}

/* ---- --drain ---- */

enum { EVENTS = 64, EVENT_BYTES = 100000 };

/* A subscriber that does not read, with more queued for it than sockets hold. */
static http_conn *stall(const hub *h)
{
    http_conn *c = http_connect_rcvbuf(h->port, 4096);
    http_response r;
    cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    char *data = filled(EVENT_BYTES);
    for (int i = 0; i < EVENTS; i++)
        publish(h, "s", NULL, data);
    free(data);
    return c;
}

Test(server_drain, delivers_what_is_queued)
{
    hub h = hub_start(ARGS("--stream=s", "--drain=600"));
    http_conn *c = stall(&h);
    proc_signal(h.process, SIGTERM);
    int events = 0;
    http_result result;
    http_block b;
    while ((result = http_next_block(c, &b, LONG)) == HTTP_OK) {
        events += b.data_len == EVENT_BYTES;
        http_block_fini(&b);
    }
    cr_assert_eq(result, HTTP_END);
    cr_assert_eq(events, EVENTS);
    http_close(c);
    cr_assert_eq(proc_wait(h.process, LONG), 0);
    proc_free(h.process);
}

Test(server_drain, ends_at_its_deadline)
{
    hub h = hub_start(ARGS("--stream=s", "--drain=0.3"));
    http_conn *c = stall(&h);
    hub_end(&h);
    http_close(c);
    h = hub_start(ARGS("--stream=s", "--drain=0"));
    c = stall(&h);
    hub_end(&h);
    http_close(c);
}

Test(server_drain, a_second_signal_ends_it_at_once)
{
    hub h = hub_start(ARGS("--stream=s", "--drain=600"));
    http_conn *idle = http_connect(h.port), *c = stall(&h);
    http_response r;
    cr_assert(http_request(idle, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
    http_response_fini(&r);
    proc_signal(h.process, SIGTERM);
    int status;
    do { /* until it drains */
        cr_assert(http_request(idle, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        status = r.status;
        http_response_fini(&r);
    } while (status == 200);
    proc_signal(h.process, SIGTERM);
    cr_assert_eq(proc_wait(h.process, LONG), 128 + SIGTERM);
    proc_free(h.process);
    http_close(idle);
    http_close(c);
}
