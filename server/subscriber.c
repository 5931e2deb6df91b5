/* Subscribers: where a new one starts, how it is woken, overtaken and cut off, how it leaves. What it reads is in reader.c.
 *
 * One comes and goes on the thread that drives its connection; the rest happens on any thread, under stream.mu. A wake-up resumes
 * the connection under the subscriber's own mutex, the one under which the reader suspends it. */
#include "subscriber.h"

#include "clock.h"
#include "hub.h"
#include "loop.h"
#include "mhd.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- where a new subscriber starts ---- */

/* A position that no stream ever gets to: whoever resumes there is told that nobody knows what is missing. The largest number that
 * sse__stream_parse_id() takes. */
#define NOWHERE UINT64_C(9999999999999999999)

/* The number of the newest event with this id among those that publish has accepted and the worker
 * has not yet appended. */
static bool find_in_inbox_locked(const sse__stream *st, sse_str id, uint64_t *seq)
{
    uint64_t first = st->next_seq - st->inbox.count - st->taken_count;
    for (size_t i = st->taken_count + st->inbox.count; i-- > 0;) {
        const sse__ring *ring = &st->inbox;
        size_t at = i - st->taken_count;
        const sse_msg *msg =
            i < st->taken_count ? st->taken[i] : ring->slots[(ring->head + at) % ring->allocated];
        sse_str own = sse_msg_event(msg)->id;
        if (own.ptr && own.len == id.len && memcmp(own.ptr, id.ptr, id.len) == 0) {
            *seq = first + i;
            return true;
        }
    }
    return false;
}

/* The number that a position tells, or that of the newest event with this id of the publisher's, whether it is still held or
 * not. Positions come first: were a publisher to use one as an id of its own, events would come again, but none would be lost.
 * The caller holds both mutexes. */
static bool resolve_id_locked(const sse__stream *st, sse_str id, uint64_t *seq)
{
    if (sse__stream_parse_id(st, id, seq) && *seq < st->next_seq)
        return true;
    if (find_in_inbox_locked(st, id, seq) || sse__history_find(&st->log, id, seq))
        return true;
    return sse__together_find(st, id, seq) && *seq < st->next_seq;
}

/* Set the cursor, and hold a gap when the client has lost events. */
static sse_err start_locked(sse__sub *sub)
{
    sse__stream *st = sub->stream;
    sse_str id = sse_cstr(sub->last_event_id);
    sse_replay replay = st->config.replay;
    sse__history_expire(&st->log, &st->config.limits, sse__now_ms());
    uint64_t oldest = replay == SSE_REPLAY_NONE ? st->next_seq : st->log.visible;
    uint64_t seq, missed = 0;
    if (id.len == 0) {
        sub->cursor = replay == SSE_REPLAY_ALL ? oldest : st->next_seq;
        sub->position = sub->cursor;
    } else if (!resolve_id_locked(st, id, &seq)) {
        sub->cursor = oldest;
        sub->position = NOWHERE + 1; /* until it is told of the gap */
        missed = UINT64_MAX;
    } else {
        sub->cursor = seq + 1 > oldest ? seq + 1 : oldest;
        sub->position = seq + 1;
        missed = sub->cursor - (seq + 1);
    }
    if (sub->cursor < st->log.end)
        st->counters.replayed++;
    if (missed == 0)
        return SSE_OK;
    sse__frame *gap = sse__stream_gap_locked(st, id, missed, sub->cursor);
    return gap && sse__held_push(&sub->held, gap, sub->cursor, false) ? SSE_OK : SSE_ENOMEM;
}

/* ---- joining ---- */

static sse__group *find_group_locked(sse__stream *st, struct sse__loop *loop)
{
    for (sse__group *group = st->groups; group; group = group->next)
        if (group->loop == loop)
            return group;
    sse__group *group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->stream = st;
    group->loop = loop;
    group->next = st->groups;
    st->groups = group;
    return group;
}

