/* sse-sub: its options, against the real server where that can show them, else against a server
 * that plays a script. Exit codes are in exit_test.c. */
#include "e2e.h"
#include "json.h"
#include "scripted_server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ONE_EVENT STREAM_HEAD "id: 1\ndata: x\n\n"

/* Run sse-sub against a script; it must exit 0. The caller stops the server. */
static scripted *run_against(const scripted_replies *replies, const char *const args[],
                             const char *wanted_out)
{
    scripted *s = scripted_start(scripted_play, (void *)replies);
    const char *all[32];
    size_t n = 0;
    for (; *args; args++)
        all[n++] = *args;
    all[n++] = text("%s", scripted_url(s, "/events"));
    all[n] = NULL;
    proc *p = tool_run("sse-sub", all, NULL, 0);
    if (wanted_out)
        cr_assert_str_eq(out_of(p), wanted_out);
    proc_free(p);
    return s;
}

static void header_is(scripted *s, size_t request, const char *name, const char *value)
{
    const char *got = scripted_request_header(s, request, name);
    cr_assert(value ? got && strcmp(got, value) == 0 : got == NULL, "%s: '%s', not '%s'", name,
              got ? got : "(none)", value ? value : "(none)");
}

/* ---- what is asked for ---- */

/* conformance 17 */
Test(sub, request)
{
    scripted *s = run_against(REPLIES({ONE_EVENT, END_HOLD, 0}), ARGS("--count", "1"), "x\n");
    cr_assert_eq(strncmp(scripted_request(s, 0), "GET /events HTTP/1.1\r\n", 22), 0, "%s",
                 scripted_request(s, 0));
    header_is(s, 0, "Accept", "text/event-stream");
    header_is(s, 0, "Cache-Control", "no-cache");
    header_is(s, 0, "Last-Event-ID", NULL);
    header_is(s, 0, "Expect", NULL);
    scripted_stop(s);
}

Test(sub, stream_is_added_to_the_url)
{
    scripted *s = scripted_start(scripted_play, REPLIES({ONE_EVENT, END_HOLD, 0}));
    const char *url = text("%s", scripted_url(s, ""));
    static const char *const bases[] = {"", "/", "/events", "/events?x=1"};
    static const char *const asked[] = {
        "GET /events?stream=a%20b%26 ", "GET /events?stream=a%20b%26 ",
        "GET /events?stream=a%20b%26 ", "GET /events?x=1&stream=a%20b%26 "};
    for (size_t i = 0; i < 4; i++) {
        const char *base = text("%s%s", url, bases[i]);
        proc_free(tool_run("sse-sub", ARGS(base, "--stream=a b&", "--count=1"), NULL, 0));
        cr_assert_eq(strncmp(scripted_request(s, i), asked[i], strlen(asked[i])), 0, "%s",
                     scripted_request(s, i));
    }
    scripted_stop(s);
}

Test(sub, headers)
{
    scripted *s =
        run_against(REPLIES({ONE_EVENT, END_HOLD, 0}),
                    ARGS("--header", "X-One: 1", "--header=X-Two: 2", "--count=1"), "x\n");
    header_is(s, 0, "X-One", "1");
    header_is(s, 0, "X-Two", "2");
    scripted_stop(s);
}

Test(sub, token_file)
{
    hub h = hub_start(ARGS("--stream=s", "--subscribe-token-file", temp_file("secret\n"),
                           "--publish-token-file", temp_file("p\n")));
    expect(&h, "POST", "/events?stream=s", "Authorization: Bearer p\r\n", "hello", 200, NULL);
    proc *p = tool_run(
        "sse-sub", ARGS(h.url, "--stream=s", "--count=1", "--token-file", temp_file("secret\n")),
        NULL, 0);
    cr_assert_str_eq(out_of(p), "hello\n");
    proc_free(p);
    tool_fails("sse-sub", ARGS(h.url, "--token-file=/nonexistent"), NULL, 64, "--token-file");
    hub_end(&h);
}

