/* The worker of a stream: takes accepted events in batches, encodes each once, appends it to the
 * log and wakes the subscribers.
 *
 * One thread per stream that has something to do: started by a publisher, gone again when the inbox
 * has been empty for a while, so that idle streams cost no thread. It holds a reference to its
 * stream. It is the only one that appends to the log, and so the only one that may have to wait for
 * subscribers: make_room_locked() says for whom and how long. */
#include "clock.h"
#include "hub.h"
#include "loop.h"
#include "msg.h"
#include "subscriber.h"

#include <poll.h>
#include <stdlib.h>

#define STACK_BYTES ((size_t)64 << 10)
#define LINGER_MS 2000 /* an idle worker stays so long ... */
#define LINGER_WORKERS                                                                             \
    1024 /* ... and the less, the more there are beyond this many: at twice as many they go at once */
#define UNSERVED_MS                                                                                \
    10000 /* a subscriber that its loop has not served for so long is slow, whatever its socket    \
             says */

/* ---- encoding ---- */

/* NULL when there is no memory. */
static sse__frame *encode(const sse__stream *st, const sse_msg *msg, uint64_t seq)
{
    sse_event event = *sse_msg_event(msg);
    char position[SSE__ID_MAX];
    char *buffer = NULL;
    sse_str id = {0};
    if (event.data.ptr && !event.id.ptr) {
        sse__stream_format_id(st, seq, position);
        id = sse_cstr(position);
    }
    sse__frame *frame = NULL;
    sse_err err = SSE_OK;
    if (st->config.base64 && event.data.ptr)
        err = sse__stream_base64(&event, &buffer);
    if (err == SSE_OK && sse__frame_new(&event, id, &frame) != SSE_OK)
        frame = NULL;
    free(buffer);
    if (frame)
        frame->accepted_ns = sse__msg_time(msg);
    return frame;
}

/* ---- room in the log ---- */

static bool writable(const sse__sub *sub)
{
    struct pollfd pfd = {.fd = sub->fd, .events = POLLOUT};
    return poll(&pfd, 1, 0) > 0;
}

/* A subscriber that is in the way is slow when its socket takes nothing and it has had its grace: since it was last served, or
 * since it first was in the way without ever getting to the end since. One that could be served but was not yet waits for its
 * loop, not for its peer. */
static bool is_slow(const sse__stream *st, const sse__sub *sub, uint64_t now_ms)
{
    uint64_t grace = st->config.slow_grace_ms;
    uint64_t sent_ms = atomic_load(&sub->lead->sent_ms);
    bool had_grace = now_ms >= sub->lags_since_ms + grace || now_ms >= sent_ms + grace;
    bool unserved = now_ms >= sub->lags_since_ms + UNSERVED_MS && now_ms >= sent_ms + UNSERVED_MS;
    return had_grace && (unserved || !writable(sub));
}

static void mark_laggard(sse__stream *st, sse__sub *sub)
{
    if (!sub->lagging)
        st->laggards++;
    sub->lagging = true;
}

/* Mark those that still want entries before the target, and deal with the slow ones among them. */
static void review_laggards_locked(sse__stream *st, uint64_t now_ms)
{
    for (sse__group *group = st->groups; group; group = group->next)
        for (sse__sub *sub = group->subs; sub; sub = sub->next) {
            if (sub->cursor >= st->lag_target || sub->leave != 0 || sub->parked)
                continue;
            if (sub->lags_since_ms == 0)
                sub->lags_since_ms = now_ms;
            if (st->config.slow != SSE_SLOW_BLOCK && is_slow(st, sub, now_ms))
                sse__sub_overtake_locked(sub, st->lag_target);
            else
                mark_laggard(st, sub);
        }
}

/* Wait until the subscribers have moved past the oldest entries, or are found to be slow, then drop
 * these entries. Woken by the last laggard (its reader, its departure, or its being cut off); under
 * a policy other than block also by the clock, because a socket that fills up tells nobody. */
static void make_room_locked(sse__stream *st)
{
    uint64_t step = st->config.limits.backlog_events / 8;
    uint64_t target = st->log.first + (step ? step : 1);
    if (target > st->log.visible) /* history goes only when there is no backlog */
        target = st->log.visible > st->log.first ? st->log.visible : st->log.first + 1;
    st->lag_target = target;
    uint64_t recheck_ms = st->config.slow_grace_ms / 4 + 1;
    bool woke_others = false;
    for (;;) {
        review_laggards_locked(st, sse__now_ms());
        if (st->laggards == 0)
            break;
        if (!woke_others)
            sse__stream_wake_locked(st);
        woke_others = true;
        if (st->config.slow == SSE_SLOW_BLOCK)
            sse__cond_wait(&st->progress, &st->mu);
        else
            (void)sse__cond_wait_until(&st->progress, &st->mu,
                                       (sse__now_ms() + recheck_ms) * 1000000u);
    }
    st->lag_target = 0;
    sse__history_drop_to(&st->log, target);
}

