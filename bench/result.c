/* Results: keeping them, the table, the JSON. The page is report.c. */
#include "result.h"

#include "tool.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define METRIC(field, title, chart, decimals, ratio)                                               \
    {                                                                                              \
#field, title, chart, offsetof(result, field), decimals, ratio, { false }                  \
    }

const metric metrics[] = {
    METRIC(deliveries_per_s, "deliveries/s", "deliveries per second", 0, true),
    METRIC(events_per_s, "events/s", "events per second", 0, true),
    METRIC(server_us_per_delivery, "server CPU us/delivery", "server CPU per delivery", 3, true),
    METRIC(fanout_us_per_delivery, "  without publishing", "the same without publishing", 3, true),
    METRIC(server_us_per_publish, "server CPU us/publish", NULL, 2, true),
    METRIC(server_cpu, "server CPU, cores", NULL, 3, true),
    METRIC(client_cpu, "client CPU, cores", NULL, 3, false),
    METRIC(p50_us, "latency p50, us", "latency p50", 1, true),
    METRIC(p90_us, "latency p90, us", NULL, 1, true),
    METRIC(p99_us, "latency p99, us", "latency p99", 1, true),
    METRIC(p999_us, "latency p99.9, us", NULL, 1, true),
    METRIC(max_us, "latency max, us", NULL, 1, true),
    METRIC(us_per_event, "CPU us/event", "CPU per event", 3, true),
    METRIC(switches_per_event, "context switches/event", NULL, 4, false),
    METRIC(io_calls_per_event, "reads and writes/event", NULL, 4, false),
    METRIC(creates_per_s, "streams created/s", "streams created per second", 0, true),
    METRIC(removes_per_s, "streams removed/s", "streams removed per second", 0, true),
    METRIC(bytes_per_stream, "bytes/idle stream", "resident bytes per idle stream", 0, true),
    METRIC(threads_busy, "threads, streams active", NULL, 0, false),
    METRIC(threads_idle, "threads, streams idle", NULL, 0, false),
    METRIC(gone_fin_ms, "gone by FIN, ms", "until noticed: one left by FIN", 2, true),
    METRIC(gone_rst_ms, "gone by RST, ms", "until noticed: one left by RST", 2, true),
    METRIC(gone_all_ms, "all gone, ms", "until noticed: all left", 1, true),
    METRIC(served_after_ms, "all served after, ms", "time until all were served", 1, true),
    METRIC(connects_per_s, "connects/s", "connects per second", 0, true),
    METRIC(server_us_per_connect, "server CPU us/connect", "server CPU per connect", 2, true),
    METRIC(bytes_per_subscriber, "bytes/subscriber", "resident bytes per subscriber", 0, true),
    METRIC(mb_per_s, "MB/s", "MB per second", 3, true),
    METRIC(lost, "lost", NULL, 0, false),
    METRIC(duplicated, "duplicated", NULL, 0, false),
    METRIC(misordered, "misordered", NULL, 0, false),
    METRIC(misdelivered, "misdelivered", NULL, 0, false),
    METRIC(disconnected, "disconnected", NULL, 0, false),
};
const size_t nmetrics = sizeof metrics / sizeof metrics[0];

double metric_of(const result *r, const metric *m)
{
    double value;
    memcpy(&value, (const char *)r + m->offset, sizeof value);
    return value;
}

void result_init(result *r, const char *server)
{
    memset(r, 0, sizeof *r);
    r->server = server;
    r->judged = true;
    double none = -1;
    for (size_t i = 0; i < nmetrics; i++)
        memcpy((char *)r + metrics[i].offset, &none, sizeof none);
}

void result_note(result *r, const char *format, ...)
{
    if (r->nnotes == RESULT_NOTES)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(r->notes[r->nnotes++], sizeof r->notes[0], format, args);
    va_end(args);
}

bool result_is_bad(const result *r)
{
    return r->lost > 0 || r->duplicated > 0 || r->misordered > 0 || r->misdelivered > 0 ||
           r->disconnected > 0;
}

