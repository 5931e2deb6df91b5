/* Channels: a ring of messages with a mutex, two conditions and, when asked for, an eventfd.
 *
 * Threads: any number of senders and receivers; the mutex guards everything that changes. It is
 * a leaf: nothing else is locked and no message is freed while it is held.
 *
 * System calls are saved in two places. A condition is signalled only when some thread waits on
 * it that has not been granted a wake-up yet (struct waiters), and after the mutex was given
 * back. The eventfd is written when the channel stops being empty and read when it becomes
 * empty, not for each message.
 *
 * Invariants:
 * - For each side: granted <= wake-ups under way. Thus a thread that needs one is never passed
 *   over; one wake-up too many is possible, and harmless, because waits are in loops.
 * - If fd >= 0, it is readable exactly when ring.count > 0 or closed, whenever the mutex is
 *   free. */
#include "chan.h"

#include "clock.h"
#include "ring.h"
#include "sized.h"

#include <errno.h>
#include <sse/chan.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEFAULT_CAPACITY 1024

/* Threads that wait for the same thing. */
struct waiters {
    sse__cond cond;
    size_t waiting;
    size_t granted; /* wake-ups sent that no waiter has answered */
};

struct sse_chan {
    sse_full_policy policy; /* immutable */
    atomic_uint refs;
    sse__mutex mu; /* rank CHAN; guards everything below */
    sse__ring ring;
    struct waiters receivers; /* wait for a message */
    struct waiters senders;   /* wait for room */
    uint64_t dropped;
    sse_err reason;
    int fd; /* -1 until asked for */
    bool closed;
};

static void waiters_init(struct waiters *w)
{
    sse__cond_init(&w->cond);
    w->waiting = w->granted = 0;
}

static void wait_locked(struct waiters *w, sse__mutex *mu)
{
    w->waiting++;
    sse__cond_wait(&w->cond, mu);
    w->waiting--;
    if (w->granted > 0)
        w->granted--;
}

static bool wait_until_locked(struct waiters *w, sse__mutex *mu, uint64_t deadline_ns)
{
    w->waiting++;
    bool in_time = sse__cond_wait_until(&w->cond, mu, deadline_ns);
    w->waiting--;
    if (w->granted > 0)
        w->granted--;
    return in_time;
}

/* True when one waiter more has to be woken; the caller signals w->cond after unlocking. */
static bool grant_locked(struct waiters *w)
{
    if (w->waiting <= w->granted)
        return false;
    w->granted++;
    return true;
}

static void fd_raise_locked(const sse_chan *chan)
{
    uint64_t one = 1;
    /* Cannot fail: the counter was 0. A signal cannot interrupt it either, because it never waits.
     */
    if (chan->fd >= 0 && write(chan->fd, &one, sizeof one) < 0)
        abort();
}

static void fd_clear_locked(const sse_chan *chan)
{
    uint64_t counter;
    if (chan->fd >= 0 && read(chan->fd, &counter, sizeof counter) < 0)
        abort();
}

sse_err sse_chan_new(const sse_chan_options *options, sse_chan **out)
{
    *out = NULL;
    sse_chan_options all = SSE_CHAN_OPTIONS_INIT;
    if ((options && !sse__copy_sized(&all, sizeof all, options)) ||
        (unsigned)all.policy > SSE_FULL_DROP_NEWEST)
        return SSE_EINVAL;
    size_t capacity = all.capacity ? all.capacity : DEFAULT_CAPACITY;
    sse_full_policy policy = all.policy == SSE_FULL_DEFAULT ? SSE_FULL_BLOCK : all.policy;
    sse_chan *chan = malloc(sizeof *chan);
    if (!chan)
        return SSE_ENOMEM;
    chan->policy = policy;
    atomic_init(&chan->refs, 1);
    sse__mutex_init(&chan->mu, SSE__RANK_CHAN);
    sse__ring_init(&chan->ring, capacity);
    waiters_init(&chan->receivers);
    waiters_init(&chan->senders);
    chan->dropped = 0;
    chan->reason = SSE_OK;
    chan->fd = -1;
    chan->closed = false;
    *out = chan;
    return SSE_OK;
}

