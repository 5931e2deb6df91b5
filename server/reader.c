/* The reader of a subscriber: what it hands to the connection, and how it sleeps.
 *
 * Runs on the thread that drives the connection (an I/O loop of ours, or the user's daemon). It copies everything that is due into
 * the connection's buffer in one call, under stream.mu; when nothing is due it suspends the connection. No wake-up can be
 * lost: `woken` is cleared before the reader looks, set by whoever has news, and checked under the same lock under which the
 * connection is suspended. */
#include "clock.h"
#include "hub.h"
#include "mhd.h"
#include "subscriber.h"

#include <stdio.h>
#include <string.h>

typedef struct output {
    char *buf;
    size_t max;
    size_t n;
} output;

/* Copy as much of the current frame as fits. Returns false when some is left. */
static bool copy_current(sse__sub *sub, output *out)
{
    uint32_t left = sub->current->len - sub->offset;
    size_t room = out->max - out->n;
    uint32_t n = left < room ? left : (uint32_t)room;
    memcpy(out->buf + out->n, sub->current->bytes + sub->offset, n);
    out->n += n;
    sub->offset += n;
    if (n < left)
        return false;
    sse__frame_unref(sub->current);
    sub->current = NULL;
    sub->offset = 0;
    return true;
}

/* Under drop-newest: once half of what is held has been read, new events are taken again, after a
 * gap. */
static bool unpark_locked(sse__sub *sub)
{
    sse__stream *st = sub->stream;
    if (!sub->parked || sub->held.count > st->config.limits.backlog_events / 2 ||
        sub->held.bytes > SSE__PARKED_BYTES / 2)
        return true;
    sub->parked = false;
    st->parked--;
    uint64_t missed = st->log.end - sub->cursor;
    sub->cursor = st->log.end;
    if (missed == 0)
        return true;
    sse__frame *gap = sse__stream_gap_locked(st, (sse_str){0}, missed, sub->cursor);
    return gap && sse__held_push(&sub->held, gap, false);
}

/* Make a gap the current frame when events were lost. Returns false when there is no memory to
 * tell. */
static bool tell_missed_locked(sse__sub *sub)
{
    sse__stream *st = sub->stream;
    if (sub->cursor < st->log.first) { /* the log lost them for want of memory */
        sub->missed += st->log.first - sub->cursor;
        sub->cursor = st->log.first;
    }
    while (sub->cursor < st->log.end && !sse__history_frame(&st->log, sub->cursor)) {
        sub->missed++;
        sub->cursor++;
    }
    if (sub->missed == 0)
        return true;
    sub->current = sse__stream_gap_locked(st, (sse_str){0}, sub->missed, sub->cursor);
    sub->missed = 0;
    return sub->current != NULL;
}

/* Copy frames of the log that fit whole; one that does not becomes the current frame. */
static void copy_log_locked(sse__sub *sub, output *out)
{
    sse__stream *st = sub->stream;
    while (sub->cursor < st->log.end && out->n < out->max) {
        sse__frame *frame = sse__history_frame(&st->log, sub->cursor);
        if (!frame)
            return; /* lost: the next round tells */
        sub->cursor++;
        st->counters.delivered++;
        if (frame->len > out->max - out->n) {
            sub->current = sse__frame_ref(frame);
            return;
        }
        memcpy(out->buf + out->n, frame->bytes, frame->len);
        out->n += frame->len;
    }
}

/* One step towards a full buffer. Returns 1: go on, 0: nothing more is due or fits, -1: no memory.
 */
static int fill_step_locked(sse__sub *sub, output *out)
{
    sse__stream *st = sub->stream;
    if (out->n == out->max)
        return 0;
    if (sub->current)
        return copy_current(sub, out);
    if (!unpark_locked(sub))
        return -1;
    if (sub->held.count > 0) {
        struct sse__held_item item = sse__held_pop(&sub->held);
        sub->current = item.frame;
        st->counters.delivered += item.event;
        return 1;
    }
    if (!tell_missed_locked(sub))
        return -1;
    if (sub->current)
        return 1;
    if (sub->cursor >= st->log.end)
        return 0;
    copy_log_locked(sub, out);
    return 1;
}

