/* The load engine: many subscribers on few threads, each thread with an epoll set of its own.
 *
 * Threads: one owner calls these functions; the engine's threads write their own counters, which
 * the owner reads after engine_stop(), and a few atomics, which it may read at any time. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include "http1.h"
#include "scan.h"
#include "tls_client.h"

#define ENGINE_SLOTS 240 /* of the deliveries over time */
#define ENGINE_MAX_THREADS 64

typedef struct engine_options {
    const http_url *url;
    const tls_trust *trust;     /* when it is an https URL */
    const char *const *headers; /* further request headers, or NULL */
    uint32_t subscribers;
    uint32_t streams;   /* subscriber i is on stream i % streams */
    uint32_t threads;   /* 0 = 1 */
    uint32_t in_flight; /* connects that may be under way at once; 0 = 128 */
    uint32_t run;       /* of the stamps */
    uint32_t payload;   /* bytes of the stamped payloads; 0: somebody else's events */
    bool named;         /* as in http_target() */
    bool reset;         /* close with RST, which leaves no TIME_WAIT behind */
    bool reserved[2];
} engine_options;

typedef struct engine engine;

/* What was counted, by all threads together. */
typedef struct engine_totals {
    tally tally;
    histogram connects;       /* from connect() to the end of the answer's head, TLS included */
    uint64_t bytes;           /* received, framing included, that of TLS not */
    uint64_t in_window;       /* deliveries received within the window */
    uint64_t bytes_in_window; /* and their bytes */
    uint64_t
        slots[ENGINE_SLOTS]; /* deliveries over the window as it was first set, evenly divided */
    uint64_t disconnected;   /* subscribers whose connection ended */
    uint64_t missing;        /* numbers that never came at the end, in no tally */
    double busiest;          /* CPU share of the busiest thread within the window */
} engine_totals;

/* Start threads, which connect at once. Exits the program when threads cannot be had. */
engine *engine_start(const engine_options *options);

/* Wait until each subscriber is served, has failed or has lost its connection again, or `timeout_ns` is over, or a signal came. `tick` (may be
 * NULL) is called ten times a second. Returns how many are served. */
uint32_t engine_wait_served(engine *e, uint64_t timeout_ns, void (*tick)(engine *, void *),
                            void *user);
uint32_t engine_served(const engine *e);
uint32_t engine_failed(const engine *e);
/* Why subscribers were not served, or lost their connection: each reason, with its number when there
 * are several; "" when all is well. */
void engine_failures(engine *e, char *out, size_t size);

/* Deliveries so far, of all threads. */
uint64_t engine_delivered(const engine *e);

/* From when to when the clock counts. To be called before `from`, and again, with the same `from`, when the window ends early. */
void engine_window(engine *e, uint64_t from, uint64_t to);
/* CPU of the threads is taken between these; call them at the window's ends. */
void engine_window_begins(engine *e);
void engine_window_ends(engine *e);

/* After the publisher has ended: published[s] events of stream s. Wait until each subscriber has
 * seen the last one, or until nothing has come for `patience_ns`. */
void engine_drain(engine *e, const uint64_t *published, uint64_t patience_ns);

/* Close all connections and open them again; then engine_wait_served(). */
void engine_reconnect(engine *e);

/* End the threads (connections stay open) and add everything up. */
void engine_stop(engine *e, engine_totals *totals);
/* Close the connections, free. */
void engine_free(engine *e);

#endif
