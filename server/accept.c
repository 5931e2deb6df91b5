/* Sockets from accept() to their shard.
 *
 * Loop's thread only. An accepted socket waits until its request line can be peeked at; the stream
 * named there chooses the loop and the shard, so that a stream's subscribers come together. That is
 * an optimisation and nothing else: a socket whose line names no stream goes to any shard. It also
 * keeps connections that never send a byte out of the daemons: these end at their deadline.
 *
 * Here it is decided who gets in. A place of an address (admission.h) belongs to the socket, then to the connection, and is given back
 * when the descriptor is closed. Who is refused without TLS gets an answer, for which its request has to come first; a few wait for
 * that, and when there are more, they are just closed. */
#include "loop_internal.h"

#include "clock.h"
#include "mhd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ACCEPT_AT_ONCE 256
#define DENIED_AT_ONCE                                                                             \
    64 /* of all loops, that wait to be told; then no more descriptors are spent on them */

static void unlink_pending(sse__loop *loop, sse__pending *pending)
{
    sse__due_remove(&loop->pending, &pending->due);
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, pending->fd, NULL);
}

void sse__place_free(struct sse_server *hub, sse__visitor *place)
{
    if (place) /* else there may be no limits at all: then not even the clock is read */
        sse__admission_leave(hub->admission, place, sse__now_ns());
}

void sse__pending_drop(sse__loop *loop, sse__pending *pending)
{
    if (pending->fd >= 0)
        close(pending->fd);
    sse__place_free(loop->hub, pending->visitor);
    /* One that is refused is never handed over: it is its own loop that drops it. */
    if (pending->denial != SSE__DENIED_NOT)
        loop->ndenied--;
    free(pending);
    atomic_fetch_sub(&loop->hub->counters.connections, 1);
}

/* ---- which shard ---- */

bool sse__pending_find_stream(const char *line, size_t n, sse_str *out)
{
    const char *end = memchr(line, '\n', n);
    end = end ? end : line + n;
    const char *at = memchr(line, '?', (size_t)(end - line));
    while (at && end - at > 8) {
        at++;
        if (memcmp(at, "stream=", 7) == 0) {
            at += 7;
            const char *stop = at;
            while (stop < end && *stop != '&' && *stop != ' ' && *stop != '\r')
                stop++;
            *out = (sse_str){at, (size_t)(stop - at)};
            return stop < end; /* else it may be cut off */
        }
        at = memchr(at, '&', (size_t)(end - at));
    }
    return false;
}

static sse__loop *choose(sse__loop *loop, sse__pending *pending, const char *line, size_t n)
{
    if (pending->tls) {
        struct sse_server *server = loop->hub;
        return server->loops[atomic_fetch_add(&server->next_tls_loop, 1) % server->nloops];
    }
    sse_str stream;
    if (!sse__pending_find_stream(line, n, &stream)) {
        pending->hash = loop->next_shard++;
        return loop;
    }
    uint64_t hash = sse__strhash(stream.ptr, stream.len);
    pending->hash = (uint32_t)hash;
    struct sse_server *hub = loop->hub;
    return hub->loops[(hash >> 32) % hub->nloops];
}

void sse__pending_adopt(sse__loop *loop, sse__pending *pending)
{
    sse__shard *shard = sse__loop_shard(loop, pending->hash, pending->tls);
    int fd = pending->fd;
    if (!shard) {
        sse__pending_drop(loop, pending);
        return;
    }
    /* The daemon counts it again as soon as it takes it, and closes it when it does not. */
    atomic_fetch_sub(&loop->hub->counters.connections, 1);
    shard->arriving = pending->visitor;
    (void)sse__mhd_add(shard->daemon, fd, (struct sockaddr *)&pending->address,
                       pending->address_len);
    sse__place_free(loop->hub, shard->arriving); /* not taken */
    shard->arriving = NULL;
    free(pending);
    sse__loop_activate(shard);
}

#define TLS_HANDSHAKE 22 /* the first byte that a client sends (RFC 8446, 5.1) */

