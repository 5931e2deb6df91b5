/* A subscriber: a cursor into a stream's log, read by a suspended HTTP response. */
#ifndef SSE__SUBSCRIBER_H
#define SSE__SUBSCRIBER_H

#include "source.h"
#include "stream.h"

struct MHD_Connection;

/* Frames that wait before the log: the first retry, gaps, and what drop-newest keeps. */
typedef struct sse__held {
    struct sse__held_item {
        sse__frame *frame;
        uint64_t next; /* number of the event behind it, 0 when it says nothing of that */
        bool event;    /* counts as a delivery */
    } * items;
    size_t allocated;
    size_t head;
    size_t count;
    uint64_t bytes; /* of the frames */
} sse__held;

/* A subscriber under drop-newest keeps frames that nobody else may want any more: so many bytes at
 * most, or one frame. */
#define SSE__PARKED_BYTES ((uint64_t)1 << 20)

/* Takes the reference in any case. Returns false when there is no memory. */
bool sse__held_push(sse__held *held, sse__frame *frame, uint64_t next, bool event);
/* The oldest, with its reference; there is one. */
struct sse__held_item sse__held_pop(sse__held *held);
void sse__held_fini(sse__held *held);

typedef struct sse__sub {
    sse__source source; /* immutable: readiness of fd at the loop */

    /* What each event touches stands together, because there may be very many of these and none of them in the processor's cache. */
    int fd;                            /* immutable; owned by MHD, open until sse__sub_finish() */
    struct MHD_Connection *connection; /* immutable */
    sse__stream *stream;               /* immutable; one reference */
    sse__group *group;                 /* immutable */
    struct sse__shard *shard;          /* immutable; NULL in a user's daemon */

    /* Several streams over one connection: one subscriber each. The first of them leads: its are the connection, the wake-ups,
     * the place in the wheel, and the reader. Alone, it leads itself. */
    struct sse__sub *lead;        /* immutable */
    struct sse__sub *next_member; /* immutable: of the same lead */

    _Atomic uint64_t sent_ms; /* last time that bytes were handed over */
    atomic_bool expired;      /* its permission has ended: the reader says so and ends */
    atomic_bool heartbeat;    /* due: the reader writes one when there is nothing else */
    bool suspended;           /* mu: MHD has it suspended, and nobody has resumed it yet */
    bool woken;               /* mu: something happened since the reader last looked */
    bool filled;              /* reader only: the last piece took the whole buffer */
    bool corked;              /* reader only: the socket gathers pieces into large segments */
    bool lagging;             /* stream.mu: counted in stream.laggards */
    bool parked;              /* stream.mu: counted in stream.parked */
    sse_leave_reason leave;   /* stream.mu: 0, or it is cut off for this reason */
    uint32_t offset;          /* reader only: bytes of current already written */
    sse__frame *current;      /* reader only: partly written, one reference */
    struct sse__sub *next;    /* stream.mu: in its group */
    uint64_t cursor;          /* stream.mu: number of the next event */
    uint64_t live_from;       /* stream.mu: of the first event that was published after it came */
    uint64_t lags_since_ms;   /* stream.mu: in the worker's way, and never at the end of the log
                                  since; 0: no */
    uint64_t missed;          /* stream.mu: events lost, gap not yet told */
    sse__held held;           /* stream.mu */

    /* The rest is for its coming and going, and for now and then. */
    struct sse__sub *prev; /* stream.mu: in its group */
    struct sse__sub *turn; /* of the lead; reader only: who writes next */
    uint64_t position;  /* reader only: what comes before this number is told, or was asked for */
    bool said_farewell; /* reader only: what comes before the end was written */
    sse_leave_reason said_end; /* connection's thread only: 0, or the end was told, and why */
    bool watched;              /* connection's thread only: the loop has it */
    bool announced;            /* connection's thread only: on_subscribe was called */
    bool left;       /* stream.mu, written by the connection's thread: it is in no group any more */
    uint64_t number; /* immutable */
    char *address;   /* immutable */
    char *last_event_id; /* immutable */
    struct sse__ip *ip;  /* immutable; counted in the hub */

    struct sse__sub *prev_in_slot, *next_in_slot; /* loop's thread only: heartbeat wheel */
    int slot;                                     /* loop's thread only; -1: not in the wheel */

    uint64_t
        expires_ms; /* loop's thread only: when its permission ends, then when it is cut off; 0: never */
    size_t expiry_place; /* loop's thread only: sse__expiry */

    struct sse__sub *next_posted; /* loop.mu: in the loop's list (user daemons only) */
    bool posted;                  /* loop.mu: it is in that list */
    bool post_add;                /* loop.mu: to be put into the wheel */
    bool post_remove;             /* loop.mu: to be taken off and freed */

    /* rank SUBSCRIBER; guards what says so; not used in a shard, where the loop's thread does it all */
    sse__mutex mu;
} sse__sub;

