/* sse-server: the hub as a program.
 *
 * The main thread parses options, starts the server, prints where it listens, and waits for SIGTERM
 * or SIGINT, which drain it; a second signal ends it at once. Everything else happens on the
 * library's threads. */
#include "tokens.h"
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sse/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

typedef struct config {
    sse_server_options options;
    tool_list listen, streams, headers, cors_origins;
    const char *publish_token_file, *subscribe_token_file;
    tokens publish_tokens, subscribe_tokens;
    bool anonymous_publish;
    bool no_replay;
} config;

/* ---- options ---- */

/* Seconds; 0 turns the thing off. */
static bool set_seconds_or_off(void *target, const char *value)
{
    char *end;
    if (*value && strtod(value, &end) == 0 && *end == '\0') {
        *(uint32_t *)target = SSE_OFF;
        return true;
    }
    return tool_set_seconds(target, value);
}

static bool set_count(void *target, const char *value)
{
    return tool_set_u32(target, value) && *(uint32_t *)target > 0;
}

static bool set_count_or_off(void *target, const char *value)
{
    if (!tool_set_u32(target, value))
        return false;
    if (*(uint32_t *)target == 0)
        *(uint32_t *)target = SSE_OFF;
    return true;
}

static bool set_bytes(void *target, const char *value, uint64_t max)
{
    uint64_t n;
    if (!tool_set_u64(&n, value) || n == 0 || n > max)
        return false;
    *(uint64_t *)target = n;
    return true;
}

/* The library refuses what is beyond these. */
static bool set_event_bytes(void *target, const char *value)
{
    return set_bytes(target, value, (uint64_t)1 << 30);
}

static bool set_history_bytes(void *target, const char *value)
{
    return set_bytes(target, value, (uint64_t)1 << 50);
}

/* One of several words; its place among them. */
static bool set_word(int *target, const char *value, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], value) == 0) {
            *target = i + 1; /* 0 is the default */
            return true;
        }
    return false;
}

static bool set_replay(void *target, const char *value)
{
    static const char *const words[] = {"all", "resume", "none"};
    int word = 0;
    bool ok = set_word(&word, value, words, 3);
    *(sse_replay *)target = (sse_replay)word;
    return ok;
}

static bool set_slow(void *target, const char *value)
{
    static const char *const words[] = {"close", "drop-oldest", "drop-newest", "block"};
    int word = 0;
    bool ok = set_word(&word, value, words, 4);
    *(sse_slow_policy *)target = (sse_slow_policy)word;
    return ok;
}

static bool set_log_level(void *target, const char *value)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    int word = 0;
    bool ok = set_word(&word, value, words, 4);
    *(sse_log_level *)target = (sse_log_level)word;
    return ok;
}

static const char about[] =
    "Times are in seconds and may have a fraction. Publish with POST /events?stream=NAME,\n"
    "subscribe with GET /events?stream=NAME. Other routes: /streams, /metrics, /healthz.\n"
    "SIGTERM and SIGINT drain and end it; a second one ends it at once.\n"
    "Exit: 0 ended by a signal, 64 wrong options, 69 it cannot listen.\n";

