/* The command line of sse-server: every option is understood in both spellings, wrong ones are
 * refused. What the options do is in server_limits_test.c, server_replay_test.c and
 * server_access_test.c. */
#include "../support/cert.h"
#include "e2e.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Every option that takes a value: one that is good, and one that is not (NULL: any text is a
 * value). */
static const struct {
    const char *name, *good, *bad;
} valued[] = {
    {"listen", "127.0.0.1:0", "127.0.0.1"},
    {"stream", "s", ""},
    {"auto-stream-idle", "0.5", "x"},
    {"buffer", "16", "0"},
    {"history", "16", "-1"},
    {"history-bytes", "100000", "1k"},
    {"event-ttl", "2.5", "soon"},
    {"replay", "resume", "some"},
    {"heartbeat", "1", "-1"},
    {"retry", "100", "1s"},
    {"slow-consumer", "drop-oldest", "wait"},
    {"slow-grace", "0.1", "x"},
    {"header", "X-A: b", "no colon"},
    {"cors-origin", "http://a.example", NULL},
    {"max-streams", "3", "0"},
    {"max-subscribers", "3", "many"},
    {"max-subscribers-per-ip", "3", "-3"},
    {"max-connections-per-address", "3", "few"},
    {"connect-rate", "30/m", "30/h"},
    {"connect-burst", "50", "0"},
    {"connect-exempt", "192.0.2.0/24", "localhost"},
    {"max-event-bytes", "1000", "0"},
    {"threads", "2", "0"},
    {"connection-memory", "16384", "x"},
    {"request-timeout", "5", "x"},
    {"drain", "1", "x"},
    {"publish-token-file", NULL, "/nonexistent/tokens"},
    {"subscribe-token-file", NULL, "/nonexistent/tokens"},
    {"log-level", "error", "loud"},
    {"log-format", "json", "xml"},
};
enum { VALUED = sizeof valued / sizeof valued[0] };

static const char *const flags[] = {"auto-stream", "no-replay", "base64", "anonymous-publish"};

Test(server_options, each_in_both_spellings)
{
    const char *token_file = temp_file("secret\n");
    const char *spaced[2 * VALUED + 8] = {NULL}, *joined[2 * VALUED + 8] = {NULL};
    size_t s = 0, j = 0;
    for (size_t i = 0; i < VALUED; i++) {
        const char *value = valued[i].good ? valued[i].good : token_file;
        spaced[s++] = text("--%s", valued[i].name);
        spaced[s++] = value;
        joined[j++] = text("--%s=%s", valued[i].name, value);
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        spaced[s++] = joined[j++] = text("--%s", flags[i]);
    hub h = hub_start(spaced);
    hub_end(&h);
    h = hub_start(joined);
    hub_end(&h);
}

Test(server_options, missing_value)
{
    for (size_t i = 0; i < VALUED; i++)
        tool_fails("sse-server", ARGS(text("--%s", valued[i].name)), NULL, 64,
                   text("--%s", valued[i].name));
}

Test(server_options, bad_value)
{
    for (size_t i = 0; i < VALUED; i++)
        if (valued[i].bad)
            tool_fails("sse-server",
                       ARGS("--listen=127.0.0.1:0", text("--%s=%s", valued[i].name, valued[i].bad)),
                       NULL, 64, text("--%s", valued[i].name));
}

Test(server_options, flag_with_value)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        tool_fails("sse-server", ARGS(text("--%s=yes", flags[i])), NULL, 64, flags[i]);
}

Test(server_options, wrong_option)
{
    tool_fails("sse-server", ARGS("--colour", "red"), NULL, 64, "--colour");
    tool_fails("sse-server", ARGS("--colour=red"), NULL, 64, "--colour");
    tool_fails("sse-server", ARGS("-p"), NULL, 64, "-p");
    tool_fails("sse-server", ARGS("--strea", "s"), NULL, 64, "--strea");
    tool_fails("sse-server", ARGS("word"), NULL, 64, "word");
    tool_fails("sse-server",
               ARGS("--"
                    "stream",
                    "s", "--wrong"),
               NULL, 64, "--wrong");
}

/* Without its certificate it must not start: secrets would go in the clear. */
Test(server_options, tls_without_its_files)
{
    if (cert_tls())
        cr_skip_test("over TLS the files are there");
    tool_fails("sse-server",
               ARGS("--tls-cert", "/nonexistent/c.pem", "--tls-key", "/nonexistent/k.pem"), NULL,
               64, "--tls-cert");
    tool_fails("sse-server", ARGS("--tls-key=/nonexistent/k.pem"), NULL, 64, "--tls-key");
}

Test(server_options, help_names_every_option)
{
    proc *p = tool_run("sse-server", ARGS("--help"), NULL, 0);
    for (size_t i = 0; i < VALUED; i++)
        cr_expect_not_null(strstr(out_of(p), text("--%s ", valued[i].name)), "%s", valued[i].name);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        cr_expect_not_null(strstr(out_of(p), text("--%s ", flags[i])), "%s", flags[i]);
    cr_assert_str_eq(err_of(p), "");
    proc_free(p);
}

Test(server_options, version)
{
    int major, minor, patch;
    proc *p = tool_run("sse-server", ARGS("--version"), NULL, 0);
    cr_assert(one_line(out_of(p)));
    cr_assert_eq(sscanf(out_of(p), "sse-server %d.%d.%d", &major, &minor, &patch), 3, "%s",
                 out_of(p));
    proc_free(p);
}

/* ---- --listen ---- */

Test(server_options, ready_line_holds_the_real_port)
{
    proc *p = tool_start("sse-server", ARGS("--listen", "127.0.0.1:0"));
    hub h = {p, listening_port(p), ""}; /* or its line is not flushed */
    expect(&h, "GET", "/healthz", NULL, NULL, 200, "ok");
    hub_end(&h);
}

