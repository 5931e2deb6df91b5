/* sse-sub: its output, options and exit codes, against a scripted server. */
#include "tools.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TWO STREAM_HEAD "id: 1\ndata: a\n\nid: 2\nevent: x\ndata: \"b\xc3\xa9\"\ndata: c\n\n"

static scripted *serve(const char *reply, reply_end end)
{
    static scripted_reply one;
    static scripted_replies all;
    one = (scripted_reply){reply, end, 0};
    all = (scripted_replies){&one, 1};
    return scripted_start(scripted_play, &all);
}

static void ends_with(scripted *s, tool_result r, int code)
{
    cr_assert_eq(r.code, code, "%d, not %d: %s", r.code, code, r.err);
    scripted_stop(s);
}

/* ---- Output ---- */

Test(sse_sub, format_data)
{
    scripted *s = serve(TWO, END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL/", "--count", "2");
    cr_assert_str_eq(r.out, "a\n\"b\xc3\xa9\"\nc\n");
    cr_assert_str_eq(r.err, "");
    ends_with(s, r, 0);
}

Test(sse_sub, format_sse)
{
    scripted *s = serve(TWO, END_HOLD);
    tool_result r = RUN(s, "sse-sub", "--format=sse", "--count=2", "URL/");
    cr_assert_str_eq(r.out, "id: 1\ndata: a\n\nid: 2\nevent: x\ndata: \"b\xc3\xa9\"\ndata: c\n\n");
    ends_with(s, r, 0);
}

Test(sse_sub, format_json)
{
    scripted *s = serve(TWO, END_HOLD);
    tool_result r =
        RUN(s, "sse-sub", "URL/x", "--format", "json", "--count", "2", "--stream", "st");
    cr_assert_str_eq(
        r.out,
        "{\"id\":\"1\",\"type\":\"message\",\"data\":\"a\",\"stream\":\"st\"}\n"
        "{\"id\":\"2\",\"type\":\"x\",\"data\":\"\\\"b\xc3\xa9\\\"\\nc\",\"stream\":\"st\"}\n");
    ends_with(s, r, 0);
}

Test(sse_sub, each_event_is_flushed)
{
    scripted *s = serve(STREAM_HEAD ":no comment is printed\ndata: one\n\n", END_HOLD);
    proc *p = START(s, "sse-sub", "URL/");
    const char *line = proc_read_line(p, TOOL_MS);
    cr_assert_not_null(line);
    cr_assert_str_eq(line, "one");
    cr_assert(proc_signal(p, SIGTERM));
    cr_assert_eq(proc_wait(p, TOOL_MS), 0);
    proc_free(p);
    scripted_stop(s);
}

Test(sse_sub, base64)
{
    scripted *s = serve(STREAM_HEAD "data: !\n\ndata: aGk=\n\n", END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL/", "--base64", "--count", "1");
    cr_assert_str_eq(r.out, "hi\n");
    cr_assert_not_null(strstr(r.err, "base64")); /* a loss is told, also without --verbose */
    ends_with(s, r, 0);
}

Test(sse_sub, max_event_bytes)
{
    scripted *s = serve(
        STREAM_HEAD "data: 0123456789012345678901234567890123456789\n\ndata: hi\n\n", END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL/", "--max-event-bytes", "20", "--count", "1");
    cr_assert_str_eq(r.out, "hi\n");
    cr_assert_eq(count_lines(r.err), 1);
    ends_with(s, r, 0);
}

/* ---- The request ---- */

Test(sse_sub, options_of_the_request)
{
    char body[] = "/tmp/sse-sub-test-XXXXXX", token[] = "/tmp/sse-sub-test-XXXXXX", at_body[64];
    int fd = mkstemp(body), fd2 = mkstemp(token);
    cr_assert_eq(write(fd, "{\"a\":1}\n", 8), 8);
    cr_assert_eq(write(fd2, "sesame\nignored\n", 15), 15);
    close(fd);
    close(fd2);
    snprintf(at_body, sizeof at_body, "@%s", body);
    scripted *s = serve(TWO, END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL?a=b", "--stream", "s t", "--method", "PUT", "--body",
                        at_body, "--header", "X-One: 1", "--header=Accept: any/thing",
                        "--last-event-id", "41", "--token-file", token, "--count", "1");
    const char *line = scripted_request(s, 0);
    cr_assert_eq(strncmp(line, "PUT /events?a=b&stream=s%20t HTTP/1.1\r\n", 39), 0, "%s", line);
    cr_assert_str_eq(scripted_request_body(s, 0), "{\"a\":1}\n");
    cr_assert_str_eq(scripted_request_header(s, 0, "X-One"), "1");
    cr_assert_str_eq(scripted_request_header(s, 0, "Accept"), "any/thing");
    cr_assert_str_eq(scripted_request_header(s, 0, "Last-Event-ID"), "41");
    cr_assert_str_eq(scripted_request_header(s, 0, "Authorization"), "Bearer sesame");
    unlink(body);
    unlink(token);
    ends_with(s, r, 0);
}

Test(sse_sub, body_as_text)
{
    scripted *s = serve(TWO, END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL/", "--body", "text", "--count", "1");
    cr_assert_eq(strncmp(scripted_request(s, 0), "POST / ", 7), 0);
    cr_assert_str_eq(scripted_request_body(s, 0), "text");
    ends_with(s, r, 0);
}

Test(sse_sub, without_stream_the_url_is_taken_as_it_is)
{
    scripted *s = serve(TWO, END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL/", "--count", "1");
    cr_assert_eq(strncmp(scripted_request(s, 0), "GET / HTTP", 10), 0);
    ends_with(s, r, 0);
}

Test(sse_sub, proxy)
{
    scripted *s = serve(TWO, END_HOLD);
    tool_result r =
        RUN(s, "sse-sub", "http://example.test/path", "--proxy", "URL/", "--count", "1");
    cr_assert_eq(strncmp(scripted_request(s, 0), "GET http://example.test/path HTTP/1.1\r\n", 39),
                 0);
    ends_with(s, r, 0);
}

/* ---- Exit codes ---- */

Test(sse_sub, exit_0_count_over_reconnections)
{
    scripted *s = serve(TWO, END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/", "--count", "5", "--retry", "1");
    cr_assert_eq(count_lines(r.out), 7);
    cr_assert_str_eq(scripted_request_header(s, 1, "Last-Event-ID"), "2");
    ends_with(s, r, 0);
}

Test(sse_sub, exit_0_on_204)
{
    scripted *s = serve("HTTP/1.1 204 Stop\r\n\r\n", END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/");
    cr_assert_str_eq(r.err, "");
    cr_assert_eq(scripted_connections(s), 1);
    ends_with(s, r, 0);
}

Test(sse_sub, exit_0_on_signals)
{
    const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < 2; i++) {
        scripted *s = serve("", END_HOLD);
        proc *p = START(s, "sse-sub", "URL/");
        cr_assert(scripted_wait_requests(s, 1));
        cr_assert(proc_signal(p, signals[i]));
        cr_assert_eq(proc_wait(p, TOOL_MS), 0);
        cr_assert_str_eq(proc_stderr(p, NULL), "");
        proc_free(p);
        scripted_stop(s);
    }
}

Test(sse_sub, exit_0_when_nobody_reads_any_more)
{
    scripted *s = serve(TWO, END_FIN);
    char command[300];
    snprintf(command, sizeof command, "%s %s --retry 1 | head -n 1; exit 0", proc_bin("sse-sub"),
             scripted_url(s, "/"));
    const char *const argv[] = {"sh", "-c", command, NULL};
    int code;
    proc *p = proc_run(argv, NULL, TOOL_MS, &code);
    cr_assert_not_null(p);
    cr_assert_eq(code, 0);
    cr_assert_str_eq(proc_stdout(p, NULL), "a\n");
    cr_assert_str_eq(proc_stderr(p, NULL), "");
    proc_free(p);
    scripted_stop(s);
}

Test(sse_sub, no_reconnect)
{
    scripted *s = serve(TWO, END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/", "--no-reconnect");
    cr_assert_eq(count_lines(r.out), 3);
    cr_assert_eq(scripted_connections(s), 1);
    ends_with(s, r, 0);
    s = serve(TWO, END_FIN);
    r = RUN(s, "sse-sub", "URL/", "--no-reconnect", "--count", "3"); /* only two came */
    cr_assert_eq(count_lines(r.err), 1);
    ends_with(s, r, 69);
    s = serve(TWO, END_RST);
    r = RUN(s, "sse-sub", "URL/", "--no-reconnect");
    ends_with(s, r, 69);
}

static void misused(const char *about, const char *const args[])
{
    tool_result r = run_tool(NULL, "sse-sub", args, NULL);
    cr_assert_eq(r.code, 64, "%s: %d", about, r.code);
    cr_assert_str_eq(r.out, "");
    cr_assert_eq(count_lines(r.err), 1, "%s", r.err);
    cr_assert_not_null(strstr(r.err, about), "%s", r.err);
}
#define MISUSED(about, ...) misused(about, (const char *const[]){__VA_ARGS__, NULL})

Test(sse_sub, exit_64_names_what_is_wrong)
{
    MISUSED("--frobnicate", "http://h/", "--frobnicate");
    MISUSED("--frobnicate", "--frobnicate=7", "http://h/");
    MISUSED("-x", "-x", "http://h/");
    MISUSED("--coun", "--coun", "1", "http://h/"); /* no abbreviations */
    MISUSED("--count", "http://h/", "--count");
    MISUSED("--count", "http://h/", "--count", "many");
    MISUSED("--count", "http://h/", "--count", "0");
    MISUSED("--count", "http://h/", "--count=-1");
    MISUSED("--timeout", "http://h/", "--timeout", "soon");
    MISUSED("--timeout", "http://h/", "--timeout", "1.2.3");
    MISUSED("--format", "http://h/", "--format", "xml");
    MISUSED("--insecure", "http://h/", "--insecure=yes");
    MISUSED("--header", "http://h/", "--header", "no colon");
    MISUSED("--max-retry", "http://h/", "--max-retry", "99999999999");
    MISUSED("--body", "http://h/", "--body", "@/no/such/file");
    MISUSED("--token-file", "http://h/", "--token-file", "/no/such/file");
    MISUSED("URL", "--count", "1");
    MISUSED("another", "http://h/", "another");
    MISUSED("ftp://h/", "ftp://h/");
}

Test(sse_sub, help_and_version)
{
    tool_result r = RUN(NULL, "sse-sub", "--help");
    cr_assert_eq(r.code, 0);
    cr_assert_not_null(strstr(r.out, "usage: sse-sub"));
    const char *const all[] = {
        "stream", "format",       "count",           "timeout",   "header",       "last-event-id",
        "method", "body",         "retry",           "max-retry", "max-attempts", "no-reconnect",
        "base64", "idle-timeout", "max-event-bytes", "cacert",    "insecure",     "cert",
        "key",    "proxy",        "verbose"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char option[40];
        snprintf(option, sizeof option, "--%s ", all[i]);
        cr_assert_not_null(strstr(r.out, option), "%s", option);
    }
    r = RUN(NULL, "sse-sub", "--version");
    cr_assert_eq(r.code, 0);
    cr_assert_eq(strncmp(r.out, "sse-sub ", 8), 0);
}

Test(sse_sub, exit_69_nobody_listens)
{
    scripted *gone = serve("", END_FIN);
    char url[64];
    snprintf(url, sizeof url, "%s", scripted_url(gone, "/"));
    scripted_stop(gone);
    tool_result r = RUN(NULL, "sse-sub", url, "--max-attempts", "2", "--retry", "1");
    cr_assert_eq(r.code, 69);
    cr_assert_eq(count_lines(r.err), 1);
    cr_assert_not_null(strstr(r.err, "2 attempts"));
    r = RUN(NULL, "sse-sub", url, "--retry", "1"); /* never opened: gives up by itself */
    cr_assert_eq(r.code, 69);
    cr_assert_not_null(strstr(r.err, "3 attempts"));
}

Test(sse_sub, exit_69_gave_up_on_errors_that_pass)
{
    scripted *s = serve("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/", "--max-attempts", "4", "--retry", "1");
    cr_assert_eq(scripted_requests(s), 4);
    cr_assert_not_null(strstr(r.err, "503"));
    ends_with(s, r, 69);
}

Test(sse_sub, exit_69_idle)
{
    scripted *s = serve(STREAM_HEAD, END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL/", "--no-reconnect", "--idle-timeout", "0.05");
    ends_with(s, r, 69);
}

Test(sse_sub, exit_76_not_an_event_stream)
{
    const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        scripted *s = serve(replies[i], END_FIN);
        tool_result r = RUN(s, "sse-sub", "URL/");
        cr_assert_eq(count_lines(r.err), 1);
        cr_assert_eq(scripted_requests(s), 1);
        ends_with(s, r, 76);
    }
}

Test(sse_sub, exit_77_denied)
{
    scripted *s =
        serve("HTTP/1.1 401 Who\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n", END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/");
    cr_assert_eq(count_lines(r.err), 1);
    ends_with(s, r, 77);
    s = serve("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", END_FIN);
    r = RUN(s, "sse-sub", "URL/");
    ends_with(s, r, 77);
}

/* ---- What a server says with a refusal ---- */

static void told(const char *reply, const char *want, int code)
{
    scripted *s = serve(reply, END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/", "--max-attempts", "2", "--retry", "1");
    char line[1024];
    snprintf(line, sizeof line, "sse-sub: %s: the server answered with status %s\n",
             scripted_url(s, "/"), want);
    cr_assert_str_eq(r.err, line);
    ends_with(s, r, code);
}

Test(sse_sub, the_reason_of_a_refusal)
{
    told("HTTP/1.1 404 No\r\nContent-Length: 15\r\n\r\nno such stream\n", "404: no such stream",
         76);
    told("HTTP/1.1 401 Who\r\n\r\n\x1b[2Jwrong\x9b token\r\nand more\r\n", "401: ?[2Jwrong? token",
         77);
    told("HTTP/1.1 400 Bad\r\n\r\n{\n  \"error\": \"no such model\"\n}\n",
         "400: { \"error\": \"no such model\" }", 76);
    told("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "404", 76);
    told("HTTP/1.1 503 Busy\r\n\r\ntry later\n", "503: try later; gave up after 2 attempts", 69);
}

Test(sse_sub, the_reasons_of_passing_refusals_with_verbose)
{
    scripted *s = serve("HTTP/1.1 503 Busy\r\n\r\ntry later\n", END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/", "--max-attempts", "3", "--retry", "1", "--verbose");
    size_t said = 0;
    for (const char *at = r.err; (at = strstr(at, "status 503: try later")); at++)
        said++;
    cr_assert_eq(said, 3, "%s", r.err);
    ends_with(s, r, 69);
}

Test(sse_sub, exit_124_timeout)
{
    scripted *s = serve(TWO, END_HOLD);
    tool_result r = RUN(s, "sse-sub", "URL/", "--timeout", "0.2");
    ends_with(s, r, 124);
    s = serve("", END_HOLD);
    r = RUN(s, "sse-sub", "URL/", "--timeout=0.05", "--count=1");
    ends_with(s, r, 124);
}

/* A pipe that nobody reads must not keep the program. */
Test(sse_sub, ends_while_its_output_is_stuck)
{
    scripted *s = serve(TWO, END_FIN);
    char fifo[] = "/tmp/sse-sub-fifo-XXXXXX";
    cr_assert_not_null(mkdtemp(fifo));
    char path[64], script[600];
    snprintf(path, sizeof path, "%s/f", fifo);
    snprintf(script, sizeof script,
             "mkfifo %s; exec 4<>%s; head -c 70000 /dev/zero >&4 & "
             "%s %s --retry 1 --timeout 0.3 >&4; echo $?; kill $!",
             path, path, proc_bin("sse-sub"), scripted_url(s, "/"));
    const char *const argv[] = {"sh", "-c", script, NULL};
    int code;
    proc *p = proc_run(argv, NULL, TOOL_MS, &code);
    cr_assert_not_null(p);
    cr_assert_str_eq(proc_stdout(p, NULL), "124\n");
    proc_free(p);
    unlink(path);
    rmdir(fifo);
    scripted_stop(s);
}

Test(sse_sub, verbose)
{
    scripted *s = serve(TWO, END_FIN);
    tool_result r = RUN(s, "sse-sub", "URL/", "--verbose", "--count", "3", "--retry", "1");
    cr_assert_not_null(strstr(r.err, "open"));
    cr_assert_not_null(strstr(r.err, "next attempt"));
    cr_assert_eq(count_lines(r.out), 4);
    ends_with(s, r, 0);
}
