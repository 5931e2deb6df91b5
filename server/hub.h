/* The hub: what sse_server is inside. */
#ifndef SSE__HUB_H
#define SSE__HUB_H

#include "admission.h"
#include "latency.h"
#include "logger.h"
#include "refusal_log.h"
#include "stream.h"

/* Connections beside the subscribers: publishers, scrapes, probes. */
#define SSE__SPARE_CONNECTIONS 1000

/* Extra response headers, at most. */
#define SSE__HEADERS_MAX 32

/* Subscribers from one address. Guarded by hub.mu. */
typedef struct sse__ip {
    sse__strnode node;
    uint32_t count;
    char address[];
} sse__ip;

/* Answers that are errors are counted by their status: these, and the others. */
#define SSE__REFUSALS 10

/* Counters of the whole server that no stream holds; they synchronise nothing. */
typedef struct sse__hub_counters {
    _Atomic uint64_t subscribed;
    _Atomic uint64_t left[16]; /* as many as sse_server_stats has */
    _Atomic uint64_t connections;
    _Atomic uint64_t accepted;
    _Atomic uint64_t accept_errors;
    _Atomic uint64_t refused[SSE__REFUSALS];
} sse__hub_counters;

/* Connections refused at accept, by reason, and the log's lines about them: see refusal.c. */
typedef struct sse__denials {
    _Atomic uint64_t counts[SSE__DENIALS];
    _Atomic uint64_t told[SSE__DENIALS]; /* what the lines have said so far */
    _Atomic uint64_t next_line_ns;       /* not before */
} sse__denials;

/* The log's lines about single refusals: see refusal_log.c. */
typedef struct sse__refusal_log {
    void (*tell)(const sse__refused *refused); /* immutable; NULL: through the logger */

    sse__mutex mu;     /* rank LEAF; guards everything below */
    uint64_t until_ns; /* `lines` are counted until then */
    uint64_t lines;
    uint64_t untold;
} sse__refusal_log;

/* What the streams have done, and hold, together. */
typedef struct sse__totals {
    sse__stream_counters counters;
    uint64_t published;
    uint64_t dropped[SSE_SLOW_BLOCK + 1]; /* by policy */
    uint64_t queued;                      /* from here on: now */
    uint64_t backlog;
    uint64_t history;
    uint64_t history_bytes;
} sse__totals;

struct sse_server {
    /* immutable */
    sse_server_options options;       /* defaults filled in; its arrays are our copies */
    sse__stream_config stream_config; /* what options.stream said, which is NULL now */
    sse_server_callbacks callbacks;   /* likewise */
    sse__frame *retry;                /* first frame of every subscriber, or NULL */
    char **headers;
    char **host_names;
    char *tls_cert_file, *tls_key_file; /* or NULL */
    sse__admission *admission;          /* or NULL: no limit */
    struct sse__loop *keeper; /* housekeeping, and subscribers in the user's own daemons */

    /* atomic */
    atomic_uint refs;    /* the owner, streams */
    atomic_bool closing; /* set once by sse_server_close() */
    _Atomic uint64_t next_number;
    _Atomic uint64_t epoch;
    _Atomic uint64_t nsubs_at_close; /* how far the reconnections are spread */
    sse__hub_counters counters;
    sse__denials denials;
    sse__refusal_log refusal_log;
    atomic_uint next_tls_loop; /* TLS connections go to the loops in turn */

    sse__mutex identity_mu;         /* rank LEAF; guards `identity` */
    struct sse__identity *identity; /* for new TLS connections; or NULL */

    sse__mutex workers_mu; /* rank LEAF; guards `workers` */
    sse__cond no_workers;  /* sse_server_stop() waits: the last worker went */
    uint64_t workers;

    sse__mutex cors_mu;  /* rank LEAF; guards `cors_origins` */
    char **cors_origins; /* ours, ended by NULL */

