/* Each example is run as its first comment says. */
#include "http.h"
#include "proc.h"
#include "scripted_server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE 20000

static const char *example(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/../examples/%s", getenv("SSE_BIN"), name);
    return path;
}

/* features: ServeHTTP mounted in the user's own mux */
Test(examples, mounted)
{
    const char *const argv[] = {example("mounted"), "0", NULL};
    proc *p = proc_start(argv);
    cr_assert_not_null(p);
    const char *line = proc_read_line(p, DEADLINE); /* http://127.0.0.1:PORT/live?stream=visits */
    cr_assert_not_null(line);
    uint16_t port = (uint16_t)strtoul(strrchr(line, ':') + 1, NULL, 10);
    http_response head;
    http_conn *stream = http_open_stream(port, "/live?stream=visits", NULL, &head, DEADLINE);
    cr_assert_not_null(stream);
    http_response_fini(&head);

    http_response page;
    cr_assert(http_once(port, "GET", "/hello", NULL, NULL, &page, DEADLINE));
    cr_assert_eq(page.status, 200);
    http_response_fini(&page);
    http_block event;
    cr_assert_eq(http_next_event(stream, &event, DEADLINE), HTTP_OK);
    cr_assert_str_eq(event.type, "visit");
    cr_assert_str_eq(event.data, "/hello");
    http_block_fini(&event);
    cr_assert_eq(proc_stop(p, DEADLINE), 0);
    http_close(stream);
    proc_free(p);
}

Test(examples, parser_alone)
{
    const char *const argv[] = {example("parser_alone"), NULL};
    int code;
    proc *p = proc_run(argv, "event: greeting\ndata: hello\n\ndata: a\ndata: b\n\ndata: cut",
                       DEADLINE, &code);
    cr_assert_not_null(p);
    cr_expect_eq(code, 0);
    cr_expect_str_eq(proc_stdout(p, NULL), "1 greeting: hello\n2 message: a\nb\n");
    cr_expect_str_eq(proc_stderr(p, NULL), "the last event was cut off\n");
    proc_free(p);
}

/* A live stream does not end: what has come is shown while the pipe is open. */
Test(examples, parser_alone_shows_what_has_come)
{
    const char *const argv[] = {example("parser_alone"), NULL};
    proc *p = proc_start(argv);
    cr_assert_not_null(p);
    cr_assert(proc_write(p, "data: now\n\n", 11, DEADLINE));
    const char *line = proc_read_line(p, DEADLINE);
    cr_assert_not_null(line);
    cr_assert_str_eq(line, "1 message: now");
    proc_close_stdin(p);
    cr_assert_eq(proc_wait(p, DEADLINE), 0);
    proc_free(p);
}

/* Started without what they need they say what that is. */
Test(examples, usage)
{
    static const char *const names[] = {"client_callbacks", "epoll_loop", "llm_stream",
                                        "own_reconnect",    "pinned_tls", "worker_pool"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char wanted[64];
        int code;
        snprintf(wanted, sizeof wanted, "usage: %s URL", names[i]);
        const char *const argv[] = {example(names[i]), NULL};
        proc *p = proc_run(argv, "", DEADLINE, &code);
        cr_assert_not_null(p);
        cr_expect_eq(code, 64);
        cr_expect_eq(strncmp(proc_stderr(p, NULL), wanted, strlen(wanted)), 0, "%s", names[i]);
        proc_free(p);
    }
}

static proc *ask_model(scripted *s, int *code)
{
    char url[256];
    snprintf(url, sizeof url, "%s", scripted_url(s, "/v1/chat"));
    const char *const argv[] = {example("llm_stream"), url, "{\"stream\":true}",
                                "Authorization: Bearer secret", NULL};
    return proc_run(argv, NULL, DEADLINE, code);
}

Test(examples, llm_stream)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD "data: {\"t\":\"Hel\"}\n\ndata: {\"t\":\"lo\"}\n\ndata: [DONE]\n\n",
                 END_HOLD, 0}));
    int code;
    proc *p = ask_model(s, &code);
    cr_assert_not_null(p);
    cr_expect_eq(code, 0);
    cr_expect_str_eq(proc_stdout(p, NULL), "{\"t\":\"Hel\"}\n{\"t\":\"lo\"}\n");
    cr_expect(strncmp(scripted_request(s, 0), "POST /v1/chat ", 14) == 0);
    cr_expect_str_eq(scripted_request_header(s, 0, "Authorization"), "Bearer secret");
    cr_expect_str_eq(scripted_request_body(s, 0), "{\"stream\":true}");
    proc_free(p);
    scripted_stop(s);
}

Test(examples, llm_stream_refused)
{
    static const char said[] = "{\n  \"error\": {\"message\": \"no such key\"}\n}\n";
    char reply[200];
    snprintf(reply, sizeof reply, "HTTP/1.1 401 Who\r\nContent-Length: %zu\r\n\r\n%s",
             sizeof said - 1, said);
    scripted *s = scripted_start(scripted_play, REPLIES({reply, END_FIN, 0}));
    int code;
    proc *p = ask_model(s, &code);
    cr_assert_not_null(p);
    cr_expect_eq(code, 1);
    cr_expect_not_null(strstr(proc_stderr(p, NULL), "(HTTP 401)"));
    cr_expect_not_null(strstr(proc_stderr(p, NULL), said), "%s", proc_stderr(p, NULL));
    proc_free(p);
    scripted_stop(s);
}

Test(examples, llm_stream_cut_off)
{
    scripted *s = scripted_start(scripted_play,
                                 REPLIES({STREAM_HEAD "data: {\"t\":\"Hel\"}\n\n", END_FIN, 0}));
    int code;
    proc *p = ask_model(s, &code);
    cr_assert_not_null(p);
    cr_expect_eq(code, 1, "an answer that is cut off is not a success");
    cr_expect_eq(scripted_connections(s), 1, "the question is not asked twice");
    cr_expect_not_null(strstr(proc_stderr(p, NULL), "incomplete"));
    proc_free(p);
    scripted_stop(s);
}
