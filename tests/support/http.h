/* A small HTTP/1.1 client for tests, close to the socket: it can send anything, stop reading, and
 * leave without saying goodbye. Only 127.0.0.1. One thread at a time per connection. Times are
 * milliseconds and bound the whole call. */
#ifndef TEST_HTTP_H
#define TEST_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_conn http_conn;

/* Connect; over TLS if cert_tls() (cert.h). rcvbuf > 0 sets SO_RCVBUF before connecting, so that a peer that is not read from fills
 * up soon. Returns NULL with errno set. */
http_conn *http_connect(uint16_t port);
http_conn *http_connect_rcvbuf(uint16_t port, int rcvbuf);

/* From another address of this machine than 127.0.0.1, such as 127.0.0.2. */
http_conn *http_connect_from(const char *address, uint16_t port);

/* Without TLS as yet; the second over a socket that is connected already, which it takes over. */
http_conn *http_connect_plain(uint16_t port);
http_conn *http_wrap(int fd);

/* Shake hands over one of these, if cert_tls(); otherwise there is nothing to do. Returns false when that fails, or when the time is
 * over: with 0 the client's hello goes out, to somebody who may not be there yet, and the next call goes on. */
bool http_secure(http_conn *c, int timeout_ms);

/* Close with FIN, or with RST, and free. NULL is fine. */
void http_close(http_conn *c);
void http_reset(http_conn *c);

/* Say that nothing more will be sent (FIN), and go on reading. */
void http_shutdown(http_conn *c);

/* The socket, for poll() and getsockopt(). */
int http_fd(const http_conn *c);

/* Send bytes as they are. Returns false when the peer is gone or the time is over. */
bool http_send(http_conn *c, const void *bytes, size_t n, int timeout_ms);
bool http_send_text(http_conn *c, const char *text, int timeout_ms);

/* Send a request. `headers` are whole lines, each with its CRLF, or NULL. Host is added, and
 * Content-Length when body is not NULL; nothing else. */
bool http_send_request(http_conn *c, const char *method, const char *target, const char *headers,
                       const void *body, size_t body_len, int timeout_ms);

typedef struct http_response {
    char *head; /* status line and headers as they came, NUL-terminated */
    char *body; /* decoded, NUL-terminated */
    size_t body_len;
    int status;
    int reserved;
} http_response;

/* A header's value (of the first with this name, in any case) into static memory of the thread;
 * NULL when it is not there. */
const char *http_header(const http_response *r, const char *name);
void http_response_fini(http_response *r);

/* Read status line and headers only; body is "". 1xx answers are skipped. The body then comes by
 * http_read_line(), http_next_block() or http_read_body(). */
bool http_read_head(http_conn *c, http_response *out, int timeout_ms);

/* Read the rest of the body into *out (after http_read_head()), chunked or not. `no_body`: the
 * answer to a HEAD. */
bool http_read_body(http_conn *c, http_response *out, bool no_body, int timeout_ms);

/* Request and whole answer on an open connection, which stays open if the peer keeps it so. */
bool http_request(http_conn *c, const char *method, const char *target, const char *headers,
                  const void *body, size_t body_len, http_response *out, int timeout_ms);

/* The same on a connection of its own, with Connection: close. body may be NULL. */
bool http_once(uint16_t port, const char *method, const char *target, const char *headers,
               const char *body, http_response *out, int timeout_ms);

/* ---- event streams ---- */

/* Connect and GET an event stream. Returns the connection after its head, for http_next_event(), or
 * NULL when that does not come or is not a 200. `headers` as above; head may be NULL. */
http_conn *http_open_stream(uint16_t port, const char *target, const char *headers,
                            http_response *head, int timeout_ms);

/* One block of an event stream, up to its empty line. A part that the block lacks is NULL. Lines of
 * data and of comments are joined by LF. A plain reader for what a server of ours sends (lines end
 * in LF), not a conforming parser. */
typedef struct http_block {
    char *id;
    char *type;
    char *data;
    char *retry;
    char *comment;
    size_t data_len; /* data may hold NUL */
} http_block;
void http_block_fini(http_block *b);

typedef enum http_result {
    HTTP_OK,
    HTTP_END,    /* the body ended as it should: last chunk, length reached, or close where close is
                    the end */
    HTTP_BROKEN, /* the connection broke, or ended inside the body */
    HTTP_TIMEOUT, /* the rest stays where it is: call again */
} http_result;

/* The next line of the body without its LF; valid until the next call. A last line without LF
 * counts as one. */
http_result http_read_line(http_conn *c, const char **line, size_t *len, int timeout_ms);

/* The next block; the next one that has data. *out is to be given back after HTTP_OK only. */
http_result http_next_block(http_conn *c, http_block *out, int timeout_ms);
http_result http_next_event(http_conn *c, http_block *out, int timeout_ms);

#endif
