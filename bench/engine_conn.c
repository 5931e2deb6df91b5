/* A subscriber's connection: connect, shake hands where the URL is https, ask, read the head, then
 * feed the body to the scanner.
 *
 * Runs on the engine's thread that owns the connection. Sockets are in its epoll set once and for
 * all, edge-triggered, so each wake-up reads until a read comes back short. With TLS the same read
 * gets the records of many events, and the session is asked until it has none left, so that nothing
 * stays behind in it for which no edge would come. */
#include "engine_conn.h"

#include "procstat.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HEAD_MAX 65536u

void conn_close(lane *l, conn *c, conn_state to)
{
    if (c->tls) {
        if (!engine_opts(l->engine)->reset)
            tls_bye(c->tls);
        tls_free(c->tls);
        c->tls = NULL;
    }
    if (c->fd >= 0) {
        struct linger reset = {1, 0};
        if (engine_opts(l->engine)->reset)
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(c->fd);
    }
    c->fd = -1;
    free(c->head);
    c->head = NULL;
    c->head_len = 0;
    if (c->state >= CONN_CONNECTING && c->state <= CONN_HEAD)
        l->in_flight--;
    if (to == CONN_FAILED)
        atomic_fetch_add(&l->failed, 1);
    if (to == CONN_OVER) {
        l->disconnected++;
        atomic_fetch_sub(&l->served, 1); /* in this order: it never counts twice */
        atomic_fetch_add(&l->over, 1);
    }
    c->state = to;
}

static void fail(lane *l, conn *c, const char *what, int error)
{
    engine_note_failure(l->engine, what, error);
    conn_close(l, c, CONN_FAILED);
}

/* TLS did not go on. One who was served has lost the connection; why is to be told all the same. */
static void broken(lane *l, conn *c)
{
    char why[TLS_WHY];
    tls_failure(c->tls, why);
    engine_note_failure(l->engine, why, 0);
    conn_close(l, c, c->state == CONN_BODY ? CONN_OVER : CONN_FAILED);
}

/* ---- connecting ---- */

static void send_sealed(lane *l, conn *c, const char *request, size_t n)
{
    int code = tls_send(c->tls, request, n);
    if (code == TLS_FAILED)
        broken(l, c);
    else if (code == TLS_AGAIN)
        fail(l, c, "sending the request", EMSGSIZE);
    else
        c->state = CONN_HEAD;
}

static void send_request(lane *l, conn *c)
{
    const char *request = l->requests[c->scan.stream];
    size_t n = strlen(request);
    if (c->tls) {
        send_sealed(l, c, request, n);
        return;
    }
    ssize_t sent = send(c->fd, request, n, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN))
        return; /* EPOLLOUT comes when it is connected */
    if (sent < 0 && errno == ECONNREFUSED) {
        fail(l, c, "connecting", errno);
        return;
    }
    if (sent != (ssize_t)n) {
        fail(l, c, "sending the request", sent < 0 ? errno : EMSGSIZE);
        return;
    }
    c->state = CONN_HEAD;
}

static void shake_hands(lane *l, conn *c)
{
    int code = tls_handshake(c->tls);
    if (code == TLS_FAILED)
        broken(l, c);
    else if (code == TLS_DONE)
        send_request(l, c);
    else if (!tls_wants_to_send(c->tls))
        c->state = CONN_HANDSHAKE; /* what it had to say is out */
}

/* A Unix socket whose queue is full does not take a connect for later: wait for room, which is there soon. */
static int start_connecting(const http_url *url, int fd)
{
    const struct sockaddr *to = (const struct sockaddr *)&url->address;
    int code, flags = fcntl(fd, F_GETFL);
    bool waits = url->address.ss_family == AF_UNIX;
    if (waits)
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    code = connect(fd, to, url->address_len);
    int error = errno;
    if (waits)
        (void)fcntl(fd, F_SETFL, flags);
    return code == 0 || error == EINPROGRESS ? 0 : error;
}

static bool bind_source(lane *l, int fd)
{
    struct sockaddr_storage source;
    socklen_t len;
    int on = 1;
    if (!engine_source(l->engine, &source, &len))
        return true;
    /* The port is chosen by connect(), which knows the other end and so may share it. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, (struct sockaddr *)&source, len) == 0;
}

void conn_open(lane *l, conn *c)
{
    const http_url *url = engine_opts(l->engine)->url;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    uint32_t stream = c->scan.stream;
    scan_init(&c->scan, stream);
    c->chunks = (http_chunks){0};
    c->state = CONN_CONNECTING;
    l->in_flight++;
    c->started_ns = now_ns();
    c->fd = socket(url->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, error;
    if (c->fd < 0) {
        fail(l, c, "making a socket", errno);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!bind_source(l, c->fd))
        fail(l, c, "binding a source address", errno);
    else if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        fail(l, c, "watching a socket", errno);
    else if ((error = start_connecting(url, c->fd)) != 0)
        fail(l, c, "connecting", error);
    else if (url->tls)
        c->tls = tls_new(engine_opts(l->engine)->trust, url, c->fd);
    else
        send_request(l, c); /* on loopback it is connected already */
}

static void continue_connecting(lane *l, conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        fail(l, c, "connecting", error);
    else if (c->tls)
        shake_hands(l, c);
    else
        send_request(l, c);
}

/* ---- reading ---- */

