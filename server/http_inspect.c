/* GET /streams (JSON) and GET /metrics (Prometheus text format 0.0.4). No threads of its own. */
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

static void metric(sse__text *text, const char *type, const char *name, const char *help,
                   uint64_t value)
{
    sse__text_addf(text, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type,
                   name, value);
}

static void add_left(sse__text *text, const sse_server_stats *stats)
{
    sse__text_add(text, "# HELP sse_unsubscribed_total Subscribers that left, by reason.\n"
                        "# TYPE sse_unsubscribed_total counter\n");
    for (sse_leave_reason reason = SSE_LEFT_GONE; reason <= SSE_LEFT_ERROR; reason++)
        sse__text_addf(text, "sse_unsubscribed_total{reason=\"%s\"} %" PRIu64 "\n",
                       sse_leave_reason_name(reason), stats->left[reason]);
}

void sse__http_metrics(sse_server *hub, sse__answer *answer)
{
    sse_server_stats s;
    sse_server_get_stats(hub, &s);
    sse__text *text = &answer->body;
    metric(text, "gauge", "sse_streams", "Streams.", s.streams);
    metric(text, "gauge", "sse_subscribers", "Subscribers.", s.subscribers);
    metric(text, "gauge", "sse_connections", "Open connections.", s.connections);
    metric(text, "gauge", "sse_stream_workers", "Worker threads of streams.", s.workers);
    metric(text, "gauge", "sse_draining", "1 while the server shuts down.", s.draining);
    metric(text, "counter", "sse_subscribed_total", "Subscribers since the start.", s.subscribed);
    add_left(text, &s);
    metric(text, "counter", "sse_events_published_total", "Events accepted.", s.published);
    metric(text, "counter", "sse_events_delivered_total",
           "Events handed to connections, one for each subscriber.", s.delivered);
    metric(text, "counter", "sse_events_dropped_total",
           "Events not delivered because a subscriber was slow.", s.dropped);
    metric(text, "counter", "sse_gaps_total", "Gap events sent.", s.gaps);
    metric(text, "counter", "sse_replays_total", "Subscribers that started from the history.",
           s.replayed);
    metric(text, "counter", "sse_published_bytes_total", "Wire bytes of accepted events.",
           s.bytes_in);
    metric(text, "counter", "sse_delivered_bytes_total", "Bytes handed to connections.",
           s.bytes_out);
    metric(text, "counter", "sse_connections_total", "Connections accepted.", s.accepted);
    metric(text, "counter", "sse_accept_errors_total", "Failures of accept().", s.accept_errors);
    metric(text, "counter", "sse_requests_refused_total",
           "Requests answered with 401, 403, 413 or 429.", s.refused);
    answer->status = 200;
    answer->type = "text/plain; version=0.0.4; charset=utf-8";
}