/* Look at what has come. Returns false when nothing has, and the socket is still open. */
static bool route(sse__loop *loop, sse__pending *pending, bool linked)
{
    char line[2048];
    ssize_t n = recv(pending->fd, line, sizeof line, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (linked)
        unlink_pending(loop, pending);
    bool plain = n > 0 && pending->tls && *line != TLS_HANDSHAKE;
    if (plain)
        sse__refuse_plain(loop, pending);
    else if (n > 0 && pending->denial != SSE__DENIED_NOT)
        sse__pending_deny(loop, pending);
    if (n <= 0 || plain || pending->denial != SSE__DENIED_NOT) {
        sse__pending_drop(loop, pending);
        return true;
    }
    sse__loop *to = choose(loop, pending, line, (size_t)n);
    if (to == loop)
        sse__pending_adopt(loop, pending);
    else
        sse__loop_hand_over(to, pending);
    return true;
}

void sse__pending_ready(sse__loop *loop, sse__pending *pending)
{
    (void)route(loop, pending, true);
}

/* ---- waiting for the request line ---- */

static void wait_for_line(sse__loop *loop, sse__pending *pending)
{
    uint32_t timeout_ms = loop->hub->options.request_timeout_ms;
    sse__due_add(&loop->pending, &pending->due,
                 timeout_ms == SSE_OFF ? UINT64_MAX : sse__now_ms() + timeout_ms);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = &pending->source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, pending->fd, &event) != 0) {
        unlink_pending(loop, pending);
        sse__pending_drop(loop, pending);
    }
}

void sse__pending_expire(sse__loop *loop, uint64_t now_ms)
{
    sse__due *due;
    while ((due = sse__due_first(&loop->pending, now_ms))) {
        sse__pending *pending = SSE__WITH_DUE(sse__pending, due);
        unlink_pending(loop, pending);
        sse__pending_drop(loop, pending);
    }
}

/* ---- accept ---- */

/* Out of descriptors or memory: leave the rest in the backlog until the next tick, those that we
 * have are served. */
static void pause_accept(sse__loop *loop, sse__listener *listener, int error)
{
    atomic_fetch_add(&loop->hub->counters.accept_errors, 1);
    if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
    loop->accept_paused = true;
    sse__log(&loop->hub->options.logger, SSE_LOG_WARN, "accept: %s; pausing for a moment",
             strerror(error));
}

/* One that does not wait. */
static void refuse(sse__loop *loop, int fd, bool tls, sse__denial denial)
{
    bool ours = denial == SSE__DENIED_SERVER || denial == SSE__DENIED_MEMORY;
    if (ours)
        sse__hub_count_answer(loop->hub, 503);
    if (ours && !tls)
        sse__refuse_full(loop, fd);
    else
        close(fd);
}

static sse__entry decide(sse_server *hub, const struct sockaddr_storage *address)
{
    uint64_t limit = (uint64_t)hub->options.max_subscribers + SSE__SPARE_CONNECTIONS;
    if (atomic_load(&hub->counters.connections) >= limit)
        return (sse__entry){.denial = SSE__DENIED_SERVER};
    if (!hub->admission)
        return (sse__entry){0};
    return sse__admission_enter(hub->admission, (const struct sockaddr *)address, sse__now_ns());
}

/* Is the one that is refused to wait until it can be told? */
static bool may_wait(const sse__loop *loop, const sse__listener *listener, sse__denial denial)
{
    return (denial == SSE__DENIED_RATE || denial == SSE__DENIED_ADDRESS) && !listener->tls &&
           loop->ndenied * loop->hub->nloops < DENIED_AT_ONCE;
}

static void take(sse__loop *loop, const sse__listener *listener, int fd,
                 const struct sockaddr_storage *address, socklen_t len)
{
    sse_server *hub = loop->hub;
    atomic_fetch_add(&hub->counters.accepted, 1);
    sse__entry entry = decide(hub, address);
    sse__pending *pending = NULL;
    if (entry.denial == SSE__DENIED_NOT || may_wait(loop, listener, entry.denial))
        pending = calloc(1, sizeof *pending);
    if (!pending && entry.denial == SSE__DENIED_NOT) {
        sse__place_free(hub, entry.visitor);
        entry.denial = SSE__DENIED_MEMORY;
    }
    if (entry.denial != SSE__DENIED_NOT)
        sse__hub_count_denial(hub, entry.denial, (const struct sockaddr *)address);
    if (!pending) {
        refuse(loop, fd, listener->tls, entry.denial);
        return;
    }
    atomic_fetch_add(&hub->counters.connections, 1);
    pending->source.kind = SSE__SOURCE_PENDING;
    pending->fd = fd;
    pending->tls = listener->tls;
    pending->visitor = entry.visitor;
    pending->denial = entry.denial;
    pending->retry_after_s = entry.retry_after_s;
    loop->ndenied += entry.denial != SSE__DENIED_NOT;
    pending->address_len = len;
    memcpy(&pending->address, address, sizeof *address);
    if (!route(loop, pending, false))
        wait_for_line(loop, pending);
}

void sse__loop_accept(sse__loop *loop, sse__listener *listener)
{
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        if (listener->passed_on && atomic_load(&loop->hub->closing))
            return; /* who comes now is its next owner's */
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof address;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(loop, listener, fd, &address, len);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            pause_accept(loop, listener, errno);
            return;
        }
    }
}
