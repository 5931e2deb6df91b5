/* TLS for the load client, by GnuTLS; see tls_client.h.
 *
 * Sessions take what they read from the socket, or, once fed, from memory; `dry` says that this had
 * nothing more. GnuTLS also returns GNUTLS_E_AGAIN when it has dealt with a message of its own (a
 * ticket, new keys) while the next records are already there. In an edge-triggered loop nobody would
 * ever come back for these, so only GNUTLS_E_AGAIN of a dry session is believed.
 *
 * No session is resumed: each connect costs the server a whole handshake. */
#include "tls_client.h"

#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tls_trust {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priorities;
    bool insecure;
};

struct tls_session {
    gnutls_session_t session;
    const http_url *url;
    const char *fed; /* what is left of it */
    size_t fed_len;
    int fd;
    int recv_flags;
    int error;           /* of GnuTLS, once it has failed */
    int system_error;    /* errno of the last receive or send that failed */
    unsigned char first; /* byte of the answer: what it speaks */
    bool is_fed, dry;
    bool answered;           /* there is a first byte */
    bool established, ended; /* the handshake; by the peer */
    gnutls_typed_vdata_st expected[2];
};

bool tls_available(void) { return true; }

/* For what fails for want of memory only. */
static void must(int code)
{
    if (code >= 0)
        return;
    fprintf(stderr, "sse-bench: TLS: %s\n", gnutls_strerror(code));
    exit(TOOL_UNAVAILABLE);
}

/* ---- trust ---- */

static int add_file(tls_trust *trust, const char *file, char why[TLS_WHY])
{
    if (access(file, R_OK) != 0) {
        snprintf(why, TLS_WHY, "%s", strerror(errno));
        return -1;
    }
    int n = gnutls_certificate_set_x509_trust_file(trust->credentials, file, GNUTLS_X509_FMT_PEM);
    if (n <= 0)
        snprintf(why, TLS_WHY, "no certificates in PEM format: %s",
                 gnutls_strerror(n < 0 ? n : GNUTLS_E_NO_CERTIFICATE_FOUND));
    return n > 0 ? 0 : -1;
}

static int add_system(tls_trust *trust, char why[TLS_WHY])
{
    int n = gnutls_certificate_set_x509_system_trust(trust->credentials);
    if (n <= 0)
        snprintf(why, TLS_WHY, "the system has no certificates of authorities%s%s",
                 n < 0 ? ": " : "", n < 0 ? gnutls_strerror(n) : "");
    return n > 0 ? 0 : -1;
}

tls_trust *tls_trust_new(const char *cacert, bool insecure, char why[TLS_WHY])
{
    tls_trust *trust = tool_must(calloc(1, sizeof *trust));
    trust->insecure = insecure;
    must(gnutls_certificate_allocate_credentials(&trust->credentials));
    must(gnutls_priority_init(&trust->priorities, NULL, NULL));
    int code = 0;
    if (cacert)
        code = add_file(trust, cacert, why);
    else if (!insecure)
        code = add_system(trust, why);
    if (code == 0)
        return trust;
    tls_trust_free(trust);
    return NULL;
}

void tls_trust_free(tls_trust *trust)
{
    if (!trust)
        return;
    gnutls_certificate_free_credentials(trust->credentials);
    gnutls_priority_deinit(trust->priorities);
    free(trust);
}

/* ---- the way to the socket ---- */

static ssize_t receive(tls_session *s, void *buf, size_t n)
{
    if (!s->is_fed)
        return recv(s->fd, buf, n, s->recv_flags);
    if (s->fed_len == 0) {
        errno = EAGAIN;
        return -1;
    }
    size_t piece = n < s->fed_len ? n : s->fed_len;
    memcpy(buf, s->fed, piece);
    s->fed += piece;
    s->fed_len -= piece;
    return (ssize_t)piece;
}

static ssize_t pull(gnutls_transport_ptr_t transport, void *buf, size_t n)
{
    tls_session *s = transport;
    ssize_t got = receive(s, buf, n);
    if (got < 0) {
        s->system_error = errno;
        s->dry = errno == EAGAIN;
    } else if (got > 0 && !s->answered) {
        s->answered = true;
        s->first = *(unsigned char *)buf;
    }
    return got;
}

static ssize_t push(gnutls_transport_ptr_t transport, const giovec_t *pieces, int n)
{
    tls_session *s = transport;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)n};
    ssize_t sent = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == ENOTCONN)
        errno = EAGAIN;
    if (sent < 0)
        s->system_error = errno;
    return sent;
}

/* GnuTLS wants it where there is a function to receive; no session of ours has a timeout. */
static int pull_timeout(gnutls_transport_ptr_t transport, unsigned ms)
{
    (void)transport, (void)ms;
    return 1;
}

/* ---- sessions ---- */

static bool is_address(const char *host)
{
    struct in6_addr address; /* has room for either */
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static void expect_server(tls_session *s)
{
    s->expected[0] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_DNS_HOSTNAME,
                                             .data = (unsigned char *)(uintptr_t)s->url->host};
    s->expected[1] =
        (gnutls_typed_vdata_st){.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER};
    gnutls_session_set_verify_cert2(s->session, s->expected, 2, 0);
}

