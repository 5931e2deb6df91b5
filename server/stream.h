/* A stream: an inbox that publishers fill, a worker thread that empties it into the log, and the
 * subscribers that read the log.
 *
 * Lock order: hub.mu, inbox_mu, mu, a subscriber's mu, a loop's mu. */
#ifndef SSE__STREAM_H
#define SSE__STREAM_H

#include "history.h"
#include "ring.h"
#include "strmap.h"

#include <sse/server.h>

struct sse__loop;
struct sse__sub;
struct sse__stream;

/* Options of a stream with the defaults filled in. */
typedef struct sse__stream_config {
    sse__history_limits limits;
    uint32_t inbox_events;
    uint32_t slow_grace_ms;
    sse_replay replay;
    sse_slow_policy slow;
    bool base64;
} sse__stream_config;

/* The subscribers of one stream that one loop serves. Lives as long as its stream. */
typedef struct sse__group {
    struct sse__stream *stream; /* immutable */
    struct sse__loop *loop;     /* immutable */
    struct sse__group *next;    /* immutable once published under stream.mu */
    struct sse__sub *subs;      /* stream.mu */
    /* stream.mu: the loop is going through subs, and comes to this one next; or NULL */
    struct sse__sub *wake_next;
    struct sse__group *queued;      /* loop.mu: next in the loop's queue */
    bool in_queue;                  /* loop.mu; the queue holds a reference to the stream */
    bool ending;                    /* loop's thread only: in its list of ending groups */
    uint64_t force_at_ms;           /* loop's thread only: when what is left is cut off */
    struct sse__group *next_ending; /* loop's thread only */
} sse__group;

/* Counters since the stream was made; stream.mu. */
typedef struct sse__stream_counters {
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t delivered;
    uint64_t dropped;
    uint64_t slow_closed;
    uint64_t gaps;
    uint64_t replayed;
} sse__stream_counters;

#define SSE__BATCH 64

typedef struct sse__stream {
    sse__strnode node; /* hub.mu; its key is `name` */
    struct sse__stream *prev_alive,
        *next_alive;           /* hub.mu: streams whose struct exists, removed ones too */
    sse_server *hub;           /* immutable; one reference */
    uint64_t epoch;            /* immutable; different for each stream there ever was */
    sse__stream_config config; /* immutable */

    atomic_uint refs;
    atomic_bool automatic; /* made by auto_stream: removed when idle */

    sse__mutex inbox_mu; /* rank INBOX; guards down to the next mutex */
    sse__cond room;      /* publishers wait: the worker took something, or the stream closed */
    sse__gate work;      /* the worker sleeps: something was published, or the stream closed */
    sse__ring inbox;     /* sse_msg, one reference each */
    sse_msg **taken;     /* the worker's batch that is not in the log yet, for the look-up of ids */
    size_t taken_count;
    uint64_t next_seq; /* of the next event that is accepted */
    uint64_t published;
    uint64_t inbox_bytes; /* of what is in the inbox */
    uint64_t active_ms;   /* last publish, subscribe or unsubscribe */
    uint32_t publishers_waiting;
    bool worker;        /* a worker thread runs */
    bool worker_sleeps; /* at `work`; who sets it to false opens the gate, once, after inbox_mu */
    bool closed;        /* nothing is accepted any more */

    sse__mutex mu; /* rank STREAM; guards everything below */
    sse__cond
        progress; /* the worker waits for laggards: they read, left, or the stream was forced */
    sse__history log;
    sse__group *groups;
    uint64_t nsubs;
    uint64_t parked;     /* subscribers that get no new events just now (drop-newest) */
    uint64_t lag_target; /* the worker waits until no cursor is below */
    uint64_t laggards;   /* subscribers marked as lagging */
    sse__stream_counters counters;
    sse_leave_reason end_reason; /* why it ends; 0 until it is closed */
    bool ended;                  /* closed, and all that was accepted is in the log */

    char name[]; /* immutable */
} sse__stream;

static inline sse__stream *sse__stream_of(sse__strnode *node)
{
    return (sse__stream *)(void *)((char *)node - offsetof(sse__stream, node));
}

/* ---- stream.c ---- */

/* What the user's options (NULL: all defaults) mean, defaults filled in. False: they make no sense,
 * the logger is told why, and *config is as it was. */
bool sse__stream_configure(const sse_stream_options *options, const sse_logger *logger,
                           sse__stream_config *config);
SSE_NODISCARD sse_err sse__stream_new(sse_server *hub, const char *name,
                                      const sse__stream_config *config, sse__stream **out);
sse__stream *sse__stream_ref(sse__stream *st);
void sse__stream_unref(sse__stream *st);

/* Bytes of its parts. */
uint64_t sse__stream_msg_bytes(const sse_msg *msg);
/* Put an event's data into base64; the caller frees *buffer. Returns SSE_OK, SSE_ENOMEM. */
SSE_NODISCARD sse_err sse__stream_base64(sse_event *event, char **buffer);

/* Accept n checked messages (a reference of each is taken), all or none, in order; *first_seq:
 * number of the first.
 * Returns: SSE_OK, SSE_EFULL (block is false), SSE_ETOOBIG (n > ring), SSE_ECLOSED, SSE_ENOMEM.
 * Thread:  any. */
SSE_NODISCARD sse_err sse__stream_publish(sse__stream *st, sse_msg **msgs, size_t n, bool block,
                                          uint64_t *first_seq);
/* Accept nothing more; end the subscribers when all that was accepted is delivered. Idempotent.
 * Thread:  any. */
void sse__stream_close(sse__stream *st, sse_leave_reason reason);
/* Cut off the subscribers that are left (loop == NULL: all).
 * Thread:  any. */
void sse__stream_force(sse__stream *st, const struct sse__loop *loop);
/* Mark the end and wake everybody; called by the last who had something to do. */
void sse__stream_end(sse__stream *st);
/* Tell the loops of all groups to look at this stream. The caller holds mu. */
void sse__stream_wake_locked(sse__stream *st);

/* The text of a position, "<epoch>-<seq>". */
#define SSE__ID_MAX 40
void sse__stream_format_id(const sse__stream *st, uint64_t seq, char out[SSE__ID_MAX]);
bool sse__stream_parse_id(const sse__stream *st, sse_str id, uint64_t *seq);

/* A "gap" event: `requested` may be absent, `missed` UINT64_MAX when it is not known, the next
 * event sent is `next`. NULL for want of memory. The caller holds mu. */
sse__frame *sse__stream_gap_locked(sse__stream *st, sse_str requested, uint64_t missed,
                                   uint64_t next);

void sse__stream_get_stats(sse__stream *st, sse_stream_stats *out);

/* ---- worker.c ---- */

/* Start the worker if none runs. The caller holds inbox_mu. Returns SSE_OK, SSE_ENOMEM. */
SSE_NODISCARD sse_err sse__worker_start_locked(sse__stream *st);

#endif
