/* Certificates of the HTTPS listeners, and what a TLS session is given before its handshake.
 *
 * libmicrohttpd makes the sessions and drives them; here each gets its certificate, so that a reload concerns new connections only
 * and needs no new daemon, and its way to the socket, so that the I/O loop can tell a handshake that waits for its peer from one
 * that works (see sse__mhd_run()). An identity never changes and lives as long as the last session that uses it. Any thread; a
 * session's calls come on the thread of its connection. */
#include "tls.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct sse__identity {
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t ticket_key;
    atomic_uint refs;
};

const char sse__tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

/* ---- loading ---- */

/* What is being loaded. */
typedef struct loading {
    const char *cert_file, *key_file;
    const sse_logger *logger;
    gnutls_datum_t cert_pem, key_pem;
    gnutls_x509_crt_t *chain;
    unsigned chain_len;
    gnutls_x509_privkey_t key;
} loading;

static sse_err refuse(const loading *l, const char *file, const char *why)
{
    sse__log(l->logger, SSE_LOG_ERROR, "TLS: %s: %s", file, why);
    return SSE_ECERT;
}

static sse_err refuse_code(const loading *l, const char *file, const char *what, int code)
{
    sse__log(l->logger, SSE_LOG_ERROR, "TLS: %s: %s: %s", file, what, gnutls_strerror(code));
    return code == GNUTLS_E_MEMORY_ERROR ? SSE_ENOMEM : SSE_ECERT;
}