/* conformance 25: the same again on every reconnection. */
Test(sub, method_and_body_on_every_connection)
{
    scripted *s = run_against(
        REPLIES({ONE_EVENT, END_FIN, 0}, {ONE_EVENT, END_RST, 0}, {ONE_EVENT, END_HOLD, 0}),
        ARGS("--body", "{\"q\":1}", "--header=Content-Type: application/json", "--method=PUT",
             "--count=3", "--retry=1"),
        "x\nx\nx\n");
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(strncmp(scripted_request(s, i), "PUT /events ", 12), 0);
        cr_assert_str_eq(scripted_request_body(s, i), "{\"q\":1}");
        header_is(s, i, "Content-Type", "application/json");
        header_is(s, i, "Expect", NULL);
    }
    scripted_stop(s);
}

Test(sub, body_from_file)
{
    const char *file = temp_file("from a file");
    scripted *s = run_against(REPLIES({ONE_EVENT, END_HOLD, 0}),
                              ARGS("--body", text("@%s", file), "--count=1"), "x\n");
    cr_assert_eq(strncmp(scripted_request(s, 0), "POST ", 5), 0);
    cr_assert_str_eq(scripted_request_body(s, 0), "from a file");
    scripted_stop(s);
    tool_fails("sse-sub", ARGS("http://127.0.0.1:1/", "--body=@/nonexistent"), NULL, 64, "--body");
}

/* conformance 26: start from a given id; 11: then follow the stream's own. */
Test(sub, last_event_id)
{
    scripted *s = run_against(
        REPLIES({STREAM_HEAD "data: a\n\n", END_FIN, 0},
                {STREAM_HEAD "id: 8\ndata: b\n\n", END_FIN, 0},
                {STREAM_HEAD "id\ndata: c\n\n", END_FIN, 0}, {ONE_EVENT, END_HOLD, 0}),
        ARGS("--last-event-id", "7 \xc3\xbc", "--count=4", "--retry=1"), "a\nb\nc\nx\n");
    header_is(s, 0, "Last-Event-ID", "7 \xc3\xbc");
    header_is(s, 1, "Last-Event-ID", "7 \xc3\xbc");
    header_is(s, 2, "Last-Event-ID", "8");
    header_is(s, 3, "Last-Event-ID", NULL);
    scripted_stop(s);
}

/* ---- what is printed ---- */

static const char varied[] = STREAM_HEAD "data: plain\n\n"
                                         "id: i1\nevent: t\ndata: two\ndata: \"lines\"\n\n"
                                         ": comment\n\ndata\n\n";

Test(sub, format_data)
{
    scripted *s =
        run_against(REPLIES({varied, END_HOLD, 0}), ARGS("--count=3"), "plain\ntwo\n\"lines\"\n\n");
    scripted_stop(s);
    s = run_against(REPLIES({varied, END_HOLD, 0}), ARGS("--count=3", "--format", "data"),
                    "plain\ntwo\n\"lines\"\n\n");
    scripted_stop(s);
}

Test(sub, format_sse)
{
    scripted *s =
        run_against(REPLIES({varied, END_HOLD, 0}), ARGS("--count=3", "--format=sse"), NULL);
    scripted_stop(s);
    proc *p;
    s = scripted_start(scripted_play, REPLIES({varied, END_HOLD, 0}));
    const char *url = text("%s", scripted_url(s, "/"));
    p = tool_run("sse-sub", ARGS("--count=3", "--format=sse", url), NULL, 0);
    /* What is printed is a stream again, with the same events. */
    scripted *again =
        scripted_start(scripted_play, REPLIES({text("%s%s", STREAM_HEAD, out_of(p)), END_HOLD, 0}));
    proc_free(p);
    p = tool_run("sse-sub",
                 ARGS("--count=3", "--format=json", text("%s", scripted_url(again, "/"))), NULL, 0);
    expect_line(p, "{\"id\":\"\",\"type\":\"message\",\"data\":\"plain\"}");
    expect_line(p, "{\"id\":\"i1\",\"type\":\"t\",\"data\":\"two\\n\\\"lines\\\"\"}");
    expect_line(p, "{\"id\":\"i1\",\"type\":\"message\",\"data\":\"\"}");
    proc_free(p);
    scripted_stop(again);
    scripted_stop(s);
}

