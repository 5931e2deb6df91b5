/* The options of sse-server: their names, their helps, and what makes a good value. One thread. */
#include "address.h"
#include "tool_config.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

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

/* The same rules as the library's; it says which stream only here. */
static bool set_stream(void *target, const char *value)
{
    size_t n = strlen(value);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return false;
    return n > 0 && n <= 512 && sse__utf8_valid_prefix(value, n) == n &&
           tool_set_list(target, value);
}

static bool set_listen(void *target, const char *value)
{
    const char *colon = strrchr(value, ':');
    uint64_t port;
    if (strncmp(value, "unix:", 5) == 0)
        return value[5] != '\0' && tool_set_list(target, value);
    return colon && tool_set_u64(&port, colon + 1) && port <= 65535 && tool_set_list(target, value);
}

static bool set_no_replay(void *target, const char *value)
{
    (void)value;
    *(sse_replay *)target = SSE_REPLAY_NONE;
    return true;
}

/* "5", "5/s" or "30/m"; 0: no limit. */
static bool set_rate(void *target, const char *value)
{
    char number[24];
    size_t n = strcspn(value, "/");
    bool minute = strcmp(value + n, "/m") == 0;
    uint64_t rate;
    if (n >= sizeof number || (value[n] && !minute && strcmp(value + n, "/s") != 0))
        return false;
    memcpy(number, value, n);
    number[n] = '\0';
    if (!tool_set_u64(&rate, number) || rate > UINT32_MAX / (minute ? 1 : 60))
        return false;
    *(uint32_t *)target = (uint32_t)(minute ? rate : rate * 60);
    return true;
}

static bool set_burst(void *target, const char *value)
{
    return set_count(target, value) && *(uint32_t *)target <= 1000000;
}

static bool set_exempt(void *target, const char *value)
{
    sse__range ranges[2];
    return sse__ranges_parse(value, ranges) >= 0 && tool_set_list(target, value);
}

