/* The I/O loop.
 *
 * One thread. A turn: take what others have posted (streams with news, subscribers of user daemons
 * that came or went, sockets), resume some of the subscribers concerned, run the shards that have
 * something to do (shard.c), look at the clock, wait if there is nothing more to do. Nobody's wake-up is lost: who posts
 * does so under mu and then writes to wake_fd if the loop said that it sleeps; the loop says so
 * before its last look at what was posted. */
#include "loop_internal.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS 256
#define WAKE_AT_ONCE 128
#define REMOVAL_MS                                                                                 \
    5000 /* for subscribers of removed streams, when drain_ms is off; and for expired ones */

/* ---- life ---- */

static void end_if_vanished(sse__sub *sub);

sse_err sse__loop_new(struct sse_server *hub, uint32_t shards, sse__loop **out)
{
    sse__loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return SSE_ENOMEM;
    loop->hub = hub;
    loop->nshards = shards;
    sse__mutex_init(&loop->mu, SSE__RANK_LOOP);
    loop->wake_source.kind = SSE__SOURCE_WAKE;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &loop->wake_source};
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) != 0) {
        sse__loop_free(loop);
        return SSE_ESYS;
    }
    sse__wheel_init(&loop->wheel, hub->options.heartbeat_ms, sse__now_ms());
    loop->wheel.look = end_if_vanished;
    *out = loop;
    return SSE_OK;
}

void sse__loop_free(sse__loop *loop)
{
    if (!loop)
        return;
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    sse__expiry_fini(&loop->expiry);
    sse__mutex_fini(&loop->mu);
    free(loop);
}

sse__latency *sse__loop_latency(sse__loop *loop) { return &loop->latency; }

void sse__loop_signal(sse__loop *loop)
{
    if (!atomic_exchange(&loop->sleeping, false))
        return;
    uint64_t one = 1;
    ssize_t n = write(loop->wake_fd, &one, sizeof one); /* fails only when it is readable anyway */
    (void)n;
}

/* ---- what others post ---- */

void sse__loop_wake_group(sse__group *group)
{
    sse__loop *loop = group->loop;
    sse__mutex_lock(&loop->mu);
    bool post = !group->in_queue && !loop->stopped;
    if (post) {
        group->in_queue = true;
        group->queued = NULL;
        if (loop->groups_last)
            loop->groups_last->queued = group;
        else
            loop->groups_first = group;
        loop->groups_last = group;
        sse__stream_ref(group->stream);
    }
    sse__mutex_unlock(&loop->mu);
    if (post)
        sse__loop_signal(loop);
}

/* Subscribers of user daemons are added and taken off by the loop's thread, because the wheel is
 * its own. Returns false when the loop has stopped and does not know the subscriber: one that is posted already it takes all the
 * same. */
static bool post_sub(sse__loop *loop, sse__sub *sub, bool add)
{
    sse__mutex_lock(&loop->mu);
    bool running = !loop->stopped || sub->posted;
    if (running) {
        if (!sub->posted) {
            sub->next_posted = loop->posted;
            loop->posted = sub;
        }
        sub->posted = true;
        if (add)
            sub->post_add = true;
        else
            sub->post_remove = true;
    }
    sse__mutex_unlock(&loop->mu);
    if (running)
        sse__loop_signal(loop);
    return running;
}

sse_err sse__loop_watch(sse__loop *loop, sse__sub *sub)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = &sub->source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, sub->fd, &event) != 0)
        return errno == ENOMEM || errno == ENOSPC ? SSE_ENOMEM : SSE_ESYS;
    if (sub->shard) {
        if (sub->expires_ms != 0 && !sse__expiry_add(&loop->expiry, sub))
            return SSE_ENOMEM;
        loop->nsubs++;
        sse__wheel_add(&loop->wheel, sub, sse__now_ms());
    } else {
        (void)post_sub(loop, sub, true);
    }
    sub->watched = true;
    return SSE_OK;
}

void sse__loop_unwatch(sse__loop *loop, sse__sub *sub)
{
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, sub->fd, NULL); /* not there when watch failed */
    if (sub->shard) {
        loop->nsubs -= sub->watched;
        sse__wheel_remove(&loop->wheel, sub);
        sse__expiry_remove(&loop->expiry, sub);
        sse__sub_destroy(sub);
    } else if (!post_sub(loop, sub, false)) {
        sse__sub_destroy(sub);
    }
}

