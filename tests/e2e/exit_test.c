/* The exit codes of sse-sub and sse-pub: each one, from every cause that a user meets. */
#include "e2e.h"
#include "scripted_server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 4\r\n\r\nno.\n"

/* Run a tool against a script, with `more` before the URL. */
static proc *run_against(const char *tool, const scripted_replies *replies,
                         const char *const more[], int code)
{
    const char *all[32];
    size_t n = 0;
    scripted *s = scripted_start(scripted_play, (void *)replies);
    for (; more && *more; more++)
        all[n++] = *more;
    all[n++] = text("%s", scripted_url(s, "/events?stream=s"));
    all[n] = NULL;
    if (strcmp(tool, "sse-pub") == 0) {
        all[n++] = "message";
        all[n] = NULL;
    }
    proc *p = tool_run(tool, all, NULL, code);
    scripted_stop(s);
    return p;
}

static void told(proc *p, const char *part)
{
    cr_assert(one_line(err_of(p)), "not one line: '%s'", err_of(p));
    cr_assert_not_null(strstr(err_of(p), part), "'%s' lacks '%s'", err_of(p), part);
    proc_free(p);
}

/* ---- 0 ---- */

Test(exit_0, sub_count)
{
    hub h = hub_start(ARGS("--stream=s"));
    publish_numbers(&h, "s", 0, 5);
    proc *p = tool_run("sse-sub", ARGS(h.url, "--stream", "s", "--count", "3"), NULL, 0);
    cr_assert_str_eq(out_of(p), "0\n1\n2\n");
    proc_free(p);
    hub_end(&h);
}

/* conformance 19: 204 is the server's way to say stop. */
Test(exit_0, sub_204)
{
    proc *p =
        run_against("sse-sub", REPLIES({"HTTP/1.1 204 No Content\r\n\r\n", END_FIN, 0}), NULL, 0);
    cr_assert_str_eq(err_of(p), "");
    proc_free(p);
}

static void sub_ends_by(int signal_number)
{
    hub h = hub_start(ARGS("--stream=s"));
    publish(&h, "s", NULL, "x");
    proc *p = tool_start("sse-sub", ARGS(h.url, "--stream=s"));
    expect_line(p, "x");
    proc_signal(p, signal_number);
    tool_end(p, 0);
    hub_end(&h);
}

Test(exit_0, sub_sigint) { sub_ends_by(SIGINT); }

Test(exit_0, sub_sigterm) { sub_ends_by(SIGTERM); }

Test(exit_0, pub)
{
    hub h = hub_start(ARGS("--stream=s"));
    proc *p = tool_run("sse-pub", ARGS(h.url, "--stream=s", "message"), NULL, 0);
    cr_assert(one_line(out_of(p)), "the id: '%s'", out_of(p));
    proc_free(p);
    hub_end(&h);
}

/* ---- 64 ---- */

Test(exit_64, sub)
{
    const char *url = "http://127.0.0.1:1/";
    tool_fails("sse-sub", NULL, NULL, 64, "URL");
    tool_fails("sse-sub", ARGS(url, "more"), NULL, 64, "more");
    tool_fails("sse-sub", ARGS(url, "--colour=red"), NULL, 64, "--colour");
    tool_fails("sse-sub", ARGS(url, "--insecure=yes"), NULL, 64, "--insecure");
    tool_fails("sse-sub", ARGS("ftp://127.0.0.1/"), NULL, 64, "ftp://127.0.0.1/");
    static const char *const valued[][2] = {{"stream", NULL},
                                            {"format", "xml"},
                                            {"count", "0"},
                                            {"timeout", "soon"},
                                            {"last-event-id", NULL},
                                            {"header", "no colon"},
                                            {"method", NULL},
                                            {"body", NULL},
                                            {"retry", "1s"},
                                            {"max-retry", "x"},
                                            {"max-attempts", "-1"},
                                            {"idle-timeout", "x"},
                                            {"max-event-bytes", "1k"},
                                            {"cacert", NULL},
                                            {"cert", NULL},
                                            {"key", NULL},
                                            {"proxy", NULL},
                                            {"token-file", "/nonexistent"},
                                            {"unix-socket", NULL},
                                            {"connect-timeout", ""},
                                            {"response-timeout", "x"}};
    for (size_t i = 0; i < sizeof valued / sizeof valued[0]; i++) {
        const char *option = text("--%s", valued[i][0]);
        tool_fails("sse-sub", ARGS(url, option), NULL, 64, option);
        if (valued[i][1])
            tool_fails("sse-sub", ARGS(url, text("%s=%s", option, valued[i][1])), NULL, 64, option);
    }
}

