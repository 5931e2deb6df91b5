/* The reader of a subscriber: what it hands to the connection, and how it sleeps.
 *
 * Runs on the thread that drives the connection (an I/O loop of ours, or the user's daemon). It copies everything that is due into
 * the connection's buffer in one call, under stream.mu; when nothing is due it suspends the connection. No wake-up can be
 * lost: `woken` is cleared before the reader looks, set by whoever has news, and checked under the same lock under which the
 * connection is suspended. */
#include "clock.h"
#include "hub.h"
#include "loop.h"
#include "mhd.h"
#include "subscriber.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef struct output {
    char *buf;
    size_t max;
    size_t n;
    uint64_t
        oldest_ns; /* when the oldest of the new events in it was published; UINT64_MAX: there is none */
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
    return gap && sse__held_push(&sub->held, gap, sub->cursor, false);
}

/* Write this frame next (takes the reference); the event behind it is number `next`, 0 when that stays as it is. Returns false
 * when there is no memory. */
static bool set_current(sse__sub *sub, sse__frame *frame, uint64_t next)
{
    if (next > 0)
        sub->position = next;
    if (frame && sse__sub_together(sub))
        frame = sse__together_frame(sub, frame);
    sub->current = frame;
    return frame != NULL;
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
    sse__frame *gap = sse__stream_gap_locked(st, (sse_str){0}, sub->missed, sub->cursor);
    sub->missed = 0;
    return set_current(sub, gap, sub->cursor);
}

/* The event at the cursor is about to be written: how old is the oldest of those that are no replay? */
static void note_age(const sse__sub *sub, const sse__frame *frame, output *out)
{
    if (sub->cursor >= sub->live_from && frame->accepted_ns < out->oldest_ns)
        out->oldest_ns = frame->accepted_ns;
}

/* Copy frames of the log that fit whole; one that does not, or needs an id of its own, becomes the current frame. Returns false
 * when there is no memory. */
static bool copy_log_locked(sse__sub *sub, output *out)
{
    sse__stream *st = sub->stream;
    bool together = sse__sub_together(sub);
    while (sub->cursor < st->log.end && out->n < out->max) {
        sse__frame *frame = sse__history_frame(&st->log, sub->cursor);
        if (!frame)
            return true; /* lost: the next round tells */
        note_age(sub, frame, out);
        sub->cursor++;
        st->counters.delivered++;
        if (together || frame->len > out->max - out->n)
            return set_current(sub, sse__frame_ref(frame), sub->cursor);
        memcpy(out->buf + out->n, frame->bytes, frame->len);
        out->n += frame->len;
    }
    return true;
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
        st->counters.delivered += item.event;
        return set_current(sub, item.frame, item.next) ? 1 : -1;
    }
    if (!tell_missed_locked(sub))
        return -1;
    if (sub->current)
        return 1;
    if (sub->cursor >= st->log.end)
        return 0;
    return copy_log_locked(sub, out) ? 1 : -1;
}

static void note_progress_locked(sse__sub *sub)
{
    if (sub->cursor >= sub->stream->lag_target)
        sse__sub_stop_lagging_locked(sub);
    if (sub->cursor >= sub->stream->log.end)
        sub->lags_since_ms = 0;
}

/* Everything that is due of one stream. Returns 0, or how it ends. */
static ptrdiff_t fill(sse__sub *sub, output *out, sse_leave_reason *ending)
{
    sse__stream *st = sub->stream;
    size_t before = out->n;
    int step = 1;
    sse__mutex_lock(&st->mu);
    bool cut = sub->leave != 0;
    while (!cut && (step = fill_step_locked(sub, out)) > 0)
        ;
    if (step < 0)
        sse__sub_cut_locked(sub, SSE_LEFT_ERROR);
    st->counters.bytes_out += out->n - before;
    note_progress_locked(sub);
    *ending = st->ended && out->n == before && out->n < out->max ? st->end_reason : 0;
    sse__mutex_unlock(&st->mu);
    return cut || step < 0 ? SSE__READ_ERROR : 0;
}

static sse__sub *following(sse__sub *sub)
{
    return sub->next_member ? sub->next_member : sub->lead;
}

/* A stream of several that has ended, all of it written: leave it, or, when it was the last, end. */
static void end_member(sse__sub *sub, sse_leave_reason reason, sse_leave_reason *ending)
{
    bool others = false;
    for (sse__sub *at = sub->lead; at && !others; at = at->next_member)
        others = at != sub && !at->left;
    if (others)
        sse__sub_leave(sub, 0);
    else
        *ending = reason;
}

/* Go on with the event that was begun. */
static void fill_current(sse__sub *sub, output *out)
{
    (void)copy_current(sub, out);
    sse__mutex_lock(&sub->stream->mu);
    sub->stream->counters.bytes_out += out->n;
    sse__mutex_unlock(&sub->stream->mu);
}

