/* See hub_fixture.h. libFuzzer calls from one thread; the hub's own threads run beside it. */
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
    must(sse_server_remove_stream(st->hub, "s") == SSE_OK);
    sse__stream_unref(st);
}

uint64_t hub_settle(sse__stream *st)
{
    sse_stream_stats stats;
    for (;;) {
        sse__stream_get_stats(st, &stats);
        if (stats.queued == 0)
            return stats.published;
        sched_yield();
    }
}

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