static sse_err join_locked(sse__sub *sub, struct sse__loop *loop)
{
    sse__stream *st = sub->stream;
    if (st->closed || st->ended)
        return SSE_ECLOSED;
    sse__group *group = find_group_locked(st, loop);
    if (!group)
        return SSE_ENOMEM;
    sse__frame *retry = sub == sub->lead ? st->hub->retry : NULL;
    if (retry && !sse__held_push(&sub->held, sse__frame_ref(retry), 0, false))
        return SSE_ENOMEM;
    sse_err err = start_locked(sub);
    if (err != SSE_OK)
        return err;
    sub->group = group;
    sub->live_from = st->next_seq;
    sub->next = group->subs;
    if (sub->next)
        sub->next->prev = sub;
    group->subs = sub;
    st->nsubs++;
    return SSE_OK;
}

static sse_err join(sse__sub *sub, struct sse__loop *loop)
{
    sse__stream *st = sub->stream;
    sse__mutex_lock(&st->inbox_mu);
    sse__mutex_lock(&st->mu);
    sse_err err = join_locked(sub, loop);
    st->active_ms = sse__now_ms();
    sse__mutex_unlock(&st->mu);
    sse__mutex_unlock(&st->inbox_mu);
    return err;
}

/* In one piece with its texts: there may be very many. */
static sse__sub *alloc_one(const sse__sub_request *request, size_t i, sse_str last)
{
    sse_str address = sse_cstr(request->address);
    sse__sub *sub = calloc(1, sizeof *sub + address.len + 1 + last.len + 1);
    if (!sub)
        return NULL;
    sub->address = (char *)(sub + 1);
    sub->last_event_id = sub->address + address.len + 1;
    memcpy(sub->address, address.ptr, address.len);
    memcpy(sub->last_event_id, last.ptr, last.len);
    sse__mutex_init(&sub->mu, SSE__RANK_SUBSCRIBER);
    sub->source.kind = SSE__SOURCE_SUB;
    sub->stream = sse__stream_ref(request->streams[i]);
    sub->connection = request->connection;
    sub->shard = request->shard;
    sub->fd = request->fd;
    sub->number = atomic_fetch_add(&sub->stream->hub->next_number, 1) + 1;
    sub->slot = -1;
    sub->expires_ms = request->expires_ms;
    atomic_init(&sub->sent_ms, sse__now_ms());
    return sub;
}

static sse_err sub_alloc(const sse__sub_request *request, sse__sub **out)
{
    sse__sub *lead = NULL, **end = &lead;
    sse_str ids[SSE__TOGETHER] = {sse_cstr(request->last_event_id ? request->last_event_id : "")};
    if (request->stream_count > 1)
        sse__together_last_ids(request->streams, request->stream_count, ids[0], ids);
    for (size_t i = 0; i < request->stream_count; i++) {
        sse__sub *sub = *end = alloc_one(request, i, ids[i]);
        if (!sub) {
            sse__sub_destroy(lead);
            return SSE_ENOMEM;
        }
        sub->lead = lead;
        lead->turn = sub; /* in the end the last one, so that the first comes next */
        end = &sub->next_member;
    }
    *out = lead;
    return SSE_OK;
}

static void tell_user(const sse__sub *sub, sse_leave_reason reason)
{
    const sse_server *hub = sub->stream->hub;
    const sse_server_callbacks *callbacks = &hub->callbacks;
    sse_subscriber_info info = {sub->number, sub->stream->name, sub->address, sub->last_event_id};
    sse__hub_callback_begin();
    if (reason == 0 && callbacks->on_subscribe)
        callbacks->on_subscribe(hub->options.user, &info);
    if (reason != 0 && callbacks->on_unsubscribe)
        callbacks->on_unsubscribe(hub->options.user, &info, reason);
    sse__hub_callback_end();
}

