/* Connections that have been told all there is to tell, while their peers still send.
 *
 * Loop's thread only. When a socket is closed although there is something in it that nobody has read, or more of it comes, the kernel
 * answers with a reset, and that ends the client before it has read the answer. So only our side is closed here; what comes is thrown
 * away until the peer closes its own side. No thread waits for that, and there are bounds: so many connections of all loops, and of
 * each so much and so long. Beyond them a connection is just closed. They are few, so they do not count among the hub's connections, but
 * the place of an address (admission.h) stays with its descriptor. */
#include "loop_internal.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define AT_ONCE 64 /* of all loops */
#define BYTES ((uint64_t)16 << 20)
#define TIME_MS 5000
#define PIECE_BYTES 65536
#define PIECES 4 /* in one turn of the loop */

struct sse__discard {
    sse__source source;
    int fd;
    uint64_t left;       /* bytes that it may still send */
    sse__visitor *place; /* or NULL */
    sse__due due;
};

static bool has_room(const sse__loop *loop)
{
    return loop->ndiscards * loop->hub->nloops < AT_ONCE;
}

/* Returns false when it is over. */
static bool discard_some(sse__discard *d)
{
    char piece[PIECE_BYTES];
    for (int i = 0; i < PIECES; i++) {
        ssize_t n = recv(d->fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN;
        if (n == 0 || (uint64_t)n >= d->left)
            return false;
        d->left -= n > 0 ? (uint64_t)n : 0;
    }
    return true;
}

static void end(sse__loop *loop, sse__discard *d)
{
    sse__due_remove(&loop->discards, &d->due);
    loop->ndiscards--;
    close(d->fd);
    sse__place_free(loop->hub, d->place);
    free(d);
}

static sse__discard *begin(sse__loop *loop, int fd, sse__visitor *place)
{
    sse__discard *d = has_room(loop) ? calloc(1, sizeof *d) : NULL;
    if (!d)
        return NULL;
    *d = (sse__discard){.source = {SSE__SOURCE_DISCARD}, .fd = fd, .left = BYTES, .place = place};
    sse__due_add(&loop->discards, &d->due, sse__now_ms() + TIME_MS);
    loop->ndiscards++;
    return d;
}

void sse__discard_begin(sse__loop *loop, int fd, sse__visitor *place)
{
    sse__discard *d = begin(loop, fd, place);
    if (!d) {
        close(fd);
        sse__place_free(loop->hub, place);
        return;
    }
    shutdown(fd, SHUT_WR);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &d->source};
    if (!discard_some(d) || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        end(loop, d);
}

void sse__discard_rest(sse__conn *conn)
{
    char byte;
    sse__loop *loop = conn->shard->loop;
    if (conn->over)
        return;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    bool sends = n > 0 || (n < 0 && errno == EAGAIN && !conn->request_read);
    int fd = sends && has_room(loop) ? fcntl(conn->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    sse__discard_begin(loop, fd, conn->visitor);
    conn->visitor = NULL;
}

void sse__discard_ready(sse__loop *loop, sse__discard *d)
{
    if (!discard_some(d))
        end(loop, d);
}

void sse__discard_expire(sse__loop *loop, uint64_t now_ms)
{
    sse__due *due;
    while ((due = sse__due_first(&loop->discards, now_ms)))
        end(loop, SSE__WITH_DUE(sse__discard, due));
}
