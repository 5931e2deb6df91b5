/* sse-server: the hub as a program.
 *
 * The main thread reads the options, starts the server, prints where it listens, and waits for
 * signals: SIGTERM or SIGINT drain the server, and a second one ends it at once; SIGHUP reloads.
 * Everything else happens on the library's threads. */
#include "refusal_log.h"
#include "reload.h"
#include "tool_access.h"
#include "tool_config.h"
#include "tool_log.h"
#include "tool_service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sse/server.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

typedef struct program {
    config config; /* as it was at the start */
    access_gate gate;
    sse_server *server;
    atomic_bool
        starting; /* the library's last error is kept, for the one line of a refused start */
    char error[512];
    int nsockets; /* that a service manager passed on */
    int argc;
    char **argv;
} program;

/* ---- addresses ---- */

/* Without what may stand before it. */
static const char *skip_scheme(const char *address)
{
    const char *end = strncmp(address, "http", 4) == 0 ? strstr(address, "://") : NULL;
    return end ? end + 3 : address;
}

static bool is_loopback(const char *address)
{
    char host[256];
    address = skip_scheme(address);
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

static const char default_listen[] = "127.0.0.1:8080";

static enum tool_exit check_address(const config *c, const access_rules *rules, const char *address)
{
    if (is_loopback(address) || access_rules_guard_publishing(rules) || c->anonymous_publish)
        return TOOL_GO_ON;
    return config_refuse(c, "listen",
                         "%s is not loopback, so anybody could publish: give --publish-token-file, "
                         "or --anonymous-publish",
                         address);
}

/* A certificate wants its key, HTTPS a certificate. */
static enum tool_exit check_tls(const config *c)
{
    const char *cert = c->options.tls_cert_file, *key = c->options.tls_key_file;
    if (!cert != !key)
        return config_refuse(c, cert ? "tls-cert" : "tls-key", "it goes together with '--%s'",
                             cert ? "tls-key" : "tls-cert");
    for (size_t i = 0; i < c->listen.n && !cert; i++)
        if (strncmp(c->listen.items[i], "https://", 8) == 0)
            return config_refuse(c, "listen", "%s: HTTPS needs --tls-cert and --tls-key",
                                 c->listen.items[i]);
    return TOOL_GO_ON;
}

static enum tool_exit check_rate(const config *c)
{
    if (c->options.connect_burst > 0 && c->options.connects_per_minute == 0)
        return config_refuse(c, "connect-burst", "it goes together with '--connect-rate'");
    return TOOL_GO_ON;
}

/* May these options and rules serve where the program listens? */
static enum tool_exit check_addresses(const program *p, const config *c, const access_rules *rules)
{
    const tool_list *listen = &p->config.listen;
    enum tool_exit result = check_tls(c);
    if (result == TOOL_GO_ON)
        result = check_rate(c);
    for (size_t i = 0; i < listen->n && p->nsockets == 0 && result == TOOL_GO_ON; i++)
        result = check_address(c, rules, listen->items[i]);
    for (int i = 0; i < p->nsockets && result == TOOL_GO_ON; i++) {
        char address[512];
        service_socket_address(SERVICE_FIRST_FD + i, address, sizeof address);
        if (*address) /* otherwise it is refused anyway */
            result = check_address(c, rules, address);
    }
    return result;
}

/* ---- callbacks ---- */

static void write_log(void *user, sse_log_level level, const char *line)
{
    program *p = user;
    if (p->starting && level == SSE_LOG_ERROR) /* of the one thread that there is yet */
        snprintf(p->error, sizeof p->error, "%s", line);
    else
        log_line(level, NULL, 0, "%s", line);
}

static void log_subscriber(const sse_subscriber_info *info, const char *what, const char *reason)
{
    if (!log_wants(SSE_LOG_DEBUG))
        return;
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)info->number);
    const log_field fields[] = {
        {"number", number}, {"peer", info->address}, {"stream", info->stream}, {"reason", reason}};
    log_line(SSE_LOG_DEBUG, fields, reason ? 4 : 3, "subscriber %s", what);
}

static void on_subscribe(void *user, const sse_subscriber_info *info)
{
    (void)user;
    log_subscriber(info, "came", NULL);
}

static void on_unsubscribe(void *user, const sse_subscriber_info *info, sse_leave_reason reason)
{
    (void)user;
    log_subscriber(info, "left", sse_leave_reason_name(reason));
}

