/* Servers that send garbage, stop in the middle or refuse: sse-sub says clearly what is wrong,
 * gives up or goes on as it should, and never prints half an event. */
#include "e2e.h"
#include "scripted_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOOD STREAM_HEAD "data: good\n\n"

/* The first answer is bad, the second one good: sse-sub must come back and print nothing of the
 * first but `before`. */
static void comes_back_after(const char *bad, reply_end end, const char *before)
{
    scripted *s = scripted_start(scripted_play, REPLIES({bad, end, 0}, {GOOD, END_HOLD, 0}));
    const char *url = text("%s", scripted_url(s, "/"));
    size_t lines = strlen(before) > 0;
    proc *p = tool_run(
        "sse-sub", ARGS("--retry=1", "--verbose", url, "--count", text("%zu", lines + 1)), NULL, 0);
    cr_assert_str_eq(out_of(p), text("%sgood\n", before));
    cr_assert_not_null(strstr(err_of(p), "next attempt in"), "%s", err_of(p));
    cr_assert_eq(scripted_connections(s), 2u);
    proc_free(p);
    scripted_stop(s);
}

/* conformance 15 and 21: an event that is cut off does not count, whole ones do. */
Test(bad_server, stops_in_the_middle)
{
    comes_back_after(STREAM_HEAD "data: whole\n\ndata: ha", END_FIN, "whole\n");
    comes_back_after(STREAM_HEAD "data: whole\n\ndata: half\n", END_RST, "whole\n");
    comes_back_after("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: "
                     "100\r\n\r\ndata: whole\n\ndat",
                     END_FIN, "whole\n");
    comes_back_after(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "d\r\ndata: whole\n\n\r\n5\r\nda",
        END_FIN, "whole\n");
}

/* An answer cut off inside its headers is a broken connection, not another kind of answer. */
Test(bad_server, stops_in_the_headers)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-More: y\r\n\r\n";
    char cut[sizeof head];
    for (size_t n = 0; n < sizeof head - 1; n += 6) {
        memcpy(cut, head, n);
        cut[n] = '\0';
        comes_back_after(cut, END_FIN, "");
    }
    comes_back_after("HTTP/1.1 404 Not Fou", END_FIN, "");
    comes_back_after("HTTP/1.1 204 No Content\r\nX-", END_FIN, "");
}

Test(bad_server, garbage_instead_of_http)
{
    comes_back_after("\x01\x02\x03\xff\xfe\r\n\r\n", END_FIN, "");
    comes_back_after("220 mail.example ESMTP\r\n", END_FIN, "");
    comes_back_after("data: no header at all\n\n", END_FIN, "");
    comes_back_after("", END_RST, "");
}

Test(bad_server, bad_chunks)
{
    comes_back_after(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "zz\r\ndata: x\n\n",
        END_FIN, "");
}

/* Garbage inside a stream is ignored as the standard says. */
Test(bad_server, garbage_inside_the_stream)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({STREAM_HEAD "\x80\xff\xfe nonsense\n: comment\nDATA: no\n\ndata: "
                                            "a\xff\nnothing:\n\nretry: -1\n\ndata: b\n\n",
                                END_HOLD, 0}));
    proc *p = tool_run("sse-sub", ARGS("--count=2", text("%s", scripted_url(s, "/"))), NULL, 0);
    cr_assert_str_eq(out_of(p), "a\xef\xbf\xbd\nb\n");
    proc_free(p);
    scripted_stop(s);
}

static void endless_line(scripted_conn *c, void *user)
{
    (void)user;
    char *x = malloc(65536);
    memset(x, 'x', 65536);
    if (conn_index(c) == 0 && conn_read_request(c) && conn_puts(c, STREAM_HEAD "data: "))
        for (int i = 0; i < 400 && conn_send(c, x, 65536); i++)
            ; /* 25 MB, more than the 16 MiB that are allowed by default */
    (void)conn_puts(c, "\n\ndata: next\n\n");
    conn_wait_peer(c);
    free(x);
}

/* conformance 16: past the limit it is an error, and the stream goes on. */
Test(bad_server, line_without_an_end)
{
    scripted *s = scripted_start(endless_line, NULL);
    proc *p = tool_run("sse-sub", ARGS("--count=1", text("%s", scripted_url(s, "/"))), NULL, 0);
    cr_assert_str_eq(out_of(p), "next\n");
    cr_assert(one_line(err_of(p)), "%s", err_of(p));
    proc_free(p);
    scripted_stop(s);
}

static void endless_headers(scripted_conn *c, void *user)
{
    (void)user;
    if (!conn_read_request(c))
        return;
    (void)conn_puts(c, "HTTP/1.1 200 OK\r\n");
    while (conn_puts(c, "X-Again: and again and again and again and again and again and again\r\n"))
        ;
}

Test(bad_server, headers_without_an_end)
{
    scripted *s = scripted_start(endless_headers, NULL);
    proc *p =
        tool_run("sse-sub", ARGS("--max-attempts=1", text("%s", scripted_url(s, "/"))), NULL, 69);
    cr_assert(one_line(err_of(p)), "%s", err_of(p));
    proc_free(p);
    scripted_stop(s);
}

static void silence(scripted_conn *c, void *user)
{
    (void)user;
    conn_wait_peer(c);
}

Test(bad_server, accepts_and_says_nothing)
{
    scripted *s = scripted_start(silence, NULL);
    proc *p = tool_run("sse-sub",
                       ARGS("--max-attempts=2", "--retry=1", "--response-timeout=0.2",
                            text("%s", scripted_url(s, "/"))),
                       NULL, 69);
    cr_assert_not_null(strstr(err_of(p), "no answer within 200 ms"), "%s", err_of(p));
    proc_free(p);
    cr_assert_eq(scripted_connections(s), 2u);
    scripted_stop(s);
}

/* conformance 13: a retry that nobody can wait for is no short one. */
Test(bad_server, enormous_retry)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD "retry: 1000000000000000000000000000000\n\ndata: x\n\n", END_FIN, 0}));
    proc *p = tool_start("sse-sub", ARGS("--verbose", text("%s", scripted_url(s, "/"))));
    expect_line(p, "x");
    cr_assert(proc_wait_stderr(p, "next attempt in ", LONG));
    cr_assert_geq(strtoll(strstr(err_of(p), "next attempt in ") + 16, NULL, 10), 60000, "%s",
                  err_of(p));
    cr_assert_eq(proc_stop(p, LONG), 0);
    proc_free(p);
    scripted_stop(s);
}

/* ---- sse-pub ---- */

Test(bad_server, pub_half_an_answer)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", END_FIN, 0}));
    tool_fails("sse-pub", ARGS(text("%s", scripted_url(s, "/")), "--stream=s", "x"), NULL, 69,
               "127.0.0.1");
    scripted_stop(s);
}

Test(bad_server, pub_is_not_redirected)
{
    scripted *s = scripted_start(
        scripted_play, REPLIES({"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: "
                                "0\r\nConnection: close\r\n\r\n",
                                END_FIN, 0}));
    tool_fails("sse-pub", ARGS(text("%s", scripted_url(s, "/")), "--stream=s", "x"), NULL, 76,
               "302");
    cr_assert_eq(scripted_requests(s), 1u);
    scripted_stop(s);
}