sse_err sse__sub_new(const sse__sub_request *request, sse__sub **out)
{
    sse_server *hub = request->streams[0]->hub;
    sse__sub *sub;
    sse_err err = sub_alloc(request, &sub);
    if (err != SSE_OK)
        return err;
    err = sse__hub_enter(hub, request->address, &sub->ip);
    if (err != SSE_OK) {
        sse__sub_destroy(sub);
        return err;
    }
    for (sse__sub *member = sub; member && err == SSE_OK; member = member->next_member)
        err = join(member, request->loop);
    if (err == SSE_OK)
        err = sse__loop_watch(request->loop, sub);
    if (err != SSE_OK) {
        sse__sub_finish(sub);
        return err;
    }
    for (sse__sub *member = sub; member; member = member->next_member) {
        atomic_fetch_add(&hub->counters.subscribed, 1);
        member->announced = true;
        tell_user(member, 0);
    }
    *out = sub;
    return SSE_OK;
}

/* ---- waking, leaving ---- */

void sse__sub_stop_lagging_locked(sse__sub *sub)
{
    if (!sub->lagging)
        return;
    sub->lagging = false;
    if (--sub->stream->laggards == 0)
        sse__cond_signal(&sub->stream->progress);
}

bool sse__sub_wake(sse__sub *sub)
{
    sub = sub->lead;
    sse__sub_lock(sub);
    sub->woken = true;
    bool resume = sub->suspended;
    if (resume) {
        sub->suspended = false;
        sse__mhd_resume(sub->connection); /* under the lock: the connection may not end meanwhile */
    }
    sse__sub_unlock(sub);
    return resume;
}

void sse__sub_cut_locked(sse__sub *sub, sse_leave_reason reason)
{
    sse__mutex_assert_held(&sub->stream->mu);
    if (sub->leave != 0)
        return;
    sub->leave = reason;
    sse__sub_stop_lagging_locked(sub);
    /* MHD may wait for the socket to take more; this ends the wait. It still owns the descriptor. Where it cannot be waiting, and
     * the one who cuts off wakes the reader, close() alone does as well. */
    bool asleep = reason == SSE_LEFT_GONE && sub->shard && sub->lead->suspended;
    if (!asleep)
        shutdown(sub->fd, SHUT_RDWR);
}

sse_leave_reason sse__sub_cut_reason(sse__sub *lead)
{
    sse_leave_reason why = 0;
    for (sse__sub *sub = lead; sub && why == 0; sub = sub->next_member) {
        sse__mutex_lock(&sub->stream->mu);
        why = sub->left ? 0 : sub->leave;
        sse__mutex_unlock(&sub->stream->mu);
    }
    return why;
}

void sse__sub_cut(sse__sub *sub, sse_leave_reason reason)
{
    sse_leave_reason why = sse__sub_together(sub) ? sse__sub_cut_reason(sub) : 0;
    for (; sub; sub = sub->next_member) {
        sse__mutex_lock(&sub->stream->mu);
        sse__sub_cut_locked(sub, why ? why : reason);
        sse__mutex_unlock(&sub->stream->mu);
    }
}

/* The descriptor is ours to look at while stream.mu is held and the subscriber has not left. */
bool sse__sub_end_if_vanished(sse__sub *sub, uint32_t limit_ms)
{
    bool looked = false, vanished = false;
    for (; sub && !looked; sub = sub->next_member) {
        sse__mutex_lock(&sub->stream->mu);
        looked = sub->leave == 0;
        vanished = looked && sse__peer_vanished(sub->fd, limit_ms);
        if (vanished)
            sse__sub_cut_locked(sub, SSE_LEFT_GONE);
        sse__mutex_unlock(&sub->stream->mu);
    }
    return vanished;
}

/* Keep what is in the log for it, as far as it may keep that much, and take nothing more for now.
 */
static bool park_locked(sse__sub *sub)
{
    sse__stream *st = sub->stream;
    while (sub->cursor < st->log.end && sub->held.count < st->config.limits.backlog_events) {
        sse__frame *frame = sse__history_frame(&st->log, sub->cursor);
        if (!frame || (sub->held.count > 0 && sub->held.bytes + frame->len > SSE__PARKED_BYTES))
            break;
        if (!sse__held_push(&sub->held, sse__frame_ref(frame), sub->cursor + 1, true))
            return false;
        sub->cursor++;
    }
    st->counters.dropped += st->log.end - sub->cursor;
    sub->parked = true;
    st->parked++;
    return true;
}