Test(exit_64, pub)
{
    const char *url = "http://127.0.0.1:1/";
    tool_fails("sse-pub", NULL, NULL, 64, "URL");
    tool_fails("sse-pub", ARGS(url, "message"), NULL, 64, "--stream");
    tool_fails("sse-pub", ARGS(url, "--stream=s"), NULL, 64, "message");
    tool_fails("sse-pub", ARGS(url, "--stream=s", "message", "more"), NULL, 64, "more");
    tool_fails("sse-pub", ARGS(url, "--stream=s", "--lines", "message"), NULL, 64, "message");
    tool_fails("sse-pub", ARGS(url, "--stream=s", "--lines", "--events"), NULL, 64, "--events");
    tool_fails("sse-pub", ARGS(url, "--stream=s", "--events", "--id=1"), NULL, 64, "--events");
    tool_fails("sse-pub", ARGS("ftp://127.0.0.1/", "--stream=s", "x"), NULL, 64,
               "ftp://127.0.0.1/");
    static const char *const valued[][2] = {{"stream", NULL},
                                            {"event", NULL},
                                            {"id", NULL},
                                            {"retry", "soon"},
                                            {"token-file", "/nonexistent"}};
    for (size_t i = 0; i < sizeof valued / sizeof valued[0]; i++) {
        const char *option = text("--%s", valued[i][0]);
        tool_fails("sse-pub", ARGS(url, "x", option), NULL, 64, option);
        if (valued[i][1])
            tool_fails("sse-pub", ARGS(url, "--stream=s", "x", text("%s=%s", option, valued[i][1])),
                       NULL, 64, option);
    }
}

Test(exit_0, help_and_version)
{
    static const char *const tools[] = {"sse-sub", "sse-pub"};
    for (size_t i = 0; i < 2; i++) {
        proc *p = tool_run(tools[i], ARGS("--help"), NULL, 0);
        cr_assert_not_null(strstr(out_of(p), text("usage: %s", tools[i])));
        cr_assert_not_null(strstr(out_of(p), "--stream NAME"));
        cr_assert_str_eq(err_of(p), "");
        proc_free(p);
        p = tool_run(tools[i], ARGS("--version"), NULL, 0);
        cr_assert(one_line(out_of(p)) && strncmp(out_of(p), tools[i], 7) == 0, "%s", out_of(p));
        proc_free(p);
    }
}

/* ---- 69 ---- */

Test(exit_69, refused)
{
    const char *url = text("http://127.0.0.1:%u", unused_port());
    tool_fails("sse-sub", ARGS(url, "--max-attempts=2", "--retry=1"), NULL, 69, "gave up");
    tool_fails("sse-sub", ARGS(url, "--retry=1"), NULL, 69, "gave up after 3");
    tool_fails("sse-sub", ARGS(url, "--no-reconnect"), NULL, 69, url);
    tool_fails("sse-pub", ARGS(url, "--stream=s", "x"), NULL, 69, url);
}

Test(exit_69, host_that_does_not_resolve)
{
    tool_fails("sse-sub", ARGS("http://no-such-host.invalid/", "--max-attempts=1"), NULL, 69,
               "no-such-host.invalid");
    tool_fails("sse-pub", ARGS("http://no-such-host.invalid/", "--stream=s", "x"), NULL, 69,
               "no-such-host.invalid");
}

/* conformance 19: 5xx is tried again, until attempts run out. */
Test(exit_69, busy)
{
    told(run_against("sse-sub", REPLIES({STATUS("503 Busy"), END_FIN, 0}),
                     ARGS("--max-attempts=3", "--retry=1"), 69),
         "503");
    told(run_against("sse-sub", REPLIES({STATUS("500 Oops"), END_FIN, 0}),
                     ARGS("--max-attempts=2", "--retry=1"), 69),
         "500");
    told(run_against("sse-pub", REPLIES({STATUS("503 Busy"), END_FIN, 0}), NULL, 69), "503");
    told(run_against("sse-pub", REPLIES({STATUS("429 Full"), END_FIN, 0}), ARGS("--max-attempts=1"),
                     69),
         "429");
}

