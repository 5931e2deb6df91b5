/* The faulty hub; see relay.h. Its thread polls all sockets and a pipe that ends it; the rest is
 * its own. */
#include "relay.h"

#include "sync.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 64
#define REQUEST 65536

typedef struct peer {
    int fd;
    sealed *sealed; /* NULL: plain */
    bool subscribes;
    size_t len;
    char *in; /* of REQUEST bytes and a NUL */
} peer;

struct relay {
    relay_fault fault;
    unsigned at;
    const sealed_options *tls;
    int listener, stop[2];
    uint16_t port;
    sse__thread thread;
    peer peers[MOST]; /* the thread's, like all that follows */
    size_t n;
    unsigned event;
    char *waiting; /* the one that changes places */
};

static void must(bool ok)
{
    if (ok)
        return;
    perror("relay");
    abort();
}

static void answer(const peer *p, const char *bytes, size_t n)
{
    if (p->sealed)
        sealed_send(p->sealed, bytes, n);
    else
        (void)!send(p->fd, bytes, n, MSG_NOSIGNAL);
}

static void tell(relay *r, const char *data)
{
    char text[REQUEST + 16];
    int n = snprintf(text, sizeof text, "data: %s\n\n", data);
    for (size_t i = 0; i < r->n; i++)
        if (r->peers[i].subscribes)
            answer(&r->peers[i], text, (size_t)n);
}

static void break_tls(relay *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->peers[i].subscribes)
            sealed_break(r->peers[i].sealed);
}

static void hang_up(relay *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->peers[i].subscribes)
            shutdown(r->peers[i].fd, SHUT_RDWR);
}

static void take_event(relay *r, const char *data)
{
    bool now = r->event++ == r->at;
    if (now && r->fault == RELAY_SWAPS) {
        r->waiting = strdup(data);
        return;
    }
    if (!(now && r->fault == RELAY_LOSES))
        tell(r, data);
    if (now && r->fault == RELAY_DOUBLES)
        tell(r, data);
    if (now && r->fault == RELAY_HANGS_UP)
        hang_up(r);
    if (now && r->fault == RELAY_BREAKS)
        break_tls(r);
    if (r->waiting)
        tell(r, r->waiting);
    free(r->waiting);
    r->waiting = NULL;
}

/* Serve one request at the start of what came. Returns the bytes it took. */
static size_t serve(relay *r, peer *p)
{
    static const char subscribed[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    static const char taken[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";
    char *end = strstr(p->in, "\r\n\r\n");
    if (!end)
        return 0;
    size_t head = (size_t)(end - p->in) + 4;
    if (strncmp(p->in, "GET", 3) == 0) {
        p->subscribes = true;
        answer(p, subscribed, sizeof subscribed - 1);
        return head;
    }
    const char *length = strstr(p->in, "Content-Length: ");
    size_t n = length ? strtoul(length + 16, NULL, 10) : 0;
    if (p->len < head + n)
        return 0;
    char *data = strndup(end + 4, n);
    must(data);
    take_event(r, data);
    free(data);
    answer(p, taken, sizeof taken - 1);
    return head + n;
}

static void take(relay *r, peer *p, size_t n)
{
    p->len += n;
    p->in[p->len] = '\0';
    size_t took;
    while ((took = serve(r, p)) > 0) {
        p->len -= took;
        memmove(p->in, p->in + took, p->len + 1);
    }
}

static bool read_from(relay *r, peer *p)
{
    ssize_t n;
    if (p->sealed) {
        while ((n = sealed_recv(p->sealed, p->in + p->len, REQUEST - p->len)) > 0)
            take(r, p, (size_t)n);
        return n != 0;
    }
    n = recv(p->fd, p->in + p->len, REQUEST - p->len, 0);
    if (n <= 0)
        return false;
    take(r, p, (size_t)n);
    return true;
}

static void drop(relay *r, size_t i)
{
    sealed_free(r->peers[i].sealed);
    close(r->peers[i].fd);
    free(r->peers[i].in);
    r->peers[i] = r->peers[--r->n];
}

static void add(relay *r)
{
    int fd = accept(r->listener, NULL, NULL);
    must(fd >= 0 && r->n < MOST);
    sealed *s = r->tls ? sealed_start(fd, r->tls) : NULL;
    if (r->tls && !s) { /* who does not trust it */
        close(fd);
        return;
    }
    peer *p = &r->peers[r->n++];
    *p = (peer){.fd = fd, .sealed = s, .in = calloc(1, REQUEST + 1)};
    must(p->in);
}

static void *relay_run(void *arg)
{
    relay *r = arg;
    struct pollfd fds[MOST + 2];
    for (;;) {
        size_t n = r->n;
        fds[0] = (struct pollfd){.fd = r->stop[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = r->listener, .events = POLLIN};
        for (size_t i = 0; i < n; i++)
            fds[i + 2] = (struct pollfd){.fd = r->peers[i].fd, .events = POLLIN};
        must(poll(fds, (nfds_t)n + 2, -1) > 0);
        if (fds[0].revents)
            return NULL;
        for (size_t i = n; i-- > 0;) /* from the end: drop() moves the last one */
            if (fds[i + 2].revents && !read_from(r, &r->peers[i]))
                drop(r, i);
        if (fds[1].revents)
            add(r);
    }
}

relay *relay_start(relay_fault fault, unsigned at) { return relay_start_tls(fault, at, NULL); }

relay *relay_start_tls(relay_fault fault, unsigned at, const sealed_options *tls)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    relay *r = calloc(1, sizeof *r);
    must(r);
    r->fault = fault;
    r->at = at;
    r->tls = tls;
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(r->listener >= 0 && bind(r->listener, (struct sockaddr *)&address, len) == 0 &&
         listen(r->listener, MOST) == 0 &&
         getsockname(r->listener, (struct sockaddr *)&address, &len) == 0 && pipe(r->stop) == 0);
    r->port = ntohs(address.sin_port);
    must(sse__thread_start(&r->thread, "relay", 0, relay_run, r) == SSE_OK);
    return r;
}

uint16_t relay_port(const relay *r) { return r->port; }

void relay_stop(relay *r)
{
    must(write(r->stop[1], "x", 1) == 1);
    sse__thread_join(&r->thread);
    while (r->n > 0)
        drop(r, 0);
    close(r->listener);
    close(r->stop[0]);
    close(r->stop[1]);
    free(r->waiting);
    free(r);
}