static void take_body(lane *l, conn *c, const char *bytes, size_t n, uint64_t now)
{
    tally *t = &l->tally;
    uint64_t before = t->events;
    if (!c->chunked) {
        scan_feed(&c->scan, t, bytes, n, now);
    } else {
        size_t used = 0, took, len;
        const char *data;
        do {
            took = http_chunks_next(&c->chunks, bytes + used, n - used, &data, &len);
            used += took;
            if (len > 0)
                scan_feed(&c->scan, t, data, len, now);
        } while (took > 0 && used < n);
    }
    l->bytes += n;
    uint64_t events = t->events - before;
    if (now - t->window_from < t->window_to - t->window_from) {
        l->in_window += events;
        l->bytes_in_window += n;
        l->slots[(now - t->window_from) / l->slot_ns] += events;
    }
}

/* With what the server says about it, if that is text that came together with the head. */
static void refused(lane *l, conn *c, const http_head *head, const char *body, size_t n)
{
    char why[256], said[160];
    size_t len = 0;
    while (!head->chunked && len < n && len < sizeof said - 1 && body[len] >= ' ' &&
           body[len] <= '~') {
        said[len] = body[len];
        len++;
    }
    said[len] = '\0';
    bool tells = len > 0 && *said != '<'; /* a page tells nothing in its first line */
    snprintf(why, sizeof why, "the answer's status is %d%s%s", head->status, tells ? ": " : "",
             tells ? said : "");
    fail(l, c, why, 0);
}

static void take_head(lane *l, conn *c, const char *bytes, size_t n, uint64_t now)
{
    if (c->head) {
        c->head = tool_must(realloc(c->head, c->head_len + n));
        memcpy(c->head + c->head_len, bytes, n);
        n += c->head_len;
        bytes = c->head;
    }
    http_head head;
    long used = http_head_parse(&head, bytes, n);
    if (used == 0 && n < HEAD_MAX) {
        if (!c->head)
            c->head = memcpy(tool_must(malloc(n)), bytes, n);
        c->head_len = (uint32_t)n;
        return;
    }
    if (used <= 0) {
        fail(l, c, "the answer is not HTTP", 0);
        return;
    }
    if (head.status != 200) {
        refused(l, c, &head, bytes + used, n - (size_t)used);
        return;
    }
    if (!head.event_stream) {
        fail(l, c, "the answer is not an event stream", 0);
        return;
    }
    c->state = CONN_BODY;
    c->chunked = head.chunked;
    l->in_flight--;
    histogram_add(&l->connects, now - c->started_ns);
    atomic_fetch_add(&l->served, 1);
    if ((size_t)used < n)
        take_body(l, c, bytes + used, n - (size_t)used, now);
    free(c->head);
    c->head = NULL;
}

/* The other end has closed; error 0: in an orderly way. */
static void ended(lane *l, conn *c, int error)
{
    bool served = c->state == CONN_BODY;
    if (error)
        engine_note_failure(l->engine, served ? "receiving" : "waiting for the answer", error);
    else if (c->chunks.state == CHUNK_BROKEN)
        engine_note_failure(l->engine, "the chunks of the answer are broken", 0);
    else if (served)
        engine_note_failure(l->engine, "the server ended the stream", 0);
    else
        engine_note_failure(l->engine, "the server closed the connection without an answer", 0);
    conn_close(l, c, served ? CONN_OVER : CONN_FAILED);
}

/* Bytes of the answer. Returns false when that was the end of the connection. */
static inline bool take(lane *l, conn *c, const char *bytes, size_t n)
{
    uint64_t now = now_ns();
    if (c->state == CONN_BODY)
        take_body(l, c, bytes, n, now);
    else
        take_head(l, c, bytes, n, now);
    if (c->fd >= 0 && c->state == CONN_BODY && c->chunks.state >= CHUNK_END)
        ended(l, c, 0);
    return c->fd >= 0;
}

/* Sealed bytes, which are all that have come. Returns false when that was the end. */
static bool take_sealed(lane *l, conn *c, size_t n)
{
    ssize_t got;
    tls_feed(c->tls, l->sealed, n);
    while ((got = tls_read(c->tls, l->buffer, CONN_BUFFER)) > 0)
        if (!take(l, c, l->buffer, (size_t)got))
            return false;
    if (got == 0)
        ended(l, c, 0);
    else if (got == TLS_FAILED)
        broken(l, c);
    return c->fd >= 0;
}

static void read_all(lane *l, conn *c)
{
    char *buffer = c->tls ? l->sealed : l->buffer;
    for (;;) {
        ssize_t n = recv(c->fd, buffer, CONN_BUFFER, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            ended(l, c, n < 0 ? errno : 0);
            return;
        }
        if (!(c->tls ? take_sealed(l, c, (size_t)n) : take(l, c, buffer, (size_t)n)))
            return;
        if ((size_t)n < CONN_BUFFER)
            return;
    }
}

void conn_ready(lane *l, conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (c->state == CONN_CONNECTING)
        continue_connecting(l, c);
    else if (c->state == CONN_HANDSHAKE)
        shake_hands(l, c);
    if (c->fd < 0 || c->state < CONN_HEAD)
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        read_all(l, c);
    /* The end may follow bytes that came with it, and no further edge tells of it. */
    if (c->fd >= 0 && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        read_all(l, c);
}
