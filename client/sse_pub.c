/* sse-pub: publishes one message, the lines of stdin, or a whole event stream from stdin.
 *
 * One thread and one transport, whose connection is kept for the next request. A publication that
 * the server refuses is told on stderr and the rest goes on; the exit code is that of the first
 * failure. Redirects are not followed: a POST would turn into a GET, and that into a subscription
 * without an end. */
#include "blocks.h"
#include "clock.h"
#include "sentence.h"
#include "tool_connection.h"
#include "transport.h"
#include "url.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)16 << 20)
#define READ_BYTES ((size_t)64 << 10)
#define BLOCK_MAX ((size_t)64 << 20)

static tool_connection connection;
static struct {
    const char *stream, *event, *id;
    uint64_t retry_ms;
    uint32_t max_attempts;
    bool has_retry, lines, events, quiet;
} options = {.max_attempts = 10};

static bool set_retry(void *target, const char *value)
{
    options.has_retry = true;
    return tool_set_u64(target, value);
}

static const tool_option option_table[] = {
    {"stream", "NAME", "the stream to publish to", tool_set_string, &options.stream},
    {"event", "T", "type of the event", tool_set_string, &options.event},
    {"id", "I", "id of the event (the server's own)", tool_set_string, &options.id},
    {"retry", "MS", "retry field of the event", set_retry, &options.retry_ms},
    {"lines", NULL, "publish each line of stdin as it comes", tool_set_flag, &options.lines},
    {"events", NULL, "publish stdin, which is an event stream", tool_set_flag, &options.events},
    {"max-attempts", "N", "how often a busy server is asked (10); 0 is for ever", tool_set_u32,
     &options.max_attempts},
    {"quiet", NULL, "do not print the ids", tool_set_flag, &options.quiet},
    TOOL_CONNECTION_OPTIONS(&connection),
};

static const tool sse_pub = {
    .name = "sse-pub",
    .usage = "sse-pub [options] URL --stream NAME MESSAGE\n"
             "       sse-pub [options] URL --stream NAME --lines\n"
             "       sse-pub [options] URL --stream NAME --events",
    .about =
        "Publishes to the hub at URL and prints the ids that it answers, one a line. A URL\n"
        "without a path gets /events. A server that is busy (429, or 503 with Retry-After) is\n"
        "asked again.\n\n"
        "exit codes:\n"
        "  0    everything is published\n"
        "  64   wrong usage\n"
        "  69   could not connect, or gave up\n"
        "  76   the server refused something\n"
        "  77   the server answered 401 or 403\n",
    .options = option_table,
    .noptions = sizeof option_table / sizeof option_table[0],
    .max_words = 2,
};

/* ---- One request ---- */

struct publisher {
    sse__transport *transport;
    char *url;
    enum tool_exit code; /* of the first failure */
    tool_buffer answer;
};

static sse_err on_response(void *user, const sse_response *response)
{
    (void)user, (void)response;
    return SSE_OK; /* whatever it is, its body is wanted */
}

static sse_err on_body(void *user, const char *bytes, size_t n)
{
    struct publisher *p = user;
    if (n > ANSWER_MAX - p->answer.len)
        return SSE_ETOOBIG;
    tool_buffer_add(&p->answer, bytes, n);
    return SSE_OK;
}

static bool never(void *user)
{
    (void)user;
    return false;
}

static bool is_busy(const sse__result *result)
{
    return result->err == SSE_OK &&
           (result->http_status == 429 || (result->http_status == 503 && result->retry_after_ms));
}

/* Post, and again while the server is busy. */
static void post(struct publisher *p, sse_str body, sse__result *result)
{
    sse__request request = {.url = p->url, .headers = connection.headers.items, .body = body};
    for (uint32_t attempt = 1;; attempt++) {
        p->answer.len = 0;
        sse__transport_perform(p->transport, &request, result);
        if (!is_busy(result) || attempt == options.max_attempts)
            return;
        uint64_t delay_ms = result->retry_after_ms ? result->retry_after_ms : 1000;
        if (connection.verbose)
            tool_say(&sse_pub, "%s: %d; next attempt in %llu ms", p->url, result->http_status,
                     (unsigned long long)delay_ms);
        sse__transport_wait(p->transport, sse__now_ms() + delay_ms);
    }
}

