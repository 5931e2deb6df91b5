/* GET /metrics: the format, the values after a known run, and that no counter ever goes down. */
#include "fixture.h"

#include "clock.h"
#include "latency.h"
#include "metrics.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static sse_server *server;
static uint16_t port;

static void start(const sse_server_options *options)
{
    server = serve(options, &port);
    create(server, "s");
}

static void stop(void) { sse_server_free(server); }

static metrics *scrape(void)
{
    http_response r;
    cr_assert_eq(ask(port, "GET", "/metrics", NULL, NULL, &r), 200);
    metrics *m = metrics_parse(r.body);
    cr_assert_not_null(m, "%s", r.body);
    http_response_fini(&r);
    return m;
}

static void expect_value(const metrics *m, const char *series, double value)
{
    cr_assert_eq(metrics_value(m, series), value, "%s is %g, not %g", series,
                 metrics_value(m, series), value);
}

/* ---- the reader itself ---- */

#define HISTOGRAM "# HELP h H.\n# TYPE h histogram\n"

Test(metrics, what_is_wrong_is_found)
{
    static const char *const wrong[] = {
        "# HELP a A.\n# TYPE a counter\na 1\n",                 /* a counter without _total */
        "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n", /* and the other way round */
        "# HELP a A.\n# TYPE a gauge\na 1",                     /* no line end */
        "# HELP a A.\na 1\n",                                   /* no type */
        "# TYPE a gauge\na 1\n",                                /* no help */
        "# HELP a A.\n# TYPE a gauge\nb 1\n",                   /* another family */
        "# HELP a A.\n# TYPE a gauge\na 1\na 1\n",              /* twice */
        "# HELP a A.\n# TYPE a gauge\na x\n",                   /* no number */
        "# HELP a A.\n# TYPE a gauge\na{b=\"c} 1\n",            /* no end of the label */
        "# HELP a A.\n# TYPE a gauge\na{b=\"\\x\"} 1\n",        /* an escape that is none */
        "# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n",          /* not a base unit */
        HISTOGRAM "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        HISTOGRAM "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n", /* no +Inf */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_null(metrics_parse(wrong[i]), "%s", wrong[i]);
    metrics *m = metrics_parse("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"
                               "h_bucket{le=\"+Inf\"} 2\nh_sum 2.5\nh_count 2\n"
                               "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\"} 7\n");
    cr_assert_not_null(m);
    expect_value(m, "a_total{b=\"c\"}", 7);
    expect_value(m, "h_sum", 2.5);
    metrics_free(m);
}

/* ---- a known run ---- */

enum { WIRE = 28 }; /* "id: 0123456789ab-N\ndata: D\n\n" */

static void check_known_run(const metrics *m)
{
    expect_value(m, "sse_events_published_total", 9);
    expect_value(m, "sse_published_bytes_total", 9 * WIRE);
    expect_value(m, "sse_events_delivered_total", 3 + 3 + 4 + 4);
    expect_value(m, "sse_gaps_total", 1);
    expect_value(m, "sse_replays_total", 2);
    expect_value(m, "sse_subscribed_total", 2);
    expect_value(m, "sse_events_dropped_total{policy=\"drop-oldest\"}", 0);
    expect_value(m, "sse_events_dropped_total{policy=\"drop-newest\"}", 0);
    expect_value(m, "sse_slow_closed_total", 0);
    expect_value(m, "sse_accept_errors_total", 0);
    double bytes = metrics_value(m, "sse_delivered_bytes_total");
    cr_assert(bytes > 14 * WIRE && bytes < 14 * WIRE + 200, "%g: 14 events and a gap", bytes);
    double seen = metrics_value(m, "sse_publish_to_send_seconds_count");
    cr_assert(seen >= 2 && seen <= 8, "%g wake-ups for 4 events at 2 subscribers", seen);
}

static void check_process(const metrics *m)
{
    double started = metrics_value(m, "process_start_time_seconds");
    double now = (double)time(NULL);
    cr_assert(started > now - 600 && started < now + 2, "%.2f, now %.0f", started, now);
    double fds = metrics_value(m, "process_open_fds"), here = wait_count_fds(0);
    cr_assert(fds >= here && fds <= here + 8, "%g, not %g", fds,
              here); /* a scrape's own connection */
    cr_assert_gt(metrics_value(m, "process_max_fds"), fds);
    double resident = metrics_value(m, "process_resident_memory_bytes");
    double seen = (double)wait_resident_bytes(0);
    cr_assert(resident > seen / 2 && resident < seen * 2, "%g, not %g", resident, seen);
    cr_assert_geq(metrics_value(m, "process_cpu_seconds_total"), 0);
}

Test(metrics, say_what_has_happened)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.history_events = 3;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    start(&options);
    create(server, "t");
    say_numbers(server, "s", 0, 5);
    wait_published(server, "s", 5);
    http_conn *a = join(port, "s"), *b = join_after(port, "s", "never seen");
    expect_numbers(a, 2, 3);
    cr_assert_eq(expect_gap(b), UINT64_MAX);
    expect_numbers(b, 2, 3);
    say_numbers(server, "s", 5, 4);
    expect_numbers(a, 5, 4);
    expect_numbers(b, 5, 4);
    cr_assert_eq(status_of(port, "GET", "/nothing", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "GET", "/events?stream=none", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "GET", "/events", NULL, NULL), 400);
    cr_assert_eq(status_of(port, "PUT", "/streams", NULL, NULL), 405);

    metrics *m = scrape();
    check_known_run(m);
    expect_value(m, "sse_streams", 2);
    expect_value(m, "sse_subscribers", 2);
    expect_value(m, "sse_history_events", 3);
    expect_value(m, "sse_history_bytes", 3 * WIRE);
    expect_value(m, "sse_backlog_events", 6);
    expect_value(m, "sse_inbox_events", 0);
    expect_value(m, "sse_draining", 0);
    expect_value(m, "sse_requests_refused_total{status=\"404\"}", 2);
    expect_value(m, "sse_requests_refused_total{status=\"400\"}", 1);
    expect_value(m, "sse_requests_refused_total{status=\"405\"}", 1);
    expect_value(m, "sse_requests_refused_total{status=\"429\"}", 0);
    expect_value(m, "sse_connections_total", 7);
    cr_assert_geq(metrics_value(m, "sse_connections"), 3);
    check_process(m);
    metrics_free(m);

    http_close(a);
    http_close(b);
    wait_left(server, SSE_LEFT_GONE, 2);
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    m = scrape();
    check_known_run(m);
    expect_value(m, "sse_unsubscribed_total{reason=\"gone\"}", 2);
    expect_value(m, "sse_streams", 1);
    metrics_free(m);
    stop();
}