sse_chan *sse_chan_ref(sse_chan *chan)
{
    /* Relaxed: the caller holds a reference, so that nothing hangs on this one being seen. */
    atomic_fetch_add_explicit(&chan->refs, 1, memory_order_relaxed);
    return chan;
}

static void chan_free(sse_chan *chan)
{
    sse_msg *msg;
    while ((msg = sse__ring_pop(&chan->ring)))
        sse_msg_unref(msg);
    sse__ring_fini(&chan->ring);
    if (chan->fd >= 0)
        close(chan->fd);
    sse__cond_fini(&chan->receivers.cond);
    sse__cond_fini(&chan->senders.cond);
    sse__mutex_fini(&chan->mu);
    free(chan);
}

void sse_chan_unref(sse_chan *chan)
{
    /* Acquire-release: pairs with the same decrement of the other holders, whose use must be over
     * before the free. */
    if (chan && atomic_fetch_sub_explicit(&chan->refs, 1, memory_order_acq_rel) == 1)
        chan_free(chan);
}

static bool full_locked(const sse_chan *chan) { return chan->ring.count == chan->ring.capacity; }

/* Put a message that the channel then owns into the ring. Under a drop policy *victim is the
 * message that had to go. */
static sse_err push_locked(sse_chan *chan, sse_msg *msg, sse_msg **victim)
{
    if (full_locked(chan)) {
        chan->dropped++;
        if (chan->policy == SSE_FULL_DROP_NEWEST) {
            *victim = msg;
            return SSE_OK;
        }
        *victim = sse__ring_pop(&chan->ring);
    }
    bool was_empty = chan->ring.count == 0 && !*victim;
    sse_err err = sse__ring_push(&chan->ring, msg);
    if (err == SSE_OK && was_empty)
        fd_raise_locked(chan);
    return err;
}

/* Waits for room until *stop; one that is true from the start never waits. */
static sse_err send_msg(sse_chan *chan, sse_msg *msg, const atomic_bool *stop)
{
    sse_err err = SSE_OK;
    sse_msg *victim = NULL;
    bool wake = false;
    sse_msg_ref(msg);

    sse__mutex_lock(&chan->mu);
    if (chan->policy == SSE_FULL_BLOCK) {
        while (full_locked(chan) && !chan->closed && !*stop)
            wait_locked(&chan->senders, &chan->mu);
        if (full_locked(chan))
            err = SSE_EFULL;
    }
    if (chan->closed)
        err = SSE_ECLOSED;
    if (err == SSE_OK)
        err = push_locked(chan, msg, &victim);
    if (err == SSE_OK && victim != msg)
        wake = grant_locked(&chan->receivers);
    sse__mutex_unlock(&chan->mu);

    if (wake)
        sse__cond_signal(&chan->receivers.cond);
    sse_msg_unref(victim);
    if (err != SSE_OK)
        sse_msg_unref(msg);
    return err;
}

sse_err sse_chan_send(sse_chan *chan, sse_msg *msg)
{
    static const atomic_bool never = false;
    return send_msg(chan, msg, &never);
}

sse_err sse_chan_try_send(sse_chan *chan, sse_msg *msg)
{
    static const atomic_bool at_once = true;
    return send_msg(chan, msg, &at_once);
}

sse_err sse__chan_send_unless(sse_chan *chan, sse_msg *msg, const atomic_bool *stop)
{
    sse_err err = send_msg(chan, msg, stop);
    return err == SSE_EFULL ? SSE_ECANCELED : err;
}

void sse__chan_count_lost(sse_chan *chan)
{
    sse__mutex_lock(&chan->mu);
    chan->dropped++;
    sse__mutex_unlock(&chan->mu);
}

void sse__chan_wake_senders(sse_chan *chan)
{
    /* Through the mutex, so that a sender which has seen *stop unset is waiting by now. All are
     * woken: one that gives up may have taken the wake-up that was granted to another. */
    sse__mutex_lock(&chan->mu);
    sse__mutex_unlock(&chan->mu);
    sse__cond_broadcast(&chan->senders.cond);
}

