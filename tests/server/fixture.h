/* A hub inside the test, with a listener of its own, and what most tests do with it. Everything
 * here fails the test that calls it, so it may be called by the test's own thread only, unless it
 * says otherwise. */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include "../support/http.h" /* not server/http.h */
#include "wait.h"

#include <sse/server.h>

enum { LONG = 60000 }; /* milliseconds; only turns a hang into a failure */

/* Defaults that suit tests: no heartbeats, two I/O threads. */
sse_server_options fixture_options(void);

/* Start a hub that listens on a free port of 127.0.0.1. options may be NULL. */
sse_server *serve(const sse_server_options *options, uint16_t *port);

/* Create with the server's options. */
void create(sse_server *server, const char *stream);

/* Publish data; with an id, too. */
void say(sse_server *server, const char *stream, const char *data);
void say_id(sse_server *server, const char *stream, const char *id, const char *data);
/* Publish numbers as data, from first on. */
void say_numbers(sse_server *server, const char *stream, uint64_t first, uint64_t n);

/* GET /events?stream=...; last (may be NULL) is sent as Last-Event-ID. */
http_conn *join(uint16_t port, const char *stream);
http_conn *join_after(uint16_t port, const char *stream, const char *last);
/* The same without a look at the answer, with a small receive buffer: it takes little before the
 * server's side is full. */
http_conn *join_silently(uint16_t port, const char *stream, int rcvbuf);

/* The next event, any; its data has to be given back. Fails at the end of the stream. */
http_block next(http_conn *c);
/* The next event is of this data. */
void expect_data(http_conn *c, const char *data);
/* The next events are these numbers. */
void expect_numbers(http_conn *c, uint64_t first, uint64_t n);
/* The next event is a gap: how many events it says were missed (UINT64_MAX: null). */
uint64_t expect_gap(http_conn *c);
/* The stream ends as it should. What still comes before is dropped. */
void expect_end(http_conn *c);
/* The next block says that the permission has expired, and the stream ends. Closes the connection. */
void expect_farewell(http_conn *c);
/* Nothing more has come, as far as a marker shows that is published now. */
void expect_nothing_but(sse_server *server, http_conn *c, const char *stream, const char *marker);

/* A request on a connection of its own; the answer's status. *body (may be NULL) gets a copy. */
int ask(uint16_t port, const char *method, const char *target, const char *headers,
        const char *body, http_response *out);
int status_of(uint16_t port, const char *method, const char *target, const char *headers,
              const char *body);

/* Statistics, and waiting until they say something. Any thread. */
sse_stream_stats stats_of(sse_server *server, const char *stream);
sse_server_stats totals(sse_server *server);
void wait_subscribers(sse_server *server, const char *stream, uint64_t n);
void wait_left(sse_server *server, sse_leave_reason reason, uint64_t n);
void wait_published(sse_server *server, const char *stream, uint64_t n); /* and processed */

/* How many shards the first loop has started, for connections without TLS, until somebody subscribed to this stream: one who is
 * still there, or it fails. */
size_t shards_after(sse_server *server, const char *stream);

/* Data of so many bytes, NUL-terminated, static. */
const char *bulk(size_t n);

#endif
