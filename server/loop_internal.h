/* What loop.c, shard.c, wheel.c, accept.c, refusal.c and discard.c share. */
#ifndef SSE__LOOP_INTERNAL_H
#define SSE__LOOP_INTERNAL_H

#include "expiry.h"
#include "hub.h"
#include "loop.h"
#include "subscriber.h"

#define SSE__SLOTS 32

/* Heartbeats: a subscriber sits in the slot of the tick at which one may be due. */
typedef struct sse__wheel {
    struct sse__sub *slots[SSE__SLOTS];
    uint64_t next_tick_ms;
    uint32_t tick_ms;
    uint32_t interval_ms; /* 0: no heartbeats */
    int position;
    void (*look)(
        struct sse__sub
            *sub); /* NULL, or called at each slot that comes up, at least once an interval */
} sse__wheel;

struct sse__loop {
    /* immutable */
    struct sse_server *hub;
    int epoll_fd;
    int wake_fd;
    sse__source wake_source;
    uint32_t nshards;   /* 0: the keeper */
    sse__thread thread; /* valid if started */

    sse__latency latency;

    atomic_bool sleeping; /* it waits in epoll_wait(): who has something for it writes to wake_fd */

    /* loop's thread only */
    sse__shard *shards[SSE__SHARDS];
    sse__shard *tls_shards[SSE__SHARDS];
    sse__shard *active;
    sse__group *served;    /* its subscribers from wake_next on are still to be woken */
    size_t nsubs;          /* that its shards serve */
    uint32_t next_shard;   /* for connections whose stream is not known */
    uint64_t next_reap_ms; /* the keeper's */
    sse__wheel wheel;
    sse__expiry expiry;
    sse__due_list pending; /* that wait for a request line, or to be told that they are refused */
    sse__due_list conns;   /* whose peer has something to do */
    sse__due_list discards;
    sse__group *ending;
    size_t ndiscards;
    size_t ndenied;     /* pending ones that are refused */
    bool skipped;       /* it has not looked for events, since there was work */
    bool accept_paused; /* accept() lacked descriptors: a listener is off until the next tick */

    sse__mutex mu; /* rank LOOP; guards everything below */
    sse__group *groups_first, *groups_last;
    sse__sub *posted;
    sse__pending *incoming;
    bool started;
    bool stop;
    bool stopped;
};

/* Give a pending socket to another loop.
 * Thread:  any. */
void sse__loop_hand_over(sse__loop *to, sse__pending *pending);
/* Wake the loop up if it sleeps.
 * Thread:  any. */
void sse__loop_signal(sse__loop *loop);

/* ---- shard.c: loop's thread only ---- */

/* The shard for one more connection of the stream whose name has this hash (which nobody knows under TLS); its daemon is started if
 * need be. NULL: no memory or descriptors. */
sse__shard *sse__loop_shard(sse__loop *loop, uint32_t hash, bool tls);
/* It has something to do. */
void sse__loop_activate(sse__shard *shard);
/* Run those that have something to do. */
void sse__shards_run(sse__loop *loop);
void sse__shards_stop(sse__loop *loop);
/* End the connections whose time is over. */
void sse__conn_expire(sse__loop *loop, uint64_t now_ms);

/* ---- accept.c ---- */

/* The first value of `stream` in the query of a request line, as it stands there: not decoded. False when there is none, or it may
 * be cut off. */
bool sse__pending_find_stream(const char *line, size_t n, sse_str *out);

/* The place of an address is free again. NULL: nobody has counted it.
 * Thread:  any. */
void sse__place_free(struct sse_server *hub, sse__visitor *place);

/* ---- refusal.c: loop's thread only ---- */

/* The request of one that is refused has come: answer it, unless the answer would do harm. What is left to do with its descriptor is
 * done when that is -1 afterwards. */
void sse__pending_deny(sse__loop *loop, sse__pending *pending);
/* There is no room for this connection: tell, without a look at its request. Takes the descriptor over. */
void sse__refuse_full(sse__loop *loop, int fd);
/* Somebody took https for http: likewise, with its place. */
void sse__refuse_plain(sse__loop *loop, sse__pending *pending);

/* ---- discard.c: loop's thread only ---- */

/* Close our side; and the socket once the peer has closed its own, or has had its chance. Takes descriptor and place (or NULL) over. */
void sse__discard_begin(sse__loop *loop, int fd, sse__visitor *place);
/* The same for a connection that its daemon closes now, if its peer still sends. */
void sse__discard_rest(sse__conn *conn);
void sse__discard_ready(sse__loop *loop, sse__discard *discard);
/* Too late: close those whose time is over. */
void sse__discard_expire(sse__loop *loop, uint64_t now_ms);

/* ---- wheel.c: loop's thread only ---- */

void sse__wheel_init(sse__wheel *wheel, uint32_t heartbeat_ms, uint64_t now_ms);
void sse__wheel_add(sse__wheel *wheel, sse__sub *sub, uint64_t now_ms);
void sse__wheel_remove(sse__wheel *wheel, sse__sub *sub);
/* One tick: those whose heartbeat is due are passed to `due`, and come again. */
void sse__wheel_tick(sse__wheel *wheel, uint64_t now_ms, void (*due)(sse__sub *sub));

#endif