/* ---- latency ---- */

static _Atomic uint64_t now_ns, step_ns;

static uint64_t stepping_clock(void) { return atomic_fetch_add(&now_ns, step_ns) + step_ns; }

static void publish_and_receive(http_conn *c, const char *data)
{
    say(server, "s", data);
    expect_data(c, data);
}

Test(metrics, latency_is_that_of_new_events)
{
    now_ns = UINT64_C(1000000000000);
    sse__clock_set_source(stepping_clock);
    sse_server_options options = fixture_options();
    options.request_timeout_ms = SSE_OFF;
    start(&options);
    http_conn *c = join(port, "s");
    publish_and_receive(c, "while no time passes");
    metrics *m = scrape();
    expect_value(m, "sse_publish_to_send_seconds_bucket{le=\"5e-05\"}", 1);
    expect_value(m, "sse_publish_to_send_seconds_sum", 0);
    metrics_free(m);

    step_ns = 3000000; /* each look at the clock takes it further */
    publish_and_receive(c, "slowly");
    step_ns = 0;
    m = scrape();
    expect_value(m, "sse_publish_to_send_seconds_bucket{le=\"0.0025\"}", 1);
    expect_value(m, "sse_publish_to_send_seconds_count", 2);
    cr_assert_geq(metrics_value(m, "sse_publish_to_send_seconds_sum"), 0.003);
    metrics_free(m);

    now_ns += UINT64_C(3600000000000); /* a replay does not make it an hour */
    http_conn *late = join(port, "s");
    expect_data(late, "while no time passes");
    expect_data(late, "slowly");
    m = scrape();
    expect_value(m, "sse_publish_to_send_seconds_count", 2);
    metrics_free(m);
    publish_and_receive(late, "new again");
    expect_data(c, "new again");
    m = scrape();
    expect_value(m, "sse_publish_to_send_seconds_count", 4);
    expect_value(m, "sse_publish_to_send_seconds_bucket{le=\"5e-05\"}", 3);
    metrics_free(m);
    http_close(late);
    http_close(c);
    stop();
}

/* ---- slow subscribers ---- */

enum { BYTES = 64 << 10, EVENTS = 150, RING = 16 };

/* A stream with this policy, a subscriber that does not read, and more than its socket takes. */
static http_conn *overwhelm(const char *name, sse_slow_policy policy)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.ring_events = RING;
    options.history_events = SSE_OFF;
    options.slow_grace_ms = 10;
    options.slow = policy;
    cr_assert_eq(sse_server_create_stream(server, name, &options), SSE_OK);
    http_conn *c = join_silently(port, name, 4096);
    wait_subscribers(server, name, 1);
    for (int i = 0; i < EVENTS; i++)
        say(server, name, bulk(BYTES));
    wait_published(server, name, EVENTS);
    return c;
}

