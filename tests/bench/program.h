/* What the tests of sse-bench as a program share: running it, and reading what it writes. Everything
 * that goes wrong in here fails the test that calls it. */
#ifndef TEST_BENCH_PROGRAM_H
#define TEST_BENCH_PROGRAM_H

#include "proc.h"

enum { LONG = 120000 };

#define ARGS(...)                                                                                  \
    (const char *const[]) { __VA_ARGS__, NULL }

/* Run sse-bench with these arguments (up to NULL). The caller frees. */
proc *bench(const char *const args[], int *code);
/* The same; it must exit with this code and have said that (or NULL) on stderr. */
void expect_code(const char *const args[], int expected, const char *on_stderr);
/* The same with several texts, up to NULL. */
void expect_says(const char *const args[], int expected, const char *const on_stderr[]);
/* The same with a program at some other path. */
void expect_code_of(const char *program, const char *const args[], int expected,
                    const char *on_stderr);

/* http://127.0.0.1:PORT and a path, https:// and the same. One of four buffers. */
const char *url_of(uint16_t port, const char *path);
const char *https_of(uint16_t port, const char *path);

/* A file that does not exist yet. Static memory of this test, of two names. */
const char *temporary(void);
/* Read a file, and remove it. The caller frees. */
char *slurp(const char *path);

/* The same of a file that must be JSON. */
char *read_json(const char *path);
/* What it says of a server in its i-th scenario, which has this name. */
const char *server_of(const char *json, size_t i, const char *scenario, const char *server);
/* A number that it says of that server. */
double number(const char *server, const char *key);
void expect_nothing_lost(const char *server);
/* Quantiles in order. */
void expect_latency(const char *server);

#endif
