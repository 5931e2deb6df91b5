/* sse-bench as a program: small runs of each command, what they print and write, and that it
 * notices a server that loses, doubles or disorders events. */
#include "../e2e/json.h"
#include "program.h"
#include "relay.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* On a busy machine a short window may go by without a delivery. */
static void expect_cost(const char *server)
{
    if (number(server, "deliveries_per_s") == 0)
        return;
    cr_assert_gt(number(server, "server_us_per_delivery"), 0);
    cr_assert_gt(number(server, "server_cpu"), 0);
    cr_assert_gt(number(server, "mb_per_s"), 0, "also when it is little");
}

/* ---- load ---- */

Test(bench, load_publishes_and_checks_each_event)
{
    uint16_t port;
    int code;
    char pid[16];
    proc *hub = proc_start_server(ARGS("--auto-stream"), &port);
    cr_assert_not_null(hub);
    snprintf(pid, sizeof pid, "%d", (int)proc_pid(hub));
    const char *url = url_of(port, "/events"), *json = temporary(), *page = temporary();
    proc *p = bench(ARGS("load", url, "--publish-url", url, "--subscribers", "30", "--streams", "3",
                         "--rate=50", "--payload", "200", "--duration", "0.5", "--warmup", "0.1",
                         "--threads", "2", "--server-pid", pid, "--json", json, "--report", page),
                    &code);
    cr_assert_eq(code, 0, "exit %d: %s", code, proc_stderr(p, NULL));
    cr_assert(strstr(proc_stdout(p, NULL), "deliveries/s"));
    cr_assert_str_eq(proc_stderr(p, NULL), "", "no progress line where there is no terminal");
    proc_free(p);

    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    expect_latency(r);
    cr_assert_eq(number(r, "subscribers"), 30);
    expect_cost(r);
    cr_assert_geq(number(r, "published"), 75, "3 streams, 50 a second, half a second");
    cr_assert_geq(number(r, "bytes_per_subscriber"), 0);
    free(text);

    char *html = slurp(page);
    cr_assert(strstr(html, "<polyline"), "a curve");
    cr_assert_null(strstr(html, "src="));
    cr_assert_null(strstr(html, "<script"));
    cr_assert_null(strstr(html, "<link"));
    cr_assert_null(strstr(html, "url("), "nothing is fetched");
    free(html);
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
}