static enum tool_exit parse(const char **words, int argc, char **argv, config *c, tool *t)
{
    sse_server_options *o = &c->options;
    sse_stream_options *s = &o->stream;
    const tool_option options[] = {
        {"listen", "ADDR:PORT",
         "where; port 0 picks a free one; or unix:PATH; repeatable (127.0.0.1:8080)", tool_set_list,
         &c->listen},
        {"stream", "NAME", "create a stream at the start; repeatable", tool_set_list, &c->streams},
        {"auto-stream", NULL, "create a stream on its first use, remove it when idle",
         tool_set_flag, &o->auto_stream},
        {"auto-stream-idle", "SECONDS", "how long idle (60)", tool_set_seconds,
         &o->auto_stream_idle_ms},
        {"buffer", "N", "events that may wait in a stream's ring (1024)", set_count,
         &s->ring_events},
        {"history", "N", "events kept for replay; 0: none (1024)", set_count_or_off,
         &s->history_events},
        {"history-bytes", "B", "bytes kept for replay (16777216)", set_history_bytes,
         &s->history_bytes},
        {"event-ttl", "SECONDS", "how long an event can be replayed (for ever)", tool_set_seconds,
         &s->event_ttl_ms},
        {"replay", "all|resume|none", "what a new subscriber gets (all)", set_replay, &s->replay},
        {"no-replay", NULL, "the same as --replay none", tool_set_flag, &c->no_replay},
        {"heartbeat", "SECONDS", "comment on idle connections; 0: none (15)", set_seconds_or_off,
         &o->heartbeat_ms},
        {"retry", "MS", "reconnection time sent to subscribers (not sent)", tool_set_u32,
         &o->retry_ms},
        {"slow-consumer", "close|drop-oldest|drop-newest|block",
         "what happens to a subscriber that cannot keep up (close)", set_slow, &s->slow},
        {"slow-grace", "SECONDS", "how long a full socket is waited for (0.25)", tool_set_seconds,
         &s->slow_grace_ms},
        {"base64", NULL, "send data as base64", tool_set_flag, &s->base64},
        {"header", "'Name: value'", "extra response header; repeatable", tool_set_header,
         &c->headers},
        {"cors-origin", "ORIGIN", "let pages of this origin in; * for all; repeatable",
         tool_set_list, &c->cors_origins},
        {"max-streams", "N", "(10000)", set_count, &o->max_streams},
        {"max-subscribers", "N", "(100000)", set_count, &o->max_subscribers},
        {"max-subscribers-per-ip", "N", "(no limit)", set_count, &o->max_subscribers_per_ip},
        {"max-event-bytes", "B", "(1048576)", set_event_bytes, &o->max_event_bytes},
        {"threads", "N", "I/O threads (number of cores)", set_count, &o->threads},
        {"connection-memory", "B",
         "per connection: small for many idle ones, large for large events (8192)", set_count,
         &o->connection_memory},
        {"request-timeout", "SECONDS", "for a request to arrive; 0: none (10)", set_seconds_or_off,
         &o->request_timeout_ms},
        {"drain", "SECONDS", "time to deliver what is queued at the end; 0: none (5)",
         set_seconds_or_off, &o->drain_ms},
        {"publish-token-file", "FILE",
         "who publishes or removes needs one of these bearer tokens, one a line", tool_set_string,
         &c->publish_token_file},
        {"subscribe-token-file", "FILE", "who subscribes needs one of these bearer tokens",
         tool_set_string, &c->subscribe_token_file},
        {"anonymous-publish", NULL, "let everybody publish on an address that is not loopback",
         tool_set_flag, &c->anonymous_publish},
        {"log-level", "error|warn|info|debug", "(info)", set_log_level, &o->logger.level},
    };
    *t = (tool){.name = "sse-server",
                .usage = "sse-server [OPTIONS]",
                .about = about,
                .options = options,
                .noptions = sizeof options / sizeof options[0]};
    size_t nwords;
    enum tool_exit result = tool_parse(t, argc, argv, words, &nwords);
    t->options = NULL; /* they end with this function */
    t->noptions = 0;
    return result;
}

/* ---- access ---- */

static int authorize(void *user, const sse_request *request)
{
    const config *c = user;
    const char *header = sse_request_header(request, "Authorization");
    bool publisher = c->publish_tokens.n > 0 && tokens_match(&c->publish_tokens, header);
    bool subscriber = c->subscribe_tokens.n == 0 || tokens_match(&c->subscribe_tokens, header);
    bool allowed = false;
    switch (sse_request_action(request)) {
    case SSE_ACTION_SUBSCRIBE:
        allowed = subscriber;
        break;
    case SSE_ACTION_INSPECT:
        allowed = subscriber || publisher;
        break;
    case SSE_ACTION_PUBLISH:
    case SSE_ACTION_REMOVE:
        allowed = c->publish_tokens.n == 0 || publisher;
        break;
    }
    if (allowed)
        return 0;
    return header ? 403 : 401;
}