/* ---- the thread ---- */

static void append_locked(sse__stream *st, sse__frame *frame, bool own_id, uint64_t now_ms)
{
    const sse__history_limits *limits = &st->config.limits;
    while (sse__history_full(&st->log, limits, frame ? frame->len : 0))
        make_room_locked(st);
    st->counters.bytes_in += frame ? frame->len : 0;
    st->counters.dropped += st->parked;
    if (sse__history_append(&st->log, limits, frame, own_id, now_ms) != SSE_OK) {
        sse__frame_unref(frame);
        sse__history_lose(&st->log); /* subscribers are told by a gap */
    }
}

static void process(sse__stream *st, sse_msg **batch, size_t n, uint64_t first_seq)
{
    sse__frame *frames[SSE__BATCH];
    for (size_t i = 0; i < n; i++)
        frames[i] = encode(st, batch[i], first_seq + i);
    uint64_t now_ms = sse__now_ms();
    sse__mutex_lock(&st->mu);
    for (size_t i = 0; i < n; i++)
        append_locked(st, frames[i], sse_msg_event(batch[i])->id.ptr != NULL, now_ms);
    sse__stream_wake_locked(st);
    sse__mutex_unlock(&st->mu);
}

static uint64_t linger_ms(uint64_t workers)
{
    if (workers <= LINGER_WORKERS)
        return LINGER_MS;
    uint64_t beyond = workers - LINGER_WORKERS;
    return beyond < LINGER_WORKERS ? LINGER_MS - LINGER_MS * beyond / LINGER_WORKERS : 1;
}

/* Sleep until there is something to do. Returns false when the worker has waited for long enough. inbox_mu is let go meanwhile. */
static bool sleep_locked(sse__stream *st)
{
    uint64_t linger = linger_ms(sse__hub_workers(st->hub));
    st->worker_sleeps = true;
    sse__mutex_unlock(&st->inbox_mu);
    bool roused = sse__gate_wait_until(&st->work, (sse__now_ms() + linger) * 1000000u);
    sse__mutex_lock(&st->inbox_mu);
    if (roused)
        return true;
    if (st->worker_sleeps) {
        st->worker_sleeps = false;
        return false;
    }
    sse__gate_wait(&st->work); /* roused in the last moment: the gate is about to open */
    return true;
}

/* Wait for events. Returns how many were taken; 0: the worker is to go. */
static size_t take_locked(sse__stream *st, sse_msg **batch, uint64_t *first_seq)
{
    while (st->inbox.count == 0 && !st->closed && sleep_locked(st))
        ;
    *first_seq = st->next_seq - st->inbox.count;
    size_t n = sse__ring_pop_many(&st->inbox, (void **)batch, SSE__BATCH);
    st->taken_count = n;
    for (size_t i = 0; i < n; i++)
        st->inbox_bytes -= sse__stream_msg_bytes(batch[i]);
    /* Publishers that wait are woken when there is room for many of them, not for each batch. */
    if (st->publishers_waiting > 0 && st->inbox.count <= st->inbox.capacity / 2)
        sse__cond_broadcast(&st->room);
    return n;
}

static void *worker_main(void *arg)
{
    sse__stream *st = arg;
    sse_msg *batch[SSE__BATCH];
    uint64_t first_seq;
    sse__mutex_lock(&st->inbox_mu);
    st->taken = batch;
    for (size_t n; (n = take_locked(st, batch, &first_seq)) > 0;) {
        sse__mutex_unlock(&st->inbox_mu);
        process(st, batch, n, first_seq);
        sse__mutex_lock(&st->inbox_mu);
        st->taken_count = 0;
        sse__mutex_unlock(&st->inbox_mu);
        for (size_t i = 0; i < n; i++)
            sse_msg_unref(batch[i]);
        sse__mutex_lock(&st->inbox_mu);
    }
    st->worker = false;
    st->taken = NULL;
    sse__ring_shrink(&st->inbox);
    bool closed = st->closed;
    sse__mutex_unlock(&st->inbox_mu);
    if (closed)
        sse__stream_end(st);
    sse_server *hub = st->hub; /* its owner waits for its workers */
    sse__stream_unref(st);
    sse__hub_worker_ended(hub);
    return NULL;
}

sse_err sse__worker_start_locked(sse__stream *st)
{
    sse__mutex_assert_held(&st->inbox_mu);
    if (st->worker)
        return SSE_OK;
    sse__thread thread;
    sse__hub_worker_started(st->hub);
    sse__stream_ref(st);
    sse_err err = sse__thread_start(&thread, "sse-stream", STACK_BYTES, worker_main, st);
    if (err != SSE_OK) {
        /* The caller holds another reference, so this one is not the last. */
        sse__stream_unref(st);
        sse__hub_worker_ended(st->hub);
        return err;
    }
    sse__thread_detach(&thread);
    st->worker = true;
    return SSE_OK;
}
