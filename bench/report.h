/* Inside the page: its charts. One thread. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "result.h"

/* Latency by percentile, of all servers that have one; false when none has. */
bool report_has_latency(const scenario_result *s);
void report_latency(FILE *f, const scenario_result *s);

/* Deliveries a second over the window. */
bool report_has_timeline(const scenario_result *s);
void report_timeline(FILE *f, const scenario_result *s);

/* Text in which <, > and & are written so that a browser shows them. */
void report_text(FILE *f, const char *s);

/* A number for people: 1.25 M, 830 k, 12.4, 0.83. */
void report_number(char out[32], double value);
/* Microseconds for people: 83 us, 1.2 ms, 2 s. */
void report_time(char out[32], double us);

#endif
