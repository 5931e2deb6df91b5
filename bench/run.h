/* One measured run: subscribers on a server, a publisher or none, a window in which the clock
 * counts. One thread calls; the engine and the publisher have their own. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "engine.h"
#include "parts.h"
#include "procstat.h"
#include "publisher.h"
#include "result.h"

typedef struct run_options {
    engine_options engine;
    publisher_options publisher; /* url NULL: nobody publishes */
    proc_group server;           /* n 0: unknown */
    meeting *meet;          /* with the other parts before the window and at the end; or NULL */
    const http_url *status; /* subscribers leave; the server tells here how many it has */
    uint32_t duration_ms, warmup_ms;
    uint32_t timeout_ms; /* for all to be served; 0: two minutes */
    uint32_t settle_ms;  /* after the last connect */
    uint32_t replay;     /* publish so many events first; then all come at once and get them */
    bool memory;         /* resident bytes are of interest */
    bool connect_only;   /* the window is the ramp */
    bool publish_alone;  /* measure what publishing costs too */
    bool tell_progress;
    bool one_core; /* this program is pinned to one */
    bool reserved[3];
} run_options;

/* Returns TOOL_GO_ON; TOOL_UNAVAILABLE after a message in r->failure. */
int run_measure(const run_options *options, result *r);

/* What run_measure() does when there is a status: subscribers leave, one and all. In gone.c. */
int run_gone(const run_options *options, result *r);

/* As many subscribers as there are descriptors for, here and in a server that inherits the limit;
 * noted when that is fewer. */
uint32_t run_affordable(uint32_t wanted, result *r);

/* A number that differs from run to run. */
uint32_t run_number(void);

#endif
