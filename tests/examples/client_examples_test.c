/* The examples of the client and of a threaded service, each run as its first comment says. */
#include "../e2e/e2e.h"
#include "scripted_server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *example(const char *name)
{
    return text("%s/../examples/%s", getenv("SSE_BIN"), name);
}

static proc *start(const char *const argv[])
{
    proc *p = proc_start(argv);
    cr_assert_not_null(p);
    return p;
}

static void next_line_is(proc *p, const char *expected)
{
    const char *line = proc_read_line(p, LONG);
    cr_assert_not_null(line, "it ended before '%s': %s", expected, proc_stderr(p, NULL));
    cr_assert_str_eq(line, expected);
}

static proc *run(const char *const argv[], int expected_code)
{
    int code;
    proc *p = proc_run(argv, NULL, LONG, &code);
    cr_assert_not_null(p);
    cr_expect_eq(code, expected_code, "it ended with %d: %s", code, proc_stderr(p, NULL));
    return p;
}

Test(examples, client_callbacks)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({STREAM_HEAD "retry: 1\nid: 7\nevent: greeting\ndata: hello\n\n", END_FIN, 0},
                {STREAM_HEAD "data: again\n\n", END_HOLD, 0}));
    proc *p = start(ARGS(example("client_callbacks"), scripted_url(s, "/events"), "news"));
    next_line_is(p, "open: HTTP 200");
    next_line_is(p, "greeting [7]: hello");
    next_line_is(p, "open: HTTP 200");
    next_line_is(p, "message [7]: again");
    cr_expect_eq(proc_stop(p, LONG), 0);
    cr_expect_not_null(strstr(proc_stdout(p, NULL), "closed after 2 events: canceled\n"));
    cr_expect_not_null(strstr(proc_stderr(p, NULL), "again in "));
    cr_expect_str_eq(scripted_request_header(s, 1, "Last-Event-ID"), "7");
    cr_expect(strncmp(scripted_request(s, 0), "GET /events?stream=news ", 24) == 0);
    proc_free(p);
    scripted_stop(s);
}

/* It ends by itself after an answer that is final. */
Test(examples, client_callbacks_final)
{
    scripted *s =
        scripted_start(scripted_play, REPLIES({"HTTP/1.1 204 No Content\r\n\r\n", END_FIN, 0}));
    proc *p = run(ARGS(example("client_callbacks"), scripted_url(s, "/")), 0);
    cr_expect_not_null(strstr(proc_stdout(p, NULL), "closed after 0 events: the server said stop"));
    proc_free(p);
    scripted_stop(s);
}

Test(examples, worker_pool)
{
    enum { JOBS = 200 }; /* more than the channel holds */
    char *bytes = malloc(64 + JOBS * 32);
    char *at = bytes + sprintf(bytes, STREAM_HEAD);
    for (int i = 0; i < JOBS; i++)
        at += sprintf(at, "data: job %d;\n\n", i);
    scripted *s = scripted_start(scripted_play, REPLIES({bytes, END_FIN, 0}));
    proc *p = run(ARGS(example("worker_pool"), scripted_url(s, "/")), 0);
    const char *out = proc_stdout(p, NULL);
    for (int i = 0; i < JOBS; i++) {
        const char *found = strstr(out, text("done: job %d;\n", i));
        cr_assert(found && !strstr(found + 1, text("done: job %d;\n", i)), "job %d: not done once",
                  i);
    }
    cr_expect_not_null(strstr(out, "end: the server ended the stream\n"));
    proc_free(p);
    scripted_stop(s);
    free(bytes);
}

Test(examples, epoll_loop)
{
    scripted *s = scripted_start(scripted_play,
                                 REPLIES({STREAM_HEAD "data: one\n\ndata: two\n\n", END_HOLD, 0}));
    proc *p = start(ARGS(example("epoll_loop"), scripted_url(s, "/")));
    next_line_is(p, "event: one");
    next_line_is(p, "event: two");
    cr_assert(proc_write(p, "quit\n", 5, LONG));
    cr_expect_eq(proc_wait(p, LONG), 0);
    proc_free(p);
    scripted_stop(s);
}

Test(examples, own_reconnect)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", END_FIN, 0},
                {STREAM_HEAD "retry: 3\ndata: a\n\n", END_FIN, 0}, {"", END_RST, 0},
                {"HTTP/1.1 204 No Content\r\n\r\n", END_FIN, 0}));
    proc *p = run(ARGS(example("own_reconnect"), scripted_url(s, "/")), 0);
    cr_expect_str_eq(proc_stdout(p, NULL), "SSE_EHTTP: again in 1000 ms\n"
                                           "event: a\n"
                                           "SSE_EEOF: again in 3 ms\n"
                                           "SSE_ENETWORK: again in 20 ms\n"
                                           "end: the server said stop (204)\n");
    proc_free(p);
    scripted_stop(s);
}