/* How many streams a connection can have: the id of each event holds a position for each. */
#define SSE__TOGETHER 32

/* A shard's subscribers are woken, read and ended by one thread, that of the loop: they need no lock for that. */
static inline void sse__sub_lock(sse__sub *sub)
{
    if (!sub->shard)
        sse__mutex_lock(&sub->mu);
}

static inline void sse__sub_unlock(sse__sub *sub)
{
    if (!sub->shard)
        sse__mutex_unlock(&sub->mu);
}

/* What a new subscriber asked for. */
typedef struct sse__sub_request {
    sse__stream **streams; /* no two the same */
    size_t stream_count;   /* at least 1, at most SSE__TOGETHER */
    struct MHD_Connection *connection;
    struct sse__shard *shard; /* NULL in a user's daemon */
    struct sse__loop *loop;
    int fd;
    const char *address;
    const char *last_event_id; /* NULL or "" for none */
    uint64_t expires_ms;       /* by sse__now_ms(); 0: never */
} sse__sub_request;

/* Make a subscriber, or several with one connection (*out is the lead), and add it to its stream and loop.
 * Returns: SSE_OK; SSE_ELIMIT: one of the limits; SSE_ECLOSED: the stream or the server has ended;
 *          SSE_ENOMEM.
 * Thread:  of the connection. */
SSE_NODISCARD sse_err sse__sub_new(const sse__sub_request *request, sse__sub **out);

/* Values that sse__sub_read() returns beside a count. */
#define SSE__READ_END (-1)
#define SSE__READ_ERROR (-2)

/* Write what is due into buf. 0: nothing is, and the connection has been suspended.
 * Thread:  of the connection. */
ptrdiff_t sse__sub_read(sse__sub *sub, char *buf, size_t max);

/* The connection is over: leave the stream, tell the user, free.
 * Thread:  of the connection. */
void sse__sub_finish(sse__sub *sub);

/* Have the reader called. Returns true if the connection was suspended.
 * Thread:  its loop's; stream.mu may be held. */
bool sse__sub_wake(sse__sub *sub);

/* Cut the connection off: whatever waits for it is lost. The caller holds stream.mu.
 * Thread:  any; the loop's for SSE_LEFT_GONE, and it wakes the subscriber afterwards. */
void sse__sub_cut_locked(sse__sub *sub, sse_leave_reason reason);

/* The worker need not wait for it any more. The caller holds stream.mu. */
void sse__sub_stop_lagging_locked(sse__sub *sub);

/* Cut off a subscriber, and those that it leads. One of them that is cut off already says why for all.
 * Thread:  loop's. */
void sse__sub_cut(sse__sub *sub, sse_leave_reason reason);
/* Why it, or one of those that it leads, was cut off, which ends the connection of all. 0: none was.
 * Thread:  any on which it is alive. */
sse_leave_reason sse__sub_cut_reason(sse__sub *lead);
/* Cut off a subscriber, and those that it leads, if the client has vanished: it acknowledged nothing for so long. Returns whether
 * it has.
 * Thread:  loop's. */
bool sse__sub_end_if_vanished(sse__sub *sub, uint32_t limit_ms);
/* Leave the stream, because it has ended or (`why`, unless 0) the connection has; of several, the others stay. Nothing happens to one
 * that has left.
 * Thread:  of the connection. */
void sse__sub_leave(sse__sub *sub, sse_leave_reason why);

/* ---- together.c ---- */

/* True when the connection has several streams. */
static inline bool sse__sub_together(const sse__sub *sub) { return sub->lead->next_member != NULL; }
/* The same event (takes the reference) with an id that holds the positions of all streams. NULL: no memory.
 * Thread:  of the connection. */
sse__frame *sse__together_frame(const sse__sub *sub, sse__frame *frame);
/* What `id`, as the client sent it, means for each of these streams: out[i] is a part of it, or empty for nothing. */
void sse__together_last_ids(sse__stream *const *streams, size_t n, sse_str id, sse_str *out);
/* What a request for these streams that resumes takes at the most: query and Last-Event-ID, without the publishers' ids. */
size_t sse__together_request_bytes(const sse_str *names, size_t n);
/* The position of this stream in an id of a connection with several. */
bool sse__together_find(const sse__stream *st, sse_str id, uint64_t *seq);

/* The worker needs the log's oldest entries to go, up to `target`: apply the slow-consumer policy
 * to a subscriber that still wants them. The caller holds stream.mu. */
void sse__sub_overtake_locked(sse__sub *sub, uint64_t target);

/* Free what sse__sub_finish() has left, and those that it leads. NULL is fine.
 * Thread:  loop's, or the connection's when the loop has stopped. */
void sse__sub_destroy(sse__sub *sub);

#endif
