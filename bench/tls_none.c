/* In place of tls_client.c where GnuTLS is not there: https is refused before anything below is called. */
#include "tls_client.h"

#include <stdlib.h>

bool tls_available(void) { return false; }

/* The program has gone on with https although it cannot. */
static _Noreturn void impossible(void) { abort(); }

tls_trust *tls_trust_new(const char *cacert, bool insecure, char why[TLS_WHY])
{
    (void)cacert, (void)insecure, (void)why;
    impossible();
}

/* Both are called with NULL by who cleans up. */
void tls_trust_free(tls_trust *trust) { (void)trust; }
void tls_free(tls_session *session) { (void)session; }

tls_session *tls_new(const tls_trust *trust, const http_url *url, int fd)
{
    (void)trust, (void)url, (void)fd;
    impossible();
}

int tls_handshake(tls_session *session)
{
    (void)session;
    impossible();
}

bool tls_wants_to_send(const tls_session *session)
{
    (void)session;
    impossible();
}

int tls_send(tls_session *session, const char *bytes, size_t n)
{
    (void)session, (void)bytes, (void)n;
    impossible();
}

ssize_t tls_read(tls_session *session, char *out, size_t n)
{
    (void)session, (void)out, (void)n;
    impossible();
}

void tls_feed(tls_session *session, const char *bytes, size_t n)
{
    (void)session, (void)bytes, (void)n;
    impossible();
}

bool tls_is_idle(tls_session *session)
{
    (void)session;
    impossible();
}

void tls_bye(tls_session *session)
{
    (void)session;
    impossible();
}

void tls_failure(const tls_session *session, char why[TLS_WHY])
{
    (void)session, (void)why;
    impossible();
}
