/* sse-server's configuration file, what a SIGHUP reloads, and its log. */
#include "../support/cert.h"
#include "e2e.h"
#include "json.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *config_with(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *config_with(const char *format, ...)
{
    char content[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(content, sizeof content, format, args);
    va_end(args);
    return temp_file(content);
}

static void rewrite(const char *path, const char *content)
{
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert(fputs(content, file) >= 0);
    cr_assert_eq(fclose(file), 0);
}

/* ---- what a file may say ---- */

Test(server_config, every_kind_of_option)
{
    const char *tls[4];
    const char *tls_lines =
        cert_args(tls) ? text("tls-cert = %s\ntls-key = %s\n", tls[1], tls[3]) : "";
    const char *file = config_with("# a comment\n; another\n\n"
                                   "listen = 127.0.0.1:0\n%s"
                                   "stream = one\n"
                                   "stream = two words\n"
                                   "  heartbeat=5\n"
                                   "header = X-One: a; b # c\n"
                                   "header = X-Two: d\n"
                                   "base64 = yes\n"
                                   "auto-stream = No\n"
                                   "retry = 1234\r\n",
                                   tls_lines);
    const char *argv[] = {proc_bin("sse-server"), "--config", file, NULL};
    proc *p = proc_start(argv);
    hub h = {p, listening_port(p), ""};
    cr_assert_eq(stream_count(&h), 2);
    http_response head;
    http_conn *c = http_open_stream(h.port, "/events?stream=two%20words", NULL, &head, LONG);
    cr_assert_not_null(c);
    cr_assert_str_eq(http_header(&head, "X-One"), "a; b # c");
    cr_assert_str_eq(http_header(&head, "X-Two"), "d");
    expect_block(c, NULL, NULL, NULL, "1234");
    publish(&h, "two%20words", NULL, "x");
    expect_data(c, "eA==");
    http_close(c);
    http_response_fini(&head);
    expect_error(&h, "POST", "/events?stream=three", NULL, "x", 404, NULL);
    hub_end(&h);
}

Test(server_config, command_line_counts)
{
    const char *file = config_with("stream = of-the-file\nretry = 1\nreplay = none\n"
                                   "header = X-A: file\nauto-stream = yes\n");
    hub h = hub_start(ARGS("--config", file, "--stream=of-the-line", "--retry=2", "--replay=all"));
    cr_assert_eq(stream_count(&h), 1);
    publish(&h, "of-the-line", NULL, "kept");
    http_conn *c = follow(&h, "of-the-line", NULL, NULL);
    expect_block(c, NULL, NULL, NULL, "2");
    expect_data(c, "kept");
    http_close(c);
    publish(&h, "another", NULL, "auto-stream of the file still holds");
    hub_end(&h);
}

/* --no-replay is another name for a value of --replay. */
Test(server_config, no_replay_overrules_replay)
{
    hub h = hub_start(ARGS("--config", config_with("replay = all\nstream = s\n"), "--no-replay"));
    publish(&h, "s", NULL, "not seen");
    http_conn *c = follow(&h, "s", NULL, NULL);
    expect_nothing_before(&h, "s", c, "marker");
    http_close(c);
    hub_end(&h);
}

/* ---- what a file may not say ---- */

static void refused(const char *content, unsigned line, const char *part)
{
    const char *file = temp_file(content);
    const char *where = text("%s:%u: ", file, line);
    tool_fails("sse-server", ARGS("--config", file), NULL, 64, where);
    tool_fails("sse-server", ARGS("--config", file), NULL, 64, part);
    tool_fails("sse-server", ARGS("--check-config", "--config", file), NULL, 64, where);
}

Test(server_config, mistakes_are_told_with_their_line)
{
    refused("stream = a\ncolour = red\n", 2, "'colour'");
    refused("\n\nbuffer = many\n", 3, "'buffer': 'many' is not valid, it takes N");
    refused("base64 = perhaps\n", 1, "'base64': 'perhaps' is not valid, it takes yes or no");
    refused("stream = a\nonly words\n", 2, "NAME = VALUE");
    refused("[server]\nstream = a\n", 1, "[server]");
    refused("stream = a\n\n \t[a]\n# comment\n\nstream = b\n", 3, "[a]");
    refused("stream = a\n[with nothing below]", 2, "[with nothing below]");
    refused("\xef\xbb\xbf[marked]\r\nstream = a\n", 1, "[marked]");
    refused("[open = a\n", 1, "NAME = VALUE");
    refused("# config\nconfig = other\n", 2, "'config'");
    refused("check-config = yes\n", 1, "'check-config'");
    refused("cors-origin = http://a http://b\n", 1, "'cors-origin'");
    refused("cors-origin = http://a\ncors-origin = https://b.example/\n", 2,
            "'cors-origin': 'https://b.example/': an origin ends with the host");
    refused("host-name = hub.example:8080\n", 1,
            "'host-name': 'hub.example:8080': it is no host's");
    refused("stream = a\n\npublish-token-file = /nonexistent/tokens\n", 3, "No such file");
    refused("listen = 0.0.0.0:0\n", 1, "not loopback");
    refused("header = X-A: b\nheader = Connection: x\nheader = X-C: d\n", 2,
            "'header': 'Connection: x': the server sets this header by itself");
    refused("header = Access-Control-Allow-Origin: *\n", 1, "for the origins that it is given");
    refused("header = X-Empty:\n", 1, "'X-Empty:': it has no value");
    refused("header = words\n", 1, "'words': it is not 'Name: value'");
    refused("  a = b\nstream = a", 1, "'a'");
}

/* Whichever way a value comes in, the same is said about it. */
Test(server_config, a_bad_value_has_its_reason)
{
    static const struct {
        const char *name, *value, *why;
    } bad[] = {
        {"stream", "", "it is empty"},
        {"stream", "\xff", "it is not UTF-8"},
        {"stream", "a\tb", "it holds a control character"},
        {"listen", "127.0.0.1", "it has no port, as in ADDR:PORT"},
        {"listen", "127.0.0.1:65536", "its port is not a number from 0 to 65535"},
        {"listen", "unix:", "it has no path"},
        {"buffer", "0", "it must be from 1 to 4294967294"},
        {"history-bytes", "1125899906842625", "it must be from 1 to 1125899906842624 bytes"},
        {"max-event-bytes", "1073741825", "it must be from 1 to 1073741824 bytes"},
        {"connection-memory", "2047", "a request's headers need 2048 bytes"},
        {"connect-burst", "1000001", "it must be from 1 to 1000000"},
        {"connect-exempt", "here", "it is not an address"},
        {"cors-origin", "https://b.example/", "an origin ends with the host"},
        {"host-name", "hub.example:8080", "it is no host's"},
        {"header", "words", "it is not 'Name: value'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *why = text("'%s': %s", bad[i].value, bad[i].why);
        const char *argument = text("--%s=%s", bad[i].name, bad[i].value);
        tool_fails("sse-server", ARGS("--listen=127.0.0.1:0", argument), NULL, 64,
                   text("option '--%s': %s", bad[i].name, why));
        tool_fails("sse-server", ARGS("--check-config", argument), NULL, 64, why);
        refused(text("%s = %s\n", bad[i].name, bad[i].value), 1,
                text("'%s': %s", bad[i].name, why));
    }
}

Test(server_config, lines_that_cannot_be)
{
    char *content = malloc(20000);
    memset(content, 'x', 19999);
    memcpy(content, "stream=", 7);
    content[19999] = '\0';
    refused(content, 1, "too long");
    free(content);
    const char *path = text("%s/nul", temp_dir());
    FILE *file = fopen(path, "we");
    cr_assert_eq(fwrite("stream=a\nstream=\0b\n", 1, 19, file), 19u);
    fclose(file);
    tool_fails("sse-server", ARGS("--config", path), NULL, 64, text("%s:2: ", path));
    tool_fails("sse-server", ARGS("--config", path), NULL, 64, "NUL");
}

Test(server_config, no_such_file)
{
    tool_fails("sse-server", ARGS("--config", "/nonexistent/f"), NULL, 64, "/nonexistent/f");
    tool_fails("sse-server", ARGS("--config", "/"), NULL, 64, "--config");
    tool_fails("sse-server", ARGS("--config"), NULL, 64, "--config");
}

/* ---- --check-config ---- */

Test(server_config, check_config_opens_nothing)
{
    hub h = hub_start(NULL);
    const char *file = config_with("listen = 127.0.0.1:%u\nstream = a\nheader = X: y\n", h.port);
    proc *p = tool_run("sse-server", ARGS("--check-config", "--config", file), NULL, 0);
    cr_assert_str_eq(out_of(p), "the configuration is good\n");
    cr_assert_str_eq(err_of(p), "");
    proc_free(p);
    hub_end(&h);
    tool_fails("sse-server", ARGS("--check-config", "--header=Content-Type: text/html"), NULL, 64,
               "option '--header': 'Content-Type: text/html': the server sets this header");
    p = tool_run("sse-server", ARGS("--help"), NULL, 0);
    cr_assert(strstr(out_of(p), "--config FILE") && strstr(out_of(p), "--check-config"));
    proc_free(p);
}

/* ---- SIGHUP ---- */

static void reload(hub *h, const char *says)
{
    proc_signal(h->process, SIGHUP);
    cr_assert(proc_wait_stderr(h->process, says, LONG), "no '%s': %s", says, err_of(h->process));
}

static const char first[] = "Authorization: Bearer first\r\n";
static const char second[] = "Authorization: Bearer second\r\n";

Test(server_config, sighup_reads_tokens_again)
{
    const char *tokens = temp_file("first\n");
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", tokens));
    http_conn *c = follow(&h, "s", NULL, NULL);
    expect(&h, "POST", "/events?stream=s", first, "1", 200, NULL);
    rewrite(tokens, "second\n");
    reload(&h, "info: reloaded\n");
    expect_error(&h, "POST", "/events?stream=s", first, "x", 401, NULL);
    expect(&h, "POST", "/events?stream=s", second, "2", 200, NULL);
    expect_numbers(c, 1, 2); /* who was there has stayed */
    http_close(c);
    hub_end(&h);
}

Test(server_config, sighup_with_a_mistake_changes_nothing)
{
    const char *tokens = temp_file("first\n");
    const char *file =
        config_with("stream = s\npublish-token-file = %s\nlog-level = info\n", tokens);
    hub h = hub_start(ARGS("--config", file));
    rewrite(tokens, "");
    reload(&h, "not reloaded");
    cr_assert_not_null(strstr(err_of(h.process), text("error: %s:2: 'publish-token-file'", file)),
                       "%s", err_of(h.process));
    expect(&h, "POST", "/events?stream=s", first, "x", 200, NULL);
    rewrite(tokens, "second\n");
    rewrite(file, "stream = s\nlog-level = debug\nbad = 1\n");
    reload(&h, text("error: %s:3: unknown option 'bad'", file));
    expect(&h, "POST", "/events?stream=s", first, "x", 200, NULL);
    expect_error(&h, "POST", "/events?stream=s", second, "x", 401, NULL);
    cr_assert_null(strstr(err_of(h.process), "debug:"));
    hub_end(&h);
}

/* A reload must not open what a start would refuse. */
Test(server_config, sighup_keeps_the_guard)
{
    const char *file = config_with("stream = s\npublish-token-file = %s\n", temp_file("first\n"));
    hub h = hub_start(ARGS("--config", file, "--listen=0.0.0.0:0"));
    rewrite(file, "stream = s\n");
    reload(&h, "not reloaded");
    cr_assert_not_null(strstr(err_of(h.process), "not loopback"));
    expect_error(&h, "POST", "/events?stream=s", NULL, "x", 401, NULL);
    hub_end(&h);
}

Test(server_config, sighup_changes_origins_and_log)
{
    const char *file = config_with("stream = s\ncors-origin = http://a.example\n");
    const char *a = "Origin: http://a.example\r\n", *b = "Origin: http://b.example\r\n";
    hub h = hub_start(ARGS("--config", file));
    expect(&h, "POST", "/events?stream=s", a, "x", 200, NULL);
    expect_error(&h, "POST", "/events?stream=s", b, "x", 403, NULL);
    rewrite(file, "stream = s\ncors-origin = http://b.example\nlog-level = debug\n");
    reload(&h, "info: reloaded\n");
    expect_error(&h, "POST", "/events?stream=s", a, "x", 403, NULL);
    expect(&h, "POST", "/events?stream=s", b, "x", 200, NULL);
    http_close(follow(&h, "s", NULL, NULL));
    cr_assert(proc_wait_stderr(h.process, "debug: subscriber came number=1 peer=127.0.0.1 stream=s",
                               LONG));
    rewrite(file, "stream = s\nlog-format = json\n");
    reload(&h, "\"message\":\"reloaded\"");
    expect_error(&h, "POST", "/events?stream=s", b, "x", 403, NULL);
    hub_end(&h);
}

Test(server_config, sighup_names_what_has_to_wait)
{
    const char *file = config_with("stream = s\nheartbeat = 15\ncors-origin = http://a\n");
    hub h = hub_start(ARGS("--config", file, "--threads=1"));
    rewrite(file, "heartbeat = 20\nstream = s\nbase64 = on\nthreads = 7\ncors-origin = http://b\n");
    reload(&h, "info: reloaded\n");
    const char *log = err_of(h.process);
    cr_assert_not_null(strstr(log, "warn: 'heartbeat' has changed"), "%s", log);
    cr_assert_not_null(strstr(log, "warn: 'base64' has changed"), "%s", log);
    cr_assert_null(strstr(log, "'stream'"), "%s", log);
    cr_assert_null(strstr(log, "'threads'"), "the command line counts: %s", log);
    cr_assert_null(strstr(log, "'cors-origin'"), "%s", log);
    hub_end(&h);
}

/* Requests judge by the rules while these change under them. */
Test(server_config, sighup_under_requests)
{
    const char *tokens = temp_file("first\n");
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", tokens));
    for (int i = 0; i < 20; i++) {
        proc_signal(h.process, SIGHUP);
        expect(&h, "POST", "/events?stream=s", first, "x", 200, NULL);
    }
    hub_end(&h);
}

/* ---- --log-format json ---- */

/* The member of a line of the log; the line is checked. */
static const char *member(const char *line, const char *key)
{
    static char value[2048];
    cr_assert(json_valid(line), "not JSON: %s", line);
    return json_string(json_member(line, key), value, sizeof value) ? value : NULL;
}

/* The line of the log with this message. */
static const char *line_with(const hub *h, const char *message)
{
    static char line[4096];
    const char *at = strstr(err_of(h->process), text("\"message\":\"%s\"", message));
    cr_assert_not_null(at, "%s", err_of(h->process));
    while (at > err_of(h->process) && at[-1] != '\n')
        at--;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

Test(server_config, json_log)
{
    hub h =
        hub_start(ARGS("--stream=a \"b\" \\ \xc3\xa4", "--log-format=json", "--log-level=debug"));
    http_close(follow(&h, "a%20%22b%22%20%5C%20%C3%A4", NULL, NULL));
    cr_assert(proc_wait_stderr(h.process, "subscriber left", LONG));
    const char *came = line_with(&h, "subscriber came");
    int year, day, ms;
    char end;
    cr_assert_eq(
        sscanf(member(came, "time"), "%4d-%*2d-%2dT%*2d:%*2d:%*2d.%3d%c", &year, &day, &ms, &end),
        4, "%s", came);
    cr_assert(end == 'Z' && year > 2000);
    cr_assert_str_eq(member(came, "level"), "debug");
    cr_assert_str_eq(member(came, "peer"), "127.0.0.1");
    cr_assert_str_eq(member(came, "number"), "1");
    cr_assert_str_eq(member(came, "stream"), "a \"b\" \\ \xc3\xa4");
    cr_assert_null(json_member(came, "reason"));
    cr_assert_str_eq(member(line_with(&h, "subscriber left"), "reason"), "gone");
    hub_end(&h);
}

Test(server_config, json_log_of_who_was_not_let_in)
{
    const char *tokens = temp_file("the-secret\n");
    hub h = hub_start(ARGS("--stream=a", "--log-format=json", "--log-level=debug",
                           "--publish-token-file", tokens, "--subscribe-token-file",
                           temp_file("a-reader\n")));
    expect(&h, "POST", "/events?stream=a", NULL, "x", 401, NULL);
    expect(&h, "POST", "/events?stream=a", "Authorization: Bearer a-reader\r\n", "x", 403, NULL);
    expect(&h, "POST", "/events?stream=a", "Authorization: Bearer a-guess\r\n", "x", 401, NULL);
    expect(&h, "GET", "/streams?access_token=a-guess", NULL, NULL, 401, NULL);
    cr_assert(proc_wait_stderr(h.process, "GET refused", LONG));
    const char *none = line_with(&h, "POST refused with 401");
    cr_assert_str_eq(member(none, "level"), "debug");
    cr_assert_str_eq(member(none, "peer"), "127.0.0.1");
    cr_assert_str_eq(member(none, "stream"), "a");
    cr_assert_str_eq(member(none, "reason"), "It shows no token.");
    cr_assert_str_eq(member(line_with(&h, "POST refused with 403"), "reason"),
                     "The token does not allow it.");
    cr_assert_str_eq(member(line_with(&h, "GET refused with 401"), "reason"),
                     "The token is not known.");
    cr_assert_null(json_member(line_with(&h, "GET refused with 401"), "stream"));
    cr_assert_null(strstr(err_of(h.process), "a-guess"), "a token is in the log");
    cr_assert_null(strstr(err_of(h.process), "a-reader"), "a token is in the log");
    hub_end(&h);
}

Test(server_config, json_log_of_other_refusals)
{
    hub h = hub_start(ARGS("--stream=a", "--log-format=json", "--log-level=debug"));
    expect(&h, "GET", "/events?stream=b%20%22c%22", NULL, NULL, 404, NULL);
    expect(&h, "PUT", "/streams", NULL, NULL, 405, NULL);
    cr_assert(proc_wait_stderr(h.process, "PUT refused", LONG));
    const char *unknown = line_with(&h, "GET refused with 404");
    cr_assert_str_eq(member(unknown, "level"), "debug");
    cr_assert_str_eq(member(unknown, "peer"), "127.0.0.1");
    cr_assert_str_eq(member(unknown, "path"), "/events");
    cr_assert_str_eq(member(unknown, "stream"), "b \"c\"");
    cr_assert_str_eq(member(unknown, "reason"), "There is no stream 'b \"c\"'.");
    const char *method = line_with(&h, "PUT refused with 405");
    cr_assert_str_eq(member(method, "path"), "/streams");
    cr_assert_null(json_member(method, "stream"));
    hub_end(&h);
}

/* The file's bytes are in the message. */
Test(server_config, json_log_of_any_bytes)
{
    const char *file = config_with("stream = s\n");
    hub h = hub_start(ARGS("--config", file, "--log-format=json"));
    rewrite(file, "\xff\x01\"\\\xc3 = 1\n");
    reload(&h, "not reloaded");
    char line[4096];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(err_of(h.process), "\n"), err_of(h.process));
    cr_assert_str_eq(member(line, "message"),
                     text("%s:1: unknown option '\xef\xbf\xbd\x01\"\\\xef\xbf\xbd'", file));
    hub_end(&h);
}