static enum tool_exit code_of(const sse__result *result)
{
    if (result->err != SSE_OK)
        return tool_exit_code(result->err, result->http_status);
    int status = result->http_status;
    if (status >= 200 && status < 300)
        return TOOL_DONE;
    if (status == 429 || status == 503)
        return TOOL_UNAVAILABLE;
    return tool_exit_code(SSE_EHTTP, status);
}

static void complain(const struct publisher *p, const char *where, const sse__result *result)
{
    char said[SSE__SENTENCE_SIZE];
    sse__sentence((sse_str){p->answer.bytes, p->answer.len}, said);
    if (result->err != SSE_OK)
        tool_say(&sse_pub, "%s%s: %s", where, p->url, result->message);
    else
        tool_say(&sse_pub, "%sstatus %d%s%s", where, result->http_status, *said ? ": " : "", said);
}

static bool print_ids(struct publisher *p)
{
    if (options.quiet || p->answer.len == 0)
        return true;
    if (p->answer.bytes[p->answer.len - 1] != '\n')
        tool_buffer_add(&p->answer, "\n", 1);
    return tool_write(STDOUT_FILENO, p->answer.bytes, p->answer.len) || errno == EPIPE;
}

/* Returns false when nothing more should be published. `where` is put before a complaint. */
static bool publish(struct publisher *p, sse_str body, const char *where)
{
    sse__result result;
    post(p, body, &result);
    enum tool_exit code = code_of(&result);
    if (code == TOOL_DONE && print_ids(p)) {
        if (connection.verbose)
            tool_say(&sse_pub, "%spublished", where);
        return true;
    }
    if (code == TOOL_DONE) {
        tool_say(&sse_pub, "stdout: %s", strerror(errno));
        code = TOOL_UNAVAILABLE;
    } else {
        complain(p, where, &result);
    }
    if (p->code == TOOL_DONE)
        p->code = code;
    /* Neither a wrong token nor a wrong option gets better with the next line. */
    return code != TOOL_DENIED && code != TOOL_USAGE;
}

/* ---- The three ways ---- */

/* A read error, or something too big to keep. */
static void fail_input(struct publisher *p, const char *what)
{
    tool_say(&sse_pub, "stdin: %s", what);
    if (p->code == TOOL_DONE)
        p->code = TOOL_USAGE;
}

static void publish_lines(struct publisher *p)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;
    bool go_on = true;
    for (unsigned long number = 1; go_on && (n = getline(&line, &cap, stdin)) >= 0; number++) {
        char where[40];
        snprintf(where, sizeof where, "line %lu: ", number);
        if (n > 0 && line[n - 1] == '\n')
            n--;
        if (n > 0 && line[n - 1] == '\r')
            n--;
        go_on = publish(p, (sse_str){line, (size_t)n}, where);
    }
    if (n < 0 && !feof(stdin))
        fail_input(p, strerror(errno));
    free(line);
}

static bool only_line_ends(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != '\r' && bytes[i] != '\n')
            return false;
    return true;
}

/* Publish the first n bytes of what is held, which are whole blocks, and forget them. */
static bool publish_batch(struct publisher *p, tool_buffer *held, size_t n, size_t first_line)
{
    char where[48];
    snprintf(where, sizeof where, "events from line %zu: ", first_line);
    bool go_on = only_line_ends(held->bytes, n) || publish(p, (sse_str){held->bytes, n}, where);
    memmove(held->bytes, held->bytes + n, held->len - n);
    held->len -= n;
    return go_on;
}

/* Each read that completes a block is sent on at once, so that this works behind an endless pipe.
 */