/* Take the oldest message out, unlock, and let a sender in. `otherwise` is the answer when an
 * open channel is empty. */
static sse_err take_and_unlock(sse_chan *chan, sse_msg **out, sse_err otherwise)
{
    bool wake = false;
    bool closed = chan->closed;
    *out = sse__ring_pop(&chan->ring);
    if (*out) {
        wake = grant_locked(&chan->senders);
        if (chan->ring.count == 0 && !closed)
            fd_clear_locked(chan);
    }
    sse__mutex_unlock(&chan->mu);
    if (wake)
        sse__cond_signal(&chan->senders.cond);
    if (*out)
        return SSE_OK;
    return closed ? SSE_ECLOSED : otherwise;
}

static bool nothing_to_take_locked(const sse_chan *chan)
{
    return chan->ring.count == 0 && !chan->closed;
}

sse_err sse_chan_recv(sse_chan *chan, sse_msg **out)
{
    sse__mutex_lock(&chan->mu);
    while (nothing_to_take_locked(chan))
        wait_locked(&chan->receivers, &chan->mu);
    return take_and_unlock(chan, out, SSE_EEMPTY);
}

sse_err sse_chan_try_recv(sse_chan *chan, sse_msg **out)
{
    sse__mutex_lock(&chan->mu);
    return take_and_unlock(chan, out, SSE_EEMPTY);
}

sse_err sse_chan_recv_timeout(sse_chan *chan, uint32_t timeout_ms, sse_msg **out)
{
    uint64_t deadline = sse__now_ns() + (uint64_t)timeout_ms * 1000000u;
    sse__mutex_lock(&chan->mu);
    while (nothing_to_take_locked(chan))
        if (!wait_until_locked(&chan->receivers, &chan->mu, deadline))
            break;
    return take_and_unlock(chan, out, SSE_ETIMEOUT);
}

void sse_chan_close(sse_chan *chan, sse_err reason)
{
    sse__mutex_lock(&chan->mu);
    bool first = !chan->closed;
    if (first) {
        chan->closed = true;
        chan->reason = reason;
        if (chan->ring.count == 0)
            fd_raise_locked(chan);
    }
    sse__mutex_unlock(&chan->mu);
    if (first) {
        sse__cond_broadcast(&chan->receivers.cond);
        sse__cond_broadcast(&chan->senders.cond);
    }
}

int sse_chan_fd(sse_chan *chan)
{
    sse__mutex_lock(&chan->mu);
    if (chan->fd < 0) {
        chan->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (!nothing_to_take_locked(chan))
            fd_raise_locked(chan);
    }
    int fd = chan->fd;
    sse__mutex_unlock(&chan->mu);
    return fd;
}

/* The mutex for reading from a channel that the caller may only look at. */
static sse__mutex *lock_const(const sse_chan *chan)
{
    sse__mutex *mu = (sse__mutex *)&chan->mu;
    sse__mutex_lock(mu);
    return mu;
}

sse_err sse_chan_reason(const sse_chan *chan)
{
    sse__mutex *mu = lock_const(chan);
    sse_err reason = chan->reason;
    sse__mutex_unlock(mu);
    return reason;
}

bool sse_chan_closed(const sse_chan *chan)
{
    sse__mutex *mu = lock_const(chan);
    bool closed = chan->closed;
    sse__mutex_unlock(mu);
    return closed;
}

size_t sse_chan_len(const sse_chan *chan)
{
    sse__mutex *mu = lock_const(chan);
    size_t len = chan->ring.count;
    sse__mutex_unlock(mu);
    return len;
}

uint64_t sse_chan_dropped(const sse_chan *chan)
{
    sse__mutex *mu = lock_const(chan);
    uint64_t dropped = chan->dropped;
    sse__mutex_unlock(mu);
    return dropped;
}

size_t sse_chan_capacity(const sse_chan *chan) { return chan->ring.capacity; /* immutable */ }
