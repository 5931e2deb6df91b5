/* What http.c and http_stream.c share. */
#ifndef TEST_HTTP_INTERNAL_H
#define TEST_HTTP_INTERNAL_H

#include "http.h"

#include <sys/types.h>

typedef struct http_buffer {
    char *bytes; /* NUL-terminated */
    size_t at;   /* where the unread part begins */
    size_t len;
    size_t allocated;
} http_buffer;

/* Room for n more bytes and a NUL. Aborts without memory, as everything here. */
char *http_buffer_room(http_buffer *b, size_t n);
void http_buffer_add(http_buffer *b, const void *bytes, size_t n);

typedef enum http_framing {
    HTTP_UNTIL_CLOSE,
    HTTP_LENGTH,
    HTTP_CHUNKED,
} http_framing;

struct http_conn {
    http_buffer raw;  /* from the socket */
    http_buffer body; /* decoded */
    http_block block; /* the block that is being read */
    uint64_t left; /* bytes of the body (HTTP_LENGTH) or of the chunk (HTTP_CHUNKED) that are still
                      to come */
    http_framing framing;
    int fd;
    bool after_chunk; /* the CRLF after a chunk is still to come */
    bool in_trailer;  /* after the last chunk */
    bool ended;
    bool broken;
    bool block_began;
    bool reserved[3];
    void *tls; /* gnutls_session_t, or NULL */
};

/* ---- http_tls.c ---- */

/* Shake hands. Returns false when that fails, or when the time is over: then it goes on when called again. */
bool http_tls_start(http_conn *c, int timeout_ms);
void http_tls_end(http_conn *c);
/* Like send() and recv() on a non-blocking socket. */
ssize_t http_tls_send(http_conn *c, const void *bytes, size_t n);
ssize_t http_tls_recv(http_conn *c, void *bytes, size_t n);

/* Read once more from the socket into raw. HTTP_END: the peer closed. */
http_result http_fill(http_conn *c, int64_t deadline_ms);

/* Move what is decodable from raw to body, reading from the socket until there is something new. */
http_result http_decode_more(http_conn *c, int64_t deadline_ms);

#endif
