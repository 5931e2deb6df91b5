/* Clients: the list of subscriptions, and the end of their threads.
 *
 * A subscription enters the list when it starts and leaves it when its thread has been joined (or,
 * without a thread, when its runner is done). The runner never joins anybody. stop joins; so does
 * the next start, so that threads which ended by themselves do not pile up. Only when a client is
 * freed inside one of its own callbacks nobody is left to join: `abandoned` makes the threads
 * detach themselves.
 *
 * client->mu is held while a thread is created: its tail takes the same lock, so the handle of the
 * thread is there before it is needed. */
#include "subscription.h"

#include <stdlib.h>

sse_client *sse__client_ref(sse_client *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

static void client_destroy(sse_client *c)
{
    sse__client_unconfigure(c);
    sse__cond_fini(&c->changed);
    sse__mutex_fini(&c->mu);
    free(c);
}

void sse__client_unref(sse_client *c)
{
    if (atomic_fetch_sub(&c->refs, 1) == 1)
        client_destroy(c);
}

sse_err sse_client_new(const char *url, const sse_client_options *options, sse_client **out)
{
    if (!out)
        return SSE_EINVAL;
    *out = NULL;
    if (!url)
        return SSE_EINVAL;
    sse_client *c = calloc(1, sizeof *c);
    if (!c)
        return SSE_ENOMEM;
    atomic_init(&c->refs, 1);
    sse__mutex_init(&c->mu, SSE__RANK_CLIENT);
    sse__cond_init(&c->changed);
    sse_err err = sse__client_configure(c, url, options);
    if (err != SSE_OK) {
        client_destroy(c);
        return err;
    }
    *out = c;
    return SSE_OK;
}

/* ---- The list ---- */

static void list_add_locked(sse_client *c, sse_subscription *sub)
{
    sub->prev = NULL;
    sub->next = c->subs;
    if (c->subs)
        c->subs->prev = sub;
    c->subs = sub;
    sub->listed = true;
    atomic_fetch_add(&sub->refs, 2); /* the list's and the runner's */
}

/* The list's reference goes to the caller. */
static void list_remove_locked(sse_client *c, sse_subscription *sub)
{
    if (sub->prev)
        sub->prev->next = sub->next;
    else
        c->subs = sub->next;
    if (sub->next)
        sub->next->prev = sub->prev;
    sub->listed = false;
}

/* Leaves the list; the caller joins and unrefs. */
static bool claim_locked(sse_client *c, sse_subscription *sub)
{
    if (!sub->listed || !sub->threaded || sub->running)
        return false;
    c->nfinished--;
    c->njoining++;
    list_remove_locked(c, sub);
    return true;
}

static void join(sse_subscription *sub)
{
    sse_client *c = sub->client;
    sse__thread_join(&sub->thread);
    sse__mutex_lock(&c->mu);
    c->njoining--;
    sub->threaded = false;
    sse__cond_broadcast(&c->changed);
    sse__mutex_unlock(&c->mu);
    sse__subscription_unref(sub);
}

static sse_subscription *claim_any_locked(sse_client *c)
{
    if (c->nfinished == 0)
        return NULL;
    for (sse_subscription *sub = c->subs; sub; sub = sub->next)
        if (claim_locked(c, sub))
            return sub;
    return NULL;
}

/* Join the threads that have ended by themselves. */
static void reap(sse_client *c)
{
    for (;;) {
        sse__mutex_lock(&c->mu);
        sse_subscription *sub = claim_any_locked(c);
        sse__mutex_unlock(&c->mu);
        if (!sub)
            return;
        join(sub);
    }
}

/* ---- Start and end of a runner ---- */

static void *thread_main(void *arg)
{
    sse_subscription *sub = arg;
    sse__session_run(sub);
    sse__client_finished(sub);
    return NULL;
}

static sse_err start_locked(sse_client *c, sse_subscription *sub, bool threaded)
{
    if (sub->started)
        return SSE_EINVAL;
    if (c->closed || sub->stop)
        return SSE_ECLOSED;
    sub->threaded = threaded;
    sub->running = true;
    list_add_locked(c, sub);
    sse_err err = SSE_OK;
    if (threaded)
        err = sse__thread_start(&sub->thread, "sse-client", 0, thread_main, sub);
    if (err != SSE_OK) {
        sub->running = sub->threaded = false;
        list_remove_locked(c, sub);
        atomic_fetch_sub(&sub->refs, 2); /* the caller's handle remains */
        return err;
    }
    sub->started = true;
    return SSE_OK;
}

sse_err sse__client_start(sse_subscription *sub, bool threaded)
{
    sse_client *c = sub->client;
    reap(c);
    sse__mutex_lock(&c->mu);
    sse_err err = start_locked(c, sub, threaded);
    sse__mutex_unlock(&c->mu);
    return err;
}

void sse__client_finished(sse_subscription *sub)
{
    sse_client *c = sub->client;
    sse__mutex_lock(&c->mu);
    sub->running = false;
    bool unlist = !sub->threaded || c->abandoned;
    if (unlist && sub->threaded) {
        sse__thread_detach(&sub->thread);
        sub->threaded = false;
    }
    if (unlist)
        list_remove_locked(c, sub);
    else
        c->nfinished++;
    sse__cond_broadcast(&c->changed);
    sse__mutex_unlock(&c->mu);
    if (unlist)
        sse__subscription_unref(sub);
    sse__subscription_unref(sub);
}

void sse__client_await(sse_subscription *sub)
{
    sse_client *c = sub->client;
    sse__mutex_lock(&c->mu);
    bool mine = false;
    /* Either this thread joins, or somebody else is at it. */
    while (sub->running || (sub->threaded && !(mine = claim_locked(c, sub))))
        sse__cond_wait(&c->changed, &c->mu);
    sse__mutex_unlock(&c->mu);
    if (mine)
        join(sub);
}

/* ---- Ending all ---- */

static void close_locked(sse_client *c)
{
    c->closed = true;
    /* Waking is a write to a descriptor and a broadcast, neither of which calls anybody back. */
    for (sse_subscription *sub = c->subs; sub; sub = sub->next)
        sse__subscription_interrupt(sub, &sub->stop);
}

void sse_client_close(sse_client *c)
{
    sse__mutex_lock(&c->mu);
    close_locked(c);
    sse__mutex_unlock(&c->mu);
}

void sse_client_stop(sse_client *c)
{
    sse_client_close(c);
    if (sse__session_inside(c))
        return;
    sse__mutex_lock(&c->mu);
    while (c->subs || c->njoining > 0) {
        sse_subscription *sub = claim_any_locked(c);
        if (!sub) {
            sse__cond_wait(&c->changed, &c->mu);
            continue;
        }
        sse__mutex_unlock(&c->mu);
        join(sub);
        sse__mutex_lock(&c->mu);
    }
    sse__mutex_unlock(&c->mu);
}

static void abandon(sse_client *c)
{
    sse__mutex_lock(&c->mu);
    c->abandoned = true;
    close_locked(c);
    sse__mutex_unlock(&c->mu);
    reap(c); /* those that were done before they could see it */
}

void sse_client_free(sse_client *c)
{
    if (!c)
        return;
    if (sse__session_inside(c))
        abandon(c);
    else
        sse_client_stop(c);
    sse__client_unref(c);
}

/* ---- Subscribing in one step ---- */

sse_err sse_client_subscribe(sse_client *c, const char *stream,
                             const sse_client_callbacks *callbacks, void *user)
{
    sse_subscribe_options options = SSE_SUBSCRIBE_OPTIONS_INIT;
    options.stream = stream;
    options.callbacks = callbacks;
    options.user = user;
    sse_subscription *sub;
    sse_err err = sse_subscription_new(c, &options, &sub);
    if (err == SSE_OK)
        err = sse_subscription_run(sub);
    sse_subscription_free(sub);
    return err;
}

static sse_err subscribe_in_background(sse_client *c, const sse_subscribe_options *options,
                                       sse_subscription **out)
{
    sse_subscription *sub;
    sse_err err = sse_subscription_new(c, options, &sub);
    if (err == SSE_OK)
        err = sse_subscription_start(sub);
    if (out)
        *out = err == SSE_OK ? sub : NULL;
    if (err != SSE_OK)
        sse_subscription_free(sub);
    else if (!out)
        sse__subscription_unref(sub); /* the list holds it */
    return err;
}

sse_err sse_client_subscribe_start(sse_client *c, const char *stream,
                                   const sse_client_callbacks *callbacks, void *user,
                                   sse_subscription **out)
{
    sse_subscribe_options options = SSE_SUBSCRIBE_OPTIONS_INIT;
    options.stream = stream;
    options.callbacks = callbacks;
    options.user = user;
    return subscribe_in_background(c, &options, out);
}

sse_err sse_client_subscribe_chan(sse_client *c, const char *stream, sse_chan *chan,
                                  sse_subscription **out)
{
    if (out)
        *out = NULL;
    if (!chan)
        return SSE_EINVAL;
    sse_subscribe_options options = SSE_SUBSCRIBE_OPTIONS_INIT;
    options.stream = stream;
    options.chan = chan;
    return subscribe_in_background(c, &options, out);
}

static sse_subscription *find_locked(sse_client *c, const sse_chan *chan)
{
    for (sse_subscription *sub = c->subs; sub; sub = sub->next)
        if (sub->chan == chan)
            return sub;
    return NULL;
}

static void close_all_of(sse_client *c, const sse_chan *chan)
{
    sse__mutex_lock(&c->mu);
    for (sse_subscription *sub = c->subs; sub; sub = sub->next)
        if (sub->chan == chan)
            sse__subscription_interrupt(sub, &sub->stop);
    sse__mutex_unlock(&c->mu);
}

void sse_client_unsubscribe(sse_client *c, sse_chan *chan)
{
    if (!chan)
        return;
    close_all_of(c, chan); /* first all, so that they end at the same time */
    if (sse__session_inside(c))
        return;
    for (;;) {
        sse__mutex_lock(&c->mu);
        sse_subscription *sub = find_locked(c, chan);
        if (sub) {
            sse__subscription_interrupt(sub, &sub->stop); /* it may have started since */
            atomic_fetch_add(&sub->refs, 1);
        }
        sse__mutex_unlock(&c->mu);
        if (!sub)
            return;
        sse__client_await(sub);
        sse__subscription_unref(sub);
    }
}
