/* Options: defaults, and what is refused. */
#include "hub.h"
#include "layout.h"
#include "origin.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static sse_err try_options(const sse_server_options *options)
{
    sse_server *server = NULL;
    sse_err err = sse_server_new(options, &server);
    cr_assert_eq(err == SSE_OK, server != NULL);
    sse_server_free(server);
    return err;
}

static sse_err try_header(const char *header)
{
    sse_server_options options;
    sse_server_options_init(&options);
    options.headers = &header;
    options.header_count = 1;
    return try_options(&options);
}

static sse_err try_origin(const char *origin)
{
    sse_server_options options;
    sse_server_options_init(&options);
    options.cors_origins = &origin;
    options.cors_origin_count = 1;
    return try_options(&options);
}

static sse_err try_host_name(const char *name)
{
    sse_server_options options = SSE_SERVER_OPTIONS_INIT;
    options.host_names = &name;
    options.host_name_count = 1;
    return try_options(&options);
}

/* features: BufferSize */
Test(options, zero_means_the_default)
{
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    const sse_server_options *o = &server->options;
    cr_assert_eq(o->max_event_bytes, 1u << 20);
    cr_assert_eq(o->heartbeat_ms, 15000);
    cr_assert_eq(o->max_streams, 10000);
    cr_assert_eq(o->max_subscribers, 100000);
    cr_assert_eq(o->max_subscribers_per_ip, 0);
    cr_assert_eq(o->max_connections_per_address, 0);
    cr_assert_eq(o->connects_per_minute, 0);
    cr_assert_null(server->admission);
    cr_assert_geq(o->threads, 1);
    cr_assert_eq(o->connection_memory, 8192);
    cr_assert_eq(o->request_timeout_ms, 10000);
    cr_assert_eq(o->drain_ms, 5000);
    cr_assert_eq(o->auto_stream_idle_ms, 60000);
    cr_assert_not(o->auto_stream);
    cr_assert_not(o->http_publish);
    const sse__stream_config *c = &server->stream_config;
    cr_assert_eq(c->inbox_events, 1024);
    cr_assert_eq(c->limits.history_events, 1024);
    cr_assert_eq(c->limits.history_bytes, 16u << 20);
    cr_assert_eq(c->limits.ttl_ms, 0);
    cr_assert_eq(c->replay, SSE_REPLAY_ALL);
    cr_assert_eq(c->slow, SSE_SLOW_CLOSE);
    cr_assert_eq(c->slow_grace_ms, 250);
    cr_assert_not(c->base64);
    cr_assert_null(server->retry);
    sse_server_free(server);
}

Test(options, what_is_set_stays)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.ring_events = 5;
    stream.history_events = SSE_OFF;
    stream.history_bytes = 1u << 30;
    stream.event_ttl_ms = 9;
    stream.slow = SSE_SLOW_BLOCK;
    sse_server_options options;
    sse_server_options_init(&options);
    options.stream = &stream;
    options.threads = 100000;
    sse_server *server;
    cr_assert_eq(sse_server_new(&options, &server), SSE_OK);
    cr_assert_eq(server->options.threads, 1024, "nobody means that many");
    const sse__stream_config *c = &server->stream_config;
    cr_assert_eq(c->inbox_events, 5);
    cr_assert_eq(c->limits.backlog_events, 5);
    cr_assert_eq(c->limits.history_events, 0);
    cr_assert_eq(c->limits.backlog_bytes, 1u << 30);
    cr_assert_eq(c->limits.ttl_ms, 9);
    cr_assert_eq(c->slow, SSE_SLOW_BLOCK);
    sse_server_free(server);
}

Test(options, no_replay_keeps_no_history)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.replay = SSE_REPLAY_NONE;
    const sse_logger nobody = {.level = SSE_LOG_DEFAULT};
    sse__stream_config config;
    cr_assert(sse__stream_configure(&options, &nobody, &config));
    cr_assert_eq(config.limits.history_events, 0);
}

