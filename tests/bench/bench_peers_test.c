/* sse-bench as a program, against servers that refuse, break off or die: what it says of them, and that
 * it ends. */
#include "../e2e/json.h"
#include "../support/scripted_server.h"
#include "program.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define REFUSAL(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"

Test(bench_peers, refusals_are_told_by_kind)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({REFUSAL("429 Slow Down"), END_FIN, 0},
                               {REFUSAL("503 Busy"), END_FIN, 0}, {"SSH-2.0\r\n", END_FIN, 0},
                               {"HTTP/1.1 200", END_FIN, 0}, {REFUSAL("503 Busy"), END_FIN, 0}));
    const char *url = url_of(scripted_port(s), "/events");
    expect_says(ARGS("load", url, "--subscribers", "6"), 69,
                (const char *const[]){"6 of 6 subscribers were not served", "status is 429 (1)",
                                      "status is 503 (3)", "not HTTP (1)",
                                      "closed the connection without an answer (1)", NULL});
    scripted_stop(s);
}

/* Two lose their stream before the third has one. */
static void two_end_early(scripted_conn *c, void *user)
{
    (void)user;
    if (!conn_read_request(c) || (conn_index(c) == 2 && !scripted_wait_ended(conn_server(c), 2)))
        return;
    (void)conn_puts(c, STREAM_HEAD);
    if (conn_index(c) == 2)
        conn_wait_peer(c);
}

/* There is nothing to wait for once all have been served, though some are not any more. */
Test(bench_peers, a_stream_that_ends_at_once_does_not_hold_up_the_rest)
{
    static const char *const commands[] = {"load", "storm"};
    for (size_t i = 0; i < 2; i++) {
        scripted *s = scripted_start(two_end_early, NULL);
        expect_code(ARGS(commands[i], url_of(scripted_port(s), "/events"), "--subscribers", "3"),
                    69, "not served: the server ended the stream");
        scripted_stop(s);
    }
}

/* ---- a signal ---- */

