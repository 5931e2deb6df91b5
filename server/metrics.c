/* GET /metrics: Prometheus text format 0.0.4.
 *
 * No threads of its own. All series but those of single streams are always there, with 0 where nothing has happened, so that their
 * number is known; those of single streams are as many as the options say (metrics_streams), whatever clients do. */
#include "http.h"

#include "hub.h"
#include "process.h"

#include <inttypes.h>
#include <sse/version.h>
#include <stdio.h>

/* ---- the format ---- */

static void family(sse__text *text, const char *type, const char *name, const char *help)
{
    sse__text_addf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metric(sse__text *text, const char *type, const char *name, const char *help,
                   uint64_t value)
{
    family(text, type, name, help);
    sse__text_addf(text, "%s %" PRIu64 "\n", name, value);
}

static void labelled(sse__text *text, const char *name, const char *label, const char *is,
                     uint64_t value)
{
    sse__text_addf(text, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, is, value);
}

static void seconds(sse__text *text, const char *type, const char *name, const char *help,
                    double value)
{
    family(text, type, name, help);
    sse__text_addf(text, "%s %.2f\n", name, value);
}

/* ---- what there is now ---- */

static void add_state(sse__text *text, const sse_server_stats *s, const sse__totals *t)
{
    family(text, "gauge", "sse_build_info", "Always 1; the label says which version runs.");
    labelled(text, "sse_build_info", "version", sse_version(), 1);
    metric(text, "gauge", "sse_streams", "Streams.", s->streams);
    metric(text, "gauge", "sse_subscribers",
           "Subscribers; a connection with several streams counts once.", s->subscribers);
    metric(text, "gauge", "sse_connections", "Open connections, those of subscribers included.",
           s->connections);
    metric(text, "gauge", "sse_stream_workers", "Worker threads of streams.", s->workers);
    metric(text, "gauge", "sse_draining", "1 while the server shuts down.", s->draining);
    metric(text, "gauge", "sse_inbox_events",
           "Events accepted that no subscriber can be sent yet, of all streams.", t->queued);
    metric(text, "gauge", "sse_backlog_events",
           "Events beyond the history that are kept for subscribers that lag.", t->backlog);
    metric(text, "gauge", "sse_history_events", "Events that can be replayed, of all streams.",
           t->history);
    metric(text, "gauge", "sse_history_bytes", "Bytes of the events that can be replayed.",
           t->history_bytes);
}

/* ---- what has happened ---- */

static void add_left(sse__text *text, const sse_server_stats *stats)
{
    family(text, "counter", "sse_unsubscribed_total", "Subscriptions that ended, by reason.");
    for (sse_leave_reason reason = SSE_LEFT_GONE; reason <= SSE_LEFT_EXPIRED; reason++)
        labelled(text, "sse_unsubscribed_total", "reason", sse_leave_reason_name(reason),
                 stats->left[reason]);
}

static void add_drops(sse__text *text, const sse__totals *t)
{
    static const char name[] = "sse_events_dropped_total";
    family(text, "counter", name,
           "Events not delivered because a subscriber was slow, one for each subscriber, by the "
           "policy of the stream.");
    labelled(text, name, "policy", "drop-oldest", t->dropped[SSE_SLOW_DROP_OLDEST]);
    labelled(text, name, "policy", "drop-newest", t->dropped[SSE_SLOW_DROP_NEWEST]);
    metric(text, "counter", "sse_slow_closed_total",
           "Times that a subscriber was cut off because it was slow (policy close).",
           t->counters.slow_closed);
}

static void add_events(sse__text *text, const sse_server_stats *s, const sse__totals *t)
{
    metric(text, "counter", "sse_subscribed_total",
           "Subscriptions since the start, one for each stream of a connection.", s->subscribed);
    add_left(text, s);
    metric(text, "counter", "sse_events_published_total", "Events accepted.", t->published);
    metric(text, "counter", "sse_published_bytes_total", "Wire bytes of accepted events.",
           t->counters.bytes_in);
    metric(text, "counter", "sse_events_delivered_total",
           "Events handed to connections, one for each subscriber.", t->counters.delivered);
    metric(text, "counter", "sse_delivered_bytes_total",
           "Bytes of events and gaps handed to connections.", t->counters.bytes_out);
    add_drops(text, t);
    metric(text, "counter", "sse_gaps_total",
           "Gap events made: each tells one subscriber of what it missed.", t->counters.gaps);
    metric(text, "counter", "sse_replays_total", "Subscribers that started from the history.",
           t->counters.replayed);
}

static void add_connections(sse__text *text, sse_server *hub, const sse_server_stats *s)
{
    static const char name[] = "sse_requests_refused_total";
    metric(text, "counter", "sse_connections_total", "Connections accepted.", s->accepted);
    metric(text, "counter", "sse_accept_errors_total",
           "Failures of accept(), for want of descriptors mostly.", s->accept_errors);
    family(text, "counter", name, "Requests answered with an error, by status.");
    for (size_t i = 0; i < SSE__REFUSALS; i++) {
        char status[16] = "other";
        if (sse__refusals[i] != 0)
            snprintf(status, sizeof status, "%u", sse__refusals[i]);
        labelled(text, name, "status", status, atomic_load(&hub->counters.refused[i]));
    }
}

static void add_denials(sse__text *text, sse_server *hub)
{
    static const char name[] = "sse_connects_refused_total";
    family(text, "counter", name, "Connections refused as soon as they were accepted, by reason.");
    for (sse__denial denial = SSE__DENIED_RATE; denial < SSE__DENIALS; denial++)
        labelled(text, name, "reason", sse__denial_name(denial),
                 atomic_load(&hub->denials.counts[denial]));
    sse__admission_stats addresses = sse__admission_look(hub->admission);
    metric(text, "gauge", "sse_addresses", "Addresses whose connections or connects are counted.",
           addresses.addresses);
    metric(text, "counter", "sse_addresses_forgotten_total",
           "Addresses whose connects were forgotten early, because there were too many.",
           addresses.forgotten);
}

static void add_latency(sse__text *text, sse_server *hub)
{
    static const char name[] = "sse_publish_to_send_seconds";
    sse__latency_sum latency;
    sse__hub_latency(hub, &latency);
    family(text, "histogram", name,
           "Time from the moment that publish accepted an event until its bytes were handed to a "
           "subscriber's connection. One observation for each time that a connection takes new "
           "events: the oldest of those that it takes. Replays do not count.");
    uint64_t sum = 0;
    for (size_t i = 0; i < SSE__LATENCY_BOUNDS; i++) {
        sum += latency.buckets[i];
        sse__text_addf(text, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                       (double)sse__latency_bounds_ns[i] / 1e9, sum);
    }
    sum += latency.buckets[SSE__LATENCY_BOUNDS];
    sse__text_addf(text, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, sum);
    sse__text_addf(text, "%s_sum %.9f\n%s_count %" PRIu64 "\n", name, (double)latency.sum_ns / 1e9,
                   name, sum);
}

static void add_process(sse__text *text)
{
    sse__process p;
    sse__process_look(&p);
    seconds(text, "counter", "process_cpu_seconds_total", "User and system time.", p.cpu_s);
    seconds(text, "gauge", "process_start_time_seconds", "Start of the process since the epoch.",
            p.started_s);
    metric(text, "gauge", "process_open_fds", "Open descriptors.", p.open_fds);
    metric(text, "gauge", "process_max_fds", "Descriptors that may be open.", p.max_fds);
    metric(text, "gauge", "process_resident_memory_bytes", "Resident memory.", p.resident_bytes);
}

/* ---- single streams ---- */

static const struct {
    const char *type, *name, *help;
    size_t offset; /* in sse_stream_stats */
} stream_families[] = {
    {"gauge", "sse_stream_subscribers", "Subscribers of the stream.",
     offsetof(sse_stream_stats, subscribers)},
    {"gauge", "sse_stream_inbox_events", "As sse_inbox_events.",
     offsetof(sse_stream_stats, queued)},
    {"gauge", "sse_stream_backlog_events", "As sse_backlog_events.",
     offsetof(sse_stream_stats, backlog)},
    {"counter", "sse_stream_events_published_total", "As sse_events_published_total.",
     offsetof(sse_stream_stats, published)},
    {"counter", "sse_stream_events_delivered_total", "As sse_events_delivered_total.",
     offsetof(sse_stream_stats, delivered)},
    {"counter", "sse_stream_events_dropped_total", "As sse_events_dropped_total.",
     offsetof(sse_stream_stats, dropped)},
    {"counter", "sse_stream_slow_closed_total", "As sse_slow_closed_total.",
     offsetof(sse_stream_stats, slow_closed)},
    {"counter", "sse_stream_gaps_total", "As sse_gaps_total.", offsetof(sse_stream_stats, gaps)},
};
enum { STREAM_FAMILIES = sizeof stream_families / sizeof stream_families[0] };

/* The series of one family must be together, so each is written into a text of its own. */
typedef struct stream_series {
    sse__text texts[STREAM_FAMILIES];
    uint32_t left;
} stream_series;

/* Names of streams are UTF-8 without control characters, as labels have to be. */
static void add_label_value(sse__text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            sse__text_add_bytes(text, "\\", 1);
        sse__text_add_bytes(text, value, 1);
    }
}

