/* Certificates made by the test itself, and whether tests are to run over TLS: with SSE_TEST_TLS=1 in the environment http_connect()
 * shakes hands, and hubs that tests start are given a certificate. So one test serves both. */
#ifndef TEST_CERT_H
#define TEST_CERT_H

#include <stdbool.h>
#include <stddef.h>

/* Thread: any. */
bool cert_tls(void);

/* What a certificate says. It is valid from an hour ago until an hour from now, unless expired. */
typedef struct cert_spec {
    const char *dns; /* subject alternative names, or NULL */
    const char *ip;
    const char *issuer; /* name of an authority made before; NULL: signed by itself */
    bool authority;
    bool expired;
} cert_spec;

/* Make NAME.crt and NAME.key in the test's directory. Aborts when that fails.
 * Thread:  the test's main thread. */
void cert_make(const char *name, const cert_spec *spec);

/* A path in that directory, NAME.SUFFIX. In static memory of the thread, good for eight more calls. */
const char *cert_path(const char *name, const char *suffix);

/* The certificate for 127.0.0.1 of an authority ("ca"), made at the first call: the name for cert_path(). */
const char *cert_default(void);

/* What sse-server has to be given to speak TLS with it, put into argv: four arguments, none without cert_tls(). They live as long as
 * cert_path()'s. Returns how many.
 * Thread:  the test's main thread. */
size_t cert_args(const char *argv[]);

#endif
