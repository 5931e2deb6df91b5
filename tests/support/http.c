/* The test client's connections, requests and whole answers; http_stream.c decodes bodies and event
 * streams.
 *
 * Sockets are non-blocking, so that each call can keep its deadline. Sending uses MSG_NOSIGNAL. */
#include "http_internal.h"

#include "cert.h"
#include "wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- buffers ---- */

char *http_buffer_room(http_buffer *b, size_t n)
{
    if (b->at > 0 && b->at == b->len)
        b->at = b->len = 0;
    if (b->at > 65536 && b->at > b->len / 2) {
        memmove(b->bytes, b->bytes + b->at, b->len - b->at);
        b->len -= b->at;
        b->at = 0;
    }
    if (b->allocated - b->len < n + 1) {
        b->allocated = b->allocated * 2 + n + 1;
        b->bytes = realloc(b->bytes, b->allocated);
        if (!b->bytes)
            abort();
    }
    return b->bytes + b->len;
}

void http_buffer_add(http_buffer *b, const void *bytes, size_t n)
{
    char *room = http_buffer_room(b, n);
    if (n > 0)
        memcpy(room, bytes, n);
    b->len += n;
    b->bytes[b->len] = '\0';
}

/* ---- connections ---- */

enum { HANDSHAKE_MS = 60000 };

http_conn *http_wrap(int fd)
{
    http_conn *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->fd = fd;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return c;
}

static http_conn *connect_plainly(const char *from, uint16_t port, int rcvbuf)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct sockaddr_in own = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    if ((rcvbuf > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf) != 0) ||
        (from && (inet_pton(AF_INET, from, &own.sin_addr) != 1 ||
                  bind(fd, (struct sockaddr *)&own, sizeof own) != 0)) ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return NULL;
    }
    return http_wrap(fd);
}

static http_conn *connect_as(const char *from, uint16_t port, int rcvbuf)
{
    http_conn *c = connect_plainly(from, port, rcvbuf);
    if (!c || http_secure(c, HANDSHAKE_MS))
        return c;
    http_close(c);
    errno = EPROTO;
    return NULL;
}

http_conn *http_connect_rcvbuf(uint16_t port, int rcvbuf) { return connect_as(NULL, port, rcvbuf); }

http_conn *http_connect(uint16_t port) { return connect_as(NULL, port, 0); }

http_conn *http_connect_from(const char *address, uint16_t port)
{
    return connect_as(address, port, 0);
}

http_conn *http_connect_plain(uint16_t port) { return connect_plainly(NULL, port, 0); }

bool http_secure(http_conn *c, int timeout_ms)
{
    return !cert_tls() || http_tls_start(c, timeout_ms);
}

void http_close(http_conn *c)
{
    if (!c)
        return;
    if (c->tls)
        http_tls_end(c);
    close(c->fd);
    http_block_fini(&c->block);
    free(c->raw.bytes);
    free(c->body.bytes);
    free(c);
}

void http_reset(http_conn *c)
{
    if (c)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    http_close(c);
}

void http_shutdown(http_conn *c) { shutdown(c->fd, SHUT_WR); }

int http_fd(const http_conn *c) { return c->fd; }

bool http_send(http_conn *c, const void *bytes, size_t n, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    const char *at = bytes;
    while (n > 0) {
        ssize_t sent = c->tls ? http_tls_send(c, at, n) : send(c->fd, at, n, MSG_NOSIGNAL);
        if (sent >= 0) {
            at += sent;
            n -= (size_t)sent;
            continue;
        }
        struct pollfd pfd = {.fd = c->fd, .events = POLLOUT};
        int left = wait_left_ms(deadline);
        if ((errno != EAGAIN && errno != EINTR) || left == 0)
            return false;
        poll(&pfd, 1, left);
    }
    return true;
}

bool http_send_text(http_conn *c, const char *text, int timeout_ms)
{
    return http_send(c, text, strlen(text), timeout_ms);
}

