/* Who may do what at sse-server: tokens, CORS, and what its log tells. */
#include "e2e.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char publisher[] = "Authorization: Bearer publisher\r\n";
static const char second[] = "Authorization: Bearer second-one\r\n";
static const char reader[] = "Authorization: Bearer reader\r\n";
static const char stranger[] = "Authorization: Bearer stranger\r\n";

static void expect_401(const hub *h, const char *method, const char *target)
{
    http_response r = ask(h, method, target, NULL, strcmp(method, "POST") == 0 ? "x" : NULL);
    const char *challenge = http_header(&r, "WWW-Authenticate");
    cr_assert_eq(r.status, 401, "%d", r.status);
    cr_assert(challenge && strncmp(challenge, "Bearer", 6) == 0);
    http_response_fini(&r);
    expect_error(h, method, target, NULL, NULL, 401, "token");
    expect_error(h, method, target, stranger, NULL, 401, "The token is not known.");
}

Test(server_access, publish_token)
{
    const char *file = temp_file("publisher\n\nsecond-one\r\n");
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", file));
    expect_401(&h, "POST", "/events?stream=s");
    expect_401(&h, "DELETE", "/events?stream=s");
    http_conn *c = follow(&h, "s", NULL, NULL); /* anybody may read */
    expect(&h, "POST", "/events?stream=s", publisher, "1", 200, NULL);
    expect(&h, "POST", "/events?stream=s", second, "2", 200, NULL);
    expect_numbers(c, 1, 2);
    http_close(c);
    expect(&h, "DELETE", "/events?stream=s", publisher, NULL, 204, NULL);
    hub_end(&h);
}

Test(server_access, subscribe_token)
{
    hub h = hub_start(ARGS("--stream=s", "--subscribe-token-file", temp_file("reader\n"),
                           "--publish-token-file", temp_file("publisher\n")));
    expect_401(&h, "GET", "/events?stream=s");
    expect_401(&h, "GET", "/streams");
    expect_401(&h, "GET", "/metrics");
    expect(&h, "GET", "/healthz", NULL, NULL, 200, "ok");
    expect(&h, "GET", "/streams", reader, NULL, 200, "\"s\"");
    expect(&h, "GET", "/streams", publisher, NULL, 200, "\"s\"");
    http_conn *c = follow(&h, "s", NULL, reader);
    expect_error(&h, "POST", "/events?stream=s", reader, "x", 403, "not allowed");
    expect_error(&h, "GET", "/events?stream=s", publisher, NULL, 403, "not allowed");
    expect(&h, "POST", "/events?stream=s", publisher, "hello", 200, NULL);
    expect_data(c, "hello");
    http_close(c);
    hub_end(&h);
}

Test(server_access, token_file_without_a_token)
{
    tool_fails("sse-server", ARGS("--publish-token-file", temp_file("\n\n")), NULL, 64,
               "--publish-token-file");
}

Test(server_access, wrong_scheme_is_no_token)
{
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", temp_file("secret\n")));
    expect_error(&h, "POST", "/events?stream=s", "Authorization: Basic secret\r\n", "x", 401,
                 "needs a token");
    expect_error(&h, "POST", "/events?stream=s", "Authorization: Bearer secre\r\n", "x", 401, NULL);
    expect_error(&h, "POST", "/events?stream=s", "Authorization: Bearer secret2\r\n", "x", 401,
                 NULL);
    expect_error(&h, "POST", "/events?stream=s", "Authorization: Bearer \r\n", "x", 401, NULL);
    expect(&h, "POST", "/events?stream=s", "authorization: bearer secret\r\n", "x", 200, NULL);
    hub_end(&h);
}

/* ---- CORS ---- */

static void expect_origin(const hub *h, const char *origin, const char *allowed)
{
    http_response r;
    http_conn *c =
        http_open_stream(h->port, "/events?stream=s", text("Origin: %s\r\n", origin), &r, LONG);
    cr_assert_not_null(c);
    const char *value = http_header(&r, "Access-Control-Allow-Origin");
    cr_assert(allowed ? value && strcmp(value, allowed) == 0 : value == NULL, "%s: %s", origin,
              value ? value : "none");
    http_response_fini(&r);
    http_close(c);
}

Test(server_access, cors_origins)
{
    hub h = hub_start(ARGS("--stream=s", "--cors-origin", "http://a.example",
                           "--cors-origin=https://b.example:8443"));
    expect_origin(&h, "http://a.example", "http://a.example");
    expect_origin(&h, "https://b.example:8443", "https://b.example:8443");
    expect_origin(&h, "https://b.example", NULL);
    expect_origin(&h, "http://a.example.evil", NULL);
    expect(&h, "POST", "/events?stream=s", "Origin: http://a.example\r\n", "x", 200, NULL);
    expect_error(&h, "POST", "/events?stream=s", "Origin: http://evil.example\r\n", "x", 403, NULL);
    hub_end(&h);
}

Test(server_access, cors_everybody)
{
    hub h = hub_start(ARGS("--stream=s", "--cors-origin=*"));
    expect_origin(&h, "http://whoever.example", "*");
    hub_end(&h);
}

Test(server_access, cors_off_by_default)
{
    hub h = hub_start(ARGS("--stream=s"));
    expect_origin(&h, "http://a.example", NULL);
    expect_error(&h, "POST", "/events?stream=s", "Origin: http://a.example\r\n", "x", 403, NULL);
    hub_end(&h);
}

