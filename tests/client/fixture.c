/* See fixture.h. */
#include "fixture.h"

sse_client_options quick(void)
{
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.retry_ms = 1;
    o.max_retry_ms = 1;
    return o;
}

struct fixture start(scripted_script script, void *user, const sse_client_options *o)
{
    struct fixture f = {.server = scripted_start(script, user), .rec = recorder_new()};
    f.client = client_for(scripted_url(f.server, "/"), o);
    f.sub = recorder_subscribe(f.rec, f.client, NULL);
    return f;
}

void finish(struct fixture *f)
{
    sse_subscription_free(f->sub);
    sse_client_free(f->client);
    recorder_free(f->rec);
    scripted_stop(f->server);
}