static sse_err read_pem(const loading *l, const char *file, gnutls_datum_t *out)
{
    struct stat info;
    if (stat(file, &info) != 0)
        return refuse(l, file, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return refuse(l, file, "not a file");
    if (access(file, R_OK) != 0)
        return refuse(l, file, strerror(errno));
    int code = gnutls_load_file(file, out);
    return code == 0 ? SSE_OK : refuse_code(l, file, "cannot be read", code);
}

/* How long the message with a chain may be (RFC 8446, 4.4.2). Clients end a handshake with a longer one: OpenSSL's, and so curl's and
 * sse-sub's, do from here on. GnuTLS would not send one either, from 128 KiB for all messages of a handshake on. */
enum { MAX_CHAIN_MESSAGE = 100 * 1024 };

static size_t chain_message_size(const loading *l)
{
    size_t sum = 1 + 3;
    for (unsigned i = 0; i < l->chain_len; i++) {
        size_t size = 0; /* no room: it says how much it wants */
        (void)gnutls_x509_crt_export(l->chain[i], GNUTLS_X509_FMT_DER, NULL, &size);
        sum += 3 + size + 2;
    }
    return sum;
}

static sse_err check_chain_size(const loading *l)
{
    size_t size = chain_message_size(l);
    if (size <= MAX_CHAIN_MESSAGE)
        return SSE_OK;
    sse__log(
        l->logger, SSE_LOG_ERROR,
        "TLS: %s: its %u certificates make %zu bytes of a handshake, and clients take %d at most",
        l->cert_file, l->chain_len, size, MAX_CHAIN_MESSAGE);
    return SSE_ECERT;
}

static sse_err parse_chain(loading *l)
{
    int code = gnutls_x509_crt_list_import2(&l->chain, &l->chain_len, &l->cert_pem,
                                            GNUTLS_X509_FMT_PEM, 0);
    if (code < 0 || l->chain_len == 0)
        return refuse_code(l, l->cert_file, "not a certificate in PEM format", code);
    if (gnutls_x509_crt_get_expiration_time(l->chain[0]) < time(NULL))
        sse__log(l->logger, SSE_LOG_WARN, "TLS: %s: the certificate has expired", l->cert_file);
    return check_chain_size(l);
}

static sse_err parse_key(loading *l)
{
    int code = gnutls_x509_privkey_init(&l->key);
    if (code == 0)
        code = gnutls_x509_privkey_import2(l->key, &l->key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code == GNUTLS_E_DECRYPTION_FAILED)
        return refuse(l, l->key_file, "the key is encrypted with a password");
    return code == 0 ? SSE_OK
                     : refuse_code(l, l->key_file, "not a private key in PEM format", code);
}

static sse_err join(const loading *l, sse__identity *identity)
{
    int code = gnutls_certificate_allocate_credentials(&identity->credentials);
    if (code == 0)
        code = gnutls_certificate_set_x509_key(identity->credentials, l->chain, (int)l->chain_len,
                                               l->key);
    if (code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
        sse__log(l->logger, SSE_LOG_ERROR,
                 "TLS: the key in %s is not that of the certificate in %s", l->key_file,
                 l->cert_file);
        return SSE_ECERT;
    }
    if (code >= 0)
        code = gnutls_session_ticket_key_generate(&identity->ticket_key);
    return code >= 0 ? SSE_OK : refuse_code(l, l->cert_file, "cannot be used", code);
}

static void finish(loading *l)
{
    for (unsigned i = 0; i < l->chain_len; i++)
        gnutls_x509_crt_deinit(l->chain[i]);
    gnutls_free(l->chain);
    if (l->key)
        gnutls_x509_privkey_deinit(l->key);
    if (l->key_pem.data)
        gnutls_memset(l->key_pem.data, 0, l->key_pem.size);
    gnutls_free(l->key_pem.data);
    gnutls_free(l->cert_pem.data);
}

sse_err sse__identity_load(const char *cert_file, const char *key_file, const sse_logger *logger,
                           sse__identity **out)
{
    loading l = {.cert_file = cert_file, .key_file = key_file, .logger = logger};
    sse__identity *identity = calloc(1, sizeof *identity);
    if (!identity)
        return SSE_ENOMEM;
    atomic_init(&identity->refs, 1);
    sse_err err = read_pem(&l, cert_file, &l.cert_pem);
    if (err == SSE_OK)
        err = read_pem(&l, key_file, &l.key_pem);
    if (err == SSE_OK)
        err = parse_chain(&l);
    if (err == SSE_OK)
        err = parse_key(&l);
    if (err == SSE_OK)
        err = join(&l, identity);
    finish(&l);
    if (err == SSE_OK)
        *out = identity;
    else
        sse__identity_unref(identity);
    return err;
}

sse__identity *sse__identity_ref(sse__identity *identity)
{
    atomic_fetch_add(&identity->refs, 1);
    return identity;
}

void sse__identity_unref(sse__identity *identity)
{
    if (!identity || atomic_fetch_sub(&identity->refs, 1) != 1)
        return;
    if (identity->credentials)
        gnutls_certificate_free_credentials(identity->credentials);
    if (identity->ticket_key.data)
        gnutls_memset(identity->ticket_key.data, 0, identity->ticket_key.size);
    gnutls_free(identity->ticket_key.data);
    free(identity);
}

/* ---- sessions ---- */

static _Thread_local uint64_t moved;

uint64_t sse__tls_moved(void) { return moved; }

static int fd_of(gnutls_transport_ptr_t transport) { return (int)(intptr_t)transport; }

static ssize_t pull(gnutls_transport_ptr_t transport, void *buf, size_t n)
{
    ssize_t got = recv(fd_of(transport), buf, n, 0);
    moved += got >= 0;
    return got;
}

static ssize_t push(gnutls_transport_ptr_t transport, const giovec_t *pieces, int n)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)n};
    ssize_t sent = sendmsg(fd_of(transport), &message, MSG_NOSIGNAL);
    moved += sent >= 0;
    return sent;
}

/* GnuTLS asks for it where there is a function to receive; no session of ours has a timeout. */
static int pull_timeout(gnutls_transport_ptr_t transport, unsigned ms)
{
    return gnutls_system_recv_timeout(transport, ms);
}

static int no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities,
                          int nauthorities, const gnutls_pk_algorithm_t *algorithms,
                          int nalgorithms, gnutls_pcert_st **chain, unsigned *chain_len,
                          gnutls_privkey_t *key)
{
    (void)session, (void)authorities, (void)nauthorities, (void)algorithms, (void)nalgorithms;
    (void)chain, (void)chain_len, (void)key;
    return -1;
}

void *sse__tls_no_certificate(void) { return (void *)(uintptr_t)no_certificate; }

bool sse__tls_prepare(void *session, sse__identity *identity)
{
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    gnutls_transport_set_vec_push_function(session, push);
    /* Who comes back with a ticket saves both sides the signature: it matters when thousands reconnect. */
    return gnutls_session_ticket_enable_server(session, &identity->ticket_key) == 0 &&
           gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, identity->credentials) == 0;
}

void sse__tls_send(void *session, const void *bytes, size_t n)
{
    for (const char *at = bytes; n > 0;) {
        ssize_t sent = gnutls_record_send(session, at, n);
        if (sent <= 0)
            return;
        at += sent;
        n -= (size_t)sent;
    }
}
