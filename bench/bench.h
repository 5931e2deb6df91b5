/* sse-bench: its options and its commands. Not part of the library. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "publisher.h"
#include "result.h"
#include "tool.h"

/* Zero: not given. */
typedef struct bench_options {
    uint32_t subscribers, streams, payload, threads, in_flight, batch, pipeline, waves, publishers;
    uint32_t duration_ms, warmup_ms;
    uint32_t server_pid;
    uint32_t timeout_ms; /* of the ramp, of a wave */
    double rate, scale;
    publish_format format;
    bool rate_given; /* 0 is as fast as possible */
    bool pin;        /* load: this program to core 1 */
    bool no_pin;     /* fanout: nothing to nowhere */
    bool insecure;
    bool warmup_given;
    const char *unix_socket, *publish_url, *json, *report, *server, *cacert;
    tool_list scenarios, servers, server_args, headers, publish_headers;
} bench_options;

typedef struct bench {
    const tool *tool;
    const bench_options *options;
    const char *word; /* the URL, the file */
    tls_trust *trust; /* once there is an https URL */
    FILE *out;        /* where tables go; NULL before output_check() */
    int out_error;    /* errno of the first that could not be written there */
    bool reserved[4];
    results all;
} bench;

/* Each returns TOOL_DONE, or the exit code after a message on stderr. What was measured is in
 * b->all, and printed. */
int bench_load(bench *b);
int bench_fanout(bench *b);
int bench_parse(bench *b);
int bench_storm(bench *b);
int bench_inside(bench *b);

#define BENCH_FAILED 1 /* exit code: losses, duplicates, misorders */

/* Parse and resolve a URL; the first one that is https says whom to trust. Returns TOOL_GO_ON, or the
 * exit code after a message. */
int bench_url(bench *b, const char *text, http_url *url);

/* Bytes of a payload: what was asked for, or `otherwise`. Returns TOOL_GO_ON, or TOOL_USAGE after a
 * message. */
int bench_payload(const bench *b, uint32_t otherwise, uint32_t *payload);

#endif