static int add_stream(void *user, const char *name, const sse_stream_stats *stats)
{
    stream_series *series = user;
    for (size_t i = 0; i < STREAM_FAMILIES; i++) {
        sse__text *text = &series->texts[i];
        uint64_t value;
        memcpy(&value, (const char *)stats + stream_families[i].offset, sizeof value);
        sse__text_addf(text, "%s{stream=\"", stream_families[i].name);
        add_label_value(text, name);
        sse__text_addf(text, "\"} %" PRIu64 "\n", value);
    }
    return --series->left == 0;
}

static void add_streams(sse__text *text, sse_server *hub)
{
    stream_series series = {.left = hub->options.metrics_streams};
    if (series.left > 0 && sse_server_each_stream(hub, add_stream, &series) != SSE_OK)
        text->failed = true;
    for (size_t i = 0; i < STREAM_FAMILIES; i++) {
        sse__text *part = &series.texts[i];
        if (part->len > 0) {
            family(text, stream_families[i].type, stream_families[i].name, stream_families[i].help);
            sse__text_add_bytes(text, part->ptr, part->len);
        }
        text->failed = text->failed || part->failed;
        sse__text_fini(part);
    }
}

void sse__http_metrics(sse_server *hub, sse__answer *answer)
{
    sse_server_stats stats;
    sse__totals totals;
    sse_server_get_stats(hub, &stats);
    sse__hub_totals(hub, &totals);
    sse__text *text = &answer->body;
    add_state(text, &stats, &totals);
    add_events(text, &stats, &totals);
    add_connections(text, hub, &stats);
    add_denials(text, hub);
    add_latency(text, hub);
    add_process(text);
    add_streams(text, hub);
    answer->status = 200;
    answer->type = "text/plain; version=0.0.4; charset=utf-8";
}