tls_session *tls_new(const tls_trust *trust, const http_url *url, int fd)
{
    static const gnutls_datum_t http = {(unsigned char *)(uintptr_t) "http/1.1", 8};
    tls_session *s = tool_must(calloc(1, sizeof *s));
    s->url = url;
    s->fd = fd;
    must(gnutls_init(&s->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK));
    must(gnutls_priority_set(s->session, trust->priorities));
    must(gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, trust->credentials));
    must(gnutls_alpn_set_protocols(s->session, &http, 1, 0));
    if (!is_address(url->host))
        must(gnutls_server_name_set(s->session, GNUTLS_NAME_DNS, url->host, strlen(url->host)));
    if (!trust->insecure)
        expect_server(s);
    gnutls_transport_set_ptr(s->session, s);
    gnutls_transport_set_pull_function(s->session, pull);
    gnutls_transport_set_pull_timeout_function(s->session, pull_timeout);
    gnutls_transport_set_vec_push_function(s->session, push);
    return s;
}

void tls_free(tls_session *s)
{
    if (!s)
        return;
    gnutls_deinit(s->session);
    free(s);
}

static int fail(tls_session *s, int code)
{
    s->error = code;
    return TLS_FAILED;
}

bool tls_wants_to_send(const tls_session *s)
{
    return gnutls_record_get_direction(s->session) == 1;
}

/* It cannot go on: nothing more is there, or the socket takes nothing. */
static bool is_stuck(const tls_session *s, int code)
{
    return code == GNUTLS_E_AGAIN && (s->dry || tls_wants_to_send(s));
}

int tls_handshake(tls_session *s)
{
    for (;;) {
        s->dry = false;
        int code = gnutls_handshake(s->session);
        if (code == 0) {
            s->established = true;
            return TLS_DONE;
        }
        if (gnutls_error_is_fatal(code))
            return fail(s, code);
        if (is_stuck(s, code))
            return TLS_AGAIN;
    }
}

int tls_send(tls_session *s, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = gnutls_record_send(s->session, bytes, n);
        if (sent == GNUTLS_E_AGAIN)
            return TLS_AGAIN;
        if (sent < 0 && gnutls_error_is_fatal((int)sent))
            return fail(s, (int)sent);
        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
        }
    }
    return TLS_DONE;
}

ssize_t tls_read(tls_session *s, char *out, size_t n)
{
    for (;;) {
        s->dry = false;
        ssize_t got = gnutls_record_recv(s->session, out, n);
        if (got > 0)
            return got;
        if (got == 0 || got == GNUTLS_E_PREMATURE_TERMINATION) {
            s->ended = true;
            return 0;
        }
        if (gnutls_error_is_fatal((int)got))
            return fail(s, (int)got);
        if (is_stuck(s, (int)got))
            return TLS_AGAIN;
        /* TLS 1.2 lets a client decline new parameters. */
        if (got == GNUTLS_E_REHANDSHAKE)
            (void)gnutls_alert_send(s->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
    }
}

void tls_feed(tls_session *s, const char *bytes, size_t n)
{
    s->is_fed = true;
    s->fed = bytes;
    s->fed_len = n;
}

bool tls_is_idle(tls_session *s)
{
    char byte;
    s->recv_flags = MSG_DONTWAIT;
    ssize_t got = tls_read(s, &byte, 1);
    s->recv_flags = 0;
    return got == TLS_AGAIN;
}

void tls_bye(tls_session *s)
{
    if (s->established && !s->ended && s->error == 0)
        (void)gnutls_bye(s->session, GNUTLS_SHUT_WR);
}

/* ---- what went wrong ---- */

static void explain_certificate(const tls_session *s, char *out, size_t size)
{
    gnutls_datum_t text = {0};
    unsigned status = gnutls_session_get_verify_cert_status(s->session);
    if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) != 0) {
        snprintf(out, size, "%s", gnutls_strerror(s->error));
        return;
    }
    unsigned len = text.size;
    while (len > 0 && (text.data[len - 1] == ' ' || text.data[len - 1] == '\0'))
        len--;
    snprintf(out, size, "%.*s", (int)len, (const char *)text.data);
    gnutls_free(text.data);
}

static const char *explain_alert(const tls_session *s)
{
    const char *name = gnutls_alert_get_name(gnutls_alert_get(s->session));
    return name ? name : "unknown";
}

/* Records of TLS begin with a type from 20 on. */
static bool is_foreign(const tls_session *s)
{
    return !s->established && s->answered && (s->first < 20 || s->first > 24);
}

void tls_failure(const tls_session *s, char why[TLS_WHY])
{
    char detail[TLS_WHY / 2];
    if (s->error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
        explain_certificate(s, detail, sizeof detail);
    else if (s->error == GNUTLS_E_FATAL_ALERT_RECEIVED)
        snprintf(detail, sizeof detail, "the server refuses: %s", explain_alert(s));
    else if (s->error == GNUTLS_E_PULL_ERROR || s->error == GNUTLS_E_PUSH_ERROR)
        snprintf(detail, sizeof detail, "%s", strerror(s->system_error));
    else if (is_foreign(s))
        snprintf(detail, sizeof detail, "what answers there does not speak TLS");
    else if (s->error == GNUTLS_E_PREMATURE_TERMINATION)
        snprintf(detail, sizeof detail, "the connection was closed");
    else
        snprintf(detail, sizeof detail, "%s", gnutls_strerror(s->error));
    snprintf(why, TLS_WHY, "TLS%s with %.150s: %s", s->established ? "" : " handshake",
             s->url->authority, detail);
}
