/* The test client's TLS: any certificate will do, what is tested with it is the server. Whether certificates are checked is tested with
 * the programs. */
#include "http_internal.h"

#include "wait.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

static gnutls_certificate_credentials_t trust;

static void make_trust(void)
{
    /* Never freed: sessions of any thread use it. */
    if (!trust && gnutls_certificate_allocate_credentials(&trust) != 0)
        abort();
}

static bool wait_for(gnutls_session_t session, int fd, int64_t deadline)
{
    short events = gnutls_record_get_direction(session) ? POLLOUT : POLLIN;
    struct pollfd pfd = {.fd = fd, .events = events};
    return poll(&pfd, 1, wait_left_ms(deadline)) > 0;
}

static void make_session(http_conn *c)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    gnutls_session_t session;
    pthread_once(&once, make_trust);
    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) != 0)
        abort();
    c->tls = session;
    if (gnutls_set_default_priority(session) != 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trust) != 0)
        abort();
    int on = 1; /* the request need not wait until the end of the handshake is acknowledged */
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    gnutls_transport_set_int(session, c->fd);
}

bool http_tls_start(http_conn *c, int timeout_ms)
{
    int code;
    int64_t deadline = wait_now_ms() + timeout_ms;
    if (!c->tls)
        make_session(c);
    while ((code = gnutls_handshake(c->tls)) != 0)
        if (gnutls_error_is_fatal(code) || !wait_for(c->tls, c->fd, deadline))
            return false;
    return true;
}

void http_tls_end(http_conn *c) { gnutls_deinit(c->tls); }

ssize_t http_tls_send(http_conn *c, const void *bytes, size_t n)
{
    ssize_t sent = gnutls_record_send(c->tls, bytes, n);
    if (sent >= 0)
        return sent;
    errno = gnutls_error_is_fatal((int)sent) ? EPIPE : EAGAIN;
    return -1;
}

ssize_t http_tls_recv(http_conn *c, void *bytes, size_t n)
{
    ssize_t got = gnutls_record_recv(c->tls, bytes, n);
    if (got >= 0 || got == GNUTLS_E_PREMATURE_TERMINATION)
        return got < 0 ? 0 : got;
    errno = gnutls_error_is_fatal((int)got) ? ECONNRESET : EAGAIN;
    return -1;
}
