/* sse-pub: what it posts, what it prints, and its exit codes, against a scripted server. */
#include "tools.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Answers each request of a connection with the next of these; the last one is repeated. */
static void answer(scripted_conn *c, void *user)
{
    const char *const *replies = user;
    while (conn_read_request(c)) {
        conn_puts(c, *replies);
        if (replies[1])
            replies++;
    }
}

static scripted *serve(const char *const replies[])
{
    return scripted_start(answer, (void *)(uintptr_t)replies);
}
#define ANSWERS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define OK(body, length)                                                                           \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " length "\r\n\r\n" body
#define REFUSED                                                                                    \
    "HTTP/1.1 413 Too Large\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n"             \
    "event is too large"
#define BUSY "HTTP/1.1 429 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"

static void asked(scripted *s, size_t i, const char *line, const char *body)
{
    const char *request = scripted_request(s, i);
    size_t n = strlen(line);
    cr_assert(strncmp(request, line, n) == 0 && request[n] == ' ', "%.80s", request);
    cr_assert_str_eq(scripted_request_body(s, i), body);
}

static void ends_with(scripted *s, const tool_result *r, int code)
{
    cr_assert_eq(r->code, code, "%d, not %d: %s", r->code, code, r->err);
    scripted_stop(s);
}

Test(sse_pub, one_message)
{
    scripted *s = serve(ANSWERS(OK("id-7", "4")));
    tool_result r = RUN(s, "sse-pub", "URL/", "--stream", "a b", "hello\nworld");
    asked(s, 0, "POST /events?stream=a%20b", "hello\nworld");
    cr_assert_null(scripted_request_header(s, 0, "Content-Type"));
    cr_assert_null(scripted_request_header(s, 0, "Expect"));
    cr_assert_str_eq(r.out, "id-7\n");
    cr_assert_str_eq(r.err, "");
    ends_with(s, &r, 0);
}

Test(sse_pub, the_events_fields_and_the_token)
{
    char token[] = "/tmp/sse-pub-test-XXXXXX";
    int fd = mkstemp(token);
    cr_assert_eq(write(fd, "sesame", 6), 6);
    close(fd);
    scripted *s = serve(ANSWERS(OK("1\n", "2")));
    tool_result r = RUN(s, "sse-pub", "URL/hub?x=y", "--stream", "s", "--event", "t&u", "--id=i 1",
                        "--retry", "250", "--token-file", token, "--", "--dashes");
    asked(s, 0, "POST /hub?x=y&stream=s&event=t%26u&id=i%201&retry=250", "--dashes");
    cr_assert_str_eq(scripted_request_header(s, 0, "Authorization"), "Bearer sesame");
    cr_assert_str_eq(r.out, "1\n");
    unlink(token);
    ends_with(s, &r, 0);
}

Test(sse_pub, quiet)
{
    scripted *s = serve(ANSWERS(OK("1\n", "2")));
    tool_result r = RUN(s, "sse-pub", "URL?stream=s", "--quiet", "");
    asked(s, 0, "POST /events?stream=s", "");
    cr_assert_str_eq(r.out, "");
    ends_with(s, &r, 0);
}

static tool_result with_input(scripted *s, const char *mode, const char *input)
{
    return run_tool(s, "sse-pub",
                    (const char *const[]){"URL/", "--stream", "s", "--event=t", mode, NULL}, input);
}

Test(sse_pub, lines_go_over_one_connection)
{
    scripted *s = serve(ANSWERS(OK("1", "1"), OK("2", "1"), OK("3", "1"), OK("4", "1")));
    tool_result r = with_input(s, "--lines", "one\r\n\ntwo \xc3\xa9\nlast");
    cr_assert_eq(scripted_requests(s), 4);
    cr_assert_eq(scripted_connections(s), 1);
    asked(s, 0, "POST /events?stream=s&event=t", "one");
    asked(s, 1, "POST /events?stream=s&event=t", "");
    asked(s, 2, "POST /events?stream=s&event=t", "two \xc3\xa9");
    asked(s, 3, "POST /events?stream=s&event=t", "last");
    cr_assert_str_eq(r.out, "1\n2\n3\n4\n");
    ends_with(s, &r, 0);
}

