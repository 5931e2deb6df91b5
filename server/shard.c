/* Shards: where a connection goes, which ones have something to do; and how long a connection may take.
 *
 * Loop's thread only. libmicrohttpd walks all suspended connections of a daemon to find those that are to be resumed, so a
 * stream's subscribers belong together and with few others: a stream has a home among many shards, and when that is full, the
 * next one is filled. That is an optimisation only: a connection in another shard works the same. Shards start when they are
 * needed, because each takes a descriptor. */
#include "clock.h"
#include "loop_internal.h"
#include "mhd.h"
#include "tls.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define FULL 128 /* connections; then a stream's next ones go elsewhere */
#define FULL_TLS 256
#define DESCRIPTOR_SHARE 50u /* of the process's descriptors, shards may take one in so many ... */
#define MIN_SHARDS 16u

/* ... and all that would be left over if there were as many connections as there may be. */
uint32_t sse__shards_number(size_t nloops, uint64_t connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return SSE__SHARDS;
    uint64_t descriptors = limit.rlim_cur / DESCRIPTOR_SHARE;
    if (limit.rlim_cur > connections && limit.rlim_cur - connections > descriptors)
        descriptors = limit.rlim_cur - connections;
    uint64_t n = descriptors / nloops;
    return n > SSE__SHARDS ? SSE__SHARDS : n < MIN_SHARDS ? MIN_SHARDS : (uint32_t)n;
}

/* One that has been started, or NULL. */
static sse__shard *any(sse__shard *const *shards, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (shards[i])
            return shards[i];
    return NULL;
}

/* The shard with this number. Where there are no descriptors or memory for it, another one does as well. */
static sse__shard *start(sse__loop *loop, uint32_t number, bool tls)
{
    sse__shard **shards = tls ? loop->tls_shards : loop->shards;
    if (shards[number])
        return shards[number];
    sse__shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return any(shards, loop->nshards);
    shard->source.kind = SSE__SOURCE_SHARD;
    shard->hub = loop->hub;
    shard->loop = loop;
    shard->spill = number;
    shard->tls = tls;
    shard->daemon = sse__mhd_start(shard, loop->hub);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &shard->source};
    if (!shard->daemon ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, sse__mhd_epoll_fd(shard->daemon), &event) != 0) {
        if (shard->daemon)
            sse__mhd_stop(shard->daemon);
        free(shard);
        return any(shards, loop->nshards);
    }
    shards[number] = shard;
    return shard;
}

/* Under TLS nobody can see the stream before the connection has its shard: they are filled one after the other, so that a stream's few
 * subscribers touch few shards and no shard's list gets long; then in turn. */
static sse__shard *tls_shard(sse__loop *loop)
{
    for (uint32_t i = 0; i < loop->nshards; i++)
        if (!loop->tls_shards[i] || loop->tls_shards[i]->connections < FULL_TLS)
            return start(loop, i, true);
    return start(loop, loop->next_shard++ % loop->nshards, true);
}

sse__shard *sse__loop_shard(sse__loop *loop, uint32_t hash, bool tls)
{
    if (tls)
        return tls_shard(loop);
    sse__shard *home = start(loop, hash % loop->nshards, false);
    if (!home || home->connections < FULL)
        return home;
    sse__shard *spill = start(loop, home->spill, false);
    if (spill && spill->connections >= FULL) { /* where all are full, each gets one in turn */
        home->spill = (home->spill + 1) % loop->nshards;
        spill = start(loop, home->spill, false);
    }
    return spill ? spill : home;
}

void sse__loop_activate(sse__shard *shard)
{
    if (shard->active)
        return;
    shard->active = true;
    shard->next_active = shard->loop->active;
    shard->loop->active = shard;
}

void sse__shards_run(sse__loop *loop)
{
    sse__shard *shard = loop->active;
    loop->active = NULL;
    for (sse__shard *next; shard; shard = next) {
        next = shard->next_active;
        shard->active = false;
        if (sse__mhd_run(shard))
            sse__loop_activate(shard); /* it wants to go on at once */
    }
}

static void stop(sse__shard *shards[SSE__SHARDS])
{
    for (size_t i = 0; i < SSE__SHARDS; i++) {
        if (!shards[i])
            continue;
        sse__mhd_stop(shards[i]->daemon);
        free(shards[i]);
        shards[i] = NULL;
    }
}

void sse__shards_stop(sse__loop *loop)
{
    stop(loop->shards);
    stop(loop->tls_shards);
}

/* ---- deadlines of connections ---- */

sse__conn *sse__conn_new(sse__shard *shard, int fd)
{
    sse__conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->shard = shard;
    conn->fd = fd;
    conn->visitor = shard->arriving;
    shard->arriving = NULL;
    sse__conn_expect(conn);
    return conn;
}

void sse__conn_relax(sse__conn *conn)
{
    sse__loop *loop = conn->shard->loop;
    if (!conn->waiting)
        return;
    conn->waiting = false;
    sse__due_remove(&loop->conns, &conn->due);
}

void sse__conn_expect(sse__conn *conn)
{
    sse__loop *loop = conn->shard->loop;
    uint32_t timeout_ms = loop->hub->options.request_timeout_ms;
    sse__conn_relax(conn);
    if (timeout_ms == SSE_OFF)
        return;
    conn->waiting = true;
    sse__due_add(&loop->conns, &conn->due, sse__now_ms() + timeout_ms);
}

void sse__conn_free(sse__conn *conn)
{
    sse__conn_relax(conn);
    sse__identity_unref(conn->identity);
    sse__place_free(conn->shard->hub, conn->visitor);
    free(conn);
}

/* MHD still owns the descriptor; it sees the end and closes it. */
void sse__conn_expire(sse__loop *loop, uint64_t now_ms)
{
    sse__due *due;
    while ((due = sse__due_first(&loop->conns, now_ms))) {
        sse__conn *conn = SSE__WITH_DUE(sse__conn, due);
        sse__conn_relax(conn);
        conn->over = true;
        shutdown(conn->fd, SHUT_RDWR);
        sse__loop_activate(conn->shard);
    }
}
