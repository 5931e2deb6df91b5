/* The end of a hub: close, drain, stop.
 *
 * Order: streams take no more, their workers finish, subscribers read what is left and are told to
 * come back, what is left at the deadline is cut off; then the loops end, then the keeper. Waits:
 * hub.idle (the last subscriber leaves) and hub.no_workers (the last worker ends), both woken by
 * whoever goes last. */
#include "hub.h"

#include "clock.h"
#include "loop.h"

#include <stdlib.h>
#include <unistd.h>

/* How long subscribers in a daemon of the user's may take to leave once they are cut off: that
 * daemon may not run any more. */
#define FOREIGN_MS 2000

/* Under hub.mu, so that no list has to be made: the end of a hub must not want for memory. */
static void close_streams_locked(sse_server *hub)
{
    sse__mutex_assert_held(&hub->mu);
    for (sse__strnode *node = NULL; (node = sse__strmap_next(&hub->streams, node));)
        sse__stream_close(sse__stream_of(node), SSE_LEFT_DRAINED);
}

/* Who comes from now on to a socket that was passed on waits there for our successor. */
static void leave_passed_sockets_locked(sse_server *hub)
{
    sse__mutex_assert_held(&hub->mu);
    for (const sse__listener *at = hub->listeners; at; at = at->next)
        for (size_t i = 0; i < hub->nloops && at->passed_on; i++)
            sse__loop_unlisten(hub->loops[i], at);
}

void sse_server_close(sse_server *server)
{
    sse__mutex_lock(&server->mu);
    if (!atomic_load(&server->closing)) {
        leave_passed_sockets_locked(server);
        atomic_store(&server->closing, true);
        atomic_store(&server->nsubs_at_close, server->nsubs);
        close_streams_locked(server);
    }
    sse__mutex_unlock(&server->mu);
}

/* Cut off whoever is left, subscribers of streams that were removed before included. */
static void force_streams(sse_server *hub)
{
    sse__mutex_lock(&hub->mu);
    for (sse__stream *st = hub->alive; st; st = st->next_alive)
        sse__stream_force(st, NULL);
    sse__mutex_unlock(&hub->mu);
}

/* Empty the table. Its nodes are free then, and chain what has to be given back. */
static void drop_streams(sse_server *hub)
{
    sse__strnode *list = NULL;
    sse__mutex_lock(&hub->mu);
    for (sse__strnode *node = sse__strmap_next(&hub->streams, NULL), *next; node; node = next) {
        next = sse__strmap_next(&hub->streams, node);
        sse__strmap_remove(&hub->streams, node);
        node->next = list;
        list = node;
    }
    sse__mutex_unlock(&hub->mu);
    for (sse__strnode *next; list; list = next) {
        next = list->next;
        sse__stream_unref(sse__stream_of(list));
    }
}

/* Wait until no subscriber is left. Returns false at the deadline. */
static bool wait_idle(sse_server *hub, uint64_t deadline_ms)
{
    sse__mutex_lock(&hub->mu);
    while (hub->nsubs > 0 && sse__now_ms() < deadline_ms)
        (void)sse__cond_wait_until(&hub->idle, &hub->mu, deadline_ms * 1000000u);
    bool idle = hub->nsubs == 0;
    sse__mutex_unlock(&hub->mu);
    return idle;
}

static void wait_workers(sse_server *hub)
{
    sse__mutex_lock(&hub->workers_mu);
    while (hub->workers > 0)
        sse__cond_wait(&hub->no_workers, &hub->workers_mu);
    sse__mutex_unlock(&hub->workers_mu);
}

static void drain(sse_server *hub)
{
    uint32_t drain_ms = hub->options.drain_ms;
    if (drain_ms != SSE_OFF && wait_idle(hub, sse__now_ms() + drain_ms))
        return;
    force_streams(hub);
    (void)wait_idle(hub, sse__now_ms() + FOREIGN_MS);
}

static void close_listeners(sse_server *hub)
{
    sse__mutex_lock(&hub->mu);
    sse__listener *listener = hub->listeners;
    hub->listeners = NULL;
    sse__mutex_unlock(&hub->mu);
    for (sse__listener *next; listener; listener = next) {
        next = listener->next;
        if (listener->fd >= 0)
            close(listener->fd);
        if (listener->fd >= 0 && listener->path)
            unlink(listener->path);
        free(listener->path);
        free(listener);
    }
}

/* One call does the work, the others wait for it. */
static bool begin_stop(sse_server *hub)
{
    sse__mutex_lock(&hub->mu);
    bool first = !hub->stopping;
    hub->stopping = true;
    while (!first && !hub->stopped)
        sse__cond_wait(&hub->idle, &hub->mu);
    sse__mutex_unlock(&hub->mu);
    return first;
}

void sse_server_stop(sse_server *server)
{
    sse_server_close(server);
    if (!begin_stop(server))
        return;
    drain(server);
    wait_workers(server);
    for (size_t i = 0; i < server->nloops; i++)
        sse__loop_stop(server->loops[i]);
    sse__loop_stop(server->keeper);
    sse__hub_tell_denials(server, true);
    sse__refusals_tell_rest(server, true);
    close_listeners(server);
    drop_streams(server);

    sse__mutex_lock(&server->mu);
    server->stopped = true;
    sse__cond_broadcast(&server->idle);
    sse__mutex_unlock(&server->mu);
}

void sse_server_free(sse_server *server)
{
    if (!server)
        return;
    sse_server_stop(server);
    sse__hub_unref(server);
}
