/* What the end-to-end tests share: a running sse-server, requests to it, the project's programs,
 * JSON.
 *
 * Everything that goes wrong in here fails the test that calls it. Deadlines (LONG) only turn a
 * hang into a failure. */
#ifndef TEST_E2E_H
#define TEST_E2E_H

/* By path: server/ has an http.h as well. */
#include "../support/http.h"
#include "../support/proc.h"
#include "../support/wait.h"

enum { LONG = 60000 };

/* A list of arguments as the functions below want it. */
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* printf into one of 128 buffers of the calling thread: valid until 127 more calls. */
const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- sse-server ---- */

typedef struct hub {
    proc *process;
    uint16_t port;
    char url[64]; /* url_at(port) */
} hub;

/* Start sse-server, on a free port unless args have a --listen. args may be NULL. */
hub hub_start(const char *const args[]);
/* The same on a port that an earlier one had. */
hub hub_start_at(uint16_t port, const char *const args[]);
/* For a server that was started in another way: the port on its next line of those that say where it listens. */
uint16_t listening_port(proc *p);
/* SIGTERM; it must exit 0. */
void hub_end(hub *h);
/* SIGKILL. */
void hub_kill(hub *h);
/* A port on which nobody listens, though somebody may later. */
uint16_t unused_port(void);
/* http://127.0.0.1:PORT, or https if cert_tls() (cert.h). */
const char *url_at(uint16_t port);
/* For `cacert` of a client of the library: the authority of the hubs' certificates; NULL without TLS. */
const char *trusted(void);

/* ---- requests ---- */

/* One request on a connection of its own; http_response_fini() is the caller's. */
http_response ask(const hub *h, const char *method, const char *target, const char *headers,
                  const char *body);
/* The same, and check status and that the body holds `part` (NULL: not checked). */
void expect(const hub *h, const char *method, const char *target, const char *headers,
            const char *body, int status, const char *part);
/* Like expect() with an error status: the body must be one plain sentence. */
void expect_error(const hub *h, const char *method, const char *target, const char *headers,
                  const char *body, int status, const char *part);

/* Publish one event; `more` is put behind ?stream=NAME, such as "&id=7"; may be NULL. */
void publish(const hub *h, const char *stream, const char *more, const char *data);
/* Publish events whose data are the numbers first ... first + n - 1, in batches. */
void publish_numbers(const hub *h, const char *stream, size_t first, size_t n);

/* ---- a plain subscriber ---- */

/* Subscribe; `more` as above. */
http_conn *follow(const hub *h, const char *stream, const char *more, const char *headers);
/* The next block has just these parts; NULL: it lacks this one. */
void expect_block(http_conn *c, const char *id, const char *type, const char *data,
                  const char *retry);
/* The next event's data must be this. */
void expect_data(http_conn *c, const char *data);
void expect_numbers(http_conn *c, size_t first, size_t n);
/* Nothing has come, as far as what the server does in order can show: publishes `marker` on the
 * stream and expects it next. */
void expect_nothing_before(const hub *h, const char *stream, http_conn *c, const char *marker);

/* ---- GET /streams ---- */

/* A number that /streams says of a stream. */
uint64_t stream_number(const hub *h, const char *stream, const char *key);
void wait_number(const hub *h, const char *stream, const char *key, uint64_t value);
void wait_at_least(const hub *h, const char *stream, const char *key, uint64_t value);
/* How many streams there are; -1: not answered. */
int stream_count(const hub *h);

/* ---- programs ---- */

/* Start one of the project's programs. Over TLS sse-server gets its certificate, the others trust it. */
proc *tool_start(const char *name, const char *const args[]);
/* Run one to its end and check its exit code. The caller frees. */
proc *tool_run(const char *name, const char *const args[], const char *input, int code);
/* The same, and its stderr must be one line (or `lines`) that holds `part`, stdout empty. */
void tool_fails(const char *name, const char *const args[], const char *input, int code,
                const char *part);
/* The next line of stdout must be this. */
void expect_line(proc *p, const char *line);
/* It must end by itself with this code; frees it. */
void tool_end(proc *p, int code);
const char *out_of(const proc *p);
const char *err_of(const proc *p);
bool one_line(const char *s);

/* A file in a new temporary directory, with this content; removed when the test's process ends. */
const char *temp_file(const char *content);
const char *temp_dir(void);

#endif