void sse__sub_overtake_locked(sse__sub *sub, uint64_t target)
{
    sse__stream *st = sub->stream;
    sse__mutex_assert_held(&st->mu);
    switch (st->config.slow) {
    case SSE_SLOW_DROP_OLDEST:
        st->counters.dropped += target - sub->cursor;
        sub->missed += target - sub->cursor;
        sub->cursor = target;
        break;
    case SSE_SLOW_DROP_NEWEST:
        if (!sub->parked && !park_locked(sub))
            sse__sub_cut_locked(sub, SSE_LEFT_ERROR);
        break;
    case SSE_SLOW_DEFAULT:
    case SSE_SLOW_CLOSE:
    case SSE_SLOW_BLOCK:
        st->counters.slow_closed++;
        sse__sub_cut_locked(sub, SSE_LEFT_SLOW);
        break;
    }
    sse__sub_stop_lagging_locked(sub);
}

static sse_leave_reason leave_locked(sse__sub *sub, sse_leave_reason why)
{
    sse__stream *st = sub->stream;
    sse__sub_stop_lagging_locked(sub);
    if (sub->parked) {
        sub->parked = false;
        st->parked--;
    }
    if (sub->group->wake_next == sub)
        sub->group->wake_next = sub->next;
    if (sub->prev)
        sub->prev->next = sub->next;
    else
        sub->group->subs = sub->next;
    if (sub->next)
        sub->next->prev = sub->prev;
    st->nsubs--;
    sub->left = true;
    /* One of several streams: the connection, and with it the struct, may stay for days. */
    if (st->ended && st->nsubs == 0)
        sse__history_drop_to(&st->log, st->log.end);
    if (sub->leave == 0) /* set, so that nobody touches the descriptor from now on */
        sub->leave = why ? why : st->ended ? st->end_reason : SSE_LEFT_GONE;
    /* A client that was told of the end and closed first has not left by itself. */
    sse_leave_reason said = sub->lead->said_end;
    if (said == SSE_LEFT_EXPIRED)
        return said;
    return said && st->end_reason != 0 ? st->end_reason : sub->leave;
}

void sse__sub_leave(sse__sub *sub, sse_leave_reason why)
{
    sse__stream *st = sub->stream;
    if (!sub->group || sub->left)
        return;
    sse__mutex_lock(&st->inbox_mu);
    st->active_ms = sse__now_ms();
    sse__mutex_lock(&st->mu);
    sse_leave_reason reason = leave_locked(sub, why);
    sse__mutex_unlock(&st->mu);
    sse__mutex_unlock(&st->inbox_mu);
    if (sub->announced) {
        atomic_fetch_add(&st->hub->counters.left[reason], 1);
        tell_user(sub, reason);
    }
}

void sse__sub_finish(sse__sub *sub)
{
    sse_server *hub = sub->stream->hub;
    sse_leave_reason why = sse__sub_together(sub) ? sse__sub_cut_reason(sub) : 0;
    for (sse__sub *member = sub; member; member = member->next_member)
        sse__sub_leave(member, why);
    struct sse__loop *loop = sub->group ? sub->group->loop : NULL;
    sse__ip *ip = sub->ip;
    sse__hub_ref(hub);
    if (loop)
        sse__loop_unwatch(loop, sub); /* frees it */
    else
        sse__sub_destroy(sub);
    sse__hub_leave(hub, ip);
    sse__hub_unref(hub);
}

void sse__sub_destroy(sse__sub *sub)
{
    for (sse__sub *next; sub; sub = next) {
        next = sub->next_member;
        sse__frame_unref(sub->current);
        sse__held_fini(&sub->held);
        sse__mutex_fini(&sub->mu);
        sse__stream_unref(sub->stream);
        free(sub);
    }
}
