/* A blocking keep-alive connection to an HTTP server, plain or TLS: requests go out, statuses come
 * back. One thread at a time. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "tls_client.h"

#define WIRE_BUFFER 65536u

typedef struct wire {
    const http_url *url;
    const tls_trust *trust; /* when it is an https URL */
    tls_session *tls;
    uint64_t used_ns; /* when the last answer had come */
    int fd;           /* -1: closed */
    uint32_t len;     /* of what of an answer is there */
    char failure[TLS_WHY];
    char answer[WIRE_BUFFER];
} wire;

/* The functions that return bool or a status return false, 0 with the reason in w->failure. Each
 * wait is over after 30 seconds. */

/* The connection alone, without TLS: a blocking socket, or -1 with errno set. */
int wire_dial(const http_url *url);
/* Connect; url and trust are borrowed until wire_close(). */
bool wire_open(wire *w, const http_url *url, const tls_trust *trust);
/* Connect again where the server has ended the connection while nothing was asked. To be called
 * before a request. */
bool wire_refresh(wire *w);
bool wire_send(wire *w, const char *bytes, size_t n);
/* Read one answer and forget its body; connect again when the server ends the connection with it. */
int wire_status(wire *w);
/* It may be opened again. A wire that is all zero but for fd -1 is closed. */
void wire_close(wire *w);

#endif
