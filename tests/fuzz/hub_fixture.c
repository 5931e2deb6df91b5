/* See hub_fixture.h.
 *
 * Threads: libFuzzer's own, which also does the work of a stream's worker, and the hub's keeper. The linker puts the functions
 * __wrap_… below in the place of sync.h's: a worker is not started but remembered, hub_settle() runs it, and it ends as soon as
 * the inbox is empty. So an input costs no thread, what it reaches does not depend on who runs when, and all that it allocates is
 * freed before the next one (else libFuzzer looks for leaks again and again). */
#include "hub_fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

void hub_must(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
    abort();
}

/* ---- workers ---- */

static struct {
    void *(*run)(void *);
    void *stream;
} worker;

sse_err __real_sse__thread_start(sse__thread *t, const char *name, size_t stack_bytes,
                                 void *(*run)(void *), void *arg);
sse_err __wrap_sse__thread_start(sse__thread *t, const char *name, size_t stack_bytes,
                                 void *(*run)(void *), void *arg);
void __wrap_sse__thread_detach(sse__thread *t);
bool __wrap_sse__gate_wait_until(sse__gate *g, uint64_t deadline_ns);

sse_err __wrap_sse__thread_start(sse__thread *t, const char *name, size_t stack_bytes,
                                 void *(*run)(void *), void *arg)
{
    if (strcmp(name, "sse-stream") != 0)
        return __real_sse__thread_start(t, name, stack_bytes, run, arg);
    must(worker.run == NULL);
    worker.run = run;
    worker.stream = arg;
    return SSE_OK;
}

void __wrap_sse__thread_detach(sse__thread *t) { (void)t; }

/* The time is always over: an idle worker does not linger. */
bool __wrap_sse__gate_wait_until(sse__gate *g, uint64_t deadline_ns)
{
    (void)g;
    (void)deadline_ns;
    return false;
}

uint64_t hub_settle(sse__stream *st)
{
    if (worker.run) {
        void *(*run)(void *) = worker.run;
        worker.run = NULL;
        run(worker.stream);
    }
    sse_stream_stats stats;
    sse__stream_get_stats(st, &stats);
    must(stats.queued == 0);
    return stats.published;
}

/* ---- hub and stream ---- */

sse_server *hub_new(uint64_t max_event_bytes)
{
    sse_server_options options;
    sse_server *hub;
    sse_server_options_init(&options);
    options.max_event_bytes = max_event_bytes;
    options.heartbeat_ms = SSE_OFF;
    must(sse_server_new(&options, &hub) == SSE_OK);
    return hub;
}

sse__stream *hub_stream(sse_server *hub, const sse_stream_options *options)
{
    sse__stream *st;
    must(sse_server_create_stream(hub, "s", options) == SSE_OK);
    must(sse__hub_stream(hub, "s", false, &st) == SSE_OK);
    return st;
}

void hub_end(sse__stream *st)
{
    sse_server *hub = st->hub;
    must(sse_server_remove_stream(hub, "s") == SSE_OK);
    hub_settle(st);
    sse__stream_unref(st);
    for (bool alive = true; alive; sched_yield()) { /* the keeper frees subscribers */
        sse__mutex_lock(&hub->mu);
        alive = hub->alive != NULL;
        sse__mutex_unlock(&hub->mu);
    }
}

/* ---- input ---- */

uint8_t hub_take_byte(hub_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

sse_str hub_take_string(hub_input *in, size_t most)
{
    size_t n = hub_take_byte(in) % (most + 1);
    if (n > in->left)
        n = in->left;
    sse_str s = {(const char *)in->at, n};
    in->at += n;
    in->left -= n;
    return s;
}
