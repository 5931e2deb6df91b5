/* A server for tests that sends any bytes at any time and breaks off anywhere: it knows no HTTP but
 * where a request ends.
 *
 * It listens on a free port of 127.0.0.1. Each connection has a thread that runs the test's script.
 * All waits end when the server is stopped, or after DEADLINE (scripted_server.c), which only turns
 * a hang into a failure. */
#ifndef TEST_SCRIPTED_SERVER_H
#define TEST_SCRIPTED_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct scripted scripted;
typedef struct scripted_conn scripted_conn;
typedef void (*scripted_script)(scripted_conn *c, void *user);

/* Start a server; aborts when that is not possible. The connection is closed with FIN when the
 * script returns. */
scripted *scripted_start(scripted_script script, void *user);
/* Break off all connections, wait for the scripts, free. */
void scripted_stop(scripted *s);

uint16_t scripted_port(const scripted *s);
/* "http://127.0.0.1:PORT" + path. Valid until the next call. */
const char *scripted_url(scripted *s, const char *path);

/* How many connections were accepted, and requests read; wait until there are n. The waits return
 * false when that does not happen. */
size_t scripted_connections(scripted *s);
size_t scripted_requests(scripted *s);
bool scripted_wait_connections(scripted *s, size_t n);
bool scripted_wait_requests(scripted *s, size_t n);
/* Wait until n connections have ended. */
bool scripted_wait_ended(scripted *s, size_t n);
/* The bytes of the i-th request, NUL-terminated; valid until stop. Aborts when there was none. */
const char *scripted_request(scripted *s, size_t i);
/* Its header's value (case of the name does not matter) or NULL; valid until the next call. */
const char *scripted_request_header(scripted *s, size_t i, const char *name);
/* How many headers of this name it has. */
size_t scripted_request_header_count(scripted *s, size_t i, const char *name);
/* Its body. */
const char *scripted_request_body(scripted *s, size_t i);

/* Let scripts pass conn_wait(c, gate) for every gate up to this one. */
void scripted_open_gate(scripted *s, unsigned gate);

/* ---- Inside a script ---- */

/* From 0, in the order of accept. */
size_t conn_index(const scripted_conn *c);
scripted *conn_server(const scripted_conn *c);
/* Read one request with its body (Content-Length) and record it. False: the peer went away first.
 */
bool conn_read_request(scripted_conn *c);
/* The bytes of the request that this connection has read last, NUL-terminated; valid until stop. */
const char *conn_request(const scripted_conn *c);
bool conn_send(scripted_conn *c, const void *bytes, size_t n);
bool conn_puts(scripted_conn *c, const char *text);
/* Break the connection off with RST. */
void conn_reset(scripted_conn *c);
/* Stall until the gate is open. False: the server is being stopped. */
bool conn_wait(scripted_conn *c, unsigned gate);
/* Stall until the peer has closed; what it sends is dropped. */
void conn_wait_peer(scripted_conn *c);

/* ---- The common script: the i-th connection gets the i-th reply; the last one is repeated ---- */

typedef enum reply_end { END_FIN = 0, END_RST, END_HOLD } reply_end;

typedef struct scripted_reply {
    const char *bytes;
    reply_end end;
    int reserved;
} scripted_reply;

typedef struct scripted_replies {
    const scripted_reply *replies;
    size_t n;
} scripted_replies;

/* A script; user: scripted_replies. */
void scripted_play(scripted_conn *c, void *user);
#define REPLIES(...)                                                                               \
    &(scripted_replies)                                                                            \
    {                                                                                              \
        (const scripted_reply[]){__VA_ARGS__},                                                     \
            sizeof((const scripted_reply[]){__VA_ARGS__}) / sizeof(scripted_reply)                 \
    }

/* The start of an event stream's answer; the end of the stream is the end of the connection. */
#define STREAM_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

#endif
