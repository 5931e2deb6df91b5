/* The log of a stream: encoded frames by sequence number. Its newest part is the history that
 * replay uses, its older part (the backlog) is kept only for subscribers that have not got it yet.
 *
 *     first ......... visible ................ end
 *     |   backlog     |      history           |  next append
 *
 * No lock, no threads: it lives in a stream, whose mutex guards it. */
#ifndef SSE__HISTORY_H
#define SSE__HISTORY_H

#include "frame.h"

typedef struct sse__history_limits {
    uint64_t history_events;
    uint64_t history_bytes;
    uint64_t backlog_events; /* at least 1 */
    uint64_t backlog_bytes;
    uint64_t ttl_ms; /* 0: for ever */
} sse__history_limits;

typedef struct sse__history_entry {
    sse__frame *frame; /* NULL: the event was lost for want of memory */
    uint64_t at_ms;
} sse__history_entry;

/* Index of the events that carry an id of their publisher's: open addressing, a slot holds seq + 1.
 */
typedef struct sse__history_index {
    uint64_t *slots;
    size_t size; /* power of two, or 0 */
    size_t used; /* tombstones included */
    size_t live;
} sse__history_index;

typedef struct sse__history {
    sse__history_entry *entries; /* entry of seq is at [seq & (allocated - 1)] */
    size_t allocated;            /* power of two, or 0 */
    uint64_t first;
    uint64_t visible;
    uint64_t end;
    uint64_t hide_before; /* what came before is not replayed, however much the limits allow */
    uint64_t backlog_bytes;
    uint64_t visible_bytes;
    sse__history_index index;
} sse__history;

void sse__history_init(sse__history *log, uint64_t first_seq);
void sse__history_fini(sse__history *log);

/* True when one more frame of `bytes` does not fit: the oldest entries must go first, by
 * sse__history_drop_to(). */
bool sse__history_full(const sse__history *log, const sse__history_limits *limits, uint32_t bytes);

/* Append a frame (takes the reference; NULL records a loss) as number log->end. `own_id`: the id is
 * the publisher's, index it.
 * Returns: SSE_OK; SSE_ENOMEM: nothing was appended, the reference is still the caller's. */
SSE_NODISCARD sse_err sse__history_append(sse__history *log, const sse__history_limits *limits,
                                          sse__frame *frame, bool own_id, uint64_t now_ms);

/* For want of memory: forget everything, and the number of the event that could not be recorded. */
void sse__history_lose(sse__history *log);

/* Forget all entries before seq. */
void sse__history_drop_to(sse__history *log, uint64_t seq);

/* Move everything that is not replayed any more into the backlog. */
void sse__history_expire(sse__history *log, const sse__history_limits *limits, uint64_t now_ms);
/* Replay nothing that came, or comes, before this number. */
void sse__history_hide(sse__history *log, uint64_t seq);

/* The entry of a number in [first, end). */
static inline sse__frame *sse__history_frame(const sse__history *log, uint64_t seq)
{
    return log->entries[seq & (log->allocated - 1)].frame;
}

/* Number of the newest event with this id of its publisher's. Returns false when there is none. */
bool sse__history_find(const sse__history *log, sse_str id, uint64_t *seq);

/* Bytes that the log has allocated, frames included. */
size_t sse__history_memory(const sse__history *log);

#endif
