/* `load`: subscribers on any SSE server, and a publisher when there is somewhere to publish. */
#include "output.h"
#include "run.h"

#include <string.h>

static int find_server(const bench *b, proc_group *g)
{
    g->n = 0;
    if (b->options->server_pid == 0 || proc_group_find(g, (pid_t)b->options->server_pid))
        return TOOL_GO_ON;
    return tool_misuse(b->tool, "option '--server-pid': there is no process %u",
                       b->options->server_pid);
}

static void fill(const bench *b, const http_url *publish, run_options *run)
{
    const bench_options *o = b->options;
    engine_options *e = &run->engine;
    e->subscribers = o->subscribers ? o->subscribers : 100;
    e->streams = o->streams ? o->streams : 1;
    e->threads = o->threads;
    e->in_flight = o->in_flight;
    e->headers = o->headers.items;
    e->trust = b->trust;
    e->named = o->streams > 0;
    e->run = run_number();
    run->duration_ms = o->duration_ms ? o->duration_ms : 10000;
    run->warmup_ms = o->warmup_given ? o->warmup_ms : 2000;
    run->timeout_ms = o->timeout_ms;
    run->settle_ms = 200;
    run->memory = true;
    run->tell_progress = true;
    run->one_core = o->pin;
    if (publish)
        run->publisher = (publisher_options){
            .url = publish,
            .trust = b->trust,
            .headers = o->publish_headers.n > 0 ? o->publish_headers.items : o->headers.items,
            .rate = o->rate_given ? o->rate : 1,
            .streams = e->streams,
            .payload = e->payload,
            .run = e->run,
            .batch = o->batch,
            .pipeline = o->pipeline,
            .format = o->format,
            .named = e->named};
}

static int measure(bench *b, run_options *run)
{
    scenario_result *s = results_scenario(&b->all, "load", "");
    result *r = results_server(s, "target");
    engine_options *e = &run->engine;
    e->subscribers = run_affordable(e->subscribers, r);
    snprintf(s->what, sizeof s->what, "%u subscriber%s on %u stream%s, %s", e->subscribers,
             e->subscribers == 1 ? "" : "s", e->streams, e->streams == 1 ? "" : "s",
             run->publisher.url ? "published to" : "listening only");
    if (b->options->pin)
        pin_to_core(1);
    int code = run_measure(run, r);
    output_scenario(b, s);
    if (code == TOOL_GO_ON)
        return TOOL_DONE;
    tool_say(b->tool, "%s", r->failure);
    return code;
}

int bench_load(bench *b)
{
    const bench_options *o = b->options;
    http_url url, publish;
    run_options run = {.engine = {.url = &url}};
    int code = bench_url(b, b->word, &url);
    if (code == TOOL_GO_ON && o->publish_url)
        code = bench_url(b, o->publish_url, &publish);
    if (code == TOOL_GO_ON && o->publish_url)
        code = bench_payload(b, 100, &run.engine.payload);
    if (code == TOOL_GO_ON && !o->publish_url && o->rate_given)
        code = tool_misuse(b->tool, "option '--rate' needs --publish-url");
    if (code == TOOL_GO_ON && !o->publish_url && o->publish_headers.n > 0)
        code = tool_misuse(b->tool, "option '--publish-header' needs --publish-url");
    if (code == TOOL_GO_ON)
        code = find_server(b, &run.server);
    if (code != TOOL_GO_ON)
        return code;
    fill(b, o->publish_url ? &publish : NULL, &run);
    return measure(b, &run);
}
