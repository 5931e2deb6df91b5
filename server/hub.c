/* The hub: table of streams, publishing by name, limits, totals.
 *
 * Calls come from any thread. hub.mu guards the table and the counts; it is never held while a
 * stream works. The end of a hub is in stop.c, its options in options.c, its totals in totals.c. */
#include "hub.h"

#include "clock.h"
#include "loop.h"
#include "sized.h"
#include "stream_name.h"
#include "utf8.h"

#include <stdlib.h>

/* ---- life ---- */

sse_server *sse__hub_ref(sse_server *hub)
{
    atomic_fetch_add(&hub->refs, 1);
    return hub;
}

void sse__hub_unref(sse_server *hub)
{
    if (atomic_fetch_sub(&hub->refs, 1) != 1)
        return;
    sse__strmap_fini(&hub->streams);
    sse__strmap_fini(&hub->ips);
    sse__options_fini(hub);
    sse__loop_free(hub->keeper);
    for (size_t i = 0; i < hub->nloops; i++)
        sse__loop_free(hub->loops[i]);
    free(hub->loops);
    sse__cond_fini(&hub->idle);
    sse__cond_fini(&hub->no_workers);
    sse__mutex_fini(&hub->workers_mu);
    sse__mutex_fini(&hub->cors_mu);
    sse__mutex_fini(&hub->identity_mu);
    sse__mutex_fini(&hub->refusal_log.mu);
    sse__mutex_fini(&hub->mu);
    free(hub);
}

sse_err sse_server_new(const sse_server_options *options, sse_server **out)
{
    sse_server_options all = SSE_SERVER_OPTIONS_INIT;
    if (options && !sse__copy_sized(&all, sizeof all, options))
        return SSE_EINVAL;
    sse_server *hub = calloc(1, sizeof *hub);
    if (!hub)
        return SSE_ENOMEM;
    atomic_init(&hub->refs, 1);
    atomic_init(&hub->epoch, sse__random());
    sse__mutex_init(&hub->mu, SSE__RANK_HUB);
    sse__cond_init(&hub->idle);
    sse__mutex_init(&hub->workers_mu, SSE__RANK_LEAF);
    sse__cond_init(&hub->no_workers);
    sse__mutex_init(&hub->cors_mu, SSE__RANK_LEAF);
    sse__mutex_init(&hub->identity_mu, SSE__RANK_LEAF);
    sse__mutex_init(&hub->refusal_log.mu, SSE__RANK_LEAF);
    sse_err err = sse__options_init(hub, &all);
    if (err == SSE_OK)
        err = sse__loop_new(hub, 0, &hub->keeper);
    if (err == SSE_OK)
        err = sse__loop_start(hub->keeper, "sse-keeper");
    if (err != SSE_OK) {
        sse__hub_unref(hub);
        return err;
    }
    *out = hub;
    return SSE_OK;
}

/* ---- streams ---- */

const char *sse__stream_name_problem(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len == 0)
        return "it is empty";
    if (len > 512)
        return "it is longer than 512 bytes";
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return "it holds a control character";
    return sse__utf8_valid_prefix(name, len) == len ? NULL : "it is not UTF-8";
}

static sse__stream *find_locked(const sse_server *hub, const char *name)
{
    sse__strnode *node = sse__strmap_find(&hub->streams, name);
    return node ? sse__stream_of(node) : NULL;
}

/* Put a new stream into the table, or find that somebody was faster. */
static sse_err enter_locked(sse_server *hub, sse__stream *st)
{
    if (atomic_load(&hub->closing))
        return SSE_ECLOSED;
    if (hub->streams.count >= hub->options.max_streams)
        return SSE_ELIMIT;
    return sse__strmap_add(&hub->streams, &st->node);
}

