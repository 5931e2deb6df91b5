/* Peers that stop in the middle of a TLS handshake: the deadline of a request holds for them, subscribers beside do not notice, and the
 * loops sleep meanwhile. Those that wait in epoll_wait() are counted: libmicrohttpd takes some of these connections for ready all the
 * time (sse__mhd_run()), and a loop that believed it would go round some hundred thousand times a second. */
#include "fixture.h"

#include "../support/cert.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* How they stop. */
enum stop {
    NOTHING,     /* no byte at all */
    HALF_HELLO,  /* half a ClientHello */
    HALF_FINISH, /* all of it, and of the client's next messages all but the last byte */
    TRICKLE,     /* byte by byte, each long before the deadline */
    DEAF, /* a whole ClientHello; it does not read, and the server's answer does not fit between them */
    STOPS
};

enum { PEERS = 6, CHAIN = 200, TIMEOUT_MS = 2000 };

/* ---- how often loops go round ---- */

int __real_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);

enum { DESCRIPTORS = 1024 };
static atomic_ulong rounds[DESCRIPTORS]; /* of each loop, by its epoll set */

int __wrap_epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        rounds[fd]++;
    return __real_epoll_wait(fd, events, n, timeout);
}

/* ---- a peer: GnuTLS says what to send, the test decides how much of it is sent ---- */

typedef struct peer {
    gnutls_session_t session;
    unsigned char out[4096];
    size_t len, sent;
    size_t received;
    int fd;
} peer;

static gnutls_certificate_credentials_t trust;

static ssize_t take(gnutls_transport_ptr_t to, const void *bytes, size_t n)
{
    peer *p = to;
    cr_assert_leq(n, sizeof p->out - p->len);
    memcpy(p->out + p->len, bytes, n);
    p->len += n;
    return (ssize_t)n;
}

static ssize_t give(gnutls_transport_ptr_t from, void *bytes, size_t n)
{
    peer *p = from;
    ssize_t got = recv(p->fd, bytes, n, MSG_DONTWAIT);
    p->received += got > 0 ? (size_t)got : 0;
    return got;
}

static int given(gnutls_transport_ptr_t from, unsigned ms)
{
    struct pollfd pfd = {.fd = ((peer *)from)->fd, .events = POLLIN};
    return poll(&pfd, 1, (int)ms);
}

/* With buffers so small that neither side can be far ahead of the other. */
static int small_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), bytes = 4096;
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
    return fd;
}

/* A listener whose connections have them, too. */
static uint16_t listen_small(sse_server *server)
{
    char bound[64];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = small_socket();
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, len), 0);
    cr_assert_eq(listen(fd, PEERS), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    cr_assert_eq(sse_server_listen_socket(server, fd, bound, sizeof bound), SSE_OK);
    return ntohs(at.sin_port);
}