/* Several streams take turns, a buffer at a time. An event is never interrupted by another: who has begun one ends it first. */
static ptrdiff_t fill_together(sse__sub *lead, output *out, sse_leave_reason *ending)
{
    sse__sub *sub = lead->turn;
    *ending = 0;
    if (sub->current)
        fill_current(sub, out);
    if (out->n == out->max)
        return 0;
    sse__sub *first = following(sub);
    sub = first;
    do {
        sse_leave_reason reason = 0;
        ptrdiff_t err = sub->left ? 0 : fill(sub, out, &reason);
        if (err != 0)
            return err;
        if (reason != 0)
            end_member(sub, reason, ending);
        lead->turn = sub;
        sub = following(sub);
    } while (sub != first && out->n < out->max);
    return 0;
}

/* Nothing more is due to one whose permission has ended, but the rest of an event that it has begun to get. */
static ptrdiff_t fill_expired(sse__sub *lead, output *out, sse_leave_reason *ending)
{
    sse__sub *sub = lead->turn;
    bool cut = sse__sub_cut_reason(lead) != 0;
    *ending = 0;
    if (sub->current && sub->offset > 0)
        fill_current(sub, out);
    else
        *ending = SSE_LEFT_EXPIRED;
    return cut ? SSE__READ_ERROR : 0;
}

/* What stands before the end: each subscriber of a server that goes down is told to come back at a moment of its own; one whose
 * permission has ended is told that. */
static size_t farewell(sse__sub *sub, char *buf, size_t max, sse_leave_reason ending)
{
    static const char expired[] = ": the permission has expired\n\n";
    if (ending == SSE_LEFT_EXPIRED && max >= sizeof expired - 1) {
        memcpy(buf, expired, sizeof expired - 1);
        return sizeof expired - 1;
    }
    if (ending != SSE_LEFT_DRAINED)
        return 0;
    const sse_server *hub = sub->stream->hub;
    uint64_t base = hub->options.retry_ms ? hub->options.retry_ms : 1000;
    uint64_t spread = atomic_load(&hub->nsubs_at_close);
    if (spread < 1000)
        spread = 1000;
    if (spread > 60000)
        spread = 60000;
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
    if (ending != 0 && !sub->said_farewell) {
        sub->said_farewell = true;
        size_t n = farewell(sub, buf, max, ending);
        if (n > 0)
            return (ptrdiff_t)n;
    }
    if (ending != 0) {
        sub->said_end = ending;
        return SSE__READ_END;
    }
    if (atomic_exchange(&sub->heartbeat, false) && max >= sizeof heartbeat - 1) {
        memcpy(buf, heartbeat, sizeof heartbeat - 1);
        return (ptrdiff_t)sizeof heartbeat - 1;
    }
    return 0;
}

/* While more is due than fits, let what the library sends piece by piece leave in segments as large as the path takes: most of what a
 * piece costs is its way through the network's layers and the peer's wake-up. It begins with the second piece, because the library
 * uncorks a new socket once, behind the first. It ends, and the last segment leaves, before the connection sleeps or the body ends. A
 * unix socket cannot be corked and does without. */
static void gather(sse__sub *sub, bool full)
{
    bool cork = full && sub->filled;
    int value = cork;
    if (cork != sub->corked)
        (void)setsockopt(sub->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
    sub->corked = cork;
    sub->filled = full;
}

static void note_sent(sse__sub *sub, const output *out)
{
    uint64_t now_ns = sse__now_ns();
    atomic_store(&sub->sent_ms, now_ns / 1000000u);
    if (out->oldest_ns != UINT64_MAX)
        sse__latency_count(sse__loop_latency(sub->group->loop), now_ns - out->oldest_ns);
}

ptrdiff_t sse__sub_read(sse__sub *sub, char *buf, size_t max)
{
    for (;;) {
        sse__sub_lock(sub);
        sub->woken = false;
        sse__sub_unlock(sub);

        output out = {buf, max, 0, UINT64_MAX};
        sse_leave_reason ending;
        ptrdiff_t n = atomic_load(&sub->expired) ? fill_expired(sub, &out, &ending)
                      : sse__sub_together(sub)   ? fill_together(sub, &out, &ending)
                                                 : fill(sub, &out, &ending);
        if (n == 0)
            n = out.n > 0 ? (ptrdiff_t)out.n : read_idle(sub, buf, max, ending);
        if (out.n == 0 || out.n == max) /* else the rest: the next call finds nothing more */
            gather(sub, out.n == max);
        if (n > 0)
            note_sent(sub, &out);
        if (n != 0)
            return n;

        sse__sub_lock(sub);
        bool sleep = !sub->woken;
        if (sleep) {
            /* Under the lock, so that a wake-up comes before (and is seen) or after (and resumes).
             */
            sub->suspended = true;
            sse__mhd_suspend(sub->connection);
        }
        sse__sub_unlock(sub);
        if (sleep)
            return 0;
    }
}