static bool is_loopback(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    if (strncmp(address, "unix:", 5) == 0)
        return true;
    if (!colon || colon == address || (size_t)(colon - address) >= sizeof host)
        return false; /* all addresses, or not an address at all */
    bool brackets = *address == '[' && colon[-1] == ']';
    size_t n = (size_t)(colon - address) - (brackets ? 2 : 0);
    memcpy(host, address + brackets, n);
    host[n] = '\0';
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* ---- logging ---- */

static void write_log(void *user, sse_log_level level, const char *line)
{
    tool_say(user, "%s: %s", sse_log_level_name(level), line);
}

static void log_subscriber(const config *c, const sse_subscriber_info *info, const char *what,
                           const char *why)
{
    if (c->options.logger.level != SSE_LOG_DEBUG)
        return;
    tool_say(c->options.logger.user, "debug: subscriber %llu from %s to '%s' %s%s",
             (unsigned long long)info->number, info->address, info->stream, what, why);
}

static void on_subscribe(void *user, const sse_subscriber_info *info)
{
    log_subscriber(user, info, "came", "");
}

static void on_unsubscribe(void *user, const sse_subscriber_info *info, sse_leave_reason reason)
{
    log_subscriber(user, info, "left: ", sse_leave_reason_name(reason));
}

/* ---- start and end ---- */

static enum tool_exit load_tokens(const tool *t, tokens *list, const char *option, const char *path)
{
    if (!path || tokens_load(list, path))
        return TOOL_GO_ON;
    return tool_misuse(t, "option '--%s': %s: %s", option, path,
                       errno == EINVAL ? "there is no token in it" : strerror(errno));
}

static enum tool_exit check(const tool *t, config *c)
{
    static const char *const default_listen = "127.0.0.1:8080";
    if (c->listen.n == 0)
        (void)tool_set_list(&c->listen, default_listen);
    if (c->no_replay)
        c->options.stream.replay = SSE_REPLAY_NONE;
    enum tool_exit result =
        load_tokens(t, &c->publish_tokens, "publish-token-file", c->publish_token_file);
    if (result == TOOL_GO_ON)
        result =
            load_tokens(t, &c->subscribe_tokens, "subscribe-token-file", c->subscribe_token_file);
    for (size_t i = 0; i < c->listen.n && result == TOOL_GO_ON; i++)
        if (!is_loopback(c->listen.items[i]) && c->publish_tokens.n == 0 && !c->anonymous_publish)
            result = tool_misuse(t,
                                 "--listen %s is not loopback, so anybody could publish: give "
                                 "--publish-token-file, or --anonymous-publish",
                                 c->listen.items[i]);
    return result;
}

static void complete_options(config *c, tool *t)
{
    sse_server_options *o = &c->options;
    o->headers = c->headers.items;
    o->header_count = c->headers.n;
    o->cors_origins = c->cors_origins.items;
    o->cors_origin_count = c->cors_origins.n;
    o->http_publish = true;
    o->callbacks = (sse_server_callbacks){authorize, on_subscribe, on_unsubscribe};
    o->user = c;
    o->logger.fn = write_log;
    o->logger.user = t;
}

static enum tool_exit create_streams(const tool *t, sse_server *server, const config *c)
{
    for (size_t i = 0; i < c->streams.n; i++) {
        sse_err err = sse_server_create_stream(server, c->streams.items[i], NULL);
        if (err != SSE_OK)
            return tool_misuse(t, "--stream %s: %s", c->streams.items[i], sse_strerror(err));
    }
    return TOOL_GO_ON;
}

static enum tool_exit listen_all(const tool *t, sse_server *server, const config *c)
{
    for (size_t i = 0; i < c->listen.n; i++) {
        char bound[512];
        const char *address = c->listen.items[i];
        errno = 0;
        sse_err err = sse_server_listen(server, address, bound, sizeof bound);
        if (err == SSE_EINVAL)
            return tool_misuse(t, "--listen %s: not ADDR:PORT or unix:PATH", address);
        if (err != SSE_OK) {
            tool_say(t, "--listen %s: %s%s%s", address, sse_strerror(err), errno ? ": " : "",
                     errno ? strerror(errno) : "");
            return TOOL_UNAVAILABLE;
        }
        printf("listening on %s%s\n", strncmp(bound, "unix:", 5) == 0 ? "" : "http://", bound);
    }
    fflush(stdout);
    return TOOL_GO_ON;
}

/* As many descriptors as the system lets us have: each subscriber takes one. */
static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void wait_for_signal(const sigset_t *signals)
{
    int number;
    while (sigwait(signals, &number) != 0)
        ;
    sigprocmask(SIG_UNBLOCK, signals, NULL); /* a second one ends the program */
}

static enum tool_exit run(tool *t, config *c)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    raise_limits();
    complete_options(c, t);
    sse_server *server;
    sse_err err = sse_server_new(&c->options, &server);
    if (err == SSE_EINVAL)
        return tool_misuse(t, "--header or --cors-origin or --connection-memory makes no sense");
    if (err != SSE_OK) {
        tool_say(t, "%s", sse_strerror(err));
        return TOOL_UNAVAILABLE;
    }
    enum tool_exit result = create_streams(t, server, c);
    if (result == TOOL_GO_ON)
        result = listen_all(t, server, c);
    if (result == TOOL_GO_ON) {
        wait_for_signal(&signals);
        result = TOOL_DONE;
    }
    sse_server_free(server);
    return result;
}

int main(int argc, char **argv)
{
    config c = {.options = {0}};
    sse_server_options_init(&c.options);
    tool t;
    const char *words[1];
    enum tool_exit result = parse(words, argc, argv, &c, &t);
    if (result == TOOL_GO_ON)
        result = check(&t, &c);
    if (result == TOOL_GO_ON)
        result = run(&t, &c);
    tokens_free(&c.publish_tokens);
    tokens_free(&c.subscribe_tokens);
    free(c.listen.items);
    free(c.streams.items);
    free(c.headers.items);
    free(c.cors_origins.items);
    return result;
}
