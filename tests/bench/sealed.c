/* See sealed.h. What GnuTLS sends gathers in `out`; it leaves when the handshake waits for the peer,
 * and with each send. */
#include "sealed.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

struct sealed {
    const sealed_options *options;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t ticket_key;
    int fd;
    bool established;
    unsigned sends;
    char name[256];
    char *out;
    size_t len, cap;
};

static void must(bool ok)
{
    if (ok)
        return;
    perror("sealed");
    abort();
}

static void flush(sealed *s)
{
    /* A peer that is gone is noticed by who reads. */
    for (size_t sent = 0; sent < s->len;) {
        ssize_t n = send(s->fd, s->out + sent, s->len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    s->len = 0;
}

static ssize_t push(gnutls_transport_ptr_t transport, const void *bytes, size_t n)
{
    sealed *s = transport;
    while (s->len + n > s->cap) {
        s->cap = s->cap ? s->cap * 2 : 65536;
        s->out = realloc(s->out, s->cap);
        must(s->out);
    }
    memcpy(s->out + s->len, bytes, n);
    s->len += n;
    return (ssize_t)n;
}

static ssize_t pull(gnutls_transport_ptr_t transport, void *bytes, size_t n)
{
    sealed *s = transport;
    if (!s->established)
        flush(s);
    return recv(s->fd, bytes, n, s->established ? MSG_DONTWAIT : 0);
}

static int pull_timeout(gnutls_transport_ptr_t transport, unsigned ms)
{
    (void)transport, (void)ms;
    return 1;
}

static void prepare(sealed *s)
{
    const sealed_options *o = s->options;
    const char *priorities =
        o->tls12 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2" : "NORMAL:-VERS-ALL:+VERS-TLS1.3";
    must(gnutls_certificate_allocate_credentials(&s->credentials) == 0 &&
         gnutls_certificate_set_x509_key_file(s->credentials, o->cert, o->key,
                                              GNUTLS_X509_FMT_PEM) >= 0 &&
         gnutls_session_ticket_key_generate(&s->ticket_key) == 0 &&
         gnutls_init(&s->session, GNUTLS_SERVER) == 0 &&
         gnutls_priority_set_direct(s->session, priorities, NULL) == 0 &&
         gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, s->credentials) == 0 &&
         gnutls_session_ticket_enable_server(s->session, &s->ticket_key) == 0);
    gnutls_transport_set_ptr(s->session, s);
    gnutls_transport_set_push_function(s->session, push);
    gnutls_transport_set_pull_function(s->session, pull);
    gnutls_transport_set_pull_timeout_function(s->session, pull_timeout);
}

sealed *sealed_start(int fd, const sealed_options *options)
{
    struct timeval limit = {.tv_sec = 60};
    sealed *s = calloc(1, sizeof *s);
    must(s && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    s->fd = fd;
    s->options = options;
    prepare(s);
    int code;
    while ((code = gnutls_handshake(s->session)) != 0)
        if (gnutls_error_is_fatal(code) || code == GNUTLS_E_AGAIN) {
            flush(s); /* the alert */
            sealed_free(s);
            return NULL;
        }
    s->established = true;
    if (options->tls12)
        flush(s); /* the handshake ends with it; later versions end with what the client says */
    size_t n = sizeof s->name;
    unsigned type;
    if (gnutls_server_name_get(s->session, s->name, &n, &type, 0) != 0)
        s->name[0] = '\0';
    return s;
}

const char *sealed_name(const sealed *s) { return s->name; }

static void ask_for_keys(sealed *s)
{
    if (s->options->tls12)
        must(gnutls_rehandshake(s->session) == 0);
    else
        must(gnutls_session_key_update(s->session, GNUTLS_KU_PEER) == 0);
}

void sealed_send(sealed *s, const void *bytes, size_t n)
{
    const char *p = bytes;
    size_t most = s->options->record ? s->options->record : 16384;
    if (s->options->keys_every && ++s->sends % s->options->keys_every == 0)
        ask_for_keys(s);
    while (n > 0) {
        ssize_t sent = gnutls_record_send(s->session, p, n < most ? n : most);
        must(sent > 0);
        p += sent;
        n -= (size_t)sent;
    }
    flush(s);
}

ssize_t sealed_recv(sealed *s, void *bytes, size_t n)
{
    for (;;) {
        errno = 0;
        ssize_t got = gnutls_record_recv(s->session, bytes, n);
        if (got >= 0)
            return got;
        if (gnutls_error_is_fatal((int)got))
            return 0;
        if (got == GNUTLS_E_AGAIN && errno == EAGAIN)
            return -1;
    }
}

void sealed_break(sealed *s)
{
    static const char record[5 + 32] = {23, 3, 3, 0, 32};
    push(s, record, sizeof record);
    flush(s);
}

void sealed_bye(sealed *s)
{
    (void)gnutls_bye(s->session, GNUTLS_SHUT_WR);
    flush(s);
}

void sealed_free(sealed *s)
{
    if (!s)
        return;
    gnutls_deinit(s->session);
    gnutls_certificate_free_credentials(s->credentials);
    gnutls_free(s->ticket_key.data);
    free(s->out);
    free(s);
}
