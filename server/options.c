/* Options of a server: defaults, checks, copies of what the user only lends. No threads. */
#include "address.h"
#include "header.h"
#include "hub.h"
#include "origin.h"
#include "reload.h"
#include "response_header.h"
#include "sized.h"
#include "tls.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Far beyond what makes sense, and far from where sums of them overflow. */
#define MAX_EVENT_BYTES ((uint64_t)1 << 30)
#define MAX_BURST 1000000

#define ADDRESSES_REMEMBERED 65536 /* without connections; a hundred bytes each */

/* Two of these, or another one than ours, and the client misses where an answer ends, what is in it, or what it may do with it. */
static bool is_ours(const char *line)
{
    static const char *const ours[] = {
        "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding",
        "Trailer",      "Connection",     "Keep-Alive",       "Upgrade",
        "Date",         "Allow",          "Retry-After",      "WWW-Authenticate"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (sse__header_is(line, ours[i]))
            return true;
    return false;
}

const char *sse__response_header_problem(const char *line)
{
    static const char cors[] = "Access-Control-";
    if (!line || !sse__header_valid(line))
        return "it is not 'Name: value'";
    if (!*sse__header_value(line))
        return "it has no value";
    if (is_ours(line))
        return "the server sets this header by itself";
    if (strncasecmp(line, cors, sizeof cors - 1) == 0)
        return "the server sets this header by itself, for the origins that it is given";
    return NULL;
}

/* Has none of the strings a problem? `what` they are is for the log. */
static bool are_good(const sse_logger *logger, const char *what, const char *const *strings,
                     size_t n, const char *(*problem)(const char *))
{
    for (size_t i = 0; i < n; i++) {
        const char *why = problem(strings[i]);
        if (!why)
            continue;
        sse__log(logger, SSE_LOG_ERROR, "%s '%s': %s", what, strings[i] ? strings[i] : "", why);
        return false;
    }
    return true;
}

static bool good_origins(const sse_logger *logger, const char *const *origins, size_t n)
{
    return are_good(logger, "origin", origins, n, sse__origin_problem);
}

static bool good_headers(const sse_server_options *options)
{
    if (options->header_count > SSE__HEADERS_MAX) {
        sse__log(&options->logger, SSE_LOG_ERROR, "there are %zu headers, and %d are possible",
                 options->header_count, SSE__HEADERS_MAX);
        return false;
    }
    return are_good(&options->logger, "header", options->headers, options->header_count,
                    sse__response_header_problem);
}

/* A NULL-terminated copy. */
static char **copy_strings(const char *const *strings, size_t n)
{
    char **copy = calloc(n + 1, sizeof *copy);
    bool failed = !copy;
    for (size_t i = 0; i < n && !failed; i++) {
        copy[i] = strdup(strings[i]);
        failed = !copy[i];
    }
    if (!failed)
        return copy;
    for (size_t i = 0; copy && i < n; i++)
        free(copy[i]);
    free(copy);
    return NULL;
}

static void free_strings(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
}

static sse_err check(const sse_server_options *options)
{
    if (options->max_event_bytes > MAX_EVENT_BYTES)
        return SSE_EINVAL;
    if (options->connection_memory != 0 && options->connection_memory < 2048)
        return SSE_EINVAL; /* a request's headers would not fit */
    if (!options->tls_cert_file != !options->tls_key_file)
        return SSE_EINVAL;
    if (options->connect_burst > MAX_BURST ||
        (options->connect_burst > 0 && options->connects_per_minute == 0))
        return SSE_EINVAL;
    if (!good_headers(options))
        return SSE_EINVAL;
    if (!are_good(&options->logger, "host name", options->host_names, options->host_name_count,
                  sse__host_name_problem))
        return SSE_EINVAL;
    return good_origins(&options->logger, options->cors_origins, options->cors_origin_count)
               ? SSE_OK
               : SSE_EINVAL;
}

static void set_default(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void fill_defaults(sse_server_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    set_default(&options->threads, cores > 0 ? (uint32_t)cores : 1);
    set_default(&options->heartbeat_ms, 15000);
    set_default(&options->max_streams, 10000);
    set_default(&options->max_subscribers, 100000);
    set_default(&options->connection_memory, 8192);
    set_default(&options->request_timeout_ms, 10000);
    set_default(&options->drain_ms, 5000);
    set_default(&options->auto_stream_idle_ms, 60000);
    uint32_t second = options->connects_per_minute / 60;
    set_default(&options->connect_burst, second < 20          ? 20
                                         : second < MAX_BURST ? second
                                                              : MAX_BURST);
    if (options->max_event_bytes == 0)
        options->max_event_bytes = (uint64_t)1 << 20;
    if (options->threads > 1024)
        options->threads = 1024;
}

/* ---- certificate ---- */

static sse_err load_identity(const sse_server *server, sse__identity **out)
{
    return sse__identity_load(server->tls_cert_file, server->tls_key_file, &server->options.logger,
                              out);
}

static sse_err init_tls(sse_server *hub, const sse_server_options *options)
{
    if (!options->tls_cert_file)
        return SSE_OK;
    hub->tls_cert_file = strdup(options->tls_cert_file);
    hub->tls_key_file = strdup(options->tls_key_file);
    if (!hub->tls_cert_file || !hub->tls_key_file)
        return SSE_ENOMEM;
    hub->options.tls_cert_file = hub->tls_cert_file;
    hub->options.tls_key_file = hub->tls_key_file;
    return load_identity(hub, &hub->identity);
}

static void use_identity(sse_server *server, sse__identity *fresh)
{
    sse__mutex_lock(&server->identity_mu);
    sse__identity *old = server->identity;
    server->identity = fresh;
    sse__mutex_unlock(&server->identity_mu);
    sse__identity_unref(old);
}

sse_err sse_server_tls_reload(sse_server *server)
{
    if (!server->tls_cert_file)
        return SSE_EINVAL;
    sse__identity *fresh;
    sse_err err = load_identity(server, &fresh);
    if (err == SSE_OK)
        use_identity(server, fresh);
    return err;
}

sse__identity *sse__hub_identity(sse_server *hub)
{
    sse__mutex_lock(&hub->identity_mu);
    sse__identity *identity = hub->identity ? sse__identity_ref(hub->identity) : NULL;
    sse__mutex_unlock(&hub->identity_mu);
    return identity;
}

/* ---- limits of connections from one address ---- */

static sse_err init_admission(sse_server *hub, const sse_server_options *options)
{
    static const char *const standard[] = {"loopback"};
    const char *const *words = options->connect_exempt_count ? options->connect_exempt : standard;
    size_t nwords = options->connect_exempt_count ? options->connect_exempt_count : 1, n = 0;
    sse__admission_limits limits = {.per_minute = options->connects_per_minute,
                                    .burst = hub->options.connect_burst,
                                    .connections = options->max_connections_per_address,
                                    .remembered = ADDRESSES_REMEMBERED};
    hub->options.connect_exempt = NULL; /* it is hub->admission that knows them */
    hub->options.connect_exempt_count = 0;
    sse__range *ranges = calloc(nwords, 2 * sizeof *ranges);
    sse_err err = ranges ? SSE_OK : SSE_ENOMEM;
    for (size_t i = 0; i < nwords && err == SSE_OK; i++) {
        int more = sse__ranges_parse(words[i], &ranges[n]);
        if (more < 0)
            err = SSE_EINVAL;
        else
            n += (size_t)more;
    }
    if (err == SSE_OK && (limits.per_minute > 0 || limits.connections > 0))
        err = sse__admission_new(&limits, ranges, n, &hub->admission);
    free(ranges);
    return err;
}

/* ---- structs that the options point to ---- */

static bool take_structs(sse_server *hub)
{
    sse_server_options *options = &hub->options;
    if (!sse__stream_configure(options->stream, &options->logger, &hub->stream_config))
        return false;
    if (options->callbacks &&
        !sse__copy_sized(&hub->callbacks, sizeof hub->callbacks, options->callbacks)) {
        sse__log(&options->logger, SSE_LOG_ERROR,
                 "callbacks: their size is not set, as SSE_SERVER_CALLBACKS_INIT does");
        return false;
    }
    options->stream = NULL; /* they were only lent */
    options->callbacks = NULL;
    return true;
}

/* ---- all ---- */

sse_err sse__options_init(sse_server *hub, const sse_server_options *options)
{
    sse_err err = check(options);
    if (err != SSE_OK)
        return err;
    hub->options = *options;
    fill_defaults(&hub->options);
    if (!take_structs(hub))
        return SSE_EINVAL;
    hub->headers = copy_strings(options->headers, options->header_count);
    hub->cors_origins = copy_strings(options->cors_origins, options->cors_origin_count);
    hub->host_names = copy_strings(options->host_names, options->host_name_count);
    if (!hub->headers || !hub->cors_origins || !hub->host_names)
        return SSE_ENOMEM;
    hub->options.host_names = (const char *const *)hub->host_names;
    hub->options.headers = (const char *const *)hub->headers;
    hub->options.cors_origins = NULL; /* they change: hub->cors_origins */
    hub->options.cors_origin_count = 0;
    err = init_admission(hub, options);
    if (err == SSE_OK)
        err = init_tls(hub, options);
    if (err != SSE_OK)
        return err;
    if (options->retry_ms == 0)
        return SSE_OK;
    sse_event retry = {.retry_ms = options->retry_ms, .has_retry = true};
    return sse__frame_new(&retry, (sse_str){0}, &hub->retry);
}

void sse__options_fini(sse_server *hub)
{
    free_strings(hub->headers);
    free_strings(hub->cors_origins);
    free_strings(hub->host_names);
    free(hub->tls_cert_file);
    free(hub->tls_key_file);
    sse__admission_free(hub->admission);
    sse__identity_unref(hub->identity);
    sse__frame_unref(hub->retry);
}

/* ---- what changes later ---- */

static sse_err copy_origins(const sse_logger *logger, const char *const *origins, size_t n,
                            char ***out)
{
    if (!good_origins(logger, origins, n))
        return SSE_EINVAL;
    *out = copy_strings(origins, n);
    return *out ? SSE_OK : SSE_ENOMEM;
}

static void use_origins(sse_server *server, char **list)
{
    sse__mutex_lock(&server->cors_mu);
    char **old = server->cors_origins;
    server->cors_origins = list;
    sse__mutex_unlock(&server->cors_mu);
    free_strings(old);
}

sse_err sse_server_set_cors_origins(sse_server *server, const char *const *origins, size_t n)
{
    char **list;
    sse_err err = copy_origins(&server->options.logger, origins, n, &list);
    if (err == SSE_OK)
        use_origins(server, list);
    return err;
}

sse_err sse__server_reload(sse_server *server, const char *const *origins, size_t n)
{
    sse__identity *identity = NULL;
    char **list;
    sse_err err = copy_origins(&server->options.logger, origins, n, &list);
    if (err != SSE_OK)
        return err;
    if (server->tls_cert_file)
        err = load_identity(server, &identity);
    if (err != SSE_OK) {
        free_strings(list);
        return err;
    }
    use_origins(server, list);
    if (identity)
        use_identity(server, identity);
    return SSE_OK;
}
