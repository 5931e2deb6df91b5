/* The baseline: what a single-threaded epoll server costs that does nothing but send the bytes.
 *
 * GET /TARGET subscribes, POST /TARGET publishes: its body is the data of one event, or, as
 * text/event-stream, events in wire format, each with one data line. Events get an id line of the
 * length that sse-server's have, are encoded once, and go to each subscriber by one send() (of as
 * much as is due to it, up to `coalesce` events). No chunks, no history, no heartbeat, no limits:
 * this is what the sockets allow. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stdint.h>

typedef struct raw_options {
    int listener;       /* bound and listening, non-blocking */
    uint32_t coalesce;  /* events in one send() at most */
    uint32_t replay;    /* events that a new subscriber gets from what went before */
    uint32_t log_bytes; /* of a stream, a power of two: publishers wait when it is full */
} raw_options;

/* GET: how many subscribers there are. */
#define RAW_STATUS "/metrics"

/* Serve until killed. For a process of its own. */
_Noreturn void raw_serve(const raw_options *options);

#endif
