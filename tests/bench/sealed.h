/* The server's side of a TLS connection, with what a real server seldom does: records of any size,
 * and TLS's own messages in one segment with the data that follows. Aborts on what cannot fail. One
 * thread at a time. */
#ifndef TEST_SEALED_H
#define TEST_SEALED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct sealed_options {
    const char *cert, *key; /* PEM files; valid as long as the connection */
    size_t record;          /* bytes in a record at most; 0: 16 KB */
    unsigned keys_every;    /* before every so many sends new keys are asked for; 0: never */
    bool tls12;             /* where a server asks for a whole new handshake to get them */
} sealed_options;

typedef struct sealed sealed;

/* Shake hands on a connected, blocking socket, which stays the caller's. Returns NULL when that
 * fails. Session tickets, where the client takes some, leave with the first send. */
sealed *sealed_start(int fd, const sealed_options *options);
/* The name that the client asked for, or "". */
const char *sealed_name(const sealed *s);
/* Send all of it, in one segment with what TLS has to say. */
void sealed_send(sealed *s, const void *bytes, size_t n);
/* As recv(), but never waits: -1: there is nothing. */
ssize_t sealed_recv(sealed *s, void *bytes, size_t n);
/* A record that nobody can decrypt. */
void sealed_break(sealed *s);
/* Say goodbye. */
void sealed_bye(sealed *s);
void sealed_free(sealed *s);

#endif
