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

/* References to all streams of the table, NULL at the end; unlist: take them out of it (with the
 * table's references). */
static sse__stream **all_streams(sse_server *hub, bool unlist)
{
    sse__mutex_lock(&hub->mu);
    size_t n = 0;
    sse__stream **all = calloc(hub->streams.count + 1, sizeof(sse__stream *));
    for (sse__strnode *node = sse__strmap_next(&hub->streams, NULL), *next; all && node;
         node = next) {
        next = sse__strmap_next(&hub->streams, node);
        sse__stream *st = (sse__stream *)(void *)((char *)node - offsetof(sse__stream, node));
        if (unlist)
            sse__strmap_remove(&hub->streams, node);
        all[n++] = unlist ? st : sse__stream_ref(st);
    }
    sse__mutex_unlock(&hub->mu);
    return all;
}

static void free_streams(sse__stream **all)
{
    for (size_t i = 0; all && all[i]; i++)
        sse__stream_unref(all[i]);
    free(all);
}

void sse_server_close(sse_server *server)
{
    sse__mutex_lock(&server->mu);
    bool first = !atomic_exchange(&server->closing, true);
    atomic_store(&server->nsubs_at_close, server->nsubs);
    sse__mutex_unlock(&server->mu);
    if (!first)
        return;
    sse__stream **all = all_streams(server, false);
    for (size_t i = 0; all && all[i]; i++)
        sse__stream_close(all[i], SSE_LEFT_DRAINED);
    free_streams(all);
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

static void drain(sse_server *hub, sse__stream **all)
{
    uint32_t drain_ms = hub->options.drain_ms;
    if (drain_ms != SSE_OFF && wait_idle(hub, sse__now_ms() + drain_ms))
        return;
    for (size_t i = 0; all && all[i]; i++)
        sse__stream_force(all[i], NULL);
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
        close(listener->fd);
        if (listener->path)
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
    sse__stream **all = all_streams(server, false);
    drain(server, all);
    wait_workers(server);
    for (size_t i = 0; i < server->nloops; i++)
        sse__loop_stop(server->loops[i]);
    sse__loop_stop(server->keeper);
    close_listeners(server);
    free_streams(all);
    free_streams(all_streams(server, true));

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