Test(sub, format_json)
{
    char value[64];
    hub h = hub_start(ARGS("--stream=s t"));
    publish(&h, "s%20t", "&id=%22x%22&event=e", "tab\there\nback\\slash \x01 \xf0\x9f\x98\x80");
    proc *p =
        tool_run("sse-sub", ARGS(h.url, "--stream=s t", "--format=json", "--count=1"), NULL, 0);
    const char *line = proc_read_line(p, LONG);
    cr_assert(line && json_valid(line), "%s", line);
    static const char *const wanted[][2] = {
        {"id", "\"x\""},
        {"type", "e"},
        {"data", "tab\there\nback\\slash \x01 \xf0\x9f\x98\x80"},
        {"stream", "s t"}};
    for (size_t i = 0; i < 4; i++) {
        cr_assert(json_string(json_member(line, wanted[i][0]), value, sizeof value));
        cr_assert_str_eq(value, wanted[i][1]);
    }
    proc_free(p);
    hub_end(&h);
}

Test(sub, base64)
{
    scripted *s = run_against(REPLIES({STREAM_HEAD "data: !!!\n\ndata: aGVsbG8=\n\n", END_HOLD, 0}),
                              ARGS("--base64", "--count=1"), "hello\n");
    scripted_stop(s);
}

/* features r3labs `ClientMaxBufferSize`: a bigger event is told and dropped, the next one comes. */
Test(sub, max_event_bytes)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD "data: 0123456789abcdef\n\ndata: small\n\n", END_HOLD, 0}));
    const char *url = text("%s", scripted_url(s, "/"));
    proc *p = tool_run("sse-sub", ARGS("--max-event-bytes=10", "--count=1", url), NULL, 0);
    cr_assert_str_eq(out_of(p), "small\n");
    cr_assert(one_line(err_of(p)), "%s", err_of(p));
    proc_free(p);
    cr_assert_eq(scripted_connections(s), 1u);
    scripted_stop(s);
}

Test(sub, verbose)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({ONE_EVENT, END_FIN, 0}, {ONE_EVENT, END_HOLD, 0}));
    const char *url = text("%s", scripted_url(s, "/"));
    proc *p = tool_run("sse-sub", ARGS("--verbose", "--retry=1", "--count=2", url), NULL, 0);
    cr_assert_not_null(strstr(err_of(p), "open"), "%s", err_of(p));
    cr_assert_not_null(strstr(err_of(p), "next attempt in"), "%s", err_of(p));
    cr_assert_str_eq(out_of(p), "x\nx\n");
    proc_free(p);
    scripted_stop(s);
}

Test(sub, quiet_by_default)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({ONE_EVENT, END_FIN, 0}, {ONE_EVENT, END_HOLD, 0}));
    const char *url = text("%s", scripted_url(s, "/"));
    proc *p = tool_run("sse-sub", ARGS("--retry=1", "--count=2", url), NULL, 0);
    cr_assert_str_eq(err_of(p), "");
    proc_free(p);
    scripted_stop(s);
}

/* ---- connections ---- */

/* conformance 24: silence ends in a reconnection. */
Test(sub, idle_timeout)
{
    scripted *s =
        run_against(REPLIES({ONE_EVENT, END_HOLD, 0}, {STREAM_HEAD "data: y\n\n", END_HOLD, 0}),
                    ARGS("--idle-timeout=0.3", "--retry=1", "--count=2"), "x\ny\n");
    header_is(s, 1, "Last-Event-ID", "1");
    scripted_stop(s);
}

Test(sub, response_timeout)
{
    scripted *s =
        run_against(REPLIES({"HTTP/1.1 200 OK\r\n", END_HOLD, 0}, {ONE_EVENT, END_HOLD, 0}),
                    ARGS("--response-timeout=0.3", "--retry=1", "--count=1"), "x\n");
    scripted_stop(s);
}