Test(options, values_without_sense_are_refused)
{
    sse_server_options options;
    sse_server_options_init(&options);
    options.size = 0;
    cr_assert_eq(try_options(&options), SSE_EINVAL);
    sse_server_options_init(&options);
    options.connection_memory = 2047;
    cr_assert_eq(try_options(&options), SSE_EINVAL);
}

/* What the logger was told last. */
static char told[256];

static void take_line(void *user, sse_log_level level, const char *line)
{
    (void)user, (void)level;
    snprintf(told, sizeof told, "%s", line);
}

/* A stream with these options, and a server with them for its streams: both are refused, and say why. */
static void stream_is_refused(const sse_stream_options *stream, const char *why)
{
    sse_server_options options = SSE_SERVER_OPTIONS_INIT;
    options.logger.fn = take_line;
    sse_server *server;
    cr_assert_eq(sse_server_new(&options, &server), SSE_OK);
    *told = '\0';
    cr_assert_eq(sse_server_create_stream(server, "a", stream), SSE_EINVAL, "%s", why);
    cr_assert_str_eq(told, why);
    cr_assert_not(sse_server_stream_exists(server, "a"));
    sse_server_free(server);
    *told = '\0';
    options.stream = stream;
    cr_assert_eq(try_options(&options), SSE_EINVAL, "%s", why);
    cr_assert_str_eq(told, why);
}

Test(options, stream_options_without_sense_are_refused)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.size = 4;
    stream_is_refused(&stream, "options of a stream: their size is not set, as "
                               "SSE_STREAM_OPTIONS_INIT does");
    stream = (sse_stream_options)SSE_STREAM_OPTIONS_INIT;
    stream.replay = (sse_replay)4;
    stream_is_refused(&stream, "options of a stream: replay is none of sse_replay");
    stream = (sse_stream_options)SSE_STREAM_OPTIONS_INIT;
    stream.slow = (sse_slow_policy)-1;
    stream_is_refused(&stream, "options of a stream: slow is none of sse_slow_policy");
    stream = (sse_stream_options)SSE_STREAM_OPTIONS_INIT;
    stream.history_bytes = ((uint64_t)1 << 50) + 1;
    stream_is_refused(&stream, "options of a stream: history_bytes is more than 2^50");
}

Test(options, callbacks_without_a_size_are_refused)
{
    const sse_server_callbacks callbacks = {0};
    sse_server_options options = SSE_SERVER_OPTIONS_INIT;
    options.logger.fn = take_line;
    options.callbacks = &callbacks;
    cr_assert_eq(try_options(&options), SSE_EINVAL);
    cr_assert_str_eq(told, "callbacks: their size is not set, as SSE_SERVER_CALLBACKS_INIT does");
}

static int allow(void *user, const sse_request *request)
{
    (void)user, (void)request;
    return 0;
}

/* A program that was built with an older header has a shorter struct: what follows is not looked at. One that was built with a newer
 * header has a longer one, whose end is not known here. */
Test(options, shorter_and_longer_structs_are_understood)
{
    struct {
        sse_server_options known;
        char more[64];
    } longer = {.known = SSE_SERVER_OPTIONS_INIT, .more = "of a newer header"};
    longer.known.size = sizeof longer;
    cr_assert_eq(try_options(&longer.known), SSE_OK);
    sse_server_options shorter = SSE_SERVER_OPTIONS_INIT;
    shorter.max_streams = 7;
    shorter.headers = (const char *const *)(uintptr_t)1; /* must not be touched */
    shorter.header_count = 1;
    shorter.size = offsetof(sse_server_options, headers);
    sse_server *server;
    cr_assert_eq(sse_server_new(&shorter, &server), SSE_OK);
    cr_assert_eq(server->options.max_streams, 7);
    cr_assert_eq(server->options.header_count, 0);
    sse_server_free(server);
}

