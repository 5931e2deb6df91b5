/* A connection that breaks at any byte, with the server alive: the client resumes from the server's
 * history without a loss, a duplicate or a gap. A relay between them breaks off each connection
 * after so many bytes of the answer, by turns with FIN and RST, inside lines, chunks and headers; with
 * TLS also inside the handshake. */
#include "../support/cert.h"
#include "e2e.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sse/client.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Over TLS nothing is got from a record before all of it is there, and one may be as large as the server's buffer for a connection.
 */
enum { LIFE_BYTES = 1500, TLS_LIFE_BYTES = 16000, EVENTS = 3000 };

typedef struct relay {
    uint16_t port, to;
    int listener;
    int stop; /* eventfd */
    _Atomic int cuts;
    _Atomic bool heal; /* cut no more */
    pthread_t thread;
} relay;

static int loopback(uint16_t port, bool listening, uint16_t *bound)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = listening ? bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 16)
                           : connect(fd, (struct sockaddr *)&a, sizeof a);
    if (failed || getsockname(fd, (struct sockaddr *)&a, &len)) {
        close(fd);
        return -1;
    }
    if (bound)
        *bound = ntohs(a.sin_port);
    return fd;
}

/* Pass on what is there, at most `left` bytes. Returns how many; -1 at the end. */
static ssize_t pass(int from, int to, ssize_t left)
{
    char bytes[4096];
    ssize_t n = recv(from, bytes, left < (ssize_t)sizeof bytes ? (size_t)left : sizeof bytes, 0);
    if (n <= 0 || send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
        return -1;
    return n;
}

/* Returns false when the relay is stopped. */
static bool carry(relay *r, int client, int server, ssize_t life)
{
    for (;;) {
        struct pollfd fds[] = {{r->stop, POLLIN, 0}, {client, POLLIN, 0}, {server, POLLIN, 0}};
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[0].revents)
            return false;
        if (fds[1].revents && pass(client, server, 4096) < 0)
            return true;
        if (!fds[2].revents)
            continue;
        ssize_t n = pass(server, client, r->heal ? 4096 : life);
        if (n < 0)
            return true;
        if (!r->heal && (life -= n) == 0) {
            r->cuts++;
            return true;
        }
    }
}

static void *relay_main(void *arg)
{
    relay *r = arg;
    ssize_t longest = cert_tls() ? TLS_LIFE_BYTES : LIFE_BYTES;
    for (unsigned i = 0;; i++) {
        struct pollfd fds[] = {{r->stop, POLLIN, 0}, {r->listener, POLLIN, 0}};
        while (poll(fds, 2, -1) < 0)
            ;
        if (fds[0].revents)
            return NULL;
        int client = accept(r->listener, NULL, NULL), server = loopback(r->to, false, NULL);
        bool go_on = carry(r, client, server, 1 + (ssize_t)i * 7919 % longest);
        if (i % 2) {
            struct linger reset = {1, 0};
            setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        close(client);
        close(server);
        if (!go_on)
            return NULL;
    }
}

static void relay_start(relay *r, uint16_t to)
{
    *r = (relay){.to = to};
    r->listener = loopback(0, true, &r->port);
    r->stop = eventfd(0, EFD_CLOEXEC);
    cr_assert(r->listener >= 0 && r->stop >= 0);
    cr_assert_eq(pthread_create(&r->thread, NULL, relay_main, r), 0);
}

static void relay_stop(relay *r)
{
    uint64_t one = 1;
    cr_assert_eq(write(r->stop, &one, sizeof one), (ssize_t)sizeof one);
    pthread_join(r->thread, NULL);
    close(r->listener);
    close(r->stop);
}

static void expect_all(sse_chan *chan, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sse_msg *msg;
        sse_err err = sse_chan_recv_timeout(chan, LONG, &msg);
        cr_assert_eq(err, SSE_OK, "event %zu: %s (%s)", first + i, sse_strerror(err),
                     sse_strerror(sse_chan_reason(chan)));
        const sse_event *event = sse_msg_event(msg);
        cr_assert_null(event->type.ptr, "%s: %s", event->type.ptr, event->data.ptr); /* no gap */
        cr_assert_str_eq(event->data.ptr, text("%zu", first + i));
        sse_msg_unref(msg);
    }
}

/* conformance 15, 21 and 31 together. */
Test(cut, at_any_byte)
{
    relay r;
    sse_client *client;
    sse_chan *chan;
    hub h = hub_start(ARGS("--stream=s", "--history=10000"));
    relay_start(&r, h.port);
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.retry_ms = 1;
    options.max_retry_ms = 5;
    options.cacert = trusted();
    cr_assert_eq(sse_client_new(text("%s/events", url_at(r.port)), &options, &client), SSE_OK);
    cr_assert_eq(sse_chan_new(NULL, &chan), SSE_OK);
    cr_assert_eq(sse_client_subscribe_chan(client, "s", chan, NULL), SSE_OK);
    publish_numbers(&h, "s", 0, EVENTS);
    expect_all(chan, 0, EVENTS);
    cr_assert_gt(r.cuts, 20, "%d", r.cuts);
    r.heal = true;
    publish_numbers(&h, "s", EVENTS, 10);
    expect_all(chan, EVENTS, 10);
    cr_assert_eq(stream_number(&h, "s", "gaps"), 0u);
    sse_client_free(client);
    sse_chan_unref(chan);
    relay_stop(&r);
    hub_end(&h);
}