static void on_refused(const sse__refused *r)
{
    const log_field fields[] = {
        {"peer", r->address}, {"reason", r->reason}, {"path", r->path}, {"stream", r->stream}};
    size_t n = 2;
    if (r->path)
        n = r->stream ? 4 : 3;
    log_line(SSE_LOG_DEBUG, fields, n, "%s refused with %u", r->method ? r->method : "connection",
             r->status);
}

static int authorize(void *user, const sse_request *request)
{
    program *p = user;
    return access_gate_authorize(&p->gate, request);
}

/* ---- start ---- */

static enum tool_exit create_streams(const program *p)
{
    const tool_list *streams = &p->config.streams;
    for (size_t i = 0; i < streams->n; i++) {
        sse_err err = sse_server_create_stream(p->server, streams->items[i], NULL);
        if (err != SSE_OK)
            return config_refuse(&p->config, "stream", "%s: %s", streams->items[i],
                                 sse_strerror(err));
    }
    return TOOL_GO_ON;
}

/* `plain`: although there may be a certificate. */
static void say_listening(const program *p, const char *bound, bool plain)
{
    const char *scheme = p->config.options.tls_cert_file && !plain ? "https://" : "http://";
    printf("listening on %s%s\n", strncmp(bound, "unix:", 5) == 0 ? "" : scheme, bound);
}

static enum tool_exit listen_at(const program *p, const char *address)
{
    char bound[512];
    errno = 0;
    sse_err err = sse_server_listen(p->server, address, bound, sizeof bound);
    if (err == SSE_EINVAL)
        return config_refuse(&p->config, "listen", "%s is not [http[s]://]ADDR:PORT or unix:PATH",
                             address);
    if (err != SSE_OK) {
        log_error("--listen %s: %s%s%s", address, sse_strerror(err), errno ? ": " : "",
                  errno ? strerror(errno) : "");
        return TOOL_UNAVAILABLE;
    }
    say_listening(p, bound, strncmp(address, "http://", 7) == 0);
    return TOOL_GO_ON;
}

static enum tool_exit listen_at_sockets(const program *p)
{
    if (p->config.listen.n > 0)
        log_info("--listen is not used: the service manager has passed on %d socket%s", p->nsockets,
                 p->nsockets == 1 ? "" : "s");
    for (int i = 0; i < p->nsockets; i++) {
        char bound[512];
        int fd = SERVICE_FIRST_FD + i;
        sse_err err = sse_server_listen_socket(p->server, fd, bound, sizeof bound);
        if (err != SSE_OK) {
            log_error("descriptor %d of the service manager: %s", fd,
                      err == SSE_EINVAL ? "not a listening stream socket" : sse_strerror(err));
            return TOOL_UNAVAILABLE;
        }
        say_listening(p, bound, false);
    }
    return TOOL_GO_ON;
}

static enum tool_exit listen_all(const program *p)
{
    const tool_list *listen = &p->config.listen;
    enum tool_exit result = TOOL_GO_ON;
    if (p->nsockets > 0)
        result = listen_at_sockets(p);
    else if (listen->n == 0)
        result = listen_at(p, default_listen);
    for (size_t i = 0; i < listen->n && p->nsockets == 0 && result == TOOL_GO_ON; i++)
        result = listen_at(p, listen->items[i]);
    fflush(stdout);
    return result;
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

static enum tool_exit create_server(program *p)
{
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = authorize,
                                                   .on_subscribe = on_subscribe,
                                                   .on_unsubscribe = on_unsubscribe};
    sse_server_options *o = &p->config.options;
    o->callbacks = &callbacks;
    o->user = p;
    o->page = !p->config.no_page;
    /* log_line() knows the level, which may change. */
    o->logger = (sse_logger){.fn = write_log, .user = p, .level = SSE_LOG_DEBUG};
    p->starting = true;
    sse_err err = sse_server_new(o, &p->server);
    p->starting = false;
    if (err == SSE_OK) {
        sse__server_tell_refused(p->server, on_refused);
        return create_streams(p);
    }
    if (err == SSE_ECERT)
        return config_refuse(&p->config, "tls-cert", "%s", p->error);
    if (err == SSE_EINVAL)
        return tool_misuse(&p->config.tool, "%s", *p->error ? p->error : sse_strerror(err));
    log_error("%s", sse_strerror(err));
    return TOOL_UNAVAILABLE;
}

