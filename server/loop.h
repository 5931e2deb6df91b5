/* An I/O loop: one thread, an epoll set, and (unless it is the keeper) shards: daemons of
 * libmicrohttpd without sockets or threads of their own, which the loop drives.
 *
 * The keeper has no shards. It watches and wakes subscribers in the user's own daemons, and removes
 * idle streams. */
#ifndef SSE__LOOP_H
#define SSE__LOOP_H

#include "admission.h"
#include "due.h"
#include "latency.h"
#include "source.h"
#include "sync.h"

#include <sys/socket.h>

struct sse_server;
struct MHD_Daemon;
struct sse__sub;
struct sse__group;
struct sse__stream;
struct sse__loop;

#define SSE__SHARDS 1024 /* a loop's, at most */

typedef struct sse__shard {
    sse__source source;
    struct sse_server *hub;
    struct sse__loop *loop;
    struct MHD_Daemon *daemon;
    struct sse__shard *next_active;
    uint32_t connections;
    uint32_t idle_turns;    /* TLS only: see sse__mhd_run() */
    uint32_t spill;         /* where the next connections go whose home this is, once it is full */
    sse__visitor *arriving; /* the place of the connection that it is just given */
    bool active;
    bool tls;
} sse__shard;

/* A listening socket, in the epoll sets of all loops that have shards. */
typedef struct sse__listener {
    sse__source source;
    int fd;
    struct sse__listener *next; /* hub.mu */
    char *path;                 /* of a unix socket, to be removed; or NULL */
    bool tls;
    bool
        passed_on; /* somebody else's, who may have a successor listen: left alone from the hub's close on */
} sse__listener;

/* An accepted socket on its way to a shard. Owned by one loop at a time. */
typedef struct sse__pending {
    sse__source source;
    int fd;
    uint32_t hash; /* of the stream's name: decides the shard */
    socklen_t address_len;
    struct sockaddr_storage address;
    sse__due due;
    struct sse__pending *next; /* of those that come to a loop */
    sse__visitor *visitor;     /* the place that its address has for it, or NULL */
    sse__denial denial;        /* it waits only to be told that it is refused */
    uint32_t retry_after_s;    /* likewise */
    bool tls;
} sse__pending;

/* A connection of a shard, by its socket context: ends it when the client takes too long. Loop's
 * thread only. */
typedef struct sse__conn {
    struct sse__shard *shard;
    struct sse__identity *identity; /* of a TLS connection, one reference; or NULL */
    sse__visitor *visitor;          /* the place that its address has for it, or NULL */
    int fd;
    bool waiting;      /* in the loop's list */
    bool request_read; /* the last request, to its end, and there will be no other one */
    bool persists;     /* another request may follow the one that is being answered */
    bool over;         /* nothing can be read or need arrive any more */
    sse__due due;
} sse__conn;

/* A connection that is answered, and still sends. */
typedef struct sse__discard sse__discard;

typedef struct sse__loop sse__loop;

/* `shards`: how many it may start; 0 for the keeper.
 * Returns: SSE_OK, SSE_ENOMEM, SSE_ESYS. */
SSE_NODISCARD sse_err sse__loop_new(struct sse_server *hub, uint32_t shards, sse__loop **out);
SSE_NODISCARD sse_err sse__loop_start(sse__loop *loop, const char *name);
/* Ask the loop to end, and wait. Subscribers that its shards serve must have gone. NULL, not
 * started and stopped ones are fine. */
void sse__loop_stop(sse__loop *loop);
void sse__loop_free(sse__loop *loop);

/* Serve a listening socket. Returns SSE_OK, SSE_ESYS.
 * Thread:  any. */
SSE_NODISCARD sse_err sse__loop_listen(sse__loop *loop, sse__listener *listener);
void sse__loop_unlisten(sse__loop *loop, const sse__listener *listener);

/* The stream has news for the group's subscribers.
 * Thread:  any; stream.mu is held. */
void sse__loop_wake_group(struct sse__group *group);

/* Notice when the subscriber's client goes, send it heartbeats; and no longer: frees it.
 * Thread:  the connection's. */
SSE_NODISCARD sse_err sse__loop_watch(sse__loop *loop, struct sse__sub *sub);
void sse__loop_unwatch(sse__loop *loop, struct sse__sub *sub);

/* Where its thread, or for the keeper those of the user's daemons, count how long events took.
 * Thread:  any. */
sse__latency *sse__loop_latency(sse__loop *loop);

/* ---- accept.c: loop's thread only ---- */

/* Take what the listener has. */
void sse__loop_accept(sse__loop *loop, sse__listener *listener);
/* The request line of a pending socket may have come. */
void sse__pending_ready(sse__loop *loop, sse__pending *pending);
/* A pending socket that another loop has chosen this one for. */
void sse__pending_adopt(sse__loop *loop, sse__pending *pending);
/* Close one that no shard gets. Thread: any that owns it. */
void sse__pending_drop(sse__loop *loop, sse__pending *pending);
/* Too late: close those whose time is over. */
void sse__pending_expire(sse__loop *loop, uint64_t now_ms);

/* ---- shard.c ---- */

/* How many shards each of so many loops may have, so that with so many connections the process's descriptors suffice: a few in any
 * case. */
uint32_t sse__shards_number(size_t nloops, uint64_t connections);

/* Connections; loop's thread only. */

/* Takes the place over that has arrived. NULL: no memory. */
sse__conn *sse__conn_new(sse__shard *shard, int fd);
void sse__conn_free(sse__conn *conn);
/* From now on it has its time for the next step; or no limit. */
void sse__conn_expect(sse__conn *conn);
void sse__conn_relax(sse__conn *conn);

#endif
