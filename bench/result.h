/* What was measured, and its ways out: a table, JSON, a page. One thread. */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include "engine.h"

#include <stdio.h>

#define RESULT_NOTES 6

/* Of one server in one scenario. A number that does not apply is negative. */
typedef struct result {
    const char *server; /* "raw", "sse-server", ... */
    double deliveries_per_s;
    double events_per_s;           /* published, or parsed */
    double server_us_per_delivery; /* publishing included */
    double fanout_us_per_delivery; /* without what publishing costs when nobody subscribes */
    double server_us_per_publish;  /* that cost, of an event */
    double server_us_per_connect;
    double server_cpu, client_cpu; /* cores */
    double p50_us, p90_us, p99_us, p999_us, max_us;
    double bytes_per_subscriber;
    double connects_per_s;
    double mb_per_s;
    double served_after_ms; /* replay, storm: until all had what they came for */
    double us_per_event;    /* inside: CPU of this process; so the next two */
    double switches_per_event, io_calls_per_event;
    double creates_per_s, removes_per_s, bytes_per_stream; /* inside: streams */
    double threads_busy, threads_idle;
    double gone_fin_ms, gone_rst_ms, gone_all_ms; /* gone: until the server's count has dropped */
    double seconds;                               /* of the window, or of what was timed */
    double lost, duplicated, misordered, misdelivered, disconnected;
    uint64_t published;
    uint64_t slots[ENGINE_SLOTS]; /* deliveries over the window */
    histogram latency;
    uint32_t subscribers;
    uint32_t nnotes;
    bool judged; /* what it loses is a failure of the run */
    bool reserved[7];
    char notes[RESULT_NOTES][400]; /* what a reader has to know, such as who the bottleneck was */
    char failure[600];             /* why there is nothing, or "" */
} result;

void result_init(result *r, const char *server);
void result_note(result *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Losses, duplicates, misorders or the like. */
bool result_is_bad(const result *r);
/* Add what one of several processes measured; `before` parts were added already. Rates and CPU are
 * sums; costs and memory are of all together. */
void result_merge(result *into, const result *part, uint32_t before);
/* p50 and so on from r->latency. */
void result_quantiles(result *r);

#define RESULT_SERVERS 8

typedef struct scenario_result {
    char name[64];
    char what[256]; /* in words */
    result *servers[RESULT_SERVERS];
    size_t n;
} scenario_result;

typedef struct results {
    scenario_result *scenarios;
    size_t n;
    char title[128]; /* the command, for the page */
} results;

scenario_result *results_scenario(results *all, const char *name, const char *what);
/* A new result, owned by the scenario. */
result *results_server(scenario_result *s, const char *server);
void results_free(results *all);
/* Any bad result that is judged. */
bool results_bad(const results *all);

/* The table: servers side by side, and what the others are in multiples of the first one. */
void results_print(const scenario_result *s, FILE *out);
/* Return false with errno set. */
bool results_write_json(const results *all, FILE *f);
bool results_write_report(const results *all, FILE *f);

/* The numbers of a result, in the order in which they are shown. */
typedef struct metric {
    const char *key;   /* of the JSON */
    const char *title; /* of the table */
    const char *chart; /* of its bars on the page, NULL: none */
    size_t offset;     /* of a double in result */
    int decimals;
    bool ratio; /* a multiple of the baseline makes sense */
    bool reserved[3];
} metric;
extern const metric metrics[];
extern const size_t nmetrics;
double metric_of(const result *r, const metric *m);

#endif