void sse__loop_hand_over(sse__loop *to, sse__pending *pending)
{
    sse__mutex_lock(&to->mu);
    bool running = !to->stopped;
    if (running) {
        pending->next = to->incoming;
        to->incoming = pending;
    }
    sse__mutex_unlock(&to->mu);
    if (running) {
        sse__loop_signal(to);
    } else {
        sse__pending_drop(to, pending);
    }
}

/* ---- streams with news ---- */

static void wake_sub(sse__sub *sub)
{
    if (sse__sub_wake(sub) && sub->shard)
        sse__loop_activate(sub->shard);
}

static void heartbeat_due(sse__sub *sub)
{
    atomic_store(&sub->heartbeat, true);
    wake_sub(sub);
}

/* A heartbeat that nobody has acknowledged by the time that the next one is due: an interval and a half, but some retransmissions
 * must have had their chance. */
static void end_if_vanished(sse__sub *sub)
{
    uint32_t interval_ms = sub->stream->hub->options.heartbeat_ms;
    uint32_t limit_ms = interval_ms < 2000 ? 3000 : interval_ms / 2 * 3;
    if (sse__sub_end_if_vanished(sub, limit_ms))
        wake_sub(sub);
}

/* ---- permissions that end ---- */

static void expire(sse__sub *sub)
{
    atomic_store(&sub->expired, true);
    wake_sub(sub);
}

/* Who is told gets a while to take what it has begun to get, and is cut off then. */
static void expire_subs(sse__loop *loop, uint64_t now_ms)
{
    sse__sub *sub;
    while ((sub = sse__expiry_first(&loop->expiry)) && sub->expires_ms <= now_ms) {
        sse__expiry_remove(&loop->expiry, sub);
        if (!atomic_load(&sub->expired)) {
            sub->expires_ms = now_ms + REMOVAL_MS;
            (void)sse__expiry_add(&loop->expiry, sub); /* there is room for one */
            expire(sub);
            continue;
        }
        sse__sub_cut(sub, SSE_LEFT_EXPIRED);
        wake_sub(sub);
    }
}

/* ---- streams that end ---- */

/* A closed stream's subscribers get some time to read what is left. It counts from the close, not
 * from when the worker has done its part: under SSE_SLOW_BLOCK that may wait for just these
 * subscribers. */
static void note_ending(sse__loop *loop, sse__group *group)
{
    if (group->ending)
        return;
    uint32_t drain_ms = loop->hub->options.drain_ms;
    group->ending = true;
    group->force_at_ms = sse__now_ms() + (drain_ms == SSE_OFF ? REMOVAL_MS : drain_ms);
    group->next_ending = loop->ending;
    loop->ending = group;
    sse__stream_ref(group->stream);
}

/* Begin with the next stream that has news. What comes from now on posts it again. */
static bool take_group(sse__loop *loop)
{
    sse__mutex_lock(&loop->mu);
    sse__group *group = loop->groups_first;
    if (group) {
        loop->groups_first = group->queued;
        if (!group->queued)
            loop->groups_last = NULL;
        group->in_queue = false;
    }
    sse__mutex_unlock(&loop->mu);
    if (!group)
        return false;
    loop->served = group; /* with the queue's reference to the stream */
    sse__mutex_lock(&group->stream->mu);
    group->wake_next = group->subs;
    bool ending = group->stream->end_reason != 0 && group->subs;
    sse__mutex_unlock(&group->stream->mu);
    if (ending)
        note_ending(loop, group);
    return true;
}

/* Wake up to n subscribers of the stream that is being served. Returns how many there were. */
static size_t serve_some(sse__loop *loop, size_t n)
{
    sse__group *group = loop->served;
    size_t woken = 0;
    sse__mutex_lock(&group->stream->mu);
    for (; group->wake_next && woken < n; woken++) {
        wake_sub(group->wake_next); /* resumes under stream.mu: it may not leave meanwhile */
        group->wake_next = group->wake_next->next;
    }
    bool done = !group->wake_next;
    sse__mutex_unlock(&group->stream->mu);
    if (done) {
        loop->served = NULL;
        sse__stream_unref(group->stream);
    }
    return woken;
}

