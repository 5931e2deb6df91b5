/* The publisher's connection; see wire.h. It blocks in its socket. A server may close a connection on
 * which nothing was asked for some time: this is looked for after such a time, so that the next
 * request need not be lost on it. */
#include "wire.h"

#include "procstat.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define IDLE_NS 500000000u
#define PATIENCE_S 30

/* `what` was being done; NULL: the caller knows. */
static bool give_up(wire *w, const char *what, const char *why)
{
    snprintf(w->failure, sizeof w->failure, "%s%s%.350s", what ? what : "", what ? ": " : "", why);
    return false;
}

static bool give_up_tls(wire *w, const char *what, int code)
{
    char why[TLS_WHY];
    if (code == TLS_AGAIN)
        return give_up(w, what, strerror(ETIMEDOUT));
    tls_failure(w->tls, why);
    return give_up(w, what, why);
}

/* ---- connecting ---- */

int wire_dial(const http_url *url)
{
    int on = 1;
    struct timeval limit = {.tv_sec = PATIENCE_S};
    int fd = socket(url->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&url->address, url->address_len) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static bool connect_as(wire *w, const char *what)
{
    w->len = 0;
    w->fd = wire_dial(w->url);
    if (w->fd < 0)
        return give_up(w, what, strerror(errno));
    w->used_ns = now_ns();
    if (!w->url->tls)
        return true;
    w->tls = tls_new(w->trust, w->url, w->fd);
    int code = tls_handshake(w->tls);
    return code == TLS_DONE || give_up_tls(w, what, code);
}

bool wire_open(wire *w, const http_url *url, const tls_trust *trust)
{
    w->url = url;
    w->trust = trust;
    return connect_as(w, NULL);
}

void wire_close(wire *w)
{
    if (w->tls)
        tls_bye(w->tls);
    tls_free(w->tls);
    if (w->fd >= 0)
        close(w->fd);
    w->tls = NULL;
    w->fd = -1;
}

static bool open_again(wire *w)
{
    wire_close(w);
    return connect_as(w, "connecting again to publish");
}

static bool has_ended(const wire *w)
{
    char byte;
    return w->tls ? !tls_is_idle(w->tls) : recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool wire_refresh(wire *w)
{
    return now_ns() - w->used_ns < IDLE_NS || !has_ended(w) || open_again(w);
}

/* ---- sending ---- */

bool wire_send(wire *w, const char *bytes, size_t n)
{
    if (w->tls) {
        int code = tls_send(w->tls, bytes, n);
        return code == TLS_DONE || give_up_tls(w, "publishing", code);
    }
    while (n > 0) {
        ssize_t sent = send(w->fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return give_up(w, "publishing", strerror(errno));
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* ---- answers ---- */

static bool read_more(wire *w)
{
    static const char what[] = "waiting for the answer to a publication";
    char *to = w->answer + w->len;
    size_t room = sizeof w->answer - w->len;
    ssize_t n;
    do
        n = w->tls ? tls_read(w->tls, to, room) : recv(w->fd, to, room, 0);
    while (n < 0 && !w->tls && errno == EINTR);
    if (n == 0)
        return give_up(w, what, "the connection was closed");
    if (n < 0)
        return w->tls ? give_up_tls(w, what, (int)n) : give_up(w, what, strerror(errno));
    w->len += (uint32_t)n;
    return true;
}

static void use_up(wire *w, size_t n)
{
    memmove(w->answer, w->answer + n, w->len - n);
    w->len -= (uint32_t)n;
}

static bool skip_length(wire *w, uint64_t n)
{
    for (;;) {
        size_t piece = n < w->len ? (size_t)n : w->len;
        use_up(w, piece);
        n -= piece;
        if (n == 0)
            return true;
        if (!read_more(w))
            return false;
    }
}

static bool skip_chunks(wire *w)
{
    http_chunks chunks = {0};
    while (chunks.state != CHUNK_END && chunks.state != CHUNK_BROKEN) {
        const char *data;
        size_t len;
        size_t used = http_chunks_next(&chunks, w->answer, w->len, &data, &len);
        use_up(w, used);
        if (used == 0 && !read_more(w))
            return false;
    }
    return chunks.state == CHUNK_END ||
           give_up(w, "the answer to a publication", "its chunks are broken");
}

int wire_status(wire *w)
{
    http_head head;
    long used;
    while ((used = http_head_parse(&head, w->answer, w->len)) == 0) {
        if (w->len == sizeof w->answer)
            return give_up(w, "the answer to a publication", "its head is too long");
        if (!read_more(w))
            return 0;
    }
    if (used < 0)
        return give_up(w, "the answer to a publication", "it is not HTTP");
    use_up(w, (size_t)used);
    bool empty = head.status == 204 || head.status == 304;
    if (!empty && !(head.chunked ? skip_chunks(w) : skip_length(w, head.content_length)))
        return 0;
    w->used_ns = now_ns();
    if ((head.close || (!empty && !head.chunked && !head.has_length)) && !open_again(w))
        return 0;
    return head.status;
}
