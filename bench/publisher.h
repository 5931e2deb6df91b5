/* The publisher: one thread, one keep-alive connection, an absolute schedule.
 *
 * Event k of stream s is due at start + (k + s / streams) / rate, whatever happened before it, and
 * carries that time. What is due goes out in one request where the server can take it; an event's
 * time stays its own. A server that refuses (429, 503) is asked again with the same events.
 *
 * Threads: one owner; the publisher's own thread; the numbers at the end are read after
 * publisher_stop(). */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include "histogram.h"
#include "tls_client.h"

typedef enum publish_format {
    PUBLISH_AUTO = 0, /* one event: its data; several: wire format, as libsse's server takes it */
    PUBLISH_PLAIN,    /* one request for each event */
    PUBLISH_BATCH,    /* wire format always */
} publish_format;

typedef struct publisher_options {
    const http_url *url;
    const tls_trust *trust;     /* when it is an https URL */
    const char *const *headers; /* further request headers, or NULL */
    double rate;                /* events a second for each stream; 0: as fast as it is let */
    uint32_t streams;
    uint32_t payload;
    uint32_t run;
    uint32_t first;    /* number of the first stream */
    uint32_t active;   /* publish to the first so many streams only; 0 = all */
    uint32_t limit;    /* events for each stream, then it is done; 0 = no end */
    uint32_t batch;    /* events in a request at most; 0 = 256, or fewer when they are large */
    uint32_t pipeline; /* PUBLISH_PLAIN: requests under way at once; 0 = 1 */
    publish_format format;
    bool named; /* as in http_target() */
    bool reserved[7];
} publisher_options;

typedef struct publisher publisher;

/* Connect and start. Returns NULL with the reason in why when it cannot connect. */
publisher *publisher_start(const publisher_options *options, char why[TLS_WHY]);

/* False once it has given up. */
bool publisher_works(const publisher *p);
/* Wait until it has reached its limit, or given up, or a signal came. */
void publisher_wait(publisher *p);
/* Events that the server has taken so far. */
uint64_t publisher_sent(const publisher *p);
/* Requests with which it has taken them. */
uint64_t publisher_requests(const publisher *p);

/* Let it finish the request that is under way, and end the thread. */
void publisher_stop(publisher *p);
/* The same, but what was due before `until` is published first, if that takes no longer than
 * `patience_ns`: else the events that waited longest would be the ones that are not counted. */
void publisher_finish(publisher *p, uint64_t until, uint64_t patience_ns);

/* After publisher_stop(): events by stream; how late requests went out though the server had
 * answered the one before; why it gave up, or "". */
const uint64_t *publisher_published(const publisher *p);
const histogram *publisher_lateness(const publisher *p);
const char *publisher_failure(const publisher *p);
uint64_t publisher_refused(const publisher *p);

void publisher_free(publisher *p);

#endif