static int64_t delay_in(const char *err)
{
    const char *at = strstr(err, "next attempt in ");
    return at ? strtoll(at + 16, NULL, 10) : -1;
}

/* conformance 22: the base, doubled with jitter, and its cap. */
Test(sub, retry_and_max_retry)
{
    const char *url = text("http://127.0.0.1:%u/", unused_port());
    proc *p = tool_run("sse-sub",
                       ARGS("--retry=10", "--max-retry=40", "--max-attempts=8", "--verbose", url),
                       NULL, 69);
    int n = 0;
    for (const char *at = err_of(p); (at = strstr(at, "next attempt in ")); at++, n++)
        cr_assert(delay_in(at) >= 0 && delay_in(at) <= 40, "%s", at);
    cr_assert_eq(n, 7, "%s", err_of(p));
    proc_free(p);
    p = tool_run("sse-sub",
                 ARGS("--retry=30000", "--max-retry=20", "--max-attempts=2", "--verbose", url),
                 NULL, 69);
    cr_assert_leq(delay_in(err_of(p)), 20, "%s", err_of(p));
    proc_free(p);
}

Test(sub, no_reconnect)
{
    scripted *s = run_against(REPLIES({ONE_EVENT, END_FIN, 0}), ARGS("--no-reconnect"), "x\n");
    cr_assert_eq(scripted_connections(s), 1u);
    scripted_stop(s);
}

/* The proxy is asked for the whole URL. */
Test(sub, proxy)
{
    scripted *s = scripted_start(scripted_play, REPLIES({ONE_EVENT, END_HOLD, 0}));
    const char *proxy = text("%s", scripted_url(s, ""));
    proc *p = tool_run("sse-sub",
                       ARGS("--proxy", proxy, "--count=1", "http://hub.invalid:99/events?stream=s"),
                       NULL, 0);
    cr_assert_str_eq(out_of(p), "x\n");
    proc_free(p);
    cr_assert_eq(strncmp(scripted_request(s, 0), "GET http://hub.invalid:99/events?stream=s ", 42),
                 0, "%s", scripted_request(s, 0));
    scripted_stop(s);
}

/* Compression only when it is asked for. */
Test(sub, compressed)
{
    scripted *s = run_against(REPLIES({ONE_EVENT, END_HOLD, 0}), ARGS("--count=1"), "x\n");
    header_is(s, 0, "Accept-Encoding", NULL);
    scripted_stop(s);
    s = run_against(REPLIES({ONE_EVENT, END_HOLD, 0}), ARGS("--count=1", "--compressed"), "x\n");
    const char *value = scripted_request_header(s, 0, "Accept-Encoding");
    cr_assert(value && strstr(value, "gzip"));
    scripted_stop(s);
}

/* Data is at the reader as soon as it is there, not when a buffer is full. */
Test(sub, prints_at_once)
{
    hub h = hub_start(ARGS("--stream=s"));
    proc *p = tool_start("sse-sub", ARGS(h.url, "--stream=s"));
    for (int i = 0; i < 5; i++) {
        publish(&h, "s", NULL, text("%d", i));
        expect_line(p, text("%d", i));
    }
    cr_assert_eq(proc_stop(p, LONG), 0);
    proc_free(p);
    hub_end(&h);
}

/* A reader such as head(1) that has enough, even though no more events come. */
Test(sub, closed_stdout)
{
    hub h = hub_start(ARGS("--stream=s"));
    publish_numbers(&h, "s", 0, 1000);
    const char *command = text("'%s' '%s' --stream=s | head -n 2", proc_bin("sse-sub"), h.url);
    int code;
    proc *p = proc_run(ARGS("bash", "-o", "pipefail", "-c", command), NULL, LONG, &code);
    cr_assert_not_null(p);
    cr_assert_eq(code, 0, "%s", err_of(p));
    cr_assert_str_eq(out_of(p), "0\n1\n");
    cr_assert_str_eq(err_of(p), "");
    proc_free(p);
    hub_end(&h);
}