/* Run sse-bench with its stderr on a terminal, whose other end is *terminal. */
static proc *bench_on_terminal(const char *const args[], int *terminal)
{
    const char *argv[32] = {"/bin/sh", "-c", "exec \"$@\" 2>&3", "sh", proc_bin("sse-bench")};
    size_t n = 5;
    for (size_t i = 0; args[i]; i++) {
        cr_assert_lt(n + 1, sizeof argv / sizeof argv[0]);
        argv[n++] = args[i];
    }
    *terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert(*terminal >= 0 && grantpt(*terminal) == 0 && unlockpt(*terminal) == 0);
    int slave = open(ptsname(*terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert_geq(slave, 0);
    proc *p = proc_start_with(argv, &slave, 1);
    cr_assert_not_null(p);
    close(slave);
    return p;
}

/* Read the terminal until it has shown that. */
static void expect_on_terminal(int terminal, const char *text)
{
    char seen[4096];
    size_t n = 0;
    struct pollfd p = {.fd = terminal, .events = POLLIN};
    do {
        if (n > sizeof seen / 2) { /* the text may be cut in two */
            memmove(seen, seen + n - 256, 256);
            n = 256;
        }
        cr_assert_gt(poll(&p, 1, LONG), 0, "it never showed '%s'", text);
        ssize_t got = read(terminal, seen + n, sizeof seen - 1 - n);
        cr_assert_gt(got, 0, "it ended without '%s'", text);
        n += (size_t)got;
        seen[n] = '\0';
    } while (!strstr(seen, text));
}

static void expect_note(const char *server, const char *part)
{
    char note[400];
    const char *notes = json_member(server, "notes"), *one;
    for (size_t i = 0; (one = json_element(notes, i)); i++)
        if (json_string(one, note, sizeof note) && strstr(note, part))
            return;
    cr_assert_fail("no '%s' in %.2000s", part, server);
}

Test(bench_peers, what_was_measured_before_a_signal_counts)
{
    uint16_t port;
    int terminal;
    proc *hub = proc_start_server(ARGS("--auto-stream"), &port);
    cr_assert_not_null(hub);
    const char *url = url_of(port, "/events?stream=s"), *json = temporary(), *page = temporary();
    proc *p = bench_on_terminal(ARGS("load", url, "--publish-url", url, "--subscribers", "3",
                                     "--rate", "100", "--warmup", "0.1", "--duration", "3000",
                                     "--json", json, "--report", page),
                                &terminal);
    expect_on_terminal(terminal, "measuring: 3 subscribers");
    expect_on_terminal(terminal, "measuring: 3 subscribers");
    cr_assert(proc_signal(p, SIGINT));
    expect_on_terminal(terminal, "interrupted");
    cr_assert_eq(proc_wait(p, LONG), 130);
    cr_assert(strstr(proc_stdout(p, NULL), "latency p99, us"), "%s", proc_stdout(p, NULL));
    proc_free(p);
    close(terminal);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_note(r, "interrupted: ");
    expect_nothing_lost(r);
    expect_latency(r);
    cr_assert_lt(number(r, "seconds"), 2000, "as long as it lasted");
    cr_assert_gt(number(r, "deliveries_per_s"), 10, "not spread over what was planned");
    free(text);
    text = slurp(page);
    cr_assert(strstr(text, "deliveries over time"));
    free(text);
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
}

/* Nobody is ever served, and the ramp has two minutes. */
Test(bench_peers, a_signal_ends_the_ramp)
{
    static const char *const commands[] = {"load", "storm"};
    for (size_t i = 0; i < 2; i++) {
        scripted *s = scripted_start(scripted_play, REPLIES({"", END_HOLD, 0}));
        const char *json = temporary();
        const char *argv[] = {proc_bin("sse-bench"),
                              commands[i],
                              url_of(scripted_port(s), "/events"),
                              "--subscribers",
                              "3",
                              "--json",
                              json,
                              NULL};
        proc *p = proc_start(argv);
        cr_assert_not_null(p);
        cr_assert(scripted_wait_requests(s, 3));
        cr_assert(proc_signal(p, SIGTERM));
        cr_assert_eq(proc_wait(p, LONG), 143, "%s", proc_stderr(p, NULL));
        cr_assert(strstr(proc_stderr(p, NULL), "interrupted"), "%s", proc_stderr(p, NULL));
        proc_free(p);
        char *text = read_json(json);
        char failure[200];
        cr_assert(json_string(json_member(server_of(text, 0, commands[i], "target"), "failure"),
                              failure, sizeof failure));
        cr_assert(strstr(failure, "interrupted"), "%s", failure);
        free(text);
        scripted_stop(s);
    }
}

/* Servers and load processes are not left behind, and what was measured counts. */
Test(bench_peers, a_signal_ends_fanout_with_all_its_processes)
{
    struct rlimit limit = {.rlim_cur = 630, .rlim_max = 630};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const char *json = temporary();
    int terminal;
    proc *p = bench_on_terminal(ARGS("fanout", "--scenario=100000x1@1", "--subscribers", "75",
                                     "--rate=20", "--no-pin", "--servers=raw,sse-server",
                                     "--duration=3000", "--warmup=0.1", "--json", json),
                                &terminal);
    expect_on_terminal(terminal, "measuring: 25 subscribers");
    expect_on_terminal(terminal, "measuring: 25 subscribers");
    cr_assert(proc_signal(p, SIGINT));
    cr_assert_eq(proc_wait(p, LONG), 130);
    proc_free(p);
    close(terminal);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "100000x1@1", "raw");
    cr_assert_eq(number(r, "subscribers"), 75);
    cr_assert_null(json_member(r, "failure"), "%s", r);
    expect_nothing_lost(r);
    free(text);
}

/* ---- a server that dies ---- */

Test(bench_peers, a_server_that_dies_has_no_cpu_time)
{
    uint16_t port;
    int terminal;
    char pid[16];
    proc *hub = proc_start_server(ARGS("--auto-stream"), &port);
    cr_assert_not_null(hub);
    snprintf(pid, sizeof pid, "%d", (int)proc_pid(hub));
    const char *url = url_of(port, "/events?stream=s"), *json = temporary();
    proc *p = bench_on_terminal(ARGS("load", url, "--publish-url", url, "--subscribers", "3",
                                     "--rate", "100", "--warmup", "0.1", "--duration", "3000",
                                     "--server-pid", pid, "--json", json),
                                &terminal);
    expect_on_terminal(terminal, "measuring: 3 subscribers");
    /* It looks again once nothing is left of the server. */
    int status;
    cr_assert_eq(kill(proc_pid(p), SIGSTOP), 0);
    cr_assert_eq(waitpid(proc_pid(p), &status, WUNTRACED), proc_pid(p));
    cr_assert(proc_signal(hub, SIGKILL));
    cr_assert_eq(proc_wait(hub, LONG), 128 + SIGKILL);
    cr_assert_eq(kill(proc_pid(p), SIGCONT), 0);
    cr_assert_eq(proc_wait(p, LONG), 69);
    proc_free(p);
    close(terminal);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_note(r, "3 connections ended: ");
    cr_assert_lt(number(r, "seconds"), 2000, "as long as it lasted");
    expect_note(r, "its CPU time is not known");
    cr_assert_null(json_member(r, "server_cpu"));
    cr_assert_null(json_member(r, "server_us_per_delivery"));
    free(text);
    proc_free(hub);
}

/* ---- ways to a server ---- */

Test(bench_peers, what_a_server_says_is_told_if_it_is_text)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES(
            {"HTTP/1.1 404 No\r\nContent-Length: 20\r\n\r\nno such news\n\033[2Jbad", END_FIN, 0},
            {"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n<p>no</p>", END_FIN, 0},
            {"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", END_FIN,
             0}));
    const char *url = url_of(scripted_port(s), "/events");
    expect_says(ARGS("load", url, "--subscribers", "3"), 69,
                (const char *const[]){"status is 404: no such news (1)", "status is 403 (1)",
                                      "status is 401 (1)", NULL});
    scripted_stop(s);
}

