/* Listening sockets: addresses, TCP and unix, and the I/O threads that start with the first one.
 *
 * Called from any thread; what it makes is entered under hub.mu. */
#include "hub.h"
#include "loop.h"
#include "peer.h"
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static sse_err error_of_errno(void)
{
    switch (errno) {
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EACCES:
    case ENOENT:
    case ENOTDIR:
        return SSE_EADDR;
    case ENOMEM:
    case ENOBUFS:
        return SSE_ENOMEM;
    default:
        return SSE_ESYS;
    }
}

/* Close without losing errno. */
static void close_quietly(int fd)
{
    int error = errno;
    close(fd);
    errno = error;
}

/* ---- unix sockets ---- */

/* A socket file that nobody serves is a left-over of a server that was killed. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat info;
    if (lstat(address->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static sse_err open_unix(const char *path, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (*path == '\0' || strlen(path) >= sizeof address.sun_path)
        return SSE_EINVAL;
    strcpy(address.sun_path, path);
    if (is_stale(&address))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_of_errno();
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, SOMAXCONN) != 0) {
        close_quietly(fd);
        return error_of_errno();
    }
    *out = fd;
    return SSE_OK;
}

/* ---- TCP ---- */

static bool good_port(const char *port)
{
    size_t n = strlen(port);
    return n > 0 && n <= 5 && strspn(port, "0123456789") == n && strtoul(port, NULL, 10) <= 65535;
}

/* "HOST:PORT" or "[IPV6]:PORT" into its parts; an empty host means all addresses. */
static bool split(const char *address, char *host, size_t size, const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || !good_port(colon + 1))
        return false;
    const char *start = address, *end = colon;
    if (*start == '[') {
        if (end[-1] != ']')
            return false;
        start++;
        end--;
    } else if (memchr(start, ':', (size_t)(end - start))) {
        return false; /* an IPv6 address wants brackets */
    }
    size_t n = (size_t)(end - start);
    if (n >= size)
        return false;
    memcpy(host, start, n);
    host[n] = '\0';
    *port = colon + 1;
    return true;
}

static int open_address(const struct addrinfo *info, bool all)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, all ? &off : &on, sizeof on);
    sse__peer_keepalive(fd);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    close_quietly(fd);
    return -1;
}

static sse_err open_tcp(const char *address, int *out)
{
    char host[256];
    const char *port;
    if (!split(address, host, sizeof host, &port))
        return SSE_EINVAL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list, *info;
    if (getaddrinfo(*host ? host : NULL, port, &hints, &list) != 0)
        return SSE_ERESOLVE;
    /* For all addresses: one IPv6 socket takes IPv4 as well. */
    int fd = -1;
    for (info = list; info && fd < 0 && !*host; info = info->ai_next)
        if (info->ai_family == AF_INET6)
            fd = open_address(info, true);
    for (info = list; info && fd < 0; info = info->ai_next)
        fd = open_address(info, false);
    int error = errno;
    freeaddrinfo(list);
    errno = error;
    if (fd < 0)
        return error_of_errno();
    *out = fd;
    return SSE_OK;
}

/* ---- threads ---- */

/* Make all loops, then start them: a loop may hand sockets to any other. */
static sse_err start_loops_locked(sse_server *hub)
{
    sse__mutex_assert_held(&hub->mu);
    if (hub->loops)
        return SSE_OK;
    size_t n = hub->options.threads;
    uint64_t connections = (uint64_t)hub->options.max_subscribers + SSE__SPARE_CONNECTIONS;
    uint32_t shards = sse__shards_number(n, connections);
    struct sse__loop **loops = calloc(n, sizeof(struct sse__loop *));
    sse_err err = loops ? SSE_OK : SSE_ENOMEM;
    for (size_t i = 0; i < n && err == SSE_OK; i++)
        err = sse__loop_new(hub, shards, &loops[i]);
    if (err == SSE_OK) {
        hub->loops = loops;
        hub->nloops = n;
    }
    for (size_t i = 0; i < n && err == SSE_OK; i++)
        err = sse__loop_start(loops[i], "sse-io");
    if (err == SSE_OK)
        return SSE_OK;
    for (size_t i = 0; loops && i < n; i++) {
        sse__loop_stop(loops[i]); /* no socket has come yet, so none takes hub.mu */
        sse__loop_free(loops[i]);
    }
    free(loops);
    hub->loops = NULL;
    hub->nloops = 0;
    return err;
}

