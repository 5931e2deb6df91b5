/* As much HTTP/1.1 as a load client needs: URLs, the head of an answer, chunked bodies. Incremental
 * and without I/O. One thread at a time per object. */
#ifndef BENCH_HTTP1_H
#define BENCH_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct http_url {
    struct sockaddr_storage address;
    socklen_t address_len;
    char authority[264]; /* for the Host header */
    char host[264];      /* for TLS: without brackets, port, and a dot at the end */
    char target[2048];   /* path and query; may hold {} for a stream's number */
    bool tls;            /* https */
    bool unresolved;     /* all is well but that its host was not found */
    bool reserved[2];
} http_url;

/* Parse and resolve "http[s]://HOST[:PORT][/PATH]"; without a path it is /events. Of several addresses it
 * takes the first one that somebody answers at. Returns NULL, or what is wrong with it (static). */
const char *http_url_parse(http_url *url, const char *text);

/* The first of several addresses at which somebody answers, else the first one. */
struct addrinfo;
const struct addrinfo *http_address(const struct addrinfo *list);

/* Connect to this socket, whatever the URL's host is. Returns NULL, or what is wrong with it (static). */
const char *http_url_unix(http_url *url, const char *path);

/* The request target for a stream: {} is replaced by its number; when there is none and `named`,
 * stream=bench-NUMBER is added to the query. */
void http_target(const http_url *url, uint32_t stream, bool named, char out[2112]);

/* A request's head, with the further header lines given (a NULL-terminated list, or NULL);
 * allocated. body_type NULL: no body; otherwise the caller appends "Content-Length: N\r\n\r\n". */
char *http_request(const char *method, const char *target, const http_url *url,
                   const char *const *headers, const char *body_type);

/* ---- answers ---- */

typedef struct http_head {
    uint64_t content_length;
    int status;
    bool has_length;
    bool chunked;
    bool close;
    bool event_stream;
} http_head;

/* Parse an answer's head (1xx is skipped). Returns its length, 0 when its end is not there yet, or
 * -1 when it is not one. */
long http_head_parse(http_head *head, const char *bytes, size_t n);

/* ---- bodies ---- */

typedef enum http_chunk_state {
    CHUNK_SIZE = 0,
    CHUNK_SIZE_REST, /* after at least one digit */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the start of a line of it */
    CHUNK_TRAILER_REST,
    CHUNK_END,
    CHUNK_BROKEN,
} http_chunk_state;

typedef struct http_chunks {
    uint64_t left; /* of the chunk, or its size so far */
    http_chunk_state state;
} http_chunks;

/* Look at bytes[0..n): framing is skipped, and the next piece of data in it given. Returns how many
 * bytes are used up; *data and *len are the piece, len 0: none. Call again with the rest until all
 * is used; CHUNK_END and CHUNK_BROKEN use up nothing. */
size_t http_chunks_next(http_chunks *c, const char *bytes, size_t n, const char **data,
                        size_t *len);

#endif
