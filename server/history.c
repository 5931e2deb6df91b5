/* The log of a stream: a ring of frames addressed by sequence number, with an index of the
 * publishers' ids.
 *
 * No threads: guarded by the stream's mutex. Invariants: first <= visible <= end; entries [first,
 * end) hold a frame or NULL (a loss); each indexed id points to the newest entry that carries it;
 * backlog_bytes and visible_bytes sum the frames of [first, visible) and [visible, end). */
#include "history.h"

#include "strmap.h"

#include <stdlib.h>
#include <string.h>

#define TOMBSTONE UINT64_MAX

void sse__history_init(sse__history *log, uint64_t first_seq)
{
    memset(log, 0, sizeof *log);
    log->first = log->visible = log->end = first_seq;
}

void sse__history_fini(sse__history *log)
{
    for (uint64_t seq = log->first; seq != log->end; seq++)
        sse__frame_unref(sse__history_frame(log, seq));
    free(log->entries);
    free(log->index.slots);
}

static uint32_t frame_bytes(const sse__history *log, uint64_t seq)
{
    const sse__frame *frame = sse__history_frame(log, seq);
    return frame ? frame->len : 0;
}

/* ---- index ---- */

static bool same_id(const sse__history *log, uint64_t seq, sse_str id)
{
    const sse__frame *frame = sse__history_frame(log, seq);
    return frame->id_len == id.len && memcmp(sse__frame_id(frame).ptr, id.ptr, id.len) == 0;
}

/* The slot that holds the id, or NULL. */
static uint64_t *index_lookup(const sse__history *log, sse_str id)
{
    const sse__history_index *index = &log->index;
    if (index->live == 0)
        return NULL;
    size_t mask = index->size - 1;
    for (size_t i = sse__strhash(id.ptr, id.len) & mask; index->slots[i] != 0; i = (i + 1) & mask)
        if (index->slots[i] != TOMBSTONE && same_id(log, index->slots[i] - 1, id))
            return &index->slots[i];
    return NULL;
}

static void index_place(sse__history_index *index, sse_str id, uint64_t seq)
{
    size_t mask = index->size - 1;
    size_t i = sse__strhash(id.ptr, id.len) & mask;
    while (index->slots[i] != 0)
        i = (i + 1) & mask;
    index->slots[i] = seq + 1;
    index->used++;
    index->live++;
}

/* Make room for one more: at most half of the slots are used. */
static sse_err index_reserve(sse__history *log)
{
    sse__history_index *index = &log->index;
    if (index->size != 0 && (index->used + 1) * 2 <= index->size)
        return SSE_OK;
    size_t size = 16;
    while (size < (index->live + 1) * 4)
        size *= 2;
    sse__history_index grown = {calloc(size, sizeof *grown.slots), size, 0, 0};
    if (!grown.slots)
        return SSE_ENOMEM;
    for (size_t i = 0; i < index->size; i++)
        if (index->slots[i] != 0 && index->slots[i] != TOMBSTONE) {
            uint64_t seq = index->slots[i] - 1;
            index_place(&grown, sse__frame_id(sse__history_frame(log, seq)), seq);
        }
    free(index->slots);
    *index = grown;
    return SSE_OK;
}

static void index_add(sse__history *log, sse_str id, uint64_t seq)
{
    uint64_t *slot = index_lookup(log, id);
    if (slot)
        *slot = seq + 1; /* the newest wins */
    else
        index_place(&log->index, id, seq);
}

static void index_remove(sse__history *log, uint64_t seq)
{
    const sse__frame *frame = sse__history_frame(log, seq);
    if (!frame || frame->id_len == 0)
        return;
    uint64_t *slot = index_lookup(log, sse__frame_id(frame));
    if (slot && *slot == seq + 1) {
        *slot = TOMBSTONE;
        log->index.live--;
    }
}

bool sse__history_find(const sse__history *log, sse_str id, uint64_t *seq)
{
    const uint64_t *slot = index_lookup(log, id);
    if (slot)
        *seq = *slot - 1;
    return slot != NULL;
}

/* ---- entries ---- */

static sse_err grow(sse__history *log)
{
    size_t allocated = log->allocated ? log->allocated * 2 : 8;
    sse__history_entry *entries = malloc(allocated * sizeof *entries);
    if (!entries)
        return SSE_ENOMEM;
    for (uint64_t seq = log->first; seq != log->end; seq++)
        entries[seq & (allocated - 1)] = log->entries[seq & (log->allocated - 1)];
    free(log->entries);
    log->entries = entries;
    log->allocated = allocated;
    return SSE_OK;
}

bool sse__history_full(const sse__history *log, const sse__history_limits *limits, uint32_t bytes)
{
    if (log->first == log->end)
        return false; /* one event is always held, however large */
    uint64_t total = log->backlog_bytes + log->visible_bytes + bytes;
    return log->end - log->first >= limits->history_events + limits->backlog_events ||
           total > limits->history_bytes + limits->backlog_bytes;
}

static void hide_oldest(sse__history *log)
{
    uint32_t bytes = frame_bytes(log, log->visible);
    log->visible_bytes -= bytes;
    log->backlog_bytes += bytes;
    log->visible++;
}

void sse__history_expire(sse__history *log, const sse__history_limits *limits, uint64_t now_ms)
{
    while (log->visible != log->end) {
        uint64_t at_ms = log->entries[log->visible & (log->allocated - 1)].at_ms;
        bool old = limits->ttl_ms != 0 && now_ms - at_ms >= limits->ttl_ms;
        if (log->visible >= log->hide_before && !old &&
            log->end - log->visible <= limits->history_events &&
            log->visible_bytes <= limits->history_bytes)
            return;
        hide_oldest(log);
    }
}

void sse__history_hide(sse__history *log, uint64_t seq)
{
    log->hide_before = seq;
    while (log->visible != log->end && log->visible < seq)
        hide_oldest(log);
}

sse_err sse__history_append(sse__history *log, const sse__history_limits *limits, sse__frame *frame,
                            bool own_id, uint64_t now_ms)
{
    own_id = own_id && frame && frame->id_len > 0;
    if (log->end - log->first == log->allocated && grow(log) != SSE_OK)
        return SSE_ENOMEM;
    if (own_id && index_reserve(log) != SSE_OK)
        return SSE_ENOMEM;
    uint64_t seq = log->end++;
    log->entries[seq & (log->allocated - 1)] = (sse__history_entry){frame, now_ms};
    log->visible_bytes += frame ? frame->len : 0;
    if (own_id)
        index_add(log, sse__frame_id(frame), seq);
    sse__history_expire(log, limits, now_ms);
    return SSE_OK;
}

void sse__history_drop_to(sse__history *log, uint64_t seq)
{
    while (log->first < seq && log->first != log->end) {
        if (log->visible == log->first)
            hide_oldest(log);
        index_remove(log, log->first);
        log->backlog_bytes -= frame_bytes(log, log->first);
        sse__frame_unref(sse__history_frame(log, log->first));
        log->first++;
    }
}

void sse__history_lose(sse__history *log)
{
    sse__history_drop_to(log, log->end);
    log->end++;
    log->first = log->visible = log->end;
}

size_t sse__history_memory(const sse__history *log)
{
    return log->allocated * sizeof *log->entries + log->index.size * sizeof *log->index.slots +
           log->backlog_bytes + log->visible_bytes;
}