/* ---- while it runs ---- */

static enum tool_exit change_server(program *p, const config *now)
{
    const tool_list *origins = &now->cors_origins;
    sse_err err = sse__server_reload(p->server, origins->items, origins->n);
    if (err == SSE_OK)
        return TOOL_GO_ON;
    if (err == SSE_ECERT)
        return config_refuse(now, "tls-cert", "the certificate or its key cannot be used");
    if (err == SSE_EINVAL)
        return config_refuse(now, "cors-origin", "%s", sse_strerror(err));
    log_error("%s", sse_strerror(err));
    return TOOL_UNAVAILABLE;
}

/* Read everything again and put into effect what can be; all of it, or nothing. */
static void reload(program *p)
{
    config now;
    access_rules *rules = NULL;
    enum tool_exit result = config_load(&now, p->argc, p->argv, true);
    if (result == TOOL_GO_ON)
        result = access_rules_load(&now, &rules);
    if (result == TOOL_GO_ON)
        result = check_addresses(p, &now, rules);
    if (result == TOOL_GO_ON)
        result = change_server(p, &now);
    if (result == TOOL_GO_ON) {
        access_gate_change(&p->gate, rules);
        log_configure(now.log_format, now.options.logger.level);
        config_tell_what_waits(&p->config, &now);
        log_info("reloaded");
    } else {
        access_rules_unref(rules);
        log_error("not reloaded; everything stays as it was");
    }
    config_free(&now);
}

static void reload_and_tell(program *p)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    service_notify("RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    reload(p);
    service_notify("READY=1");
}

/* That this returns shows that the hub's lock can still be had. */
static void tell_alive(program *p)
{
    sse_server_stats stats;
    sse_server_get_stats(p->server, &stats);
    service_notify("WATCHDOG=1\nSTATUS=%llu subscribers, %llu streams",
                   (unsigned long long)stats.subscribers, (unsigned long long)stats.streams);
}

/* The next signal; meanwhile the service manager's watchdog is fed. */
static int next_signal(program *p, const sigset_t *signals)
{
    uint64_t ns = service_watchdog_ns();
    const struct timespec interval = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    for (;;) {
        int number = ns ? sigtimedwait(signals, NULL, &interval) : sigwaitinfo(signals, NULL);
        if (number > 0)
            return number;
        if (errno == EAGAIN)
            tell_alive(p);
    }
}

static void wait_for_the_end(program *p, const sigset_t *signals)
{
    int number;
    service_notify("READY=1\nSTATUS=serving");
    while ((number = next_signal(p, signals)) == SIGHUP)
        reload_and_tell(p);
    service_notify("STOPPING=1\nSTATUS=draining");
    log_info("draining, because of SIG%s", sigabbrev_np(number));
    sigprocmask(SIG_UNBLOCK, signals, NULL); /* a second one ends the program */
}

/* The program with a server. */
static enum tool_exit serve(program *p, const sigset_t *signals)
{
    enum tool_exit result = create_server(p);
    if (result == TOOL_GO_ON && p->config.check_only) {
        puts("the configuration is good");
        result = TOOL_DONE;
    }
    if (result == TOOL_GO_ON)
        result = listen_all(p);
    if (result == TOOL_GO_ON) {
        wait_for_the_end(p, signals);
        result = TOOL_DONE;
    }
    sse_server_free(p->server);
    return result;
}

static enum tool_exit run(program *p)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    access_rules *rules;
    enum tool_exit result = access_rules_load(&p->config, &rules);
    if (result != TOOL_GO_ON)
        return result;
    access_gate_init(&p->gate, rules);
    log_configure(p->config.log_format, p->config.options.logger.level);
    raise_limits();
    p->nsockets = service_sockets();
    if (p->nsockets < 0) {
        log_error("LISTEN_FDS makes no sense");
        result = TOOL_UNAVAILABLE;
    }
    if (result == TOOL_GO_ON)
        result = check_addresses(p, &p->config, rules);
    if (result == TOOL_GO_ON)
        result = serve(p, &signals);
    access_gate_fini(&p->gate);
    return result;
}

int main(int argc, char **argv)
{
    program p = {.argc = argc, .argv = argv};
    enum tool_exit result = config_load(&p.config, argc, argv, false);
    if (result == TOOL_GO_ON)
        result = run(&p);
    config_free(&p.config);
    return result;
}