static void expect_slow(const metrics *m, uint64_t oldest, uint64_t newest)
{
    expect_value(m, "sse_events_dropped_total{policy=\"drop-oldest\"}", (double)oldest);
    expect_value(m, "sse_events_dropped_total{policy=\"drop-newest\"}", (double)newest);
    expect_value(m, "sse_slow_closed_total", 1);
    expect_value(m, "sse_unsubscribed_total{reason=\"slow\"}", 1);
}

Test(metrics, drops_are_told_by_policy)
{
    sse_server_options options = fixture_options();
    options.drain_ms = SSE_OFF;
    start(&options);
    http_conn *a = overwhelm("closing", SSE_SLOW_CLOSE);
    http_conn *b = overwhelm("oldest", SSE_SLOW_DROP_OLDEST);
    http_conn *c = overwhelm("newest", SSE_SLOW_DROP_NEWEST);
    wait_subscribers(server, "closing", 0);
    uint64_t oldest = stats_of(server, "oldest").dropped,
             newest = stats_of(server, "newest").dropped;
    cr_assert_gt(oldest, 0);
    cr_assert_gt(newest, 0);
    cr_assert_gt(stats_of(server, "oldest").backlog, 0);
    metrics *m = scrape();
    expect_slow(m, oldest, newest);
    cr_assert_geq(metrics_value(m, "sse_backlog_events"),
                  (double)stats_of(server, "oldest").backlog);
    metrics_free(m);
    http_close(b);
    http_close(c);
    wait_left(server, SSE_LEFT_GONE, 2);
    static const char *const names[] = {"closing", "oldest", "newest"};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(sse_server_remove_stream(server, names[i]), SSE_OK);
    m = scrape();
    expect_slow(m, oldest, newest);
    metrics_free(m);
    http_close(a);
    stop();
}

/* ---- streams come and go ---- */

static atomic_bool churning;
static atomic_uint rounds;

static void *churn(void *arg)
{
    (void)arg;
    sse_event event = {.data = sse_cstr("x")};
    while (churning) {
        if (sse_server_create_stream(server, "passing", NULL) != SSE_OK ||
            sse_server_publish(server, "passing", &event) != SSE_OK ||
            sse_server_remove_stream(server, "passing") != SSE_OK)
            return arg;
        rounds++;
    }
    return NULL;
}

static bool went_on(void *arg) { return rounds >= *(unsigned *)arg; }

Test(metrics, counters_never_go_down)
{
    start(NULL);
    churning = true;
    sse__thread thread;
    cr_assert_eq(sse__thread_start(&thread, "churn", 0, churn, NULL), SSE_OK);
    metrics *before = scrape();
    for (int i = 0; i < 50; i++) {
        unsigned goal = rounds + 2;
        cr_assert(wait_until(went_on, &goal, LONG));
        metrics *m = scrape();
        cr_assert(metrics_grew(before, m));
        metrics_free(before);
        before = m;
    }
    churning = false;
    sse__thread_join(&thread);
    metrics_free(before);
    metrics *m = scrape();
    expect_value(m, "sse_events_published_total", rounds);
    metrics_free(m);
    stop();
}

/* ---- single streams ---- */

Test(metrics, single_streams_are_bounded)
{
    start(NULL);
    metrics *m = scrape();
    cr_assert_eq(metrics_count(m, "sse_stream_subscribers"), 0);
    metrics_free(m);
    stop();

    sse_server_options options = fixture_options();
    options.metrics_streams = 2;
    start(&options);
    create(server, "a\"\\");
    create(server, "z");
    say(server, "s", "x");
    m = scrape();
    cr_assert_eq(metrics_count(m, "sse_stream_subscribers{"), 2);
    expect_value(m, "sse_stream_subscribers{stream=\"a\\\"\\\\\"}", 0);
    expect_value(m, "sse_stream_events_published_total{stream=\"s\"}", 1);
    metrics_free(m);
    stop();

    options.metrics_streams = 10;
    start(&options);
    create(server, "z");
    m = scrape();
    cr_assert_eq(metrics_count(m, "sse_stream_subscribers{"), 2);
    expect_value(m, "sse_stream_gaps_total{stream=\"z\"}", 0);
    metrics_free(m);
    stop();
}

/* A bucket is for what takes as long as its bound, or less ("le"). */
Test(metrics, a_bound_belongs_to_its_bucket)
{
    static sse__latency latency;
    for (size_t i = 0; i < SSE__LATENCY_BOUNDS; i++) {
        sse__latency_count(&latency, sse__latency_bounds_ns[i]);
        sse__latency_count(&latency, sse__latency_bounds_ns[i] + 1);
    }
    sse__latency_sum sum = {0};
    sse__latency_add(&sum, &latency);
    for (size_t i = 0; i <= SSE__LATENCY_BOUNDS; i++)
        cr_assert_eq(sum.buckets[i], i == 0 || i == SSE__LATENCY_BOUNDS ? 1 : 2, "%zu", i);
}
