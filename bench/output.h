/* Where results go: tables to stdout, the JSON and the page to files. One thread. */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include "bench.h"

/* Look whether the files can be written, before anything is measured for them. Returns TOOL_GO_ON, or
 * the exit code after a message. */
int output_check(bench *b);

/* A scenario's table; nothing when nothing was measured. */
void output_scenario(bench *b, const scenario_result *s);
/* A line. */
void output_line(bench *b, const char *format, ...) SSE_PRINTF(2, 3);

/* Write the JSON and the page. Returns `code`, or another one after a message when that or the tables
 * could not be written. */
int output_write(bench *b, int code);

#endif
