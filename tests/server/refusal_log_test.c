/* Each request and connection that is refused has a line in the log, at level debug; a flood of them has not. */
#include "fixture.h"

#include "clock.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { LINES = 100, KEPT = 8 };

static const char *const myself[] = {"127.0.0.1"};
static sse_server *server;
static uint16_t port;
static _Atomic uint64_t now_ns = 1000000000000;

static uint64_t clock_of_the_test(void) { return now_ns; }

/* ---- what the log is told ---- */

static char lines[KEPT][1024]; /* the last ones */
static atomic_size_t nlines;

/* By the loop, before the answer is sent, or by the keeper, which wait_lines() waits for. */
static void on_log(void *user, sse_log_level level, const char *line)
{
    (void)user, (void)level;
    if (strncmp(line, "connections refused: ", 21) == 0 || !strstr(line, "refused"))
        return;
    snprintf(lines[nlines % KEPT], sizeof lines[0], "%s", line);
    nlines++;
}

static bool has_lines(void *arg) { return nlines >= *(size_t *)arg; }

static void wait_lines(size_t n)
{
    cr_assert(wait_until(has_lines, &n, LONG), "%zu lines of %zu", (size_t)nlines, n);
    cr_assert_eq(nlines, n, "%zu lines: %s", (size_t)nlines, lines[(nlines - 1) % KEPT]);
}

static const char *last_line(void) { return lines[(nlines - 1) % KEPT]; }

/* The refusal has exactly this line. */
static void expect(int status, const char *method, const char *target, const char *line)
{
    size_t before = nlines;
    cr_assert_eq(status_of(port, method, target, NULL, *method == 'P' ? "data" : NULL), status);
    wait_lines(before + 1);
    cr_assert_str_eq(last_line(), line);
}

/* ---- the hub ---- */

static int no_secrets(void *user, const sse_request *request)
{
    (void)user;
    const char *stream = sse_request_stream(request);
    if (!stream || strcmp(stream, "secret") != 0)
        return 0;
    sse_request_set_reason(request, "It is secret.");
    return 403;
}

static void start_with(sse_log_level level)
{
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = no_secrets};
    sse__clock_set_source(clock_of_the_test);
    sse_server_options options = fixture_options();
    options.threads = 1;
    options.request_timeout_ms = SSE_OFF;
    options.http_publish = true;
    options.max_event_bytes = 3;
    options.max_subscribers = 1;
    options.connects_per_minute = 1;
    options.connect_burst = 1;
    options.connect_exempt = myself;
    options.connect_exempt_count = 1;
    options.callbacks = &callbacks;
    options.logger = (sse_logger){.fn = on_log, .level = level};
    server = serve(&options, &port);
    create(server, "s");
    nlines = 0;
}

static void start(void) { start_with(SSE_LOG_DEBUG); }

static void stop(void) { sse_server_free(server); }

TestSuite(refusal_log, .init = start, .fini = stop);

Test(refusal_log, a_request_has_a_line)
{
    expect(400, "GET", "/events",
           "GET /events refused with 400, from 127.0.0.1: Name a stream: ?stream=NAME.");
    expect(404, "GET", "/events?access_token=t&stream=none",
           "GET /events refused with 404, from 127.0.0.1, stream none: There is no stream 'none'.");
    expect(404, "GET", "/none",
           "GET /none refused with 404, from 127.0.0.1: There is nothing at /none.");
    expect(405, "PUT", "/streams",
           "PUT /streams refused with 405, from 127.0.0.1: PUT is not possible here.");
    expect(413, "POST", "/events?stream=s",
           "POST /events refused with 413, from 127.0.0.1, stream s: The body is larger than 3 "
           "bytes.");
    expect(403, "GET", "/events?stream=secret",
           "GET /events refused with 403, from 127.0.0.1, stream secret: It is secret.");
    http_conn *c = join(port, "s");
    expect(429, "GET", "/events?stream=s",
           "GET /events refused with 429, from 127.0.0.1, stream s: A limit of this server is "
           "reached.");
    http_close(c);
    cr_assert_eq(status_of(port, "GET", "/healthz", NULL, NULL), 200);
    wait_lines(7);
}

/* What a peer sends stays on its line. */
Test(refusal_log, a_name_that_looks_like_a_line)
{
    expect(404, "GET", "/events?stream=a%0Arefused%1B",
           "GET /events refused with 404, from 127.0.0.1, stream a?refused?: There is no stream "
           "'a?refused?'.");
}

Test(refusal_log, a_connection_has_a_line)
{
    static const int status[] = {200, 429};
    for (size_t i = 0; i < sizeof status / sizeof status[0]; i++) {
        http_response r;
        http_conn *c = http_connect_from("127.0.0.2", port);
        cr_assert(http_request(c, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
        cr_assert_eq(r.status, status[i], "%d", r.status);
        http_response_fini(&r);
        http_close(c);
    }
    wait_lines(1);
    cr_assert_str_eq(last_line(), "connection refused with 429, from 127.0.0.2: Your address "
                                  "connects too often.");
}

/* So many have a line; how many had none is told when the time is over, also when nobody comes any more, and at the end. */
Test(refusal_log, a_flood_has_few_lines)
{
    enum { FLOOD = 130 };
    for (int i = 0; i < FLOOD; i++)
        cr_assert_eq(status_of(port, "GET", "/none", NULL, NULL), 404);
    wait_lines(LINES);
    now_ns += 9000000000;
    cr_assert_eq(status_of(port, "GET", "/none", NULL, NULL), 404);
    wait_lines(LINES);
    now_ns += 1000000000;
    wait_lines(LINES + 1);
    cr_assert_str_eq(last_line(), "31 more were refused");
    for (int i = 0; i < FLOOD; i++)
        cr_assert_eq(status_of(port, "GET", "/none", NULL, NULL), 404);
    wait_lines(2 * LINES + 1);
    sse_server_stop(server);
    wait_lines(2 * LINES + 2);
    cr_assert_str_eq(last_line(), "30 more were refused");
}

Test(refusal_log_off, at_other_levels, .fini = stop)
{
    start_with(SSE_LOG_INFO);
    for (int i = 0; i <= LINES; i++)
        cr_assert_eq(status_of(port, "GET", "/none", NULL, NULL), 404);
    cr_assert_eq(nlines, 0);
}