/* Connected, with its ClientHello ready to be sent. */
static void peer_start(peer *p, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *p = (peer){.fd = small_socket()};
    cr_assert_eq(connect(p->fd, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(gnutls_init(&p->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
    cr_assert_eq(gnutls_set_default_priority(p->session), 0);
    cr_assert_eq(gnutls_credentials_set(p->session, GNUTLS_CRD_CERTIFICATE, trust), 0);
    gnutls_transport_set_ptr(p->session, p);
    gnutls_transport_set_push_function(p->session, take);
    gnutls_transport_set_pull_function(p->session, give);
    gnutls_transport_set_pull_timeout_function(p->session, given);
    cr_assert_eq(gnutls_handshake(p->session), GNUTLS_E_AGAIN);
    cr_assert_gt(p->len, 100u);
}

static void peer_send(peer *p, size_t n)
{
    cr_assert_leq(p->sent + n, p->len);
    cr_assert_eq(send(p->fd, p->out + p->sent, n, MSG_NOSIGNAL), (ssize_t)n);
    p->sent += n;
}

/* Answer all that the server says, up to the end of the handshake, without sending it. */
static void peer_answer(peer *p)
{
    int code;
    while ((code = gnutls_handshake(p->session)) != 0) {
        cr_assert_not(gnutls_error_is_fatal(code), "%s", gnutls_strerror(code));
        cr_assert(wait_readable(p->fd, LONG));
    }
    cr_assert_gt(p->len, p->sent);
}

static void peer_end(peer *p)
{
    gnutls_deinit(p->session);
    close(p->fd);
}

/* The server has ended it: read what had left before that. */
static void peer_drain(peer *p)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(p->fd, bytes, sizeof bytes, 0)) > 0)
        p->received += (size_t)n;
}

/* ---- the ways to stop ---- */

static void stop_here(peer *p, enum stop how)
{
    if (how == HALF_HELLO)
        peer_send(p, p->len / 2);
    else if (how == HALF_FINISH || how == DEAF)
        peer_send(p, p->len);
    if (how != HALF_FINISH)
        return;
    peer_answer(p);
    peer_send(p, p->len - p->sent - 1);
}

/* Give the certificate a chain so long that the server's part of a handshake does not fit into the buffers of a connection. */
static void lengthen_chain(void)
{
    static char pem[4096];
    FILE *from = fopen(cert_path("ca", "crt"), "re"), *to = fopen(cert_path("server", "crt"), "ae");
    cr_assert(from && to);
    size_t n = fread(pem, 1, sizeof pem, from);
    cr_assert(n > 0 && n < sizeof pem);
    for (int i = 0; i < CHAIN; i++)
        cr_assert_eq(fwrite(pem, 1, n, to), n);
    fclose(from);
    cr_assert_eq(fclose(to), 0);
}

/* ---- a hub for each way, all at the same time ---- */

typedef struct scene {
    sse_server *server;
    http_conn *reader;
    peer peers[PEERS];
} scene;

static void open_scene(scene *s)
{
    uint16_t port;
    sse_server_options options = fixture_options();
    options.request_timeout_ms = TIMEOUT_MS;
    s->server = serve(&options, &port);
    create(s->server, "s");
    s->reader = join(port, "s");
}

static void bring_peers(scene *s, enum stop how)
{
    cr_assert_eq(sse_server_tls_reload(s->server), SSE_OK);
    uint16_t port = listen_small(s->server);
    for (size_t i = 0; i < PEERS; i++) {
        peer_start(&s->peers[i], port);
        stop_here(&s->peers[i], how);
    }
}

static void trickle(scene *s)
{
    for (size_t i = 0; i < PEERS; i++) {
        peer *p = &s->peers[i];
        cr_assert_lt(p->sent, p->len - 1, "the hello ends before its deadline");
        p->sent += send(p->fd, p->out + p->sent, 1, MSG_NOSIGNAL) == 1;
    }
}

/* One event, and a byte of those that trickle. Returns false once the server has ended the peers. */
static bool live_on(scene *s, enum stop how)
{
    if (totals(s->server).connections == 1)
        return false;
    say(s->server, "s", "beside");
    expect_data(s->reader, "beside");
    if (how == TRICKLE)
        trickle(s);
    return true;
}

/* Until all peers have been ended. Returns how many events and bytes a hub saw meanwhile. */
static size_t live_to_the_end(scene scenes[STOPS])
{
    size_t done = 0;
    int64_t deadline = wait_now_ms() + LONG;
    for (bool on = true; on; done += 1 + PEERS) {
        cr_assert(wait_now_ms() < deadline, "some are still there");
        on = false;
        for (enum stop how = 0; how < STOPS; how++)
            on |= live_on(&scenes[how], how);
        (void)wait_readable(http_fd(scenes[0].reader), 50); /* nothing comes */
    }
    return done;
}

static void close_scene(scene *s)
{
    for (size_t i = 0; i < PEERS; i++) {
        peer_drain(&s->peers[i]);
        peer_end(&s->peers[i]);
    }
    say(s->server, "s", "the last");
    expect_data(s->reader, "the last");
    http_close(s->reader);
    sse_server_free(s->server);
}

Test(handshake, stopped_anywhere_ends_at_its_deadline_and_keeps_no_loop_busy)
{
    enum { ROUNDS_A_PEER = 600, ROUNDS_AN_ACTION = 20 };
    static scene scenes[STOPS];
    cr_assert_eq(setenv("SSE_TEST_TLS", "1", 1), 0);
    cr_assert_eq(gnutls_certificate_allocate_credentials(&trust), 0);
    for (enum stop how = 0; how < STOPS; how++)
        open_scene(&scenes[how]);
    lengthen_chain();
    for (enum stop how = 0; how < STOPS; how++)
        bring_peers(&scenes[how], how);
    size_t done = live_to_the_end(scenes);
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        cr_assert_lt(rounds[fd], ROUNDS_A_PEER * PEERS + ROUNDS_AN_ACTION * done,
                     "%lu rounds for %zu actions", rounds[fd], done);
    for (enum stop how = 0; how < STOPS; how++)
        close_scene(&scenes[how]);
    for (size_t i = 0; i < PEERS; i++) {
        size_t all = scenes[HALF_FINISH].peers[i].received, deaf = scenes[DEAF].peers[i].received;
        cr_assert(deaf > 0 && deaf < all / 2, "the server did not stop in the middle: %zu of %zu",
                  deaf, all);
    }
    gnutls_certificate_free_credentials(trust);
}