Test(sse_pub, a_line_is_published_as_it_comes)
{
    scripted *s = serve(ANSWERS(OK("1", "1")));
    proc *p = START(s, "sse-pub", "URL/", "--stream", "s", "--lines");
    for (size_t i = 1; i <= 3; i++) {
        cr_assert(proc_write(p, "x\n", 2, TOOL_MS));
        cr_assert(scripted_wait_requests(s, i));
        cr_assert_str_eq(proc_read_line(p, TOOL_MS), "1");
    }
    proc_close_stdin(p);
    cr_assert_eq(proc_wait(p, TOOL_MS), 0);
    proc_free(p);
    scripted_stop(s);
}

Test(sse_pub, a_refused_line_is_named_and_the_rest_goes_on)
{
    scripted *s = serve(ANSWERS(OK("1", "1"), REFUSED, OK("3", "1")));
    tool_result r = with_input(s, "--lines", "a\nb\nc\n");
    cr_assert_eq(scripted_requests(s), 3);
    cr_assert_str_eq(r.out, "1\n3\n");
    cr_assert_str_eq(r.err, "sse-pub: line 2: status 413: event is too large\n");
    ends_with(s, &r, 76);
}

Test(sse_pub, a_busy_server_is_asked_again)
{
    scripted *s = serve(ANSWERS(BUSY, OK("1", "1")));
    tool_result r = with_input(s, "--lines", "a\n");
    cr_assert_eq(scripted_requests(s), 2);
    asked(s, 1, "POST /events?stream=s&event=t", "a");
    cr_assert_str_eq(r.out, "1\n");
    ends_with(s, &r, 0);
}

Test(sse_pub, busy_for_too_long)
{
    scripted *s = serve(ANSWERS(BUSY));
    tool_result r = RUN(s, "sse-pub", "URL/", "--stream", "s", "--max-attempts", "1", "x");
    cr_assert_eq(scripted_requests(s), 1);
    cr_assert_not_null(strstr(r.err, "429"));
    ends_with(s, &r, 69);
}

static tool_result events(scripted *s, const char *input)
{
    return run_tool(s, "sse-pub", (const char *const[]){"URL/", "--stream", "s", "--events", NULL},
                    input);
}

Test(sse_pub, events_in_wire_format)
{
    scripted *s = serve(ANSWERS(OK("1\n2\n", "4")));
    tool_result r = events(s, "id: 1\ndata: a\n\ndata: b\r\n\r\n");
    asked(s, 0, "POST /events?stream=s", "id: 1\ndata: a\n\ndata: b\r\n\r\n");
    cr_assert_str_eq(scripted_request_header(s, 0, "Content-Type"), "text/event-stream");
    cr_assert_str_eq(r.out, "1\n2\n");
    ends_with(s, &r, 0);
}

Test(sse_pub, events_are_sent_as_their_blocks_are_complete)
{
    scripted *s = serve(ANSWERS(OK("1", "1")));
    proc *p = START(s, "sse-pub", "URL/", "--stream=s", "--events");
    cr_assert(proc_write(p, "data: a\n\ndata:", 14, TOOL_MS));
    cr_assert(scripted_wait_requests(s, 1));
    asked(s, 0, "POST /events?stream=s", "data: a\n\n");
    cr_assert(proc_write(p, " b\n\n", 4, TOOL_MS));
    cr_assert(scripted_wait_requests(s, 2));
    asked(s, 1, "POST /events?stream=s", "data: b\n\n");
    proc_close_stdin(p);
    cr_assert_eq(proc_wait(p, TOOL_MS), 0);
    proc_free(p);
    scripted_stop(s);
}

Test(sse_pub, a_refused_batch_is_named_by_its_line)
{
    scripted *s = serve(ANSWERS(OK("1", "1"), REFUSED));
    proc *p = START(s, "sse-pub", "URL/", "--stream=s", "--events");
    cr_assert(proc_write(p, "id: 1\ndata: a\n\n", 15, TOOL_MS));
    cr_assert(scripted_wait_requests(s, 1));
    cr_assert(proc_write(p, "data: b\n\n", 9, TOOL_MS));
    cr_assert(proc_wait_stderr(p, "events from line 4: status 413: event is too large\n", TOOL_MS));
    proc_close_stdin(p);
    cr_assert_eq(proc_wait(p, TOOL_MS), 76);
    proc_free(p);
    scripted_stop(s);
}

Test(sse_pub, an_event_without_its_empty_line_is_not_published)
{
    scripted *s = serve(ANSWERS(OK("1", "1")));
    tool_result r = events(s, "data: a\n\ndata: cut");
    cr_assert_eq(scripted_requests(s), 1);
    cr_assert_not_null(strstr(r.err, "empty line"));
    ends_with(s, &r, 64);
}

