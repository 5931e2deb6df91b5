/* `inside`: what the libraries do in this process, without a server of its own in between. Its
 * scenarios and what they share. */
#ifndef BENCH_INSIDE_H
#define BENCH_INSIDE_H

#include "bench.h"

#include <stdatomic.h>

/* Each measures one thing and adds its columns to s. They return TOOL_GO_ON, or an exit code after a
 * message. */
int inside_publish(bench *b, scenario_result *s);
int inside_publish_to(bench *b, scenario_result *s); /* with subscribers */
int inside_streams(bench *b, scenario_result *s);
int inside_chan(bench *b, scenario_result *s);
int inside_client(bench *b, scenario_result *s);

/* How long is measured: --duration, or two seconds. */
uint64_t inside_ns(const bench *b);

/* Say that `what` failed, here and in r; returns TOOL_UNAVAILABLE. */
int inside_failed(const bench *b, result *r, const char *what, sse_err err);

/* What this process has used so far. */
typedef struct inside_use {
    uint64_t at_ns, cpu_ns;
    uint64_t switches; /* a thread waited, and gave its core away */
    uint64_t io_calls; /* calls of read(), write() and their like */
} inside_use;

inside_use inside_use_now(void);
/* Into r: events a second, CPU time, switches and calls for each, of `events` since `before`. */
void inside_take(result *r, const inside_use *before, uint64_t events);

#endif