Test(examples, own_reconnect_gives_up)
{
    scripted *s = scripted_start(scripted_play, REPLIES({"", END_FIN, 0}));
    proc *p = run(ARGS(example("own_reconnect"), scripted_url(s, "/")), 1);
    cr_expect_eq(scripted_connections(s), 3, "%zu", scripted_connections(s));
    cr_expect_not_null(strstr(proc_stdout(p, NULL), "again in 20 ms\n"));
    cr_expect_not_null(strstr(proc_stdout(p, NULL), "again in 40 ms\n"));
    proc_free(p);
    scripted_stop(s);
}

Test(examples, own_reconnect_is_refused)
{
    scripted *s = scripted_start(
        scripted_play,
        REPLIES({"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", END_FIN, 0}));
    proc *p = run(ARGS(example("own_reconnect"), scripted_url(s, "/")), 1);
    cr_expect_eq(scripted_connections(s), 1);
    proc_free(p);
    scripted_stop(s);
}

static const char *shell(const char *command)
{
    proc *p = run(ARGS("sh", "-c", command), 0);
    const char *out = text("%s", proc_stdout(p, NULL));
    proc_free(p);
    return out;
}

static void make_certificate(const char *dir, const char *name)
{
    shell(text("cd '%s' && openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=%s "
               "-addext subjectAltName=IP:127.0.0.1 -keyout %s.key -out %s.crt",
               dir, name, name, name));
}

/* As the example's first comment says. */
static const char *pin(const char *dir, const char *name)
{
    return shell(text("printf sha256//; openssl x509 -in '%s/%s.crt' -pubkey -noout | openssl pkey "
                      "-pubin -outform der | openssl dgst -sha256 -binary | base64 | tr -d '\\n'",
                      dir, name));
}

Test(examples, pinned_tls)
{
    const char *dir = temp_dir();
    make_certificate(dir, "server");
    make_certificate(dir, "other");
    shell(text("printf '"
               "HTTP/1.0 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n"
               "data: over TLS\\n\\n' > '%s/events'",
               dir));
    proc *server = start(ARGS("sh", "-c",
                              text("cd '%s' && exec openssl s_server -accept 127.0.0.1:0 "
                                   "-cert server.crt -key server.key -HTTP",
                                   dir)));
    unsigned port = 0;
    for (const char *line; !port && (line = proc_read_line(server, LONG));)
        sscanf(line, "ACCEPT 127.0.0.1:%u", &port);
    const char *url = text("https://127.0.0.1:%u/events", port);

    proc *p = run(ARGS(example("pinned_tls"), url, pin(dir, "other")), 1);
    cr_expect_str_eq(proc_stdout(p, NULL), "", "the wrong key was accepted");
    cr_expect_not_null(strstr(proc_stderr(p, NULL), "SSE_ETLS"), "%s", proc_stderr(p, NULL));
    proc_free(p);
    p = run(ARGS(example("pinned_tls"), url, pin(dir, "server")), 0);
    cr_expect_str_eq(proc_stdout(p, NULL), "event: over TLS\n");
    proc_free(p);
    proc_signal(server, SIGKILL);
    (void)proc_wait(server, LONG);
    proc_free(server);
}

Test(examples, threaded_service)
{
    proc *p = start(ARGS(example("threaded_service"), "127.0.0.1:0"));
    const char *line = proc_read_line(p, LONG); /* http://127.0.0.1:PORT/events?stream=jobs */
    cr_assert_not_null(line);
    uint16_t port = (uint16_t)strtoul(strrchr(line, ':') + 1, NULL, 10);
    http_conn *stream = http_open_stream(port, "/events?stream=jobs", NULL, NULL, LONG);
    cr_assert_not_null(stream);
    unsigned next[5] = {0}; /* of each worker: its jobs come in order, none is missing */
    for (unsigned all = 0; all != 0xf;) {
        http_block event;
        unsigned worker, job;
        cr_assert_eq(http_next_event(stream, &event, LONG), HTTP_OK);
        cr_assert_str_eq(event.type, "done");
        cr_assert_eq(sscanf(event.data, "{\"worker\":%u,\"job\":%u}", &worker, &job), 2);
        cr_assert(worker >= 1 && worker <= 4);
        cr_assert_eq(job, ++next[worker]);
        all |= (unsigned)(next[worker] >= 2) << (worker - 1);
        http_block_fini(&event);
    }
    cr_assert_eq(proc_stop(p, LONG), 0);
    http_close(stream);
    proc_free(p);
}
