/* sse-sub: prints the events of a stream.
 *
 * Two threads: the subscription's, which prints, and the main one, which waits for the end (`done`,
 * an eventfd), for SIGINT and SIGTERM (a signalfd) and for the timeout. What ended the subscription
 * is written by its on_close before `done` is raised. */
#include "print.h"
#include "sentence.h"
#include "tool_connection.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sse/client.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* How often a server that never answered is tried, unless --max-attempts says otherwise: enough for
 * one that is just starting, few enough that a wrong address is not waited for. */
#define FIRST_ATTEMPTS 3u
/* How long the end may take once it is asked for: stdout may be a pipe that nobody reads. */
#define END_MS 1000

static tool_connection connection;
static struct {
    const char *last_event_id, *method, *body;
    tool_list streams;
    print_format format;
    uint64_t count;
    uint32_t timeout_ms, idle_timeout_ms, response_timeout_ms, retry_ms, max_retry_ms, max_attempts;
    size_t max_event_bytes;
    bool no_reconnect, base64, compressed;
    bool retry_set, max_attempts_set;
} options;

static bool set_format(void *target, const char *value)
{
    static const char *const names[] = {"data", "sse", "json"};
    for (size_t i = 0; i < 3; i++)
        if (strcmp(value, names[i]) == 0) {
            *(print_format *)target = (print_format)i;
            return true;
        }
    return false;
}

static bool set_count(void *target, const char *value)
{
    return tool_set_u64(target, value) && *(uint64_t *)target > 0;
}

static bool set_retry(void *target, const char *value)
{
    options.retry_set = true;
    return tool_set_u32(target, value);
}

static bool set_max_attempts(void *target, const char *value)
{
    options.max_attempts_set = true;
    return tool_set_u32(target, value);
}

static const tool_option option_table[] = {
    {"stream", "NAME", "the stream: adds ?stream=NAME to the URL; repeat it for several",
     tool_set_list, &options.streams},
    {"format", "data|sse|json", "what is printed of an event (data)", set_format, &options.format},
    {"count", "N", "end after N events", set_count, &options.count},
    {"timeout", "SECONDS", "end after this time with exit code 124", tool_set_seconds,
     &options.timeout_ms},
    {"last-event-id", "ID", "start after this event", tool_set_string, &options.last_event_id},
    {"method", "M", "request method (GET, or POST with a body)", tool_set_string, &options.method},
    {"body", "@FILE|TEXT", "send this as the request's body", tool_set_string, &options.body},
    {"retry", "MS", "first delay before a reconnection (1000)", set_retry, &options.retry_ms},
    {"max-retry", "MS", "longest delay before a reconnection (30000)", tool_set_u32,
     &options.max_retry_ms},
    {"max-attempts", "N",
     "give up after N failures in a row; 0 is never (3 until the first answer, then never)",
     set_max_attempts, &options.max_attempts},
    {"no-reconnect", NULL, "end with the first connection", tool_set_flag, &options.no_reconnect},
    {"idle-timeout", "SECONDS", "reconnect when nothing came for this long (never)",
     tool_set_seconds, &options.idle_timeout_ms},
    {"response-timeout", "SECONDS", "how long the server may take to answer (60)", tool_set_seconds,
     &options.response_timeout_ms},
    {"max-event-bytes", "B", "drop bigger events (16777216)", tool_set_size,
     &options.max_event_bytes},
    {"base64", NULL, "decode each event's data", tool_set_flag, &options.base64},
    {"compressed", NULL, "ask for a compressed stream", tool_set_flag, &options.compressed},
    TOOL_CONNECTION_OPTIONS(&connection),
};

static const tool sse_sub = {
    .name = "sse-sub",
    .usage = "sse-sub [options] URL",
    .about = "Prints each event of the stream at URL, reconnects and resumes when the connection\n"
             "breaks. With --stream a URL without a path gets /events.\n\n"
             "exit codes:\n"
             "  0    done: --count reached, the server said stop (204), the one connection of\n"
             "       --no-reconnect ended in good order, or SIGINT or SIGTERM came\n"
             "  64   wrong usage\n"
             "  69   could not connect, or gave up\n"
             "  76   the server's answer was not an event stream\n"
             "  77   the server answered 401 or 403\n"
             "  124  --timeout reached\n",
    .options = option_table,
    .noptions = sizeof option_table / sizeof option_table[0],
    .max_words = 1,
};

/* ---- On the subscription's thread ---- */