Test(bench_peers, an_unanswered_request_is_waited_for_as_long_as_one_says)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({REFUSAL("429 No"), END_FIN, 0}, {"", END_HOLD, 0}));
    const char *url = url_of(scripted_port(s), "/events");
    expect_says(ARGS("load", url, "--subscribers", "3", "--timeout", "0.2"), 69,
                (const char *const[]){"3 of 3 subscribers were not served", "status is 429 (1)",
                                      "no answer within 0.2 s (2)", NULL});
    expect_code(ARGS("storm", url, "--subscribers", "2", "--timeout=0.2"), 69,
                "no answer within 0.2 s");
    scripted_stop(s);
}

Test(bench_peers, publications_have_headers_of_their_own)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({STREAM_HEAD, END_HOLD, 0}, {REFUSAL("401 No"), END_FIN, 0}));
    const char *url = url_of(scripted_port(s), "/events");
    expect_code(ARGS("load", url, "--subscribers", "1", "--publish-url", url, "--header",
                     "Authorization: Bearer reader", "--publish-header",
                     "Authorization: Bearer writer", "--warmup", "0", "--duration", "100"),
                69, "answered with 401");
    cr_assert(strstr(scripted_request(s, 0), "GET /events"));
    cr_assert_str_eq(scripted_request_header(s, 0, "Authorization"), "Bearer reader");
    cr_assert(strstr(scripted_request(s, 1), "POST /events"));
    cr_assert_str_eq(scripted_request_header(s, 1, "Authorization"), "Bearer writer");
    cr_assert_eq(scripted_request_header_count(s, 1, "Authorization"), 1);
    scripted_stop(s);
    expect_code(ARGS("load", "http://127.0.0.1:1/", "--publish-header", "A: b"), 64,
                "--publish-url");
}

Test(bench_peers, a_unix_socket)
{
    uint16_t port;
    char directory[] = "/tmp/sse-bench-test-XXXXXX", path[64], listen[80];
    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/hub", directory);
    snprintf(listen, sizeof listen, "unix:%s", path);
    proc *hub = proc_start_server(ARGS("--auto-stream", "--listen", listen), &port);
    cr_assert_not_null(hub);
    const char *url = "http://localhost/events?stream=s", *json = temporary();
    expect_code(ARGS("load", url, "--publish-url", url, "--unix-socket", path, "--subscribers",
                     "200", "--rate", "50", "--warmup", "0", "--duration", "0.3", "--json", json),
                0, NULL);
    char *text = read_json(json);
    const char *r = server_of(text, 0, "load", "target");
    expect_nothing_lost(r);
    cr_assert_eq(number(r, "subscribers"), 200);
    cr_assert_geq(number(r, "published"), 15, "from the start on");
    free(text);
    cr_assert_eq(proc_stop(hub, LONG), 0);
    proc_free(hub);
    (void)unlink(path);
    cr_assert_eq(rmdir(directory), 0);
}

Test(bench_peers, a_host_that_is_not_found)
{
    expect_code(ARGS("load", "http://nobody..invalid/"), 69, "its host is not found: ");
}