Test(bench, load_as_fast_as_the_server_takes_it)
{
    uint16_t port;
    proc *hub = proc_start_server(ARGS("--auto-stream", "--slow-consumer=block"), &port);
    cr_assert_not_null(hub);
    const char *url = url_of(port, "/events");
    const char *json = temporary();
    expect_code(ARGS("load", url, "--publish-url", url, "--subscribers", "5", "--streams", "1",
                     "--rate", "max", "--duration", "0.3", "--warmup", "0.1", "--json", json),
                0, NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    cr_assert_geq(number(r, "published"), 256, "a whole batch went out");
    free(text);
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
}

Test(bench, load_only_listens_without_a_url_to_publish_to)
{
    uint16_t port;
    proc *hub = proc_start_server(ARGS("--stream", "s", "--heartbeat", "1"), &port);
    cr_assert_not_null(hub);
    const char *json = temporary();
    expect_code(ARGS("load", url_of(port, "/events?stream=s"), "--subscribers", "4", "--duration",
                     "0.2", "--warmup", "0.1", "--json", json),
                0, NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    cr_assert_eq(number(r, "subscribers"), 4);
    cr_assert_eq(number(r, "deliveries_per_s"), 0);
    cr_assert_null(json_member(r, "lost"), "nothing is known of that");
    free(text);
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
}

/* Load on a hub that makes a mistake with event 5. Returns the JSON. */
static char *load_relay(relay_fault fault, int expected)
{
    relay *r = relay_start(fault, 5);
    const char *json = temporary(), *url = url_of(relay_port(r), "/");
    expect_code(ARGS("load", url, "--publish-url", url, "--publish-format", "plain",
                     "--subscribers", "3", "--rate", "100", "--duration", "0.3", "--warmup", "0.1",
                     "--json", json),
                expected, NULL);
    relay_stop(r);
    return read_json(json);
}

Test(bench, a_faultless_relay_passes)
{
    char *text = load_relay(RELAY_FINE, 0);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    cr_assert_geq(number(r, "published"), 30, "or the other tests would test nothing");
    free(text);
}

Test(bench, a_lost_event_is_noticed)
{
    char *text = load_relay(RELAY_LOSES, 1);
    const char *r = server_of(text, 0, "load", "target");
    cr_assert_eq(number(r, "lost"), 3, "one for each subscriber");
    cr_assert_eq(number(r, "duplicated") + number(r, "misordered"), 0);
    free(text);
}

Test(bench, an_event_that_comes_twice_is_noticed)
{
    char *text = load_relay(RELAY_DOUBLES, 1);
    const char *r = server_of(text, 0, "load", "target");
    cr_assert_eq(number(r, "duplicated"), 3);
    cr_assert_eq(number(r, "lost") + number(r, "misordered"), 0);
    free(text);
}

Test(bench, events_in_the_wrong_order_are_noticed)
{
    char *text = load_relay(RELAY_SWAPS, 1);
    const char *r = server_of(text, 0, "load", "target");
    cr_assert_eq(number(r, "misordered"), 3);
    cr_assert_eq(number(r, "lost") + number(r, "duplicated"), 0);
    free(text);
}

Test(bench, a_connection_that_ends_loses_the_rest)
{
    char *text = load_relay(RELAY_HANGS_UP, 1);
    const char *r = server_of(text, 0, "load", "target");
    cr_assert_eq(number(r, "disconnected"), 3);
    cr_assert_eq(number(r, "lost"), 3 * (number(r, "published") - 6));
    char note[200];
    cr_assert(json_string(json_element(json_member(r, "notes"), 0), note, sizeof note));
    cr_assert_str_eq(note, "3 connections ended: the server ended the stream");
    free(text);
}

/* ---- fanout ---- */

static void expect_fanout(const char *json_path, const char *scenario, bool publishes)
{
    static const char *const servers[] = {"raw", "sse-server"};
    char *text = read_json(json_path);
    for (size_t i = 0; i < 2; i++) {
        const char *r = server_of(text, 0, scenario, servers[i]);
        cr_assert_gt(number(r, "subscribers"), 0);
        if (!publishes)
            continue;
        expect_nothing_lost(r);
        expect_latency(r);
        expect_cost(r);
    }
    free(text);
}

static void fanout(const char *scenario, bool publishes)
{
    const char *json = temporary();
    expect_code(ARGS("fanout", "--scenario", scenario, "--servers", "raw,sse-server", "--scale",
                     "0.01", "--duration", "0.4", "--warmup", "0.1", "--no-pin", "--json", json),
                0, NULL);
    expect_fanout(json, scenario, publishes);
}

Test(bench, fanout_of_one) { fanout("1x1@100", true); }
Test(bench, fanout_of_one_stream) { fanout("1x1000@50", true); }
Test(bench, fanout_of_many_streams) { fanout("1000x10@2", true); }
Test(bench, fanout_beside_idle_subscribers) { fanout("10000idle", true); }
Test(bench, fanout_flat_out) { fanout("1x1000@max", true); }
Test(bench, fanout_of_large_events_flat_out) { fanout("1x1-10k@max", true); }

Test(bench, fanout_measures_connects_and_memory)
{
    const char *json = temporary();
    expect_code(ARGS("fanout", "--scenario", "memory", "--scenario=connect", "--subscribers", "50",
                     "--servers=raw,sse-server", "--no-pin", "--json", json),
                0, NULL);
    char *text = read_json(json);
    const char *memory = server_of(text, 0, "memory", "sse-server");
    cr_assert_not_null(json_member(memory, "bytes_per_subscriber"));
    const char *connect = server_of(text, 1, "connect", "sse-server");
    cr_assert_gt(number(connect, "connects_per_s"), 0);
    cr_assert_gt(number(connect, "server_us_per_connect"), 0);
    expect_latency(connect);
    cr_assert_eq(number(connect, "subscribers"), 50);
    free(text);
}

Test(bench, fanout_replays_what_was_published_before)
{
    const char *json = temporary();
    expect_code(ARGS("fanout", "--scenario=replay", "--subscribers", "20", "--no-pin",
                     "--servers=raw,sse-server", "--json", json),
                0, NULL);
    char *text = read_json(json);
    for (int i = 0; i < 2; i++) {
        const char *r = server_of(text, 0, "replay", i ? "sse-server" : "raw");
        expect_nothing_lost(r);
        cr_assert_eq(number(r, "published"), 1000);
        cr_assert_gt(number(r, "served_after_ms"), 0);
    }
    free(text);
}

Test(bench, fanout_measures_how_soon_leaving_is_noticed)
{
    const char *json = temporary();
    expect_code(ARGS("fanout", "--scenario=gone", "--subscribers", "30", "--no-pin",
                     "--servers=raw,sse-server", "--json", json),
                0, NULL);
    char *text = read_json(json);
    for (int i = 0; i < 2; i++) {
        const char *r = server_of(text, 0, "gone", i ? "sse-server" : "raw");
        cr_assert_eq(number(r, "subscribers"), 30);
        cr_assert_gt(number(r, "gone_fin_ms"), 0);
        cr_assert_gt(number(r, "gone_rst_ms"), 0);
        cr_assert_gt(number(r, "gone_all_ms"), 0);
        expect_latency(r);
    }
    free(text);
}

/* Twice as many subscribers as there are descriptors: several servers hold them. */
Test(bench, fanout_divides_what_one_process_cannot_hold)
{
    struct rlimit limit = {.rlim_cur = 630, .rlim_max = 630};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const char *json = temporary();
    expect_code(ARGS("fanout", "--scenario=100000x1@1", "--subscribers", "75", "--rate=20",
                     "--no-pin", "--servers=raw,sse-server", "--duration=0.4", "--warmup=0.1",
                     "--json", json),
                0, NULL);
    char *text = read_json(json);
    for (int i = 0; i < 2; i++) {
        const char *r = server_of(text, 0, "100000x1@1", i ? "sse-server" : "raw");
        expect_nothing_lost(r);
        expect_latency(r);
        expect_cost(r);
        cr_assert_eq(number(r, "subscribers"), 75);
        cr_assert_geq(number(r, "published"), 3 * 8, "by each of three publishers");
        cr_assert_geq(number(r, "bytes_per_subscriber"), 0);
        char note[200];
        cr_assert(json_string(json_element(json_member(r, "notes"), 0), note, sizeof note));
        cr_assert(strstr(note, "3 servers"), "%s", note);
    }
    free(text);
}

Test(bench, fanout_passes_arguments_on_to_the_server)
{
    expect_code(ARGS("fanout", "--scenario=1x1@100", "--servers=sse-server", "--no-pin",
                     "--server-arg", "--no-such-option"),
                69, "no-such-option");
}

/* ---- storm and parse ---- */

Test(bench, storm_counts_until_all_are_served_again)
{
    uint16_t port;
    int code;
    proc *hub = proc_start_server(ARGS("--stream", "s"), &port);
    cr_assert_not_null(hub);
    const char *json = temporary();
    proc *p = bench(ARGS("storm", url_of(port, "/events?stream=s"), "--subscribers", "40",
                         "--waves", "3", "--threads", "2", "--json", json),
                    &code);
    cr_assert_eq(code, 0, "exit %d: %s", code, proc_stderr(p, NULL));
    cr_assert(strstr(proc_stdout(p, NULL), "wave 3: all 40 served"));
    proc_free(p);
    char *text = read_json(json);
    cr_assert_gt(number(server_of(text, 0, "storm", "target"), "connects_per_s"), 0);
    free(text);
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
}

Test(bench, parse_counts_the_same_in_all_pieces)
{
    const char *path = temporary(), *json = temporary();
    char file[64];
    snprintf(file, sizeof file, "%s", path);
    FILE *f = fopen(file, "w");
    cr_assert_not_null(f);
    for (int i = 0; i < 5000; i++)
        fprintf(f, "id: %d\nevent: e\ndata: line one of %d\ndata: line two\n\n", i, i);
    cr_assert_eq(fclose(f), 0);
    expect_code(ARGS("parse", file, "--duration", "0.05", "--json", json), 0, NULL);
    unlink(file);
    char *text = read_json(json);
    const char *r = server_of(text, 1, "parse@1024", "parser");
    cr_assert_gt(number(r, "mb_per_s"), 0);
    cr_assert_gt(number(r, "events_per_s"), 0);
    cr_assert_eq(number(r, "lost"), 0);
    cr_assert_gt(number(server_of(text, 0, "parse@64", "memchr"), "mb_per_s"), 0);
    free(text);
}

/* ---- inside ---- */

static void expect_events(const char *column)
{
    cr_assert_gt(number(column, "events_per_s"), 0);
    cr_assert_gt(number(column, "us_per_event"), 0);
}

Test(bench, inside_publishes_from_several_threads)
{
    const char *json = temporary();
    expect_code(ARGS("inside", "--scenario=publish", "--scenario=publish-100", "--publishers=3",
                     "--subscribers=4", "--duration=0.2", "--json", json),
                0, NULL);
    char *text = read_json(json);
    expect_events(server_of(text, 0, "publish", "publish"));
    static const char *const columns[] = {"publish", "burst"};
    for (size_t i = 0; i < 2; i++) {
        const char *r = server_of(text, 1, "publish-100", columns[i]);
        expect_events(r);
        cr_assert_eq(number(r, "subscribers"), 4);
        cr_assert_eq(number(r, "lost") + number(r, "duplicated"), 0);
        cr_assert_eq(number(r, "disconnected"), 0);
    }
    cr_assert_eq(number(server_of(text, 1, "publish-100", "burst"), "published"), 3 * 25000);
    free(text);
}

Test(bench, inside_has_no_thread_for_an_idle_stream)
{
    const char *json = temporary();
    expect_code(
        ARGS("inside", "--scenario=streams", "--streams=2000", "--duration=0.2", "--json", json), 0,
        NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "streams", "streams");
    expect_events(r);
    cr_assert_gt(number(r, "creates_per_s"), 0);
    cr_assert_gt(number(r, "removes_per_s"), 0);
    cr_assert_gt(number(r, "bytes_per_stream"), 0);
    cr_assert_geq(number(r, "published"), 20, "one round at least");
    cr_assert_leq(number(r, "threads_busy"), 20 + 10, "one for each that is active, and a few");
    cr_assert_leq(number(r, "threads_idle"), 10);
    free(text);
}

Test(bench, inside_passes_messages_and_receives_events)
{
    static const char *const ways[] = {"one message", "new messages", "polled"};
    static const char *const clients[] = {"callback", "chunks", "channel"};
    const char *json = temporary();
    expect_code(
        ARGS("inside", "--scenario=chan", "--scenario=client", "--duration=0.1", "--json", json), 0,
        NULL);
    char *text = read_json(json);
    for (size_t i = 0; i < 3; i++) {
        const char *r = server_of(text, 0, "chan", ways[i]);
        expect_events(r);
        cr_assert_eq(number(r, "lost") + number(r, "duplicated"), 0);
        cr_assert_geq(number(r, "switches_per_event"), 0);
        r = server_of(text, 1, "client", clients[i]);
        expect_events(r);
        cr_assert_eq(number(r, "misordered"), 0);
    }
    free(text);
}

/* ---- the script ---- */

/* Removes what the script writes there. */
static void remove_directory(const char *directory)
{
    int code;
    proc_free(proc_run(ARGS("/bin/rm", "-rf", directory), NULL, LONG, &code));
    cr_assert_eq(code, 0);
}

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

/* Steps that were measured one after the other are one result in the end, in the script's order. */
Test(bench, measure_joins_its_steps)
{
    char parts[] = "/tmp/sse-bench-parts-XXXXXX", out[] = "/tmp/sse-bench-out-XXXXXX";
    char script[4096], build[4096], path[64];
    static const char *const steps[] = {"1x1@max", "1x1@100"};
    cr_assert(mkdtemp(parts) && mkdtemp(out));
    snprintf(script, sizeof script, "%s/bench/measure", getenv("SSE_SOURCE"));
    snprintf(build, sizeof build, "%s/..", getenv("SSE_BIN"));
    cr_assert_eq(setenv("DURATION", "0.2", 1) | setenv("SERVERS", "raw", 1), 0);
    for (size_t i = 0; i < 2; i++) {
        int code;
        proc *p = proc_run(ARGS(script, "--build", build, "--parts", parts, "--out", out, steps[i]),
                           NULL, LONG, &code);
        cr_assert_eq(code, 0, "exit %d: %s", code, proc_stderr(p, NULL));
        proc_free(p);
    }
    snprintf(path, sizeof path, "%s/run.json", out);
    char *text = read_json(path);
    expect_nothing_lost(server_of(text, 0, "1x1@max", "raw"));
    expect_latency(server_of(text, 1, "1x1@100", "raw"));
    free(text);
    snprintf(path, sizeof path, "%s/run.html", out);
    text = slurp(path);
    const char *first = strstr(text, "<h2>1x1@max</h2>");
    cr_assert(first && strstr(first, "<h2>1x1@100</h2>"), "both sections");
    cr_assert_eq(occurrences(text, "<h2>"), 2);
    cr_assert_eq(occurrences(text, "<h1>"), 1, "one page");
    cr_assert_eq(occurrences(text, "</html>"), 1);
    free(text);
    remove_directory(parts);
    remove_directory(out);
}

/* ---- what goes wrong ---- */

Test(bench, wrong_options_are_named)
{
    expect_code(ARGS("fanout", "--scenario", "1x7"), 64, "1x7");
    expect_code(ARGS("fanout", "--servers", "apache"), 64, "apache");
    expect_code(ARGS("inside", "--scenario", "outside"), 64, "outside");
    expect_code(ARGS("inside", "--scenario=publish", "--publishers=65"), 64, "--publishers");
    expect_code(ARGS("fanout", "--frobnicate"), 64, "--frobnicate");
    expect_code(ARGS("load"), 64, "URL");
    expect_code(ARGS("load", "ftp://127.0.0.1/"), 64, "https://");
    expect_code(ARGS("load", "http://127.0.0.1:1/", "--rate", "5"), 64, "--rate");
    expect_code(ARGS("load", "http://127.0.0.1:1/", "--publish-url", "http://127.0.0.1:1/",
                     "--payload", "10"),
                64, "--payload");
    expect_code(ARGS("load", "http://127.0.0.1:1/", "--server-pid", "999999999"), 64,
                "--server-pid");
    expect_code(ARGS("parse", "/does/not/exist"), 64, "/does/not/exist");
    expect_code(ARGS("parse", "/tmp"), 64, "Is a directory");
    expect_code(ARGS("dance"), 64, "dance");
    expect_code(ARGS("dance", "http://127.0.0.1/"), 64, "there is no command 'dance'");
}

Test(bench, help_and_version)
{
    static const char *const commands[] = {"load", "fanout", "parse", "storm", "inside"};
    expect_code(ARGS("--help"), 0, NULL);
    expect_code(ARGS("--version"), 0, NULL);
    for (size_t i = 0; i < 5; i++)
        expect_code(ARGS(commands[i], "--help"), 0, NULL);
}

Test(bench, nobody_there_or_no_event_stream)
{
    uint16_t port;
    expect_code(ARGS("load", "http://127.0.0.1:1/", "--subscribers", "3"), 69, "refused");
    expect_code(ARGS("storm", "http://127.0.0.1:1/", "--subscribers", "3"), 69, "refused");
    expect_code(ARGS("fanout", "--scenario=1x1@100", "--server", "/does/not/exist", "--no-pin",
                     "--servers=sse-server"),
                69, "left out");
    proc *hub = proc_start_server(ARGS("--stream", "s"), &port);
    cr_assert_not_null(hub);
    expect_code(ARGS("load", url_of(port, "/events?stream=none"), "--subscribers", "3"), 69,
                "status is 404");
    expect_code(ARGS("load", url_of(port, "/events"), "--subscribers", "3"), 69,
                "status is 400: Name a stream");
    expect_code(ARGS("load", url_of(port, "/healthz"), "--subscribers", "3"), 69,
                "not an event stream");
    expect_code(ARGS("load", url_of(port, "/events?stream=s"), "--publish-url",
                     url_of(port, "/healthz"), "--subscribers", "1"),
                69, "405");
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
}