static struct {
    int done; /* eventfd */
    _Atomic enum tool_exit code;
    tool_buffer out;
    uint64_t printed;
    sse_subscription *subscription;
    bool was_open;
} state;

static void on_open(void *user, sse_subscription *sub, const sse_response *response)
{
    (void)user, (void)sub;
    state.was_open = true;
    if (connection.verbose)
        tool_say(&sse_sub, "%s: open", sse_response_url(response));
}

static void stop_writing(sse_subscription *sub)
{
    /* Whoever read this has enough: head(1) ends like that, and it is no failure. */
    if (errno != EPIPE) {
        tool_say(&sse_sub, "stdout: %s", strerror(errno));
        state.code = TOOL_UNAVAILABLE;
    }
    sse_subscription_close(sub);
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    (void)user;
    state.out.len = 0;
    char name[1024];
    const char *stream = sse_subscription_stream(sub);
    if (!stream && sse_event_stream(event, name, sizeof name) > 0)
        stream = name;
    print_event(&state.out, options.format, event, stream);
    if (!tool_write(STDOUT_FILENO, state.out.bytes, state.out.len))
        stop_writing(sub);
    else if (++state.printed == options.count)
        sse_subscription_close(sub);
}

/* What went wrong, and what the server says about it. */
static void complain(const sse_client_error *error, const char *more)
{
    char said[SSE__SENTENCE_SIZE];
    sse__sentence(error->body, said);
    tool_say(&sse_sub, "%s: %s%s%s%s", error->url, error->message, *said ? ": " : "", said, more);
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    (void)user, (void)sub;
    if (error->connected || (connection.verbose && !error->final))
        complain(error, "");
}

static void on_retry(void *user, sse_subscription *sub, const sse_client_error *error,
                     uint64_t delay_ms)
{
    (void)user, (void)sub, (void)error;
    if (connection.verbose)
        tool_say(&sse_sub, "next attempt in %llu ms", (unsigned long long)delay_ms);
}

static void say_why(const sse_client_error *why)
{
    char gave_up[48];
    snprintf(gave_up, sizeof gave_up, "; gave up after %u attempt%s", (unsigned)why->attempt,
             why->attempt == 1 ? "" : "s");
    if (why->err == SSE_EGAVEUP)
        complain(why, gave_up);
    else if (why->err != SSE_ECANCELED && (connection.verbose || why->err != SSE_ESTOPPED))
        complain(why, "");
}

static void on_close(void *user, sse_subscription *sub, const sse_client_error *why)
{
    (void)user, (void)sub;
    bool too_few = why->err == SSE_EEOF && state.printed < options.count;
    enum tool_exit code = too_few ? TOOL_UNAVAILABLE : tool_exit_code(why->err, why->http_status);
    if (code != TOOL_DONE || connection.verbose)
        say_why(why);
    if (state.code == TOOL_DONE)
        state.code = code;
    uint64_t one = 1;
    (void)!write(state.done, &one, sizeof one);
}

/* The default strategy, except that a server that never answered is given up soon. */
static bool next_delay(void *user, sse_subscription *sub, const sse_client_error *error,
                       uint64_t *delay_ms)
{
    (void)user, (void)sub, (void)delay_ms;
    return options.max_attempts_set || state.was_open || error->attempt < FIRST_ATTEMPTS;
}

/* ---- On the main thread ---- */

static enum tool_exit read_body(tool_buffer *body)
{
    if (!options.body)
        return TOOL_GO_ON;
    if (options.body[0] != '@') {
        tool_buffer_adds(body, options.body);
    } else if (!tool_buffer_read_file(body, options.body + 1)) {
        return tool_misuse(&sse_sub, "option '--body': %s: %s", options.body + 1, strerror(errno));
    }
    tool_buffer_room(body, 1); /* an empty body is one too */
    return TOOL_GO_ON;
}

static sse_client_options client_options(const tool_buffer *body)
{
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.method = options.method;
    o.headers = connection.headers.items;
    o.body = (sse_str){body->bytes, body->len};
    o.last_event_id = options.last_event_id;
    o.accept_encoding = options.compressed ? "" : NULL;
    o.cacert = connection.cacert;
    o.cert = connection.cert;
    o.key = connection.key;
    o.proxy = connection.proxy;
    o.unix_socket = connection.unix_socket;
    o.insecure = connection.insecure;
    o.connect_timeout_ms = connection.connect_timeout_ms;
    o.next_delay = next_delay;
    o.max_event_bytes = options.max_event_bytes;
    o.response_timeout_ms = options.response_timeout_ms;
    o.idle_timeout_ms = options.idle_timeout_ms;
    o.retry_ms = options.retry_set && options.retry_ms == 0 ? 1 : options.retry_ms;
    o.max_retry_ms = options.max_retry_ms;
    o.max_attempts = options.max_attempts;
    o.base64 = options.base64;
    o.no_reconnect = options.no_reconnect;
    return o;
}

