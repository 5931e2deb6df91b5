/* A small hub that makes mistakes on purpose: what is POSTed goes to everybody who GETs, except
 * that one event is lost, doubled, or changes places with the next one. Not chunked, any path, plain
 * or over TLS. One thread of its own. */
#ifndef TEST_RELAY_H
#define TEST_RELAY_H

#include "sealed.h"

#include <stdint.h>

typedef enum relay_fault {
    RELAY_FINE,
    RELAY_LOSES,
    RELAY_DOUBLES,
    RELAY_SWAPS,
    RELAY_HANGS_UP, /* on its subscribers, after that event */
    RELAY_BREAKS,   /* their TLS, after that event */
} relay_fault;

typedef struct relay relay;

/* The fault happens to event number `at`, counted from 0. Aborts when it cannot start. */
relay *relay_start(relay_fault fault, unsigned at);
/* The same over TLS; the options have to stay until relay_stop(). */
relay *relay_start_tls(relay_fault fault, unsigned at, const sealed_options *tls);
uint16_t relay_port(const relay *r);
void relay_stop(relay *r);

#endif