/* Below this a request's headers do not fit. */
static bool set_connection_memory(void *target, const char *value)
{
    return tool_set_u32(target, value) && *(uint32_t *)target >= 2048;
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

static bool set_algorithm(void *target, const char *value)
{
    static const char *const words[] = {"HS256", "RS256", "ES256"};
    int word = 0;
    return set_word(&word, value, words, 3) && tool_set_string(target, value);
}

static bool set_log_format(void *target, const char *value)
{
    static const char *const words[] = {"text", "json"};
    int word = 0;
    bool ok = set_word(&word, value, words, 2);
    *(log_format *)target = word == 2 ? LOG_JSON : LOG_TEXT;
    return ok;
}

/* ---- the table ---- */

static const char about[] =
    "Times are in seconds and may have a fraction. Publish with POST /events?stream=NAME,\n"
    "subscribe with GET /events?stream=NAME. Other routes: / (a page), /streams,\n"
    "/metrics, /healthz.\n"
    "SIGTERM and SIGINT drain and end it; a second one ends it at once. SIGHUP reads the\n"
    "configuration and the files that it names again, the certificate included; open\n"
    "connections live on.\n"
    "Exit: 0 ended by a signal, 64 wrong options, 69 it cannot listen.\n";

void config_fill_table(config *c)
{
    sse_server_options *o = &c->options;
    sse_stream_options *s = &c->stream;
    const tool_option options[] = {
        {"listen", "ADDR:PORT",
         "where; port 0 picks a free one; or unix:PATH; http://ADDR:PORT stays plain where others "
         "speak TLS; repeatable (127.0.0.1:8080)",
         set_listen, &c->listen},
        {"stream", "NAME", "create a stream at the start; repeatable", set_stream, &c->streams},
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
        {"no-replay", NULL, "the same as --replay none", set_no_replay, &s->replay},
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
        {"max-streams", "N", "streams at most (10000)", set_count, &o->max_streams},
        {"max-subscribers", "N", "subscribers at most (100000)", set_count, &o->max_subscribers},
        {"max-subscribers-per-ip", "N", "subscribers at most from one address (no limit)",
         set_count, &o->max_subscribers_per_ip},
        {"max-connections-per-address", "N",
         "open at the same time from an IPv4 address or an IPv6 /64; 0: no limit (0)", tool_set_u32,
         &o->max_connections_per_address},
        {"connect-rate", "N[/s]",
         "new connections from such an address, a second; N/m: a minute; 0: no limit (0)", set_rate,
         &o->connects_per_minute},
        {"connect-burst", "N",
         "so many of them may come at once (20, or those of a second if they are more)", set_burst,
         &o->connect_burst},
        {"connect-exempt", "ADDR[/BITS]",
         "an address that these limits are not for, such as a proxy's; or loopback, none; "
         "repeatable "
         "(loopback)",
         set_exempt, &c->connect_exempt},
        {"max-event-bytes", "B", "how large an event may be (1048576)", set_event_bytes,
         &o->max_event_bytes},
        {"threads", "N", "I/O threads (number of cores)", set_count, &o->threads},
        {"connection-memory", "B",
         "per connection: small for many idle ones, large for large events (8192)",
         set_connection_memory, &o->connection_memory},
        {"request-timeout", "SECONDS", "for a request to arrive; 0: none (10)", set_seconds_or_off,
         &o->request_timeout_ms},
        {"drain", "SECONDS", "time to deliver what is queued at the end; 0: none (5)",
         set_seconds_or_off, &o->drain_ms},
        {"publish-token-file", "FILE",
         "who publishes or removes needs one of these bearer tokens, one a line", tool_set_string,
         &c->publish_token_file},
        {"subscribe-token-file", "FILE", "who subscribes needs one of these bearer tokens",
         tool_set_string, &c->subscribe_token_file},
        {"jwt-key", "FILE",
         "accept JSON Web Tokens signed with this key: a secret (HS256) or a public key in PEM "
         "(RS256, ES256); repeatable",
         tool_set_list, &c->jwt_keys},
        {"jwt-alg", "HS256|RS256|ES256", "refuse keys for another algorithm (as the key says)",
         set_algorithm, &c->jwt_algorithm},
        {"anonymous-subscribe", NULL, "let everybody subscribe in spite of --jwt-key",
         tool_set_flag, &c->anonymous_subscribe},
        {"host-name", "NAME",
         "a name under which clients of this machine, a proxy for one, may ask, beside localhost; "
         "* for all; repeatable",
         tool_set_list, &c->host_names},
        {"anonymous-publish", NULL, "let everybody publish on an address that is not loopback",
         tool_set_flag, &c->anonymous_publish},
        {"no-page", NULL, "do not serve the page at /", tool_set_flag, &c->no_page},
        {"metrics-streams", "N",
         "/metrics has series of their own for so many streams, the first by name (0)",
         tool_set_u32, &o->metrics_streams},
        {"tls-cert", "FILE", "serve HTTPS: the certificate with its chain, PEM", tool_set_string,
         &o->tls_cert_file},
        {"tls-key", "FILE", "the certificate's key, PEM", tool_set_string, &o->tls_key_file},
        {"log-level", "error|warn|info|debug", "how much is told on stderr (info)", set_log_level,
         &o->logger.level},
        {"log-format", "text|json", "lines for people, or a JSON object a line (text)",
         set_log_format, &c->log_format},
        {"config", "FILE", "more options, a line each: name = value; the command line counts",
         tool_set_string, &c->file},
        {"check-config", NULL, "say what is wrong with the options, and end", tool_set_flag,
         &c->check_only},
    };
    enum { N = sizeof options / sizeof options[0] };
    _Static_assert((int)N <= (int)CONFIG_OPTIONS_MAX, "the table is too small");
    memcpy(c->table, options, sizeof options);
    c->tool = (tool){.name = "sse-server",
                     .usage = "sse-server [OPTIONS]",
                     .about = about,
                     .options = c->table,
                     .noptions = N};
}

bool config_can_change(const tool_option *option)
{
    static const char *const names[] = {
        "publish-token-file",  "subscribe-token-file", "jwt-key",   "jwt-alg",
        "anonymous-subscribe", "cors-origin",          "log-level", "log-format"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(option->name, names[i]) == 0)
            return true;
    return false;
}