void result_quantiles(result *r)
{
    const histogram *h = &r->latency;
    if (h->count == 0)
        return;
    r->p50_us = (double)histogram_quantile(h, 0.5) / 1e3;
    r->p90_us = (double)histogram_quantile(h, 0.9) / 1e3;
    r->p99_us = (double)histogram_quantile(h, 0.99) / 1e3;
    r->p999_us = (double)histogram_quantile(h, 0.999) / 1e3;
    r->max_us = (double)h->max / 1e3;
}

/* Sums; what was not measured by the one is not known of all. */
static double sum(double a, double b) { return a < 0 || b < 0 ? -1 : a + b; }

static double mean(double a, double weight, double b, double other)
{
    if (b < 0 || (weight > 0 && a < 0))
        return -1;
    return weight + other > 0 ? (a * weight + b * other) / (weight + other) : 0;
}

static void merge_means(result *into, const result *part, uint32_t before)
{
    double n = into->subscribers, more = part->subscribers;
    double d = before > 0 ? into->deliveries_per_s : 0, deliveries = part->deliveries_per_s;
    into->bytes_per_subscriber =
        mean(into->bytes_per_subscriber, n, part->bytes_per_subscriber, more);
    into->server_us_per_delivery =
        mean(into->server_us_per_delivery, d, part->server_us_per_delivery, deliveries);
    into->fanout_us_per_delivery =
        mean(into->fanout_us_per_delivery, d, part->fanout_us_per_delivery, deliveries);
    into->events_per_s = mean(into->events_per_s, before, part->events_per_s, 1);
    into->server_us_per_publish =
        mean(into->server_us_per_publish, before, part->server_us_per_publish, 1);
}

static void merge_note(result *into, const char *note)
{
    for (uint32_t i = 0; i < into->nnotes; i++)
        if (strcmp(into->notes[i], note) == 0)
            return;
    result_note(into, "%s", note);
}

void result_merge(result *into, const result *part, uint32_t before)
{
    double *sums[] = {&into->deliveries_per_s, &into->server_cpu,   &into->client_cpu,
                      &into->mb_per_s,         &into->lost,         &into->duplicated,
                      &into->misordered,       &into->misdelivered, &into->disconnected};
    const double more[] = {part->deliveries_per_s, part->server_cpu,   part->client_cpu,
                           part->mb_per_s,         part->lost,         part->duplicated,
                           part->misordered,       part->misdelivered, part->disconnected};
    merge_means(into, part, before);
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        *sums[i] = before > 0 ? sum(*sums[i], more[i]) : more[i];
    into->subscribers += part->subscribers;
    into->published += part->published;
    into->seconds = fmax(into->seconds, part->seconds);
    for (size_t i = 0; i < ENGINE_SLOTS; i++)
        into->slots[i] += part->slots[i];
    histogram_merge(&into->latency, &part->latency);
    result_quantiles(into);
    for (uint32_t i = 0; i < part->nnotes; i++)
        merge_note(into, part->notes[i]);
}

scenario_result *results_scenario(results *all, const char *name, const char *what)
{
    all->scenarios = tool_must(realloc(all->scenarios, (all->n + 1) * sizeof *all->scenarios));
    scenario_result *s = &all->scenarios[all->n++];
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->what, sizeof s->what, "%s", what);
    return s;
}

result *results_server(scenario_result *s, const char *server)
{
    result *r = tool_must(malloc(sizeof *r));
    result_init(r, server);
    if (s->n < RESULT_SERVERS)
        s->servers[s->n++] = r;
    return r;
}

void results_free(results *all)
{
    for (size_t i = 0; i < all->n; i++)
        for (size_t k = 0; k < all->scenarios[i].n; k++)
            free(all->scenarios[i].servers[k]);
    free(all->scenarios);
    *all = (results){0};
}

bool results_bad(const results *all)
{
    for (size_t i = 0; i < all->n; i++)
        for (size_t k = 0; k < all->scenarios[i].n; k++)
            if (all->scenarios[i].servers[k]->judged && result_is_bad(all->scenarios[i].servers[k]))
                return true;
    return false;
}

/* ---- the table ---- */

static bool applies(const scenario_result *s, const metric *m)
{
    for (size_t i = 0; i < s->n; i++)
        if (metric_of(s->servers[i], m) >= 0)
            return true;
    return false;
}

