/* From the bytes of an event stream to counts: events, and of those that sse-bench published itself
 * the latency, and what was lost, doubled or came in the wrong order.
 *
 * This is the load client's hot path, and lazy: it looks for line ends and keeps the first bytes of
 * a line that a read has cut off, nothing else. It follows the standard's rules for lines (LF, CR,
 * CRLF, a BOM at the start), so that it counts right for any server.
 *
 * One thread for each tally; scans belong to it. */
#ifndef BENCH_SCAN_H
#define BENCH_SCAN_H

#include "histogram.h"
#include "stamp.h"

/* The first bytes of a line: a BOM, "data: " and a stamp, and some to spare. */
#define SCAN_KEEP 64

/* What one thread has counted. */
typedef struct tally {
    uint64_t window_from, window_to; /* events due in here count for the latency */
    uint32_t run;                    /* other runs' events are not ours */
    uint32_t payload;                /* bytes of a payload, a hint that saves looking for its end */
    uint64_t events;                 /* with data, whoever published them */
    uint64_t stamped;                /* of this run */
    int64_t lost;                    /* numbers left out (a late one takes this back) */
    uint64_t duplicated, misordered;
    uint64_t misdelivered; /* of a stream that was not asked for, or of the wrong length */
    uint64_t comments;
    stamp_cache stamps;
    uint64_t gaps; /* events of type "gap": the server says itself that it lost something */
    histogram latency;
} tally;

/* One subscriber's place in its stream. */
typedef struct scan {
    uint64_t next;     /* the number that should come */
    uint64_t seen;     /* bit i: number next - 1 - i came */
    uint64_t line_len; /* bytes of the line so far, of a line that is cut off */
    stamp pending;     /* of the block that is being read */
    uint32_t stream;
    bool started;  /* something came: no BOM any more */
    bool after_cr; /* an LF that comes now belongs to the last line */
    bool has_data; /* the block has a data line */
    bool stamped;  /* pending holds its stamp */
    bool is_gap;
    bool reserved[3];
    char keep[SCAN_KEEP]; /* the first bytes of a line that is cut off */
} scan;

void scan_init(scan *s, uint32_t stream);

/* The next n bytes, received at now_ns. */
void scan_feed(scan *s, tally *t, const char *bytes, size_t n, uint64_t now_ns);

#endif
