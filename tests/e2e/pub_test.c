/* sse-pub: its options against the real server, and against a script where the real one cannot be
 * provoked. Exit codes are in exit_test.c. */
#include "e2e.h"
#include "scripted_server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The program's whole output must be this. */
static void run(const char *const args[], const char *input, const char *out)
{
    proc *p = tool_run("sse-pub", args, input, 0);
    cr_assert_str_eq(out_of(p), out);
    cr_assert_str_eq(err_of(p), "");
    proc_free(p);
}

/* ---- one message ---- */

Test(pub, message)
{
    hub h = hub_start(ARGS("--stream=a b&c"));
    http_conn *c = follow(&h, "a%20b%26c", NULL, NULL);
    proc *p = tool_run("sse-pub", ARGS(h.url, "--stream", "a b&c", "hello"), NULL, 0);
    const char *id = proc_read_line(p, LONG);
    cr_assert(id && *id);
    expect_block(c, id, NULL, "hello", NULL);
    proc_free(p);
    http_close(c);
    hub_end(&h);
}

Test(pub, event_id_retry)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    run(ARGS(h.url, "--stream=s", "--event", "t\xc3\xa4g & co", "--id", "i=1?", "--retry", "0",
             "with everything"),
        NULL, "i=1?\n");
    expect_block(c, "i=1?", "t\xc3\xa4g & co", "with everything", "0");
    run(ARGS(h.url, "--stream=s", "--id=2", "--", "--looks-like-an-option"), NULL, "2\n");
    expect_block(c, "2", NULL, "--looks-like-an-option", NULL);
    http_close(c);
    hub_end(&h);
}

Test(pub, url_forms)
{
    hub h = hub_start(ARGS("--stream=s"));
    const char *hosts[] = {text("127.0.0.1:%u", h.port), h.url, text("%s/", h.url),
                           text("%s/events", h.url)};
    for (size_t i = 0; i < 4; i++)
        run(ARGS(hosts[i], "--stream=s", "--id", text("%zu", i), "x"), NULL, text("%zu\n", i));
    run(ARGS(text("%s/events?stream=s", h.url), "--id=in-url", "x"), NULL, "in-url\n");
    wait_number(&h, "s", "events", 5);
    hub_end(&h);
}

Test(pub, empty_message_is_an_event)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    run(ARGS(h.url, "--stream=s", "--id=e", ""), NULL, "e\n");
    expect_block(c, "e", NULL, "", NULL);
    http_close(c);
    hub_end(&h);
}

Test(pub, quiet)
{
    hub h = hub_start(ARGS("--stream=s"));
    run(ARGS(h.url, "--stream=s", "--quiet", "x"), NULL, "");
    hub_end(&h);
}

Test(pub, verbose)
{
    hub h = hub_start(ARGS("--stream=s"));
    proc *p = tool_run("sse-pub", ARGS(h.url, "--stream=s", "--verbose", "x"), NULL, 0);
    cr_assert_not_null(strstr(err_of(p), "published"), "%s", err_of(p));
    proc_free(p);
    hub_end(&h);
}

Test(pub, token_file_and_header)
{
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", temp_file("secret\n")));
    run(ARGS(h.url, "--stream=s", "--id=1", "--token-file", temp_file("secret\nsecond line\n"),
             "x"),
        NULL, "1\n");
    run(ARGS(h.url, "--stream=s", "--id=2", "--header", "Authorization: Bearer secret", "x"), NULL,
        "2\n");
    hub_end(&h);
}

/* ---- --lines ---- */

Test(pub, lines)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    proc *p = tool_run("sse-pub", ARGS(h.url, "--stream=s", "--lines", "--event=line"),
                       "one\r\n\n  three: \n:four\ndata: five\nno line end", 0);
    static const char *const lines[] = {
        "one", "", "  three: ", ":four", "data: five", "no line end"};
    for (size_t i = 0; i < 6; i++) {
        const char *id = proc_read_line(p, LONG);
        cr_assert_not_null(id);
        expect_block(c, id, "line", lines[i], NULL);
    }
    cr_assert_null(proc_read_line(p, LONG));
    proc_free(p);
    http_close(c);
    hub_end(&h);
}

/* Each line is there as soon as it is written: a pipe from tail -f has no end. */
Test(pub, lines_as_they_come)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    proc *p = tool_start("sse-pub", ARGS(h.url, "--stream=s", "--lines"));
    for (int i = 0; i < 5; i++) {
        const char *line = text("%d\n", i);
        cr_assert(proc_write(p, line, strlen(line), LONG));
        expect_data(c, text("%d", i));
        cr_assert_not_null(proc_read_line(p, LONG), "the id");
    }
    tool_end(p, 0);
    http_close(c);
    hub_end(&h);
}