Test(sse_pub, no_input_publishes_nothing)
{
    scripted *s = serve(ANSWERS(OK("1", "1")));
    tool_result r = events(s, "\n\r\n\n");
    cr_assert_eq(r.code, 0);
    r = with_input(s, "--lines", "");
    cr_assert_eq(scripted_requests(s), 0);
    ends_with(s, &r, 0);
}

/* What was not read must not look like its end. */
Test(sse_pub, input_that_cannot_be_read)
{
    static const char *const modes[] = {"--lines", "--events"};
    for (size_t i = 0; i < 2; i++) {
        const char *const argv[] = {"sh",
                                    "-c",
                                    "exec \"$@\" </",
                                    "sh",
                                    proc_bin("sse-pub"),
                                    "http://127.0.0.1:9/",
                                    "--stream=s",
                                    modes[i],
                                    NULL};
        int code;
        proc *p = proc_run(argv, NULL, TOOL_MS, &code);
        cr_assert_not_null(p);
        cr_assert_eq(code, 64, "%s: %d", modes[i], code);
        cr_assert_str_eq(proc_stderr(p, NULL), "sse-pub: stdin: Is a directory\n");
        proc_free(p);
    }
}

Test(sse_pub, exit_64)
{
    static const char *const cases[][6] = {
        {"URL", NULL},
        {"--stream", "http://h/", "message", NULL},
        {"message", "http://h/", "--stream", "s", NULL},
        {"--lines", "http://h/", "--stream=s", "--lines", "--events", NULL},
        {"too many", "http://h/", "--stream=s", "a", "b", NULL},
        {"too many", "http://h/", "--stream=s", "--lines", "b", NULL},
        {"--events", "http://h/", "--stream=s", "--events", "--id=1", NULL},
        {"--frob", "http://h/", "--stream=s", "--frob", "b", NULL},
        {"--retry", "http://h/", "--stream=s", "--retry=x", "b", NULL},
        {"ftp://h/", "ftp://h/", "--stream=s", "b", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tool_result r = run_tool(NULL, "sse-pub", cases[i] + 1, NULL);
        cr_assert_eq(r.code, 64, "%zu: %d", i, r.code);
        cr_assert_eq(count_lines(r.err), 1, "%zu: %s", i, r.err);
        cr_assert_not_null(strstr(r.err, cases[i][0]), "%s", r.err);
    }
}

Test(sse_pub, exit_69_nobody_listens)
{
    scripted *gone = serve(ANSWERS(""));
    char url[64];
    snprintf(url, sizeof url, "%s", scripted_url(gone, "/"));
    scripted_stop(gone);
    tool_result r = RUN(NULL, "sse-pub", url, "--stream", "s", "x");
    cr_assert_eq(r.code, 69);
    cr_assert_eq(count_lines(r.err), 1);
}

Test(sse_pub, exit_76_refused)
{
    const char *const replies[] = {
        "HTTP/1.1 404 No\r\nContent-Length: 14\r\n\r\nno such stream", REFUSED,
        "HTTP/1.1 302 There\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"};
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        scripted *s = serve(ANSWERS(replies[i]));
        tool_result r = RUN(s, "sse-pub", "URL/", "--stream", "s", "x");
        cr_assert_eq(scripted_requests(s), 1);
        cr_assert_eq(count_lines(r.err), 1);
        ends_with(s, &r, 76);
    }
}

Test(sse_pub, exit_77_denied_ends_at_once)
{
    scripted *s = serve(
        ANSWERS("HTTP/1.1 401 Who\r\nContent-Length: 13\r\n\r\nwrong token.\n", OK("1", "1")));
    tool_result r = with_input(s, "--lines", "a\nb\nc\n");
    cr_assert_eq(scripted_requests(s), 1);
    cr_assert_str_eq(r.err, "sse-pub: line 1: status 401: wrong token.\n");
    ends_with(s, &r, 77);
}

Test(sse_pub, help_and_version)
{
    tool_result r = RUN(NULL, "sse-pub", "--help");
    cr_assert_eq(r.code, 0);
    cr_assert_not_null(strstr(r.out, "usage: sse-pub"));
    r = RUN(NULL, "sse-pub", "--version");
    cr_assert_eq(r.code, 0);
    cr_assert_eq(strncmp(r.out, "sse-pub ", 8), 0);
}
