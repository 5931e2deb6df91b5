/* Who may connect: how many connections one address has, and how fast it makes them. */
#ifndef SSE__ADMISSION_H
#define SSE__ADMISSION_H

#include "address.h"

#include <sse/error.h>
#include <stddef.h>

/* Why a connection is refused as soon as it is accepted. */
typedef enum sse__denial {
    SSE__DENIED_NOT = 0,
    SSE__DENIED_RATE,    /* its address connects too fast */
    SSE__DENIED_ADDRESS, /* its address has too many connections */
    SSE__DENIED_SERVER,  /* the server has too many */
    SSE__DENIED_MEMORY
} sse__denial;
#define SSE__DENIALS (SSE__DENIED_MEMORY + 1)

typedef struct sse__admission_limits {
    uint32_t per_minute;  /* connects of an address in the long run; 0: no limit */
    uint32_t burst;       /* that may come at once; not 0 where per_minute is not */
    uint32_t connections; /* of an address; 0: no limit */
    uint32_t remembered;  /* addresses without connections, at most */
} sse__admission_limits;

typedef struct sse__admission sse__admission;
/* An address that has connections: each holds one place. */
typedef struct sse__visitor sse__visitor;

typedef struct sse__entry {
    sse__visitor *visitor; /* NULL: refused, or nobody counts this address */
    sse__denial denial;
    uint32_t retry_after_s; /* of a refusal */
} sse__entry;

/* exempt: addresses that the limits are not for; copied. Returns SSE_OK, SSE_ENOMEM. */
SSE_NODISCARD sse_err sse__admission_new(const sse__admission_limits *limits,
                                         const sse__range *exempt, size_t nexempt,
                                         sse__admission **out);
/* NULL is fine. */
void sse__admission_free(sse__admission *admission);

/* A connection has come from this address; and gives its place back.
 * Thread:  any; any lock but one of the rank LEAF may be held. */
sse__entry sse__admission_enter(sse__admission *admission, const struct sockaddr *address,
                                uint64_t now_ns);
void sse__admission_leave(sse__admission *admission, sse__visitor *visitor, uint64_t now_ns);

typedef struct sse__admission_stats {
    uint64_t addresses; /* known now: they have connections, or have made some a short while ago */
    uint64_t forgotten; /* before their time, because there were too many */
} sse__admission_stats;
/* NULL is fine. Thread: any. */
sse__admission_stats sse__admission_look(sse__admission *admission);

#endif