Test(exit_69, answer_that_is_no_http)
{
    static const char noise[] = "SSH-2.0-OpenSSH_9.2\r\n\x01\x02\xff\r\n\r\n";
    told(run_against("sse-sub", REPLIES({noise, END_FIN, 0}), ARGS("--max-attempts=1"), 69),
         "127.0.0.1");
    told(run_against("sse-pub", REPLIES({noise, END_FIN, 0}), NULL, 69), "127.0.0.1");
    told(run_against("sse-sub", REPLIES({"", END_FIN, 0}), ARGS("--max-attempts=1"), 69),
         "127.0.0.1");
    told(run_against("sse-sub", REPLIES({"HTTP/1.1 200 OK\r\nContent-", END_RST, 0}),
                     ARGS("--max-attempts=1"), 69),
         "127.0.0.1");
}

/* ---- 76 ---- */

/* conformance 18, 19: another type is another thing. */
Test(exit_76, sub_no_event_stream)
{
    told(run_against(
             "sse-sub",
             REPLIES({"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
                      END_FIN, 0}),
             NULL, 76),
         "text/html");
    told(run_against("sse-sub",
                     REPLIES({"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", END_FIN, 0}), NULL,
                     76),
         "127.0.0.1");
    told(run_against("sse-sub", REPLIES({STATUS("404 Not Found"), END_FIN, 0}), NULL, 76), "404");
    told(run_against("sse-sub", REPLIES({STATUS("410 Gone"), END_FIN, 0}), NULL, 76), "410");
    told(run_against(
             "sse-sub",
             REPLIES({"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", END_FIN, 0}), NULL,
             76),
         "205");
}

/* conformance 20: a redirection that leads nowhere. */
Test(exit_76, sub_redirect)
{
    told(run_against("sse-sub",
                     REPLIES({"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", END_FIN, 0}), NULL,
                     76),
         "127.0.0.1");
    told(
        run_against("sse-sub",
                    REPLIES({"HTTP/1.1 302 Found\r\nLocation: /events\r\nContent-Length: 0\r\n\r\n",
                             END_FIN, 0}),
                    NULL, 76),
        "redirect");
}

Test(exit_76, real_server)
{
    hub h = hub_start(ARGS("--stream=s"));
    tool_fails("sse-sub", ARGS(h.url, "--stream=none"), NULL, 76, "404");
    tool_fails("sse-sub", ARGS(text("%s/healthz", h.url)), NULL, 76, "text/plain");
    tool_fails("sse-pub", ARGS(h.url, "--stream=none", "x"), NULL, 76,
               "There is no stream 'none'.");
    tool_fails("sse-pub", ARGS(h.url, "--stream=s", "--id=a\nb", "x"), NULL, 76, "CR, LF or NUL");
    hub_end(&h);
}

/* ---- 77 ---- */

Test(exit_77, real_server)
{
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", temp_file("p\n"),
                           "--subscribe-token-file", temp_file("s\n")));
    const char *wrong = temp_file("wrong\n");
    tool_fails("sse-sub", ARGS(h.url, "--stream=s"), NULL, 77, "status 401: This needs a token.");
    tool_fails("sse-sub", ARGS(h.url, "--stream=s", "--token-file", wrong), NULL, 77,
               "status 401: ");
    tool_fails("sse-pub", ARGS(h.url, "--stream=s", "x"), NULL, 77, "This needs a token.");
    tool_fails("sse-pub", ARGS(h.url, "--stream=s", "x", "--token-file", wrong), NULL, 77,
               "The token is not known.");
    hub_end(&h);
}

/* ---- 124 ---- */

Test(exit_124, sub)
{
    hub h = hub_start(ARGS("--stream=s"));
    publish(&h, "s", NULL, "x");
    proc *p = tool_run("sse-sub", ARGS(h.url, "--stream=s", "--timeout=3", "--count=2"), NULL, 124);
    cr_assert_str_eq(out_of(p), "x\n");
    proc_free(p);
    const char *nobody = text("http://127.0.0.1:%u", unused_port());
    proc_free(tool_run("sse-sub", ARGS(nobody, "--timeout=0.3", "--max-attempts=0"), NULL, 124));
    hub_end(&h);
}
