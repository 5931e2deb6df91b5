/* Certificates of the HTTPS listeners. tls.c is the only file that includes GnuTLS's headers. */
#ifndef SSE__TLS_H
#define SSE__TLS_H

#include "logger.h"

/* A certificate chain, its key, and the key of session tickets. Never changes; sessions share it. */
typedef struct sse__identity sse__identity;

/* Read PEM files. What is wrong with them is told to the logger.
 * Returns: SSE_OK, SSE_ECERT, SSE_ENOMEM. */
SSE_NODISCARD sse_err sse__identity_load(const char *cert_file, const char *key_file,
                                         const sse_logger *logger, sse__identity **out);
sse__identity *sse__identity_ref(sse__identity *identity);
void sse__identity_unref(sse__identity *identity);

/* Let a new session of the library's (gnutls_session_t) prove this identity, which must live as long
 * as the session. Returns false when there is no memory.
 * Thread:  the session's. */
bool sse__tls_prepare(void *session, sse__identity *identity);

/* Send as much of this as the socket takes now.
 * Thread:  the session's. */
void sse__tls_send(void *session, const void *bytes, size_t n);

/* Which versions of TLS are spoken: 1.2 and 1.3. */
extern const char sse__tls_priorities[];

/* What libmicrohttpd wants a daemon to have in place of a certificate of its own: a
 * gnutls_certificate_retrieve_function2 that has none. */
void *sse__tls_no_certificate(void);

/* How often sessions have sent or received something on this thread. */
uint64_t sse__tls_moved(void);

#endif
