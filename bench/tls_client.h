/* TLS for the load client. tls_client.c is the only file of this directory that includes GnuTLS's
 * headers; in a build without GnuTLS tls_none.c stands in for it, and tls_available() says so.
 *
 * A session is used by one thread at a time. A trust is made and freed by the owner of all
 * sessions, and only read in between. */
#ifndef BENCH_TLS_CLIENT_H
#define BENCH_TLS_CLIENT_H

#include "http1.h"

#include <sys/types.h>

#define TLS_WHY 400 /* bytes of a reason */

/* Whom to believe. */
typedef struct tls_trust tls_trust;
typedef struct tls_session tls_session;

/* False in a build without GnuTLS; nothing below may then be called. */
bool tls_available(void);

/* Authorities from a file (PEM), or those of the system when `cacert` is NULL; `insecure`: believe
 * anybody. Returns NULL with the reason in why. Exits the program when there is no memory. */
tls_trust *tls_trust_new(const char *cacert, bool insecure, char why[TLS_WHY]);
void tls_trust_free(tls_trust *trust);

/* A client's session on this socket, which stays the caller's and may block or not; borrows trust
 * and url until it is freed. Exits the program when there is no memory. */
tls_session *tls_new(const tls_trust *trust, const http_url *url, int fd);
void tls_free(tls_session *session);

enum {
    TLS_DONE = 0,
    TLS_AGAIN = -1, /* the socket has nothing (more), takes nothing, or its time limit is over */
    TLS_FAILED = -2 /* for good; tls_failure() says why */
};

/* Go on with the handshake, as far as the socket lets it; the certificate is judged in it. Returns
 * TLS_DONE, TLS_AGAIN or TLS_FAILED. */
int tls_handshake(tls_session *session);
/* After TLS_AGAIN: it waits until it can send. A socket that is not connected yet counts as one
 * that takes nothing. */
bool tls_wants_to_send(const tls_session *session);

/* Send all of it. Returns TLS_DONE; TLS_AGAIN when the socket does not take it all, after which
 * the session is of no use any more; or TLS_FAILED. */
int tls_send(tls_session *session, const char *bytes, size_t n);

/* Up to n bytes of what has come. Returns how many; 0: the peer has ended; TLS_AGAIN: nothing is
 * left, neither in the socket nor in the session; TLS_FAILED. What TLS says to itself in between,
 * such as new keys and tickets, is dealt with, and is no reason to return. */
ssize_t tls_read(tls_session *session, char *out, size_t n);

/* From now on read no socket, but these bytes, which the caller has received and keeps until
 * tls_read() has returned TLS_AGAIN: one receive for many records, where the session would make two
 * for each. */
void tls_feed(tls_session *session, const char *bytes, size_t n);

/* For a blocking socket on which nothing is expected: false when the peer has ended. */
bool tls_is_idle(tls_session *session);

/* Tell the peer that this is the end, if that makes sense in the session's state. */
void tls_bye(tls_session *session);

/* What went wrong, and with whom. */
void tls_failure(const tls_session *session, char why[TLS_WHY]);

#endif
