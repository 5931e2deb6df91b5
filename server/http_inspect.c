/* GET /streams: JSON. GET /metrics is in metrics.c. No threads of its own. */
#include "http.h"

#include "hub.h"

#include <inttypes.h>

static void add_number(sse__text *text, const char *name, uint64_t value)
{
    sse__text_addf(text, ",\"%s\":%" PRIu64, name, value);
}

static void add_id(sse__text *text, const char *name, const char *id)
{
    sse__text_addf(text, ",\"%s\":", name);
    if (*id)
        sse__text_json(text, id, strlen(id));
    else
        sse__text_add(text, "null");
}

static int add_stream(void *user, const char *name, const sse_stream_stats *stats)
{
    sse__text *text = user;
    sse__text_add(text, text->len > 1 ? ",\n{\"name\":" : "\n{\"name\":");
    sse__text_json(text, name, strlen(name));
    add_number(text, "subscribers", stats->subscribers);
    add_number(text, "events", stats->published);
    add_number(text, "history", stats->history);
    add_number(text, "history_bytes", stats->history_bytes);
    add_id(text, "oldest_id", stats->oldest_id);
    add_id(text, "newest_id", stats->newest_id);
    add_number(text, "queued", stats->queued);
    add_number(text, "delivered", stats->delivered);
    add_number(text, "drops", stats->dropped);
    add_number(text, "slow_closed", stats->slow_closed);
    add_number(text, "gaps", stats->gaps);
    sse__text_add(text, "}");
    return 0;
}

void sse__http_streams(sse_server *hub, sse__answer *answer)
{
    sse__text *body = &answer->body;
    sse__text_add(body, "[");
    if (sse_server_each_stream(hub, add_stream, body) != SSE_OK)
        body->failed = true;
    sse__text_add(body, "\n]\n");
    answer->status = 200;
    answer->type = "application/json";
}