/* What the server refused is told with its line; the others are published. */
Test(pub, lines_refused)
{
    hub h = hub_start(ARGS("--stream=s", "--max-event-bytes=5"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    proc *p = tool_run("sse-pub", ARGS(h.url, "--stream=s", "--lines"), "ok\ntoo long\nfine\n", 76);
    cr_assert(one_line(err_of(p)), "%s", err_of(p));
    cr_assert_not_null(strstr(err_of(p), "line 2: "), "%s", err_of(p));
    cr_assert_not_null(strstr(err_of(p), "larger than 5 bytes"), "%s", err_of(p));
    proc_free(p);
    expect_data(c, "ok");
    expect_data(c, "fine");
    http_close(c);
    hub_end(&h);
}

/* Nothing more is tried with a token that was refused. */
Test(pub, lines_denied)
{
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", temp_file("secret\n")));
    tool_fails("sse-pub", ARGS(h.url, "--stream=s", "--lines"), "a\nb\nc\n", 77, "line 1: ");
    hub_end(&h);
}

/* ---- --events ---- */

Test(pub, events)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    run(ARGS(h.url, "--stream=s", "--events"),
        "\n\nid: 1\nevent: a\ndata: A\n\nid:2\r\ndata:B\r\ndata:b\r\n\r\nid: 3\rretry: 9\rdata\r\r",
        "1\n2\n3\n");
    expect_block(c, "1", "a", "A", NULL);
    expect_block(c, "2", NULL, "B\nb", NULL);
    expect_block(c, "3", NULL, "", "9");
    http_close(c);
    hub_end(&h);
}

Test(pub, events_as_they_come)
{
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    proc *p = tool_start("sse-pub", ARGS(h.url, "--stream=s", "--events"));
    cr_assert(proc_write(p, "data: whole\n\ndata: ha", 21, LONG));
    expect_data(c, "whole");
    cr_assert(proc_write(p, "lf\n\n", 4, LONG));
    expect_data(c, "half");
    tool_end(p, 0);
    http_close(c);
    hub_end(&h);
}

Test(pub, events_refused)
{
    hub h = hub_start(ARGS("--stream=s"));
    tool_fails("sse-pub", ARGS(h.url, "--stream=s", "--events"), "dada: x\n\n", 76, "Line 1");
    proc *p = tool_run("sse-pub", ARGS(h.url, "--stream=s", "--events"), "data: x\n", 64);
    cr_assert_not_null(strstr(err_of(p), "not published"), "%s", err_of(p));
    proc_free(p);
    cr_assert_eq(stream_number(&h, "s", "events"), 0u);
    hub_end(&h);
}

/* ---- a busy server ---- */

/* 429 with Retry-After is asked again. */
Test(pub, retries_when_busy)
{
    static const char busy[] =
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: "
        "0\r\nConnection: close\r\n\r\n";
    static const char taken[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n7\n";
    scripted *s = scripted_start(scripted_play, REPLIES({busy, END_FIN, 0}, {taken, END_FIN, 0}));
    run(ARGS(text("%s", scripted_url(s, "/")), "--stream=s", "x"), NULL, "7\n");
    cr_assert_eq(scripted_requests(s), 2u);
    cr_assert_str_eq(scripted_request_body(s, 0), "x");
    cr_assert_str_eq(scripted_request_body(s, 1), "x");
    scripted_stop(s);
}

Test(pub, unix_socket)
{
    const char *path = text("%s/socket", temp_dir());
    hub h = hub_start(ARGS("--stream=s", "--listen", text("unix:%s", path)));
    run(ARGS("http://localhost", "--unix-socket", path, "--stream=s", "--id=1", "x"), NULL, "1\n");
    hub_end(&h);
}

/* A big message: many times what a socket holds at once. */
Test(pub, big_message_by_lines)
{
    hub h = hub_start(ARGS("--stream=s", "--max-event-bytes=5000000"));
    size_t n = 4000000;
    char *line = malloc(n + 2);
    cr_assert_not_null(line);
    for (size_t i = 0; i < n; i++)
        line[i] = (char)('a' + i % 26);
    line[n] = '\n';
    line[n + 1] = '\0';
    http_conn *c = follow(&h, "s", NULL, NULL);
    proc_free(tool_run("sse-pub", ARGS(h.url, "--stream=s", "--lines"), line, 0));
    line[n] = '\0';
    expect_data(c, line);
    http_close(c);
    free(line);
    hub_end(&h);
}