static void publish_events(struct publisher *p)
{
    tool_buffer held = {0};
    blocks b = {0};
    size_t first_line = 1; /* of what is held */
    bool go_on = true;
    while (go_on && held.len < BLOCK_MAX) {
        char *room = tool_buffer_room(&held, READ_BYTES);
        ssize_t n = read(STDIN_FILENO, room, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail_input(p, strerror(errno));
        if (n <= 0)
            break;
        size_t before = held.len;
        held.len += (size_t)n;
        size_t complete = blocks_feed(&b, room, (size_t)n);
        if (complete == 0)
            continue;
        go_on = publish_batch(p, &held, before + complete, first_line);
        first_line = b.complete_lines + 1;
    }
    if (held.len >= BLOCK_MAX)
        fail_input(p, "an event without an end");
    else if (go_on && blocks_unfinished(&b))
        fail_input(p, "the last event is not published: the empty line after it is missing");
    tool_buffer_free(&held);
}

/* ---- Setting up ---- */

static char *make_url(const char *base)
{
    char retry[32];
    snprintf(retry, sizeof retry, "%llu", (unsigned long long)options.retry_ms);
    const char *parameters[][2] = {{"stream", options.stream},
                                   {"event", options.event},
                                   {"id", options.id},
                                   {"retry", options.has_retry ? retry : NULL}};
    char *url = tool_events_url(base);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        if (!parameters[i][1])
            continue;
        char *longer = tool_must(sse__url_with(url, parameters[i][0], parameters[i][1]));
        free(url);
        url = longer;
    }
    return url;
}

static sse__transport_config transport_config(void)
{
    return (sse__transport_config){
        .method = "POST",
        .cacert = connection.cacert,
        .cert = connection.cert,
        .key = connection.key,
        .proxy = connection.proxy,
        .unix_socket = connection.unix_socket,
        .connect_timeout_ms = connection.connect_timeout_ms ? connection.connect_timeout_ms : 30000,
        .response_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .max_redirects = SSE_OFF,
        .insecure = connection.insecure,
    };
}

static enum tool_exit cannot_start(const char *base, sse_err err)
{
    if (err == SSE_EINVAL)
        return tool_misuse(&sse_pub, "'%s' is not an http or https URL", base);
    tool_say(&sse_pub, "%s", sse_strerror(err));
    return TOOL_UNAVAILABLE;
}

static enum tool_exit publish_all(const char *base, const char *message)
{
    static const sse__transport_callbacks callbacks = {
        .on_response = on_response, .on_body = on_body, .interrupted = never};
    sse__transport_config config = transport_config();
    struct publisher p = {.url = make_url(base)};
    sse_err err = sse__transport_check_url(p.url);
    if (err == SSE_OK)
        err = sse__transport_new(&config, &callbacks, &p, &p.transport);
    if (err != SSE_OK)
        p.code = cannot_start(base, err);
    else if (options.lines)
        publish_lines(&p);
    else if (options.events)
        publish_events(&p);
    else
        publish(&p, sse_cstr(message), "");
    sse__transport_free(p.transport);
    tool_buffer_free(&p.answer);
    free(p.url);
    return p.code;
}

static enum tool_exit check_usage(const char *url, const char *message)
{
    if (!url)
        return tool_misuse(&sse_pub, "a URL is missing");
    if (!options.stream && !strchr(url, '?'))
        return tool_misuse(&sse_pub, "option '--stream' is missing");
    if (options.lines && options.events)
        return tool_misuse(&sse_pub, "options '--lines' and '--events' exclude each other");
    if (!message && !options.lines && !options.events)
        return tool_misuse(&sse_pub, "a message, '--lines' or '--events' is missing");
    if (message && (options.lines || options.events))
        return tool_misuse(&sse_pub, "one argument too many: '%s'", message);
    if (options.events && (options.event || options.id || options.has_retry))
        return tool_misuse(&sse_pub,
                           "with '--events' each event brings its own type, id and retry");
    return TOOL_GO_ON;
}

int main(int argc, char **argv)
{
    const char *words[3] = {NULL, NULL, NULL};
    size_t nwords;
    enum tool_exit code = tool_parse(&sse_pub, argc, argv, words, &nwords);
    if (code == TOOL_GO_ON)
        code = check_usage(words[0], words[1]);
    if (code == TOOL_GO_ON)
        code = tool_add_token(&sse_pub, &connection);
    if (code != TOOL_GO_ON)
        return code;
    signal(SIGPIPE, SIG_IGN);
    if (options.events)
        tool_set_list(&connection.headers, "Content-Type: text/event-stream");
    return publish_all(words[0], words[1]);
}