/* Find or make; *out (may be NULL) has a new reference. */
static sse_err create(sse_server *hub, const char *name, const sse__stream_config *config,
                      bool automatic, sse__stream **out)
{
    if (sse__stream_name_problem(name))
        return SSE_EINVAL;
    sse__stream *made = NULL;
    sse_err err = SSE_OK;
    for (;;) {
        sse__mutex_lock(&hub->mu);
        sse__stream *st = find_locked(hub, name);
        if (!st && made && (err = enter_locked(hub, made)) == SSE_OK) {
            st = made;
            made = NULL; /* the table has its reference now */
            atomic_store(&st->automatic, automatic);
        }
        if (st && !automatic)
            atomic_store(&st->automatic, false); /* somebody wants it to stay */
        if (st && out)
            *out = sse__stream_ref(st);
        sse__mutex_unlock(&hub->mu);
        if (st || err != SSE_OK || (err = sse__stream_new(hub, name, config, &made)) != SSE_OK)
            break;
    }
    sse__stream_unref(made);
    return err;
}

sse_err sse_server_create_stream(sse_server *server, const char *name,
                                 const sse_stream_options *options)
{
    sse__stream_config config = server->stream_config;
    if (options && !sse__stream_configure(options, &server->options.logger, &config))
        return SSE_EINVAL;
    return create(server, name, &config, false, NULL);
}

sse_err sse__hub_stream(sse_server *hub, const char *name, bool make, sse__stream **out)
{
    sse__mutex_lock(&hub->mu);
    sse__stream *st = find_locked(hub, name);
    if (st)
        *out = sse__stream_ref(st);
    sse__mutex_unlock(&hub->mu);
    if (st)
        return SSE_OK;
    if (!make || !hub->options.auto_stream)
        return SSE_ENOSTREAM;
    return create(hub, name, &hub->stream_config, true, out);
}

/* Take a stream out of the table; the table's reference becomes the caller's. */
static void unlist_locked(sse_server *hub, sse__stream *st)
{
    sse__mutex_assert_held(&hub->mu);
    sse__strmap_remove(&hub->streams, &st->node);
}

sse_err sse_server_remove_stream(sse_server *server, const char *name)
{
    sse__mutex_lock(&server->mu);
    sse__stream *st = find_locked(server, name);
    if (st)
        unlist_locked(server, st);
    sse__mutex_unlock(&server->mu);
    if (!st)
        return SSE_ENOSTREAM;
    sse__stream_close(st, SSE_LEFT_REMOVED);
    sse__stream_unref(st);
    return SSE_OK;
}

bool sse_server_stream_exists(sse_server *server, const char *name)
{
    sse__mutex_lock(&server->mu);
    bool exists = find_locked(server, name) != NULL;
    sse__mutex_unlock(&server->mu);
    return exists;
}

sse_err sse_server_clear_history(sse_server *server, const char *name)
{
    sse__stream *st;
    sse_err err = sse__hub_stream(server, name, false, &st);
    if (err != SSE_OK)
        return err;
    sse__mutex_lock(&st->inbox_mu);
    sse__mutex_lock(&st->mu);
    sse__history_hide(&st->log, st->next_seq); /* what is on its way to the log included */
    sse__mutex_unlock(&st->mu);
    sse__mutex_unlock(&st->inbox_mu);
    sse__stream_unref(st);
    return SSE_OK;
}

/* Nobody but the table and the worker may know the stream: who has just looked it up (which takes
 * hub.mu, and that is held here) must not find it closed. */
static bool is_idle(sse__stream *st, uint64_t now_ms, uint64_t idle_ms)
{
    if (!atomic_load(&st->automatic) || atomic_load(&st->refs) > 2)
        return false; /* most have a subscriber, or were made to stay: no lock for them */
    sse__mutex_lock(&st->inbox_mu);
    bool idle = st->inbox.count == 0 && st->taken_count == 0 &&
                atomic_load(&st->refs) == 1u + st->worker && now_ms >= st->active_ms + idle_ms;
    sse__mutex_lock(&st->mu);
    idle = idle && st->nsubs == 0;
    sse__mutex_unlock(&st->mu);
    sse__mutex_unlock(&st->inbox_mu);
    return idle;
}

#define REAP_AT_ONCE 256