static void print_row(const scenario_result *s, const metric *m, FILE *out)
{
    double base = s->n > 0 ? metric_of(s->servers[0], m) : -1;
    fprintf(out, "  %-24s", m->title);
    for (size_t i = 0; i < s->n; i++) {
        double value = metric_of(s->servers[i], m);
        char ratio[32] = "";
        if (i > 0 && m->ratio && base > 0 && value >= 0)
            snprintf(ratio, sizeof ratio, "(%.2f)", value / base);
        if (value >= 0)
            fprintf(out, " %14.*f %-9s", m->decimals, value, ratio);
        else
            fprintf(out, " %14s %-9s", "-", "");
    }
    fputc('\n', out);
}

static const result *of_server(const scenario_result *s, const char *server)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->servers[i]->server, server) == 0)
            return s->servers[i];
    return NULL;
}

/* The ratios above are to the limit; this one is to the server that is there to be compared with. At a rate that both keep up with
 * there is nothing to say. */
static void print_multiple(const scenario_result *s, FILE *out)
{
    const result *own = of_server(s, "sse-server"), *other = of_server(s, "nchan");
    double times = own && other && other->deliveries_per_s > 0
                       ? own->deliveries_per_s / other->deliveries_per_s
                       : 1;
    if (fabs(times - 1) > 0.05)
        fprintf(out, "  sse-server: %.1f times the deliveries of nchan\n", times);
}

void results_print(const scenario_result *s, FILE *out)
{
    fprintf(out, "%s: %s\n  %-24s", s->name, s->what, "");
    for (size_t i = 0; i < s->n; i++)
        fprintf(out, " %14s %-9s", s->servers[i]->server, "");
    fputc('\n', out);
    for (size_t i = 0; i < nmetrics; i++)
        if (applies(s, &metrics[i]))
            print_row(s, &metrics[i], out);
    print_multiple(s, out);
    for (size_t i = 0; i < s->n; i++) {
        const result *r = s->servers[i];
        if (r->failure[0])
            fprintf(out, "  %s: %s\n", r->server, r->failure);
        for (uint32_t k = 0; k < r->nnotes; k++)
            fprintf(out, "  %s: %s\n", r->server, r->notes[k]);
    }
    fputc('\n', out);
}

/* ---- JSON ---- */

static void write_string(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

static void write_notes(FILE *f, const result *r)
{
    if (r->failure[0]) {
        fputs(",\"failure\":", f);
        write_string(f, r->failure);
    }
    if (r->nnotes == 0)
        return;
    fputs(",\"notes\":[", f);
    for (uint32_t i = 0; i < r->nnotes; i++) {
        if (i > 0)
            fputc(',', f);
        write_string(f, r->notes[i]);
    }
    fputc(']', f);
}

static void write_result(FILE *f, const result *r)
{
    write_string(f, r->server);
    fprintf(f, ":{\"subscribers\":%u", r->subscribers);
    for (size_t i = 0; i < nmetrics; i++) {
        double value = metric_of(r, &metrics[i]);
        if (value >= 0)
            fprintf(f, ",\"%s\":%.*f", metrics[i].key, metrics[i].decimals, value);
    }
    if (r->published > 0)
        fprintf(f, ",\"published\":%llu", (unsigned long long)r->published);
    if (r->seconds > 0)
        fprintf(f, ",\"seconds\":%.3f", r->seconds);
    write_notes(f, r);
    fputc('}', f);
}

bool results_write_json(const results *all, FILE *f)
{
    fputs("{\"scenarios\":[", f);
    for (size_t i = 0; i < all->n; i++) {
        const scenario_result *s = &all->scenarios[i];
        fputs(i > 0 ? ",\n{\"name\":" : "\n{\"name\":", f);
        write_string(f, s->name);
        fputs(",\"what\":", f);
        write_string(f, s->what);
        fputs(",\"servers\":{", f);
        for (size_t k = 0; k < s->n; k++) {
            fputs(k > 0 ? ",\n  " : "\n  ", f);
            write_result(f, s->servers[k]);
        }
        fputs("}}", f);
    }
    fputs("\n]}\n", f);
    return fflush(f) == 0 && !ferror(f);
}