/* Somebody else may have port 8080: then the error must say so. */
Test(server_options, listens_on_8080_by_default)
{
    proc *p = tool_start("sse-server", NULL);
    const char *line = proc_read_line(p, LONG);
    if (line) {
        cr_assert_str_eq(line, text("listening on %s", url_at(8080)));
        cr_assert_eq(proc_stop(p, LONG), 0);
        proc_free(p);
        return;
    }
    cr_assert_eq(proc_wait(p, LONG), 69);
    cr_assert_not_null(strstr(err_of(p), "127.0.0.1:8080"), "%s", err_of(p));
    proc_free(p);
}

Test(server_options, several_listeners)
{
    proc *p = tool_start("sse-server",
                         ARGS("--listen", "127.0.0.1:0", "--listen=127.0.0.1:0", "--stream", "s"));
    hub one = {p, listening_port(p), ""}, other = {p, listening_port(p), ""};
    cr_assert_neq(one.port, other.port);
    http_conn *c = follow(&one, "s", NULL, NULL);
    publish(&other, "s", NULL, "over the other");
    expect_data(c, "over the other");
    http_close(c);
    hub_end(&one);
}

Test(server_options, port_in_use)
{
    hub h = hub_start(NULL);
    const char *address = text("127.0.0.1:%u", h.port);
    proc *p = tool_run("sse-server", ARGS("--listen", address), NULL, 69);
    cr_assert(one_line(err_of(p)), "%s", err_of(p));
    cr_assert_not_null(strstr(err_of(p), address), "%s", err_of(p));
    cr_assert_not_null(strstr(err_of(p), "in use"), "%s", err_of(p));
    cr_assert_str_eq(out_of(p), "");
    proc_free(p);
    expect(&h, "GET", "/healthz", NULL, NULL, 200, "ok");
    hub_end(&h);
}

Test(server_options, address_that_is_not_ours)
{
    tool_fails("sse-server", ARGS("--listen=192.0.2.1:0", "--publish-token-file", temp_file("t\n")),
               NULL, 69, "192.0.2.1:0");
    tool_fails("sse-server", ARGS("--listen=127.0.0.1:99999"), NULL, 64, "99999");
    tool_fails("sse-server", ARGS("--listen=unix:/nonexistent/dir/socket"), NULL, 69,
               "/nonexistent/dir/socket");
}

Test(server_options, not_loopback_wants_a_token)
{
    tool_fails("sse-server", ARGS("--listen", "0.0.0.0:0"), NULL, 64, "--publish-token-file");
    tool_fails("sse-server", ARGS("--listen", ":0"), NULL, 64, "--publish-token-file");
    tool_fails("sse-server", ARGS("--listen", "[::]:0"), NULL, 64, "--publish-token-file");
    tool_fails("sse-server",
               ARGS("--listen", "0.0.0.0:0", "--subscribe-token-file", temp_file("t\n")), NULL, 64,
               "--publish-token-file");
    hub h = hub_start(ARGS("--listen", "0.0.0.0:0", "--anonymous-publish", "--stream", "s"));
    publish(&h, "s", NULL, "x");
    hub_end(&h);
    h = hub_start(
        ARGS("--listen", "0.0.0.0:0", "--publish-token-file", temp_file("t\n"), "--stream", "s"));
    expect_error(&h, "POST", "/events?stream=s", NULL, "x", 401, NULL);
    hub_end(&h);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0, "%s", path);
    return fd;
}

Test(server_options, unix_socket)
{
    const char *path = text("%s/socket", temp_dir());
    const char *listen = text("unix:%s", path);
    hub h = hub_start(ARGS("--listen", listen, "--stream", "s"));
    cr_assert_not_null(strstr(out_of(h.process), text("listening on %s\n", listen)), "%s",
                       out_of(h.process));
    http_response r;
    http_conn *c = http_wrap(connect_unix(path));
    cr_assert(http_request(c, "POST", "/events?stream=s", NULL, "over unix", 9, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    http_close(c);
    proc *p = tool_run(
        "sse-sub",
        ARGS("--unix-socket", path, "--count=1", "--stream=s", "http://localhost/events"), NULL, 0);
    cr_assert_str_eq(out_of(p), "over unix\n");
    proc_free(p);
    hub_end(&h);
    struct stat info;
    cr_assert_neq(stat(path, &info), 0, "the socket is still there");
}

/* A server that was killed leaves its socket behind: the next one takes the place, but never that
 * of a living one. */
Test(server_options, unix_socket_left_over)
{
    const char *listen = text("--listen=unix:%s/socket", temp_dir());
    hub h = hub_start(ARGS(listen));
    tool_fails("sse-server", ARGS(listen), NULL, 69, "in use");
    hub_kill(&h);
    h = hub_start(ARGS(listen));
    hub_end(&h);
}

/* ---- the end ---- */

static void ends_by(int signal_number)
{
    hub h = hub_start(ARGS("--stream", "s"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    publish_numbers(&h, "s", 0, 100);
    proc_signal(h.process, signal_number);
    expect_numbers(c, 0, 100);
    http_block b;
    http_result result;
    while ((result = http_next_block(c, &b, LONG)) == HTTP_OK)
        http_block_fini(&b);
    cr_assert_eq(result, HTTP_END, "the stream breaks off");
    http_close(c);
    cr_assert_eq(proc_wait(h.process, LONG), 0, "%s", err_of(h.process));
    proc_free(h.process);
}

Test(server_options, sigterm_drains) { ends_by(SIGTERM); }

Test(server_options, sigint_drains) { ends_by(SIGINT); }