/* conformance 34: a preflight request is answered. */
Test(server_access, cors_preflight)
{
    hub h = hub_start(ARGS("--stream=s", "--cors-origin=http://a.example"));
    http_response r = ask(&h, "OPTIONS", "/events?stream=s",
                          "Origin: http://a.example\r\nAccess-Control-Request-Method: POST\r\n"
                          "Access-Control-Request-Headers: last-event-id\r\n",
                          NULL);
    cr_assert_eq(r.status, 204);
    cr_assert_str_eq(http_header(&r, "Access-Control-Allow-Origin"), "http://a.example");
    const char *methods = http_header(&r, "Access-Control-Allow-Methods");
    cr_assert(methods && strstr(methods, "POST"));
    const char *names = http_header(&r, "Access-Control-Allow-Headers");
    cr_assert(names && strstr(names, "Last-Event-ID"));
    http_response_fini(&r);
    r = ask(&h, "OPTIONS", "/events?stream=s",
            "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n", NULL);
    cr_assert_null(http_header(&r, "Access-Control-Allow-Methods"));
    cr_assert_null(http_header(&r, "Access-Control-Allow-Origin"));
    http_response_fini(&r);
    hub_end(&h);
}

/* ---- DNS rebinding: a page of another origin under a name that means this machine ---- */

/* A request whose Host is this; its status. */
static int status_for(const hub *h, const char *method, const char *host)
{
    http_response r;
    http_conn *c = http_connect(h->port);
    cr_assert_not_null(c);
    const char *request = text("%s /events?stream=s HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n",
                               method, host, host);
    cr_assert(http_send_text(c, request, LONG));
    cr_assert(http_read_head(c, &r, LONG));
    int status = r.status;
    http_response_fini(&r);
    http_close(c);
    return status;
}

Test(server_access, rebinding)
{
    static const char *const strange[] = {"evil.example",
                                          "evil.example:8080",
                                          "localhost.evil.example",
                                          "127.0.0.1.evil.example",
                                          "[::1].evil.example",
                                          "notlocalhost",
                                          "127.0.0.1:x",
                                          "hub.example"};
    static const char *const known[] = {"localhost",  "LocalHost:8080", "127.0.0.1", "127.0.0.1:1",
                                        "[::1]:8080", "hub.localhost",  "localhost."};
    static const char *const methods[] = {"POST", "DELETE", "GET", "OPTIONS"};
    hub h = hub_start(ARGS("--stream=s"));
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
        for (size_t k = 0; k < 4; k++)
            cr_assert_eq(status_for(&h, methods[k], strange[i]), 421, "%s %s", methods[k],
                         strange[i]);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        cr_assert_eq(status_for(&h, "GET", known[i]), 200, "%s", known[i]);
    cr_assert_eq(status_for(&h, "DELETE", "localhost"), 204);
    hub_end(&h);
    h = hub_start(ARGS("--stream=s", "--host-name", "hub.example"));
    cr_assert_eq(status_for(&h, "GET", "Hub.Example:443"), 200);
    cr_assert_eq(status_for(&h, "GET", "evil.example"), 421);
    hub_end(&h);
    h = hub_start(ARGS("--stream=s", "--host-name=*"));
    cr_assert_eq(status_for(&h, "GET", "evil.example"), 200);
    hub_end(&h);
}

/* An origin is compared as a whole: neither a name that ends or begins alike, nor "null". */
Test(server_access, another_origin_cannot_publish_or_remove)
{
    static const char *const origins[] = {"http://evil.example",
                                          "null",
                                          "http://127.0.0.1.evil.example",
                                          "http://localhost:1",
                                          "https://a.example",
                                          "http://a.example:8080"};
    hub h = hub_start(ARGS("--stream=s", "--cors-origin=http://a.example"));
    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        const char *origin = text("Origin: %s\r\n", origins[i]);
        expect_error(&h, "POST", "/events?stream=s", origin, "x", 403, "origin");
        expect_error(&h, "DELETE", "/events?stream=s", origin, NULL, 403, "origin");
    }
    hub_end(&h);
}

/* ---- without libjwt ---- */

/* Whoever wants tokens to be checked must not get a hub that checks none. */
static void refused_without_jwt(const char *arg, const char *where)
{
    const char *argv[] = {getenv("SSE_SERVER_WITHOUT_JWT"), "--listen=127.0.0.1:0", arg, NULL};
    int code;
    cr_assert_not_null(argv[0]);
    proc *p = proc_run(argv, NULL, LONG, &code);
    cr_assert_not_null(p);
    cr_assert_eq(code, 64, "%d: %s", code, err_of(p));
    cr_assert(one_line(err_of(p)) && strstr(err_of(p), where) &&
                  strstr(err_of(p), "built without JSON Web Tokens"),
              "%s", err_of(p));
    cr_assert_str_eq(out_of(p), "");
    proc_free(p);
}

Test(server_access, a_build_without_libjwt_says_so)
{
    const char *key = temp_file("a secret that is long enough to be one\n");
    const char *file = temp_file(text("stream = s\njwt-key = %s\n", key));
    refused_without_jwt(text("--jwt-key=%s", key), "'--jwt-key'");
    refused_without_jwt("--jwt-alg=HS256", "'--jwt-alg'");
    refused_without_jwt(text("--config=%s", file), text("%s:2: 'jwt-key'", file));
}

/* ---- --log-level ---- */

Test(server_access, log_level)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < 4; i++) {
        hub h = hub_start(ARGS("--stream=s", "--log-level", levels[i]));
        http_conn *c = follow(&h, "s", NULL, NULL);
        http_close(c);
        wait_number(&h, "s", "subscribers", 0);
        cr_assert_eq(proc_stop(h.process, LONG), 0);
        bool told = strstr(err_of(h.process), "debug: subscriber") != NULL;
        cr_assert_eq(told, i == 3, "%s: %s", levels[i], err_of(h.process));
        proc_free(h.process);
    }
}