/* Streams with news, so many subscribers at once that what was touched for the wake-up is still in the processor's cache when their
 * connections run, and that the first need not wait until all are awake. */
static void serve_groups(sse__loop *loop)
{
    size_t left = WAKE_AT_ONCE;
    while (left > 0 && (loop->served || take_group(loop)))
        left -= serve_some(loop, left);
}

static void force_ending(sse__loop *loop, uint64_t now_ms)
{
    for (sse__group **at = &loop->ending; *at;) {
        sse__group *group = *at;
        sse__mutex_lock(&group->stream->mu);
        bool empty = group->subs == NULL;
        sse__mutex_unlock(&group->stream->mu);
        if (!empty && now_ms >= group->force_at_ms)
            sse__stream_force(group->stream, loop);
        if (!empty) {
            at = &group->next_ending;
            continue;
        }
        *at = group->next_ending;
        group->ending = false;
        sse__stream_unref(group->stream);
    }
}

static void take_posted(sse__loop *loop, sse__sub *sub)
{
    for (sse__sub *next; sub; sub = next) {
        sse__mutex_lock(&loop->mu);
        next = sub->next_posted;
        bool gone = sub->post_remove, stopped = loop->stopped;
        bool add = sub->post_add && !gone && !stopped; /* else it may end and be freed now */
        sub->posted = sub->post_add = false;
        sse__mutex_unlock(&loop->mu);
        if (add) {
            sse__wheel_add(&loop->wheel, sub, sse__now_ms());
            if (sub->expires_ms != 0 && !sse__expiry_add(&loop->expiry, sub))
                expire(sub); /* without memory nobody would think of it in time */
        }
        if (!gone)
            continue;
        if (!stopped) { /* else nobody looks at these any more, and what is in them may be freed by others */
            sse__wheel_remove(&loop->wheel, sub);
            sse__expiry_remove(&loop->expiry, sub);
        }
        sse__sub_destroy(sub);
    }
}

/* Returns false when the loop is to stop. */
static bool take_queue(sse__loop *loop)
{
    sse__mutex_lock(&loop->mu);
    sse__sub *posted = loop->posted;
    loop->posted = NULL;
    sse__pending *incoming = loop->incoming;
    loop->incoming = NULL;
    bool stop = loop->stop;
    sse__mutex_unlock(&loop->mu);

    take_posted(loop, posted);
    for (sse__pending *next; incoming; incoming = next) {
        next = incoming->next;
        sse__pending_adopt(loop, incoming);
    }
    serve_groups(loop);
    return !stop;
}

/* ---- the turn ---- */

/* Several listeners may be off: try all, those that are on say so. */
static void resume_accept(sse__loop *loop)
{
    if (!loop->accept_paused)
        return;
    loop->accept_paused = false;
    sse__mutex_lock(&loop->hub->mu);
    bool closing = atomic_load(&loop->hub->closing);
    for (sse__listener *at = loop->hub->listeners; at; at = at->next)
        if (!(closing && at->passed_on) && sse__loop_listen(loop, at) != SSE_OK && errno != EEXIST)
            loop->accept_paused = true;
    sse__mutex_unlock(&loop->hub->mu);
}

static void tick(sse__loop *loop, uint64_t now_ms)
{
    while (loop->wheel.next_tick_ms <= now_ms) {
        loop->wheel.next_tick_ms += loop->wheel.tick_ms;
        sse__wheel_tick(&loop->wheel, now_ms, heartbeat_due);
    }
    sse__pending_expire(loop, now_ms);
    sse__discard_expire(loop, now_ms);
    sse__conn_expire(loop, now_ms);
    force_ending(loop, now_ms);
    resume_accept(loop);
    if (loop != loop->hub->keeper)
        return;
    if (now_ms >= loop->next_reap_ms)
        loop->next_reap_ms = sse__hub_reap(loop->hub, now_ms);
    sse__hub_tell_denials(loop->hub, false);
    sse__refusals_tell_rest(loop->hub, false);
}