/* Take idle streams out of the table; returns how many, at most REAP_AT_ONCE. */
static size_t unlist_idle(sse_server *hub, uint64_t now_ms, sse__stream **idle)
{
    size_t n = 0;
    sse__mutex_lock(&hub->mu);
    for (sse__strnode *node = sse__strmap_next(&hub->streams, NULL), *next; node; node = next) {
        next = sse__strmap_next(&hub->streams, node);
        if (n < REAP_AT_ONCE &&
            is_idle(sse__stream_of(node), now_ms, hub->options.auto_stream_idle_ms)) {
            idle[n++] = sse__stream_of(node);
            unlist_locked(hub, sse__stream_of(node));
        }
    }
    sse__mutex_unlock(&hub->mu);
    return n;
}

/* All streams are gone through, so not more often than a stream that goes a sixteenth of its time late asks for. */
uint64_t sse__hub_reap(sse_server *hub, uint64_t now_ms)
{
    sse__stream *idle[REAP_AT_ONCE];
    size_t n = REAP_AT_ONCE;
    while (hub->options.auto_stream && n == REAP_AT_ONCE) {
        n = unlist_idle(hub, now_ms, idle);
        for (size_t i = 0; i < n; i++) {
            sse__stream_close(idle[i], SSE_LEFT_REMOVED);
            sse__stream_unref(idle[i]);
        }
    }
    return now_ms + hub->options.auto_stream_idle_ms / 16;
}

/* ---- publishing ---- */

/* Callbacks of the user's that this thread is inside of. */
static _Thread_local unsigned callbacks;

void sse__hub_callback_begin(void)
{
    sse__assert_no_locks();
    callbacks++;
}

void sse__hub_callback_end(void) { callbacks--; }

sse_err sse__hub_message(const sse_server *hub, const sse_event *event, sse_msg **out)
{
    sse_err err = sse_event_check(event);
    if (err != SSE_OK)
        return err;
    uint64_t bytes =
        (uint64_t)event->id.len + event->type.len + event->data.len + event->comment.len;
    if (bytes > hub->options.max_event_bytes)
        return SSE_ETOOBIG;
    return sse_msg_new(event, NULL, out);
}

static sse_err publish(sse_server *hub, const char *name, const sse_event *event, bool block)
{
    sse_msg *msg;
    sse__stream *st;
    sse_err err = name && event ? sse__hub_message(hub, event, &msg) : SSE_EINVAL;
    if (err != SSE_OK)
        return err;
    err = atomic_load(&hub->closing) ? SSE_ECLOSED : sse__hub_stream(hub, name, true, &st);
    if (err == SSE_OK) {
        uint64_t seq;
        err = sse__stream_publish(st, &msg, 1, block, &seq);
        /* Removed between the look-up and now, or while we waited. */
        if (err == SSE_ECLOSED && !atomic_load(&hub->closing))
            err = SSE_ENOSTREAM;
        sse__stream_unref(st);
    }
    sse_msg_unref(msg);
    return err;
}

sse_err sse_server_publish(sse_server *server, const char *stream, const sse_event *event)
{
    return publish(server, stream, event, callbacks == 0);
}

sse_err sse_server_try_publish(sse_server *server, const char *stream, const sse_event *event)
{
    return publish(server, stream, event, false);
}

/* ---- counting ---- */

static sse_err count_ip_locked(sse_server *hub, const char *address, sse__ip **out)
{
    uint32_t limit = hub->options.max_subscribers_per_ip;
    if (limit == 0)
        return SSE_OK;
    sse__strnode *node = sse__strmap_find(&hub->ips, address);
    sse__ip *ip = node ? (sse__ip *)(void *)((char *)node - offsetof(sse__ip, node)) : NULL;
    if (!ip) {
        size_t len = strlen(address);
        ip = calloc(1, sizeof *ip + len + 1);
        if (!ip)
            return SSE_ENOMEM;
        memcpy(ip->address, address, len + 1);
        ip->node.key = ip->address;
        if (sse__strmap_add(&hub->ips, &ip->node) != SSE_OK) {
            free(ip);
            return SSE_ENOMEM;
        }
    }
    if (ip->count >= limit)
        return SSE_ELIMIT;
    ip->count++;
    *out = ip;
    return SSE_OK;
}