/* What the options point to has a size of its own: it may be shorter or longer while they are not, and the other way round. */
Test(options, structs_inside_may_be_shorter_or_longer)
{
    struct {
        sse_stream_options known;
        char more[64];
    } longer = {.known = SSE_STREAM_OPTIONS_INIT, .more = "of a newer header"};
    longer.known.size = sizeof longer;
    longer.known.history_events = 5;
    sse_stream_options shorter = SSE_STREAM_OPTIONS_INIT;
    shorter.history_events = 3;
    shorter.slow = (sse_slow_policy)9; /* must not be looked at */
    shorter.base64 = true;             /* nor this */
    shorter.size = offsetof(sse_stream_options, slow);
    sse_server_callbacks callbacks = SSE_SERVER_CALLBACKS_INIT;
    callbacks.authorize = allow;
    callbacks.on_subscribe = (void (*)(void *, const sse_subscriber_info *))(uintptr_t)1;
    callbacks.size = offsetof(sse_server_callbacks, on_subscribe);

    sse_server_options options = SSE_SERVER_OPTIONS_INIT;
    options.stream = &shorter;
    options.callbacks = &callbacks;
    options.max_streams = 7; /* behind what was shorter */
    sse_server *server;
    cr_assert_eq(sse_server_new(&options, &server), SSE_OK);
    cr_assert_eq(server->options.max_streams, 7);
    cr_assert_eq(server->stream_config.limits.history_events, 3);
    cr_assert_eq(server->stream_config.slow, SSE_SLOW_CLOSE);
    cr_assert_not(server->stream_config.base64);
    cr_assert_eq(server->callbacks.authorize, allow);
    cr_assert_null(server->callbacks.on_subscribe);
    cr_assert_eq(sse_server_create_stream(server, "a", &shorter), SSE_OK);
    cr_assert(!server->options.stream && !server->options.callbacks, "they are only lent");
    sse_server_free(server);

    options.callbacks = NULL;
    options.stream = &longer.known;
    options.size = offsetof(sse_server_options, headers);
    cr_assert_eq(sse_server_new(&options, &server), SSE_OK);
    cr_assert_eq(server->stream_config.limits.history_events, 5);
    sse_server_free(server);
}

HAS_NO_GAP_BEHIND(sse_server_options, reserved);
HAS_NO_GAP_BEHIND(sse_stream_options, reserved);
HAS_NO_GAP_BEHIND(sse_server_callbacks, on_unsubscribe);

/* The header's own size, and not the library's: a newer library must not write beyond the struct of an older program. */
Test(options, both_ways_to_begin_are_the_same)
{
    sse_server_options a = SSE_SERVER_OPTIONS_INIT, b;
    sse_server_options_init(&b);
    cr_assert_eq(a.size, sizeof a);
    cr_assert_eq(b.size, sizeof b);
    cr_assert_eq(try_options(&a), SSE_OK);
    cr_assert_eq(try_options(&b), SSE_OK);
}

