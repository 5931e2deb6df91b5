/* When to connect again, and when not: pure functions of what happened. No time, no threads, no
 * I/O; the caller brings the random bits. conformance: WHATWG HTML, "reestablish the connection"
 * and "fail the connection". */
#ifndef SSE__RECONNECT_H
#define SSE__RECONNECT_H

#include <sse/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A connection that delivered nothing counts as one that lived from this age on. */
#define SSE__LIVED_MS 5000u

typedef struct sse__reconnect_config {
    uint64_t base_ms;       /* first delay */
    uint64_t max_ms;        /* longest delay of our own */
    uint64_t server_max_ms; /* longest delay that the server may ask for */
    uint32_t max_attempts;  /* 0: no limit */
    bool no_reconnect;
} sse__reconnect_config;

typedef struct sse__reconnect {
    sse__reconnect_config config;
    uint64_t server_retry_ms; /* the stream's last retry field */
    uint32_t attempts;        /* failures in a row without an open connection */
    uint32_t misses;          /* connections in a row that did not live: the exponent */
    bool has_server_retry;
} sse__reconnect;

/* What became of one connection. */
typedef struct sse__outcome {
    sse_err err;
    int http_status;         /* for SSE_EHTTP */
    uint64_t retry_after_ms; /* 0: none */
    uint64_t lived_ms;       /* since it opened */
    bool opened;
    bool delivered; /* at least one event came */
    bool rejected_for_good;
} sse__outcome;

typedef struct sse__decision {
    sse_err why; /* when stop: the reason to end with */
    bool stop;
    bool by_limit; /* stop, because of max_attempts or no_reconnect */
    uint64_t delay_ms;
} sse__decision;

/* How an answer is judged: SSE_OK: an event stream. SSE_ESTOPPED: 204. SSE_ECONTENT, SSE_EREDIRECT,
 * SSE_EHTTP. */
sse_err sse__judge(int status, const char *content_type);

/* True when no reconnection may follow. */
bool sse__is_final(const sse__outcome *outcome);

/* The stream gave a retry field. */
void sse__reconnect_server_retry(sse__reconnect *r, uint64_t ms);
/* A connection has opened. */
void sse__reconnect_opened(sse__reconnect *r);
/* A connection has ended: count it, and say what comes next. */
sse__decision sse__reconnect_next(sse__reconnect *r, const sse__outcome *outcome, uint64_t random);

#endif