sse_err sse__hub_enter(sse_server *hub, const char *address, sse__ip **ip)
{
    sse__mutex_lock(&hub->mu);
    sse_err err = SSE_OK;
    if (atomic_load(&hub->closing))
        err = SSE_ECLOSED;
    else if (hub->nsubs >= hub->options.max_subscribers)
        err = SSE_ELIMIT;
    else
        err = count_ip_locked(hub, address, ip);
    if (err == SSE_OK)
        hub->nsubs++;
    sse__mutex_unlock(&hub->mu);
    return err;
}

void sse__hub_leave(sse_server *hub, sse__ip *ip)
{
    sse__mutex_lock(&hub->mu);
    if (ip && --ip->count == 0) {
        sse__strmap_remove(&hub->ips, &ip->node);
        free(ip);
    }
    if (--hub->nsubs == 0)
        sse__cond_broadcast(&hub->idle);
    sse__mutex_unlock(&hub->mu);
}

void sse__hub_worker_started(sse_server *hub)
{
    sse__mutex_lock(&hub->workers_mu);
    hub->workers++;
    sse__mutex_unlock(&hub->workers_mu);
}

void sse__hub_worker_ended(sse_server *hub)
{
    sse__mutex_lock(&hub->workers_mu);
    if (--hub->workers == 0)
        sse__cond_broadcast(&hub->no_workers);
    sse__mutex_unlock(&hub->workers_mu);
}

uint64_t sse__hub_workers(sse_server *hub)
{
    sse__mutex_lock(&hub->workers_mu);
    uint64_t n = hub->workers;
    sse__mutex_unlock(&hub->workers_mu);
    return n;
}

void sse__hub_stream_born(sse_server *hub, sse__stream *st)
{
    sse__mutex_lock(&hub->mu);
    st->next_alive = hub->alive;
    if (st->next_alive)
        st->next_alive->prev_alive = st;
    hub->alive = st;
    sse__mutex_unlock(&hub->mu);
}

void sse__hub_stream_dead(sse_server *hub, sse__stream *st)
{
    sse__mutex_lock(&hub->mu);
    if (st->prev_alive)
        st->prev_alive->next_alive = st->next_alive;
    else
        hub->alive = st->next_alive;
    if (st->next_alive)
        st->next_alive->prev_alive = st->prev_alive;
    sse__totals_add_locked(&hub->removed, st);
    sse__mutex_unlock(&hub->mu);
}

sse_err sse_server_stream_stats(sse_server *server, const char *name, sse_stream_stats *out)
{
    sse__stream *st;
    sse_err err = sse__hub_stream(server, name, false, &st);
    if (err != SSE_OK)
        return err;
    sse__stream_get_stats(st, out);
    sse__stream_unref(st);
    return SSE_OK;
}

static int by_name(const void *a, const void *b)
{
    const sse__stream *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

sse_err sse_server_each_stream(sse_server *server,
                               int (*fn)(void *user, const char *name,
                                         const sse_stream_stats *stats),
                               void *user)
{
    sse__mutex_lock(&server->mu);
    size_t n = 0;
    sse__stream **all = calloc(server->streams.count + 1, sizeof(sse__stream *));
    for (sse__strnode *node = NULL; all && (node = sse__strmap_next(&server->streams, node));)
        all[n++] = sse__stream_ref(sse__stream_of(node));
    sse__mutex_unlock(&server->mu);
    if (!all)
        return SSE_ENOMEM;
    qsort(all, n, sizeof *all, by_name);
    int stop = 0;
    for (size_t i = 0; i < n; i++) {
        sse_stream_stats stats;
        if (!stop) {
            sse__stream_get_stats(all[i], &stats);
            stop = fn(user, all[i]->name, &stats);
        }
        sse__stream_unref(all[i]);
    }
    free(all);
    return SSE_OK;
}