/* features: Headers */
Test(options, headers_are_checked)
{
    cr_assert_eq(try_header("X-Name: value"), SSE_OK);
    cr_assert_eq(try_header("Cache-Control: no-transform"), SSE_OK);
    cr_assert_eq(try_header("X-Connection: x"), SSE_OK);
    cr_assert_eq(try_header("Vary: Accept-Language"), SSE_OK);
    static const char *const bad[] = {NULL,
                                      "",
                                      "X-Empty:", /* the HTTP library does not send it */
                                      "no colon",
                                      ": nameless",
                                      "Two words: x",
                                      "X: a\r\nInjected: b",
                                      "X: a\nb",
                                      "X\xc3\xa9: a",
                                      "Content-Type: text/html",
                                      "content-length: 3",
                                      "Content-Encoding: gzip",
                                      "Transfer-Encoding: chunked",
                                      "Trailer: X",
                                      "Connection: x",
                                      "connection:close",
                                      "Keep-Alive: timeout=5",
                                      "Upgrade: h2c",
                                      "Date: Thu, 01 Jan 1970 00:00:00 GMT",
                                      "Allow: PATCH",
                                      "Retry-After: 1",
                                      "WWW-Authenticate: Basic",
                                      "Access-Control-Allow-Origin: *",
                                      "access-control-max-age: 5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(try_header(bad[i]), SSE_EINVAL, "%s", bad[i] ? bad[i] : "NULL");
}

Test(options, origins_are_checked)
{
    cr_assert_eq(try_origin("*"), SSE_OK);
    cr_assert_eq(try_origin("https://example.org:8443"), SSE_OK);
    cr_assert_eq(try_origin(NULL), SSE_EINVAL);
    cr_assert_eq(try_origin("https://a https://b"), SSE_EINVAL);
    cr_assert_eq(try_origin("https://a\r\nX: y"), SSE_EINVAL);
    cr_assert_eq(try_host_name("hub.example.org"), SSE_OK);
    cr_assert_eq(try_host_name("hub.example.org:8080"), SSE_EINVAL);
    cr_assert_eq(try_host_name(NULL), SSE_EINVAL);
}

/* What would match nothing that a client sends. */
Test(options, origins_are_as_browsers_write_them)
{
    static const char *const good[] = {"*",
                                       "null",
                                       "https://example.org",
                                       "HTTP://Example.ORG:8080",
                                       "http://localhost:443",
                                       "https://[2001:db8::1]",
                                       "http://[::1]:3000",
                                       "https://a_b.xn--bcher-kva.example",
                                       "chrome-extension://abcdef",
                                       "capacitor://localhost"};
    static const char *const bad[][2] = {{"example.org", "no origin"},
                                         {"", "no origin"},
                                         {"//example.org", "no origin"},
                                         {"://example.org", "no origin"},
                                         {"https://", "no origin"},
                                         {"https:///a", "no origin"},
                                         {"https://user@example.org", "no origin"},
                                         {"https://example.org:", "no origin"},
                                         {"https://example.org:x", "no origin"},
                                         {"https://[::1", "no origin"},
                                         {"https://[]", "no origin"},
                                         {"https://b\xc3\xbc"
                                          "cher.example",
                                          "no origin"},
                                         {"https://example.org/", "slash"},
                                         {"https://example.org:8443/path", "path"},
                                         {"https://example.org?x", "path"},
                                         {"https://*.example.org", "wildcard"},
                                         {"https://example.org:443", "scheme's own"},
                                         {"HTTP://example.org:80", "scheme's own"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect_null(sse__origin_problem(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *why = sse__origin_problem(bad[i][0]);
        cr_expect(why && strstr(why, bad[i][1]), "%s: %s", bad[i][0], why ? why : "accepted");
    }
}

Test(options, host_names_are_names)
{
    static const char *const good[] = {"*", "hub.example.org", "HUB", "a_b", "192.0.2.1", "::1"};
    static const char *const bad[] = {"",    "hub.example.org:8080", "https://hub",  "hub/x",
                                      "a b", "hub.example.org.",     "*.example.org"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect_null(sse__host_name_problem(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not_null(sse__host_name_problem(bad[i]), "%s", bad[i]);
}

Test(options, origins_can_change)
{
    const char *const one[] = {"https://a.example"}, *const bad[] = {"https://a b", "x"};
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    cr_assert_eq(sse_server_set_cors_origins(server, one, 1), SSE_OK);
    cr_assert_eq(sse_server_set_cors_origins(server, bad, 2), SSE_EINVAL);
    const char *const missing[] = {NULL};
    cr_assert_eq(sse_server_set_cors_origins(server, missing, 1), SSE_EINVAL);
    cr_assert_eq(sse_server_set_cors_origins(server, NULL, 0), SSE_OK);
    sse_server_free(server);
}

/* What is not taken over stays the caller's. */
Test(options, sockets_that_are_no_listeners)
{
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    int idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int wrong[] = {file, idle, datagrams, -1};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(sse_server_listen_socket(server, wrong[i], NULL, 0), SSE_EINVAL, "%zu", i);
    cr_assert_eq(listen(idle, 1), 0); /* the kernel chooses a port */
    sse_server_close(server);
    cr_assert_eq(sse_server_listen_socket(server, idle, NULL, 0), SSE_ECLOSED);
    cr_assert(close(file) == 0 && close(idle) == 0 && close(datagrams) == 0);
    sse_server_free(server);
}

/* A socket in its simplest form: blocking, with the port that the kernel chose. */
Test(options, a_socket_that_listens)
{
    sse_server *server;
    char bound[64];
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(sse_server_listen_socket(server, fd, bound, sizeof bound), SSE_OK);
    unsigned port = 0;
    cr_assert_eq(sscanf(bound, "0.0.0.0:%u", &port), 1, "%s", bound);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    sse_server_free(server);
    cr_assert_eq(fcntl(fd, F_GETFD), -1, "it is still open");
}

Test(options, leave_reasons_have_names)
{
    cr_assert_str_eq(sse_leave_reason_name(SSE_LEFT_GONE), "gone");
    cr_assert_str_eq(sse_leave_reason_name(SSE_LEFT_SLOW), "slow");
    cr_assert_str_eq(sse_leave_reason_name(SSE_LEFT_REMOVED), "removed");
    cr_assert_str_eq(sse_leave_reason_name(SSE_LEFT_DRAINED), "drained");
    cr_assert_str_eq(sse_leave_reason_name(SSE_LEFT_ERROR), "error");
    cr_assert_str_eq(sse_leave_reason_name((sse_leave_reason)77), "unknown");
    cr_assert_str_eq(sse_leave_reason_name((sse_leave_reason)-1), "unknown");
}

/* Where a unix socket is bound, told by one that is passed and by one that the server opens. */
static void is_told(sse_server *server, const struct sockaddr_un *address, socklen_t len,
                    const char *want)
{
    char bound[256];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)address, len), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(sse_server_listen_socket(server, fd, bound, sizeof bound), SSE_OK);
    cr_assert_str_eq(bound, want);
}

/* The longest path has no room for a NUL behind it. */
Test(options, unix_sockets_that_listen)
{
    enum { MOST = sizeof((struct sockaddr_un *)0)->sun_path };
    sse_server *server;
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[MOST + 1], want[MOST + 32];
    int n = snprintf(path, sizeof path, "/tmp/sse-options-%ld-", (long)getpid());
    memset(path + n, 'x', sizeof path - (size_t)n);
    path[MOST] = '\0';
    memcpy(address.sun_path, path, MOST);
    snprintf(want, sizeof want, "unix:%s", path);
    is_told(server, &address, sizeof address, want);
    cr_assert_eq(unlink(path), 0, "not the server's to remove");

    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    n = snprintf(address.sun_path + 1, MOST - 1, "sse-options-%ld", (long)getpid());
    snprintf(want, sizeof want, "unix:@%s", address.sun_path + 1);
    is_told(server, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n),
            want);

    char cut[8];
    path[MOST - 1] = '\0'; /* what a path of the server's may take */
    snprintf(want, sizeof want, "unix:%s", path);
    cr_assert_eq(sse_server_listen(server, want, cut, sizeof cut), SSE_OK);
    cr_assert_str_eq(cut, "unix:/t");
    sse_server_free(server);
    cr_assert_neq(access(path, F_OK), 0, "the server's to remove");
}

static sse_err try_connects(uint32_t per_minute, uint32_t burst, const char *exempt)
{
    sse_server_options options;
    sse_server_options_init(&options);
    options.connects_per_minute = per_minute;
    options.connect_burst = burst;
    options.connect_exempt = &exempt;
    options.connect_exempt_count = exempt != NULL;
    return try_options(&options);
}

Test(options, limits_of_connects)
{
    cr_assert_eq(try_connects(1, 0, NULL), SSE_OK);
    cr_assert_eq(try_connects(UINT32_MAX, 0, NULL), SSE_OK);
    cr_assert_eq(try_connects(1, 1000000, "192.0.2.0/24"), SSE_OK);
    cr_assert_eq(try_connects(1, 1000001, NULL), SSE_EINVAL);
    cr_assert_eq(try_connects(0, 5, NULL), SSE_EINVAL, "a burst of what?");
    cr_assert_eq(try_connects(1, 5, "localhost"), SSE_EINVAL);
    cr_assert_eq(try_connects(0, 0, "192.0.2.0/33"), SSE_EINVAL);
    sse_server_options options;
    sse_server_options_init(&options);
    const char *nothing = NULL;
    options.connect_exempt = &nothing;
    options.connect_exempt_count = 1;
    cr_assert_eq(try_options(&options), SSE_EINVAL);
}