bool http_send_request(http_conn *c, const char *method, const char *target, const char *headers,
                       const void *body, size_t body_len, int timeout_ms)
{
    http_buffer request = {0};
    char length[64] = "";
    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", body_len);
    const char *parts[] = {
        method, " ", target, " HTTP/1.1\r\nHost: 127.0.0.1\r\n", length, headers ? headers : "",
        "\r\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        http_buffer_add(&request, parts[i], strlen(parts[i]));
    if (body)
        http_buffer_add(&request, body, body_len);
    bool sent = http_send(c, request.bytes, request.len, timeout_ms);
    free(request.bytes);
    return sent;
}

http_result http_fill(http_conn *c, int64_t deadline_ms)
{
    for (;;) {
        char *room = http_buffer_room(&c->raw, 16384);
        ssize_t n = c->tls ? http_tls_recv(c, room, 16384) : recv(c->fd, room, 16384, 0);
        if (n > 0) {
            c->raw.len += (size_t)n;
            c->raw.bytes[c->raw.len] = '\0';
            return HTTP_OK;
        }
        if (n == 0)
            return HTTP_END;
        if (errno != EAGAIN && errno != EINTR)
            return HTTP_BROKEN;
        if (!wait_readable(c->fd, wait_left_ms(deadline_ms)))
            return HTTP_TIMEOUT;
    }
}

/* ---- answers ---- */

const char *http_header(const http_response *r, const char *name)
{
    static _Thread_local char value[8192];
    size_t name_len = strlen(name);
    for (const char *line = strstr(r->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
            continue;
        line += name_len + 1;
        line += strspn(line, " \t");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r"), line);
        return value;
    }
    return NULL;
}

void http_response_fini(http_response *r)
{
    free(r->head);
    free(r->body);
    *r = (http_response){0};
}

static void set_framing(http_conn *c, const http_response *r)
{
    const char *length = http_header(r, "Content-Length");
    c->left = length ? strtoull(length, NULL, 10) : 0;
    const char *coding = http_header(r, "Transfer-Encoding");
    if (coding && strcasecmp(coding, "chunked") == 0)
        c->framing = HTTP_CHUNKED;
    else
        c->framing =
            c->left > 0 || r->status == 204 || r->status == 304 || http_header(r, "Content-Length")
                ? HTTP_LENGTH
                : HTTP_UNTIL_CLOSE;
    if (c->framing == HTTP_CHUNKED)
        c->left = 0;
    c->ended = c->framing == HTTP_LENGTH && c->left == 0;
    c->after_chunk = c->in_trailer = c->broken = false;
}

static bool read_one_head(http_conn *c, http_response *out, int64_t deadline)
{
    char *end;
    while (c->raw.len == c->raw.at || !(end = strstr(c->raw.bytes + c->raw.at, "\r\n\r\n")))
        if (http_fill(c, deadline) != HTTP_OK)
            return false;
    const char *start = c->raw.bytes + c->raw.at;
    size_t len = (size_t)(end + 4 - start);
    *out = (http_response){.head = strndup(start, len), .body = strdup("")};
    if (!out->head || !out->body)
        abort();
    c->raw.at += len;
    if (sscanf(out->head, "HTTP/1.%*[01] %d", &out->status) != 1)
        out->status = 0;
    return true;
}

bool http_read_head(http_conn *c, http_response *out, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    for (;;) {
        if (!read_one_head(c, out, deadline))
            return false;
        if (out->status >= 200)
            break;
        bool informational = out->status >= 100;
        http_response_fini(out);
        if (!informational)
            return false;
    }
    set_framing(c, out);
    return true;
}

bool http_read_body(http_conn *c, http_response *out, bool no_body, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    http_result result = no_body ? HTTP_END : HTTP_OK;
    while (result == HTTP_OK)
        result = http_decode_more(c, deadline);
    out->body_len = c->body.len - c->body.at;
    free(out->body);
    out->body = calloc(1, out->body_len + 1);
    if (!out->body)
        abort();
    if (out->body_len > 0)
        memcpy(out->body, c->body.bytes + c->body.at, out->body_len);
    c->body.at = c->body.len;
    return result == HTTP_END;
}

bool http_request(http_conn *c, const char *method, const char *target, const char *headers,
                  const void *body, size_t body_len, http_response *out, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    *out = (http_response){0};
    /* A server may answer, and close, before it has read the whole body: the answer counts. */
    (void)http_send_request(c, method, target, headers, body, body_len, timeout_ms);
    if (!http_read_head(c, out, wait_left_ms(deadline)))
        return false;
    if (http_read_body(c, out, strcmp(method, "HEAD") == 0, wait_left_ms(deadline)))
        return true;
    http_response_fini(out);
    return false;
}

bool http_once(uint16_t port, const char *method, const char *target, const char *headers,
               const char *body, http_response *out, int timeout_ms)
{
    *out = (http_response){0};
    http_conn *c = http_connect(port);
    if (!c)
        return false;
    http_buffer lines = {0};
    http_buffer_add(&lines, "Connection: close\r\n", 19);
    if (headers)
        http_buffer_add(&lines, headers, strlen(headers));
    bool answered = http_request(c, method, target, lines.bytes, body, body ? strlen(body) : 0, out,
                                 timeout_ms);
    free(lines.bytes);
    http_close(c);
    return answered;
}