static sse_err subscribe(sse_client *client)
{
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    callbacks.on_open = on_open;
    callbacks.on_event = on_event;
    callbacks.on_error = on_error;
    callbacks.on_retry = on_retry;
    callbacks.on_close = on_close;
    sse_subscribe_options subscribe = SSE_SUBSCRIBE_OPTIONS_INIT;
    subscribe.streams = options.streams.items;
    subscribe.stream_count = options.streams.n;
    subscribe.callbacks = &callbacks;
    sse_err err = sse_subscription_new(client, &subscribe, &state.subscription);
    return err == SSE_OK ? sse_subscription_start(state.subscription) : err;
}

static enum tool_exit start(const char *url, const tool_buffer *body, sse_client **client)
{
    sse_client_options o = client_options(body);
    char *full = options.streams.n > 0 ? tool_events_url(url) : tool_must(strdup(url));
    sse_err err = sse_client_new(full, &o, client);
    free(full);
    if (err == SSE_EINVAL)
        return tool_misuse(&sse_sub, "cannot request '%s' with these options: %s", url,
                           sse_strerror(err));
    if (err == SSE_OK)
        err = subscribe(*client);
    if (err == SSE_OK)
        return TOOL_GO_ON;
    tool_say(&sse_sub, "%s", sse_strerror(err));
    return TOOL_UNAVAILABLE;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait for the subscription's end, for a signal, or until nobody can read stdout any more: between
 * two events no write would tell. Returns false when the time is over; a negative deadline never
 * comes. */
static bool wait_for_end(int signals, int64_t deadline)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = state.done, .events = POLLIN},
                               {.fd = signals, .events = POLLIN},
                               {.fd = STDOUT_FILENO, .events = 0}};
        int64_t left = deadline < 0 ? -1 : deadline - now_ms();
        if (deadline >= 0 && left <= 0)
            return false;
        int n = poll(fds, 3, left > 60000 ? 60000 : (int)left);
        if (n > 0 && fds[2].revents & POLLNVAL)
            n = poll(fds, 2, left > 60000 ? 60000 : (int)left); /* a write will complain */
        if (n > 0 || (n < 0 && errno != EINTR))
            return true;
    }
}

static bool is_done(int within_ms)
{
    struct pollfd fd = {.fd = state.done, .events = POLLIN};
    return poll(&fd, 1, within_ms) > 0;
}

static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static enum tool_exit run(sse_client *client, int signals)
{
    int64_t deadline = options.timeout_ms ? now_ms() + options.timeout_ms : -1;
    bool in_time = wait_for_end(signals, deadline);
    sse_client_close(client);
    bool ended = is_done(END_MS);
    enum tool_exit code = in_time ? state.code : TOOL_TIMEOUT;
    if (!ended)
        _exit(code); /* the printing thread hangs in a write */
    sse_subscription_free(state.subscription);
    sse_client_free(client);
    return code;
}

static enum tool_exit main_with(const char *url)
{
    tool_buffer body = {0};
    sse_client *client = NULL;
    enum tool_exit code = tool_add_token(&sse_sub, &connection);
    if (code == TOOL_GO_ON)
        code = read_body(&body);
    int signals = block_signals();
    state.done = eventfd(0, EFD_CLOEXEC);
    if (code == TOOL_GO_ON && (signals < 0 || state.done < 0)) {
        tool_say(&sse_sub, "%s", strerror(errno));
        code = TOOL_UNAVAILABLE;
    }
    if (code == TOOL_GO_ON)
        code = start(url, &body, &client);
    if (code == TOOL_GO_ON)
        code = run(client, signals);
    else {
        sse_subscription_free(state.subscription);
        sse_client_free(client);
    }
    tool_buffer_free(&body);
    tool_buffer_free(&state.out);
    return code;
}

int main(int argc, char **argv)
{
    const char *words[2];
    size_t nwords;
    enum tool_exit code = tool_parse(&sse_sub, argc, argv, words, &nwords);
    if (code != TOOL_GO_ON)
        return code;
    if (nwords == 0)
        return tool_misuse(&sse_sub, "a URL is missing");
    return main_with(words[0]);
}