    sse__mutex mu;       /* rank HUB; guards everything below */
    sse__cond idle;      /* sse_server_stop() waits: the last subscriber went */
    sse__strmap streams; /* holds a reference of each */
    sse__stream *alive;  /* every stream struct that exists, for the totals */
    sse__strmap ips;
    uint64_t nsubs;
    struct sse__loop **loops; /* those with a listener */
    size_t nloops;
    struct sse__listener *listeners;
    sse__totals removed; /* of streams that are gone */
    bool stopping;       /* sse_server_stop() runs or has run */
    bool stopped;
};

sse_server *sse__hub_ref(sse_server *hub);
void sse__hub_unref(sse_server *hub);

/* The stream of this name with a new reference; `create`: make it if the server makes streams by
 * itself.
 * Returns: SSE_OK, SSE_ENOSTREAM, and what sse_server_create_stream() returns.
 * Thread:  any. */
SSE_NODISCARD sse_err sse__hub_stream(sse_server *hub, const char *name, bool create,
                                      sse__stream **out);

/* Check an event against the options and copy it.
 * Returns: SSE_OK, SSE_EINVAL, SSE_ETOOBIG, SSE_ENOMEM. */
SSE_NODISCARD sse_err sse__hub_message(const sse_server *hub, const sse_event *event,
                                       sse_msg **out);

/* Around a callback of the user's: inside it nothing waits. Thread: the one that calls it. */
void sse__hub_callback_begin(void);
void sse__hub_callback_end(void);

/* Count a subscriber from this address in, or refuse: SSE_OK, SSE_ELIMIT, SSE_ECLOSED, SSE_ENOMEM.
 */
SSE_NODISCARD sse_err sse__hub_enter(sse_server *hub, const char *address, sse__ip **ip);
void sse__hub_leave(sse_server *hub, sse__ip *ip);

/* A worker starts, ends; and how many there are.
 * Thread:  any; any lock may be held. */
void sse__hub_worker_started(sse_server *hub);
void sse__hub_worker_ended(sse_server *hub);
uint64_t sse__hub_workers(sse_server *hub);

/* Remove automatic streams that have been idle. Returns when it is to be called again.
 * Thread:  the keeper's. */
uint64_t sse__hub_reap(sse_server *hub, uint64_t now_ms);

/* ---- totals.c ---- */

/* The status of the i-th counter of refusals; 0: all others. */
extern const unsigned sse__refusals[SSE__REFUSALS];
/* Count an answer, if it is an error.
 * Thread:  any. */
void sse__hub_count_answer(sse_server *hub, unsigned status);
/* Add what a stream has done. The caller holds hub.mu and either both mutexes of the stream or its last reference. */
void sse__totals_add_locked(sse__totals *sum, const sse__stream *st);
/* Of all streams that there are or were, and how long their events took.
 * Thread:  any. */
void sse__hub_totals(sse_server *hub, sse__totals *out);
void sse__hub_latency(sse_server *hub, sse__latency_sum *out);

/* ---- refusal.c ---- */

/* "rate", "address", "server", "memory". */
const char *sse__denial_name(sse__denial denial);
/* Count a connection that is refused, and tell the log, if it is not too soon.
 * Thread:  any, without a lock. */
void sse__hub_count_denial(sse_server *hub, sse__denial denial, const struct sockaddr *address);
/* Tell the log what it has not been told, if it is not too soon; or anyhow.
 * Thread:  any, without a lock. */
void sse__hub_tell_denials(sse_server *hub, bool anyhow);

/* ---- hub.c ---- */

/* A stream's struct comes and goes; its counters stay in the totals. */
void sse__hub_stream_born(sse_server *hub, sse__stream *st);
void sse__hub_stream_dead(sse_server *hub, sse__stream *st);

/* ---- options.c ---- */

/* Check and copy. Returns SSE_OK, SSE_EINVAL, SSE_ENOMEM; sse__options_fini() is due in any case.
 */
SSE_NODISCARD sse_err sse__options_init(sse_server *hub, const sse_server_options *options);
void sse__options_fini(sse_server *hub);

/* The certificate for a new connection, with a reference; NULL when there is none.
 * Thread:  any. */
struct sse__identity *sse__hub_identity(sse_server *hub);

#endif
