/* The options of sse-server: their names, their helps, what makes a good value, and when they take effect. One thread. */
#include "address.h"
#include "origin.h"
#include "response_header.h"
#include "stream_name.h"
#include "tool_config.h"

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

static bool set_count_or_off(void *target, const char *value)
{
    if (!tool_set_u32(target, value))
        return false;
    if (*(uint32_t *)target == 0)
        *(uint32_t *)target = SSE_OFF;
    return true;
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

/* ---- why a value is of no use ---- */

/* A number, and one that cannot be. What is no number at all the setter refuses. */
static bool is_outside(const char *value, uint64_t min, uint64_t max)
{
    uint64_t n;
    return tool_set_u64(&n, value) && (n < min || n > max);
}

static const char *count_problem(const char *value)
{
    return is_outside(value, 1, UINT32_MAX - 1) ? "it must be from 1 to 4294967294" : NULL;
}

static const char *burst_problem(const char *value)
{
    return is_outside(value, 1, 1000000) ? "it must be from 1 to 1000000" : NULL;
}

static const char *memory_problem(const char *value)
{
    return is_outside(value, 2048, UINT64_MAX) ? "a request's headers need 2048 bytes" : NULL;
}

/* The library refuses what is beyond these. */
static const char *event_bytes_problem(const char *value)
{
    return is_outside(value, 1, (uint64_t)1 << 30) ? "it must be from 1 to 1073741824 bytes" : NULL;
}

static const char *history_bytes_problem(const char *value)
{
    return is_outside(value, 1, (uint64_t)1 << 50) ? "it must be from 1 to 1125899906842624 bytes"
                                                   : NULL;
}

static const char *listen_problem(const char *value)
{
    const char *colon = strrchr(value, ':');
    uint64_t port;
    if (strncmp(value, "unix:", 5) == 0)
        return value[5] == '\0' ? "it has no path" : NULL;
    if (!colon)
        return "it has no port, as in ADDR:PORT, and is not unix:PATH";
    return tool_set_u64(&port, colon + 1) && port <= 65535
               ? NULL
               : "its port is not a number from 0 to 65535";
}

static const char *exempt_problem(const char *value)
{
    sse__range ranges[2];
    return sse__ranges_parse(value, ranges) < 0
               ? "it is not an address, ADDR/BITS, 'loopback' or 'none'"
               : NULL;
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
    const config_option options[] = {
        {.option = {"listen", "ADDR:PORT",
                    "where; port 0 picks a free one; or unix:PATH; http://ADDR:PORT stays plain "
                    "where others speak TLS; repeatable (127.0.0.1:8080)",
                    tool_set_list, &c->listen},
         .problem = listen_problem},
        {.option = {"stream", "NAME", "create a stream at the start; repeatable", tool_set_list,
                    &c->streams},
         .problem = sse__stream_name_problem},
        {.option = {"auto-stream", NULL, "create a stream on its first use, remove it when idle",
                    tool_set_flag, &o->auto_stream}},
        {.option = {"auto-stream-idle", "SECONDS", "how long idle (60)", tool_set_seconds,
                    &o->auto_stream_idle_ms}},
        {.option = {"buffer", "N", "events that may wait in a stream's ring (1024)", tool_set_u32,
                    &s->ring_events},
         .problem = count_problem},
        {.option = {"history", "N", "events kept for replay; 0: none (1024)", set_count_or_off,
                    &s->history_events}},
        {.option = {"history-bytes", "B", "bytes kept for replay (16777216)", tool_set_u64,
                    &s->history_bytes},
         .problem = history_bytes_problem},
        {.option = {"event-ttl", "SECONDS", "how long an event can be replayed (for ever)",
                    tool_set_seconds, &s->event_ttl_ms}},
        {.option = {"replay", "all|resume|none", "what a new subscriber gets (all)", set_replay,
                    &s->replay}},
        {.option = {"no-replay", NULL, "the same as --replay none", set_no_replay, &s->replay}},
        {.option = {"heartbeat", "SECONDS", "comment on idle connections; 0: none (15)",
                    set_seconds_or_off, &o->heartbeat_ms}},
        {.option = {"retry", "MS", "reconnection time sent to subscribers (not sent)", tool_set_u32,
                    &o->retry_ms}},
        {.option = {"slow-consumer", "close|drop-oldest|drop-newest|block",
                    "what happens to a subscriber that cannot keep up (close)", set_slow,
                    &s->slow}},
        {.option = {"slow-grace", "SECONDS", "how long a full socket is waited for (0.25)",
                    tool_set_seconds, &s->slow_grace_ms}},
        {.option = {"base64", NULL, "send data as base64", tool_set_flag, &s->base64}},
        {.option = {"header", "'Name: value'", "extra response header; repeatable", tool_set_list,
                    &c->headers},
         .problem = sse__response_header_problem},
        {.option = {"cors-origin", "ORIGIN", "let pages of this origin in; * for all; repeatable",
                    tool_set_list, &c->cors_origins},
         .problem = sse__origin_problem,
         .scope = CONFIG_LIVE},
        {.option = {"max-streams", "N", "streams at most (10000)", tool_set_u32, &o->max_streams},
         .problem = count_problem},
        {.option = {"max-subscribers", "N", "subscribers at most (100000)", tool_set_u32,
                    &o->max_subscribers},
         .problem = count_problem},
        {.option = {"max-subscribers-per-ip", "N",
                    "subscribers at most from one address (no limit)", tool_set_u32,
                    &o->max_subscribers_per_ip},
         .problem = count_problem},
        {.option = {"max-connections-per-address", "N",
                    "open at the same time from an IPv4 address or an IPv6 /64; 0: no limit (0)",
                    tool_set_u32, &o->max_connections_per_address}},
        {.option =
             {"connect-rate", "N[/s]",
              "new connections from such an address, a second; N/m: a minute; 0: no limit (0)",
              set_rate, &o->connects_per_minute}},
        {.option = {"connect-burst", "N",
                    "so many of them may come at once (20, or those of a second if they are more)",
                    tool_set_u32, &o->connect_burst},
         .problem = burst_problem},
        {.option =
             {"connect-exempt", "ADDR[/BITS]",
              "an address that these limits are not for, such as a proxy's; or loopback, none; "
              "repeatable (loopback)",
              tool_set_list, &c->connect_exempt},
         .problem = exempt_problem},
        {.option = {"max-event-bytes", "B", "how large an event may be (1048576)", tool_set_u64,
                    &o->max_event_bytes},
         .problem = event_bytes_problem},
        {.option = {"threads", "N", "I/O threads (number of cores)", tool_set_u32, &o->threads},
         .problem = count_problem},
        {.option = {"connection-memory", "B",
                    "per connection: small for many idle ones, large for large events (8192)",
                    tool_set_u32, &o->connection_memory},
         .problem = memory_problem},
        {.option = {"request-timeout", "SECONDS", "for a request to arrive; 0: none (10)",
                    set_seconds_or_off, &o->request_timeout_ms}},
        {.option = {"drain", "SECONDS", "time to deliver what is queued at the end; 0: none (5)",
                    set_seconds_or_off, &o->drain_ms}},
        {.option = {"publish-token-file", "FILE",
                    "who publishes or removes needs one of these bearer tokens, one a line",
                    tool_set_string, &c->publish_token_file},
         .scope = CONFIG_LIVE},
        {.option = {"subscribe-token-file", "FILE",
                    "who subscribes needs one of these bearer tokens", tool_set_string,
                    &c->subscribe_token_file},
         .scope = CONFIG_LIVE},
        {.option = {"jwt-key", "FILE",
                    "accept JSON Web Tokens signed with this key: a secret (HS256) or a public key "
                    "in PEM (RS256, ES256); repeatable",
                    tool_set_list, &c->jwt_keys},
         .scope = CONFIG_LIVE},
        {.option = {"jwt-alg", "HS256|RS256|ES256",
                    "refuse keys for another algorithm (as the key says)", set_algorithm,
                    &c->jwt_algorithm},
         .scope = CONFIG_LIVE},
        {.option = {"anonymous-subscribe", NULL, "let everybody subscribe in spite of --jwt-key",
                    tool_set_flag, &c->anonymous_subscribe},
         .scope = CONFIG_LIVE},
        {.option = {"host-name", "NAME",
                    "a name under which clients of this machine, a proxy for one, may ask, beside "
                    "localhost; * for all; repeatable",
                    tool_set_list, &c->host_names},
         .problem = sse__host_name_problem},
        {.option = {"anonymous-publish", NULL,
                    "let everybody publish on an address that is not loopback", tool_set_flag,
                    &c->anonymous_publish}},
        {.option = {"no-page", NULL, "do not serve the page at /", tool_set_flag, &c->no_page}},
        {.option = {"metrics-streams", "N",
                    "/metrics has series of their own for so many streams, the first by name (0)",
                    tool_set_u32, &o->metrics_streams}},
        {.option = {"tls-cert", "FILE", "serve HTTPS: the certificate with its chain, PEM",
                    tool_set_string, &o->tls_cert_file}},
        {.option = {"tls-key", "FILE", "the certificate's key, PEM", tool_set_string,
                    &o->tls_key_file}},
        {.option = {"log-level", "error|warn|info|debug", "how much is told on stderr (info)",
                    set_log_level, &o->logger.level},
         .scope = CONFIG_LIVE},
        {.option = {"log-format", "text|json", "lines for people, or a JSON object a line (text)",
                    set_log_format, &c->log_format},
         .scope = CONFIG_LIVE},
        {.option = {"config", "FILE",
                    "more options, a line each: name = value; the command line counts",
                    tool_set_string, &c->file},
         .scope = CONFIG_LINE_ONLY},
        {.option = {"check-config", NULL, "say what is wrong with the options, and end",
                    tool_set_flag, &c->check_only},
         .scope = CONFIG_LINE_ONLY},
    };
    enum { N = sizeof options / sizeof options[0] };
    _Static_assert((int)N <= (int)CONFIG_OPTIONS_MAX, "the table is too small");
    memcpy(c->table, options, sizeof options);
    c->noptions = N;
    c->tool = (tool){.name = "sse-server", .usage = "sse-server [OPTIONS]", .about = about};
}