static void handle_event(sse__loop *loop, struct epoll_event *event)
{
    sse__source *source = event->data.ptr;
    uint64_t count;
    switch (source->kind) {
    case SSE__SOURCE_WAKE:
        (void)!read(loop->wake_fd, &count, sizeof count);
        break;
    case SSE__SOURCE_LISTENER:
        sse__loop_accept(loop, (sse__listener *)(void *)source);
        break;
    case SSE__SOURCE_PENDING:
        sse__pending_ready(loop, (sse__pending *)(void *)source);
        break;
    case SSE__SOURCE_DISCARD:
        sse__discard_ready(loop, (sse__discard *)(void *)source);
        break;
    case SSE__SOURCE_SHARD:
        sse__loop_activate((sse__shard *)(void *)source);
        break;
    case SSE__SOURCE_SUB:
        sse__sub_cut((sse__sub *)(void *)source, SSE_LEFT_GONE);
        wake_sub((sse__sub *)(void *)source);
        break;
    }
}

/* Wait for events; not at all when there is work, but then look for events every other time at least. */
static void wait_for_events(sse__loop *loop)
{
    struct epoll_event events[EVENTS];
    uint64_t now_ms = loop->active || loop->served ? UINT64_MAX : sse__now_ms();
    int timeout = 0;
    uint64_t until_ms = loop->wheel.next_tick_ms;
    const sse__sub *next = sse__expiry_first(&loop->expiry);
    if (next && next->expires_ms < until_ms)
        until_ms = next->expires_ms;
    if (now_ms < until_ms) {
        timeout = (int)(until_ms - now_ms);
        atomic_store(&loop->sleeping, true);
        sse__mutex_lock(&loop->mu);
        bool posted = loop->groups_first || loop->posted || loop->incoming || loop->stop;
        sse__mutex_unlock(&loop->mu);
        if (posted && !loop->skipped) { /* most often what a request has just published */
            atomic_store(&loop->sleeping, false);
            loop->skipped = true;
            return;
        }
        if (posted)
            timeout = 0;
    }
    loop->skipped = false;
    int n = epoll_wait(loop->epoll_fd, events, EVENTS, timeout);
    atomic_store(&loop->sleeping, false);
    for (int i = 0; i < n; i++)
        handle_event(loop, &events[i]);
}

/* Everything that waits for this loop goes: nothing may be posted from now on. */
static void wind_up(sse__loop *loop)
{
    sse__mutex_lock(&loop->mu);
    loop->stopped = true;
    sse__mutex_unlock(&loop->mu);
    (void)take_queue(loop);
    while (loop->served || take_group(loop))
        (void)serve_some(loop, SIZE_MAX);
    /* What was cut off ends in the first rounds. A client that never stops asking must not hold us. */
    for (unsigned round = 0; loop->active && (loop->nsubs > 0 || round < 4); round++)
        sse__shards_run(loop);
    sse__pending_expire(loop, UINT64_MAX);
    for (sse__group *group = loop->ending, *next; group; group = next) {
        next = group->next_ending;
        group->ending = false;
        sse__stream_unref(group->stream);
    }
    loop->ending = NULL;
    sse__shards_stop(loop);
    sse__discard_expire(loop, UINT64_MAX);
}

static void *loop_main(void *arg)
{
    sse__loop *loop = arg;
    while (take_queue(loop)) {
        sse__shards_run(loop);
        uint64_t now_ms = sse__now_ms();
        if (now_ms >= loop->wheel.next_tick_ms)
            tick(loop, now_ms);
        expire_subs(loop, now_ms);
        wait_for_events(loop);
    }
    wind_up(loop);
    return NULL;
}

sse_err sse__loop_start(sse__loop *loop, const char *name)
{
    sse_err err = sse__thread_start(&loop->thread, name, 0, loop_main, loop);
    sse__mutex_lock(&loop->mu);
    loop->started = err == SSE_OK;
    sse__mutex_unlock(&loop->mu);
    return err;
}

void sse__loop_stop(sse__loop *loop)
{
    if (!loop)
        return;
    sse__mutex_lock(&loop->mu);
    bool join = loop->started;
    loop->started = false;
    loop->stop = true;
    sse__mutex_unlock(&loop->mu);
    sse__loop_signal(loop);
    if (join)
        sse__thread_join(&loop->thread);
}

sse_err sse__loop_listen(sse__loop *loop, sse__listener *listener)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = &listener->source};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, listener->fd, &event) == 0 ? SSE_OK : SSE_ESYS;
}

void sse__loop_unlisten(sse__loop *loop, const sse__listener *listener)
{
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
}