static void note_progress_locked(sse__sub *sub)
{
    if (sub->cursor >= sub->stream->lag_target)
        sse__sub_stop_lagging_locked(sub);
    if (sub->cursor >= sub->stream->log.end)
        sub->lags_since_ms = 0;
}

/* Everything that is due. Returns 0, or how the stream ends. */
static ptrdiff_t fill(sse__sub *sub, output *out, sse_leave_reason *ending)
{
    sse__stream *st = sub->stream;
    int step = 1;
    sse__mutex_lock(&st->mu);
    bool cut = sub->leave != 0;
    while (!cut && (step = fill_step_locked(sub, out)) > 0)
        ;
    if (step < 0)
        sse__sub_cut_locked(sub, SSE_LEFT_ERROR);
    st->counters.bytes_out += out->n;
    note_progress_locked(sub);
    *ending = st->ended && out->n == 0 ? st->end_reason : 0;
    sse__mutex_unlock(&st->mu);
    return cut || step < 0 ? SSE__READ_ERROR : 0;
}

/* Each subscriber of a server that goes down is told to come back at a moment of its own. */
static size_t farewell(sse__sub *sub, char *buf, size_t max)
{
    const sse_server *hub = sub->stream->hub;
    uint64_t base = hub->options.retry_ms ? hub->options.retry_ms : 1000;
    uint64_t spread = atomic_load(&hub->nsubs_at_close);
    if (spread < 1000)
        spread = 1000;
    if (spread > 60000)
        spread = 60000;
    sub->said_retry = true;
    char line[48];
    int n = snprintf(line, sizeof line, "retry: %llu\n\n",
                     (unsigned long long)(base + sse__random() % spread));
    if ((size_t)n > max)
        return 0;
    memcpy(buf, line, (size_t)n);
    return (size_t)n;
}

/* What a connection gets that has nothing else to get: heartbeat, farewell, end, or sleep (0). */
static ptrdiff_t read_idle(sse__sub *sub, char *buf, size_t max, sse_leave_reason ending)
{
    static const char heartbeat[] = ":\n\n";
    if (ending == SSE_LEFT_DRAINED && !sub->said_retry) {
        size_t n = farewell(sub, buf, max);
        if (n > 0)
            return (ptrdiff_t)n;
    }
    if (ending != 0) {
        sub->said_end = true;
        return SSE__READ_END;
    }
    if (atomic_exchange(&sub->heartbeat, false) && max >= sizeof heartbeat - 1) {
        memcpy(buf, heartbeat, sizeof heartbeat - 1);
        return (ptrdiff_t)sizeof heartbeat - 1;
    }
    return 0;
}

ptrdiff_t sse__sub_read(sse__sub *sub, char *buf, size_t max)
{
    for (;;) {
        sse__mutex_lock(&sub->mu);
        sub->woken = false;
        sse__mutex_unlock(&sub->mu);

        output out = {buf, max, 0};
        sse_leave_reason ending;
        ptrdiff_t n = fill(sub, &out, &ending);
        if (n == 0)
            n = out.n > 0 ? (ptrdiff_t)out.n : read_idle(sub, buf, max, ending);
        if (n > 0)
            atomic_store(&sub->sent_ms, sse__now_ms());
        if (n != 0)
            return n;

        sse__mutex_lock(&sub->mu);
        bool sleep = !sub->woken;
        if (sleep) {
            /* Under the lock, so that a wake-up comes before (and is seen) or after (and resumes).
             */
            sub->suspended = true;
            sse__mhd_suspend(sub->connection);
        }
        sse__mutex_unlock(&sub->mu);
        if (sleep)
            return 0;
    }
}
