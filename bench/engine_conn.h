/* One subscriber's connection, inside the load engine. Owned by one of its threads. */
#ifndef BENCH_ENGINE_CONN_H
#define BENCH_ENGINE_CONN_H

#include "engine.h"

#include <stdatomic.h>

typedef enum conn_state {
    CONN_IDLE = 0, /* to be connected */
    CONN_CONNECTING,
    CONN_HANDSHAKE, /* of TLS */
    CONN_HEAD,      /* the request is out */
    CONN_BODY,
    CONN_OVER, /* was served, then the connection ended */
    CONN_FAILED,
} conn_state;

typedef struct conn {
    int fd;
    conn_state state;
    uint64_t started_ns; /* connect() */
    http_chunks chunks;
    scan scan;
    char *head;       /* an answer's head that came in pieces */
    tls_session *tls; /* NULL: plain */
    uint32_t head_len;
    bool chunked;
    bool reserved[3];
} conn;

#define CONN_BUFFER ((size_t)256 << 10)

/* One thread of the engine. */
typedef struct lane {
    engine *engine;
    conn *conns;
    char **requests; /* by stream, shared */
    char *buffer;    /* of CONN_BUFFER bytes */
    char *sealed;    /* the same for what is not decrypted yet; NULL without TLS */
    uint32_t n;
    uint32_t next_idle; /* where to look for one to connect */
    uint32_t in_flight;
    uint32_t wave; /* the last one that was begun */
    int epoll;
    int wake; /* eventfd */
    atomic_uint served, failed;
    atomic_uint over; /* were served, and then their connection ended */
    atomic_uint wave_seen;
    atomic_uint incomplete; /* subscribers that have not seen all, once asked */
    atomic_uint rounds;     /* how often that was counted */
    atomic_ullong delivered;
    uint64_t slot_ns;
    uint64_t bytes, in_window, bytes_in_window, disconnected;
    uint64_t slots[ENGINE_SLOTS];
    histogram connects;
    tally tally;
} lane;

/* Start connecting. */
void conn_open(lane *l, conn *c);
/* Something is to be read or written, or has gone wrong. */
void conn_ready(lane *l, conn *c, uint32_t events);
/* Close, in whatever state; `to` is the state afterwards. */
void conn_close(lane *l, conn *c, conn_state to);

/* The source address for the next connection: 127.0.0.1 has ports for some 28,000 connections to
 * one server, half of which are found quickly, so each 10,000 come from an address of their own. Returns false when the system is
 * to choose. */
bool engine_source(engine *e, struct sockaddr_storage *source, socklen_t *len);
const engine_options *engine_opts(const engine *e);
/* One connection failed, or ended; error 0: `what` says all. Thread: any. */
void engine_note_failure(engine *e, const char *what, int error);

#endif
