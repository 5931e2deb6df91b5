/* The seam to libmicrohttpd: mhd.c is the only file that includes its header. */
#ifndef SSE__MHD_H
#define SSE__MHD_H

#include "address.h"
#include "loop.h"

#include <sse/server.h>

struct sse__exchange;
struct sse__sub;

/* ---- daemons: thread of the loop ---- */

/* A daemon without a listening socket and without a thread. NULL: no memory or descriptors. */
struct MHD_Daemon *sse__mhd_start(sse__shard *shard, const sse_server *hub);
/* No connection may be suspended. */
void sse__mhd_stop(struct MHD_Daemon *daemon);
int sse__mhd_epoll_fd(struct MHD_Daemon *daemon);
/* Do what can be done now. Returns true when there is more to do at once. */
bool sse__mhd_run(sse__shard *shard);
/* Give it a socket, which it closes in any case. Returns false when it does not take it. */
bool sse__mhd_add(struct MHD_Daemon *daemon, int fd, const struct sockaddr *address, socklen_t len);

/* ---- connections: thread of the connection, but resume: any ---- */

void sse__mhd_suspend(struct MHD_Connection *connection);
void sse__mhd_resume(struct MHD_Connection *connection);
int sse__mhd_fd(struct MHD_Connection *connection);
/* See address.h. */
void sse__mhd_address(struct MHD_Connection *connection, char out[SSE__ADDRESS_MAX]);
bool sse__mhd_is_loopback(struct MHD_Connection *connection);
/* The headers that every request is judged by, looked for at once: NULL when one is not there. */
typedef struct sse__fields {
    const char *host;
    const char *origin;
    const char *expect;
    const char *connection;
    const char *content_type;
    const char *content_length; /* the first one */
    size_t content_lengths;
} sse__fields;
void sse__mhd_fields(struct MHD_Connection *connection, sse__fields *out);
/* NULL when it is not there. */
const char *sse__mhd_header(struct MHD_Connection *connection, const char *name);
/* ptr is NULL when it is not there. An argument without a value is present and empty. */
sse_str sse__mhd_query(struct MHD_Connection *connection, const char *name);
/* The first value of each of these arguments, as sse__mhd_query() says it. */
typedef struct sse__argument {
    const char *name;
    sse_str value;
} sse__argument;
void sse__mhd_arguments(struct MHD_Connection *connection, sse__argument *wanted, size_t n);
/* Every value of this name, in order, as far as there is room. Returns how many there are. */
size_t sse__mhd_query_all(struct MHD_Connection *connection, const char *name, sse_str *values,
                          size_t max);

/* ---- responses: thread of the connection ---- */

/* A header is added unless `value` is NULL. */
typedef struct sse__header {
    const char *name;
    const char *value;
} sse__header;

/* Answer with a body (copied). Returns false when there is no memory: the connection is to be
 * closed. */
bool sse__mhd_reply(struct MHD_Connection *connection, unsigned status, sse_str body,
                    const sse__header *headers, size_t header_count);
/* Answer in the midst of a request's body, where the library takes no answer: after this the connection is to be closed. What the
 * socket does not take at once is lost. `no_body`: to a HEAD. */
void sse__mhd_reply_unread(struct MHD_Connection *connection, unsigned status, sse_str body,
                           bool no_body, const sse__header *headers, size_t header_count);
/* Answer with what the subscriber reads. It is finished with the connection, or at once when false
 * is returned. NULL: an answer without events, for HEAD. `chunks`: the client knows chunked bodies. */
bool sse__mhd_stream(struct MHD_Connection *connection, struct sse__sub *sub, bool chunks,
                     const sse__header *headers, size_t header_count);

#endif
