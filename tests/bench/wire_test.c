/* The publisher's connection over TLS: the name that the peer is asked for, and a connection that it
 * ends, or on which it speaks to TLS alone, while nothing is asked. */
#include "wire.h"

#include "cert.h"
#include "sealed.h"
#include "sync.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REQUEST "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
#define ACCEPTED "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
#define ACCEPTED_AND_OVER                                                                          \
    "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
#define MOST 3

/* A server: its thread takes so many connections, one after the other. */
typedef struct peer {
    sealed_options options;
    char cert[256], key[256];
    size_t connections;
    void (*serve)(sealed *s, int fd, size_t i);
    int listener;
    sse__thread thread;
    char names[MOST][256]; /* that were asked for; to be read after its end */
} peer;

static void wait_for_bytes(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    (void)poll(&p, 1, 60000);
}

/* Wait for a request. Returns false when the client ends instead. */
static bool hear(sealed *s, int fd)
{
    char bytes[4096];
    ssize_t n;
    while ((n = sealed_recv(s, bytes, sizeof bytes)) < 0)
        wait_for_bytes(fd);
    return n > 0;
}

static void say(sealed *s, const char *text) { sealed_send(s, text, strlen(text)); }

static void *peer_run(void *arg)
{
    peer *p = arg;
    for (size_t i = 0; i < p->connections; i++) {
        int fd = accept(p->listener, NULL, NULL);
        sealed *s = sealed_start(fd, &p->options);
        if (s) {
            snprintf(p->names[i], sizeof p->names[i], "%s", sealed_name(s));
            p->serve(s, fd, i);
        }
        sealed_free(s);
        close(fd);
    }
    return NULL;
}

static void peer_start(peer *p, http_url *url)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char text[64];
    const char *name = cert_default();
    snprintf(p->cert, sizeof p->cert, "%s", cert_path(name, "crt"));
    snprintf(p->key, sizeof p->key, "%s", cert_path(name, "key"));
    p->options.cert = p->cert;
    p->options.key = p->key;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(p->listener >= 0 && bind(p->listener, (struct sockaddr *)&address, len) == 0 &&
              listen(p->listener, MOST) == 0 &&
              getsockname(p->listener, (struct sockaddr *)&address, &len) == 0);
    snprintf(text, sizeof text, "https://127.0.0.1:%u/", ntohs(address.sin_port));
    cr_assert_null(http_url_parse(url, text));
    cr_assert_eq(sse__thread_start(&p->thread, "peer", 0, peer_run, p), SSE_OK);
}

static void peer_join(peer *p)
{
    sse__thread_join(&p->thread);
    close(p->listener);
}

static tls_trust *make_trust(void)
{
    char why[TLS_WHY] = "";
    tls_trust *trust = tls_trust_new(cert_path("ca", "crt"), false, why);
    cr_assert_not_null(trust, "%s", why);
    return trust;
}

static void expect_accepted(wire *w)
{
    cr_assert(wire_send(w, REQUEST, strlen(REQUEST)), "%s", w->failure);
    cr_assert_eq(wire_status(w), 202, "%s", w->failure);
}

/* As if nothing had been asked for long, and something has come meanwhile. */
static void rest(wire *w)
{
    wait_for_bytes(w->fd);
    w->used_ns = 0;
    cr_assert(wire_refresh(w), "%s", w->failure);
}

/* ---- one that ends connections ---- */

static void serve_and_end(sealed *s, int fd, size_t i)
{
    cr_assert(hear(s, fd));
    say(s, i == 1 ? ACCEPTED_AND_OVER : ACCEPTED);
    if (i == 0) { /* new keys, and nothing else */
        sealed_send(s, "", 0);
        cr_assert(hear(s, fd));
        say(s, ACCEPTED);
    }
    if (i < 2) {
        sealed_bye(s);
        shutdown(fd, SHUT_WR);
    }
    cr_assert(!hear(s, fd), "the client has gone, too");
}

Test(bench_wire, a_connection_that_the_server_ends)
{
    static wire w;
    static peer p = {.connections = 3, .serve = serve_and_end, .options = {.keys_every = 2}};
    http_url url;
    peer_start(&p, &url);
    snprintf(url.host, sizeof url.host, "localhost");
    tls_trust *trust = make_trust();
    cr_assert(wire_open(&w, &url, trust), "%s", w.failure);
    const tls_session *first = w.tls;
    expect_accepted(&w);
    rest(&w);
    cr_assert_eq(w.tls, first, "tickets and new keys are no end");
    expect_accepted(&w);
    rest(&w);
    expect_accepted(&w); /* on another one, after which comes a third */
    expect_accepted(&w);
    wire_close(&w);
    peer_join(&p);
    for (size_t i = 0; i < 3; i++)
        cr_assert_str_eq(p.names[i], "localhost");
    tls_trust_free(trust);
}

/* ---- names ---- */

static void serve_nothing(sealed *s, int fd, size_t i)
{
    (void)i;
    cr_assert(!hear(s, fd));
}

Test(bench_wire, names_are_asked_for_and_checked)
{
    static wire w;
    static peer p = {.connections = 2, .serve = serve_nothing};
    http_url url;
    peer_start(&p, &url);
    tls_trust *trust = make_trust();
    cr_assert(wire_open(&w, &url, trust), "%s", w.failure);
    wire_close(&w);
    snprintf(url.host, sizeof url.host, "elsewhere");
    cr_assert(!wire_open(&w, &url, trust));
    cr_assert(strstr(w.failure, "does not match"), "%s", w.failure);
    wire_close(&w);
    peer_join(&p);
    cr_assert_str_eq(p.names[0], "", "an address is no name");
    tls_trust_free(trust);
}