static sse_err enter_locked(sse_server *hub, sse__listener *listener)
{
    if (hub->stopping || atomic_load(&hub->closing))
        return SSE_ECLOSED;
    sse_err err = start_loops_locked(hub);
    for (size_t i = 0; i < hub->nloops && err == SSE_OK; i++)
        err = sse__loop_listen(hub->loops[i], listener);
    for (size_t i = 0; i < hub->nloops && err != SSE_OK; i++)
        sse__loop_unlisten(hub->loops[i], listener);
    if (hub->nloops == 0)
        return err;
    /* A loop that had it for a moment may still look at it, so it goes with the hub in any case. */
    if (err != SSE_OK)
        listener->fd = -1;
    listener->next = hub->listeners;
    hub->listeners = listener;
    return err;
}

static sse_err add_listener(sse_server *hub, int fd, const char *path, bool tls, bool passed_on)
{
    sse__listener *listener = calloc(1, sizeof *listener);
    if (!listener || (path && !(listener->path = strdup(path)))) {
        free(listener);
        return SSE_ENOMEM;
    }
    listener->source.kind = SSE__SOURCE_LISTENER;
    listener->fd = fd;
    listener->tls = tls;
    listener->passed_on = passed_on;
    sse__mutex_lock(&hub->mu);
    sse_err err = enter_locked(hub, listener);
    bool entered = hub->listeners == listener;
    sse__mutex_unlock(&hub->mu);
    if (err != SSE_OK && !entered) {
        free(listener->path);
        free(listener);
    }
    return err;
}

/* What stands before the address, if anything, and whether it is to be TLS. */
static const char *skip_scheme(const sse_server *hub, const char *address, bool *tls)
{
    if (strncmp(address, "https://", 8) == 0) {
        *tls = true;
        return address + 8;
    }
    bool plain = strncmp(address, "http://", 7) == 0;
    *tls = !plain && strncmp(address, "unix:", 5) != 0 && hub->options.tls_cert_file;
    return plain ? address + 7 : address;
}

sse_err sse_server_listen(sse_server *server, const char *address, char *bound, size_t bound_size)
{
    if (!address)
        return SSE_EINVAL;
    bool tls;
    address = skip_scheme(server, address, &tls);
    if (tls && !server->options.tls_cert_file)
        return SSE_EINVAL;
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    const char *path = is_unix ? address + 5 : NULL;
    int fd;
    sse_err err = is_unix ? open_unix(path, &fd) : open_tcp(address, &fd);
    if (err != SSE_OK)
        return err;
    sse__socket_address(fd, bound, bound_size);
    err = add_listener(server, fd, path, tls, false);
    if (err != SSE_OK) {
        close_quietly(fd);
        if (path)
            unlink(path);
    }
    return err;
}

sse_err sse_server_listen_socket(sse_server *server, int fd, char *bound, size_t bound_size)
{
    if (!sse__socket_is_listening(fd))
        return SSE_EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return SSE_ESYS;
    bool is_unix = sse__socket_is_unix(fd);
    if (!is_unix)
        sse__peer_keepalive(fd);
    sse__socket_address(fd, bound, bound_size);
    bool tls = !is_unix && server->options.tls_cert_file;
    return add_listener(server, fd, NULL, tls, true); /* its file, if any, is not ours to remove */
}
