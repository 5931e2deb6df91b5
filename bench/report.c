/* The page: everything in one file, no scripts, nothing fetched from elsewhere; it follows the
 * reader's light or dark colours. The charts are report_svg.c. One thread. */
#include "report.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Colours: distinguishable for the colour-blind, and dark or light enough for their background. */
static const char style[] =
    ":root{color-scheme:light dark;--back:#fff;--card:#f6f7f9;--text:#1c2430;--soft:#5b6675;"
    "--line:#d8dde4;--warn:#9a3b00;--s0:#6b7280;--s1:#0b62c4;--s2:#c2570c;--s3:#0f7b5f;"
    "--s4:#8b3fb0}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#14181f;--card:#1d232c;--text:#e6e9ee;"
    "--soft:#9aa5b4;--line:#343d4a;--warn:#ffb27a;--s0:#a7b0bd;--s1:#5aa9ff;--s2:#ff9d52;"
    "--s3:#41c9a1;--s4:#cf8ff0}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--back);color:var(--text);"
    "font:15px/1.5 system-ui,-apple-system,Segoe UI,Roboto,sans-serif}\n"
    "main{max-width:1180px;margin:0 auto;padding:24px 20px 60px}\n"
    "h1{font-size:1.6rem;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:0}\n"
    "h3{font-size:.85rem;font-weight:600;color:var(--soft);margin:18px 0 6px}\n"
    "p{margin:4px 0;overflow-wrap:anywhere}.soft{color:var(--soft)}\n"
    "section{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "padding:18px 20px;margin:22px 0}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));"
    "gap:8px 24px}\n"
    "svg{width:100%;max-width:640px;height:auto;display:block;overflow:visible}\n"
    "svg text{font-size:11px;fill:var(--soft)}\n"
    ".frame{fill:none;stroke:var(--line)}.grid{stroke:var(--line);stroke-width:.6}\n"
    "polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}\n"
    "polyline.s0{stroke:var(--s0)}polyline.s1{stroke:var(--s1)}polyline.s2{stroke:var(--s2)}"
    "polyline.s3{stroke:var(--s3)}polyline.s4{stroke:var(--s4)}\n"
    "i.s0{background:var(--s0)}i.s1{background:var(--s1)}i.s2{background:var(--s2)}"
    "i.s3{background:var(--s3)}i.s4{background:var(--s4)}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:10px 0 0}\n"
    ".legend i{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:6px}\n"
    ".bars{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));"
    "gap:4px 32px}\n"
    ".bar{display:grid;grid-template-columns:6.2em 1fr 9.5em;gap:8px;align-items:center;"
    "font-size:.85rem;margin:3px 0}\n"
    ".bar div{background:var(--line);border-radius:3px;height:12px}\n"
    ".bar i{display:block;height:12px;border-radius:3px;min-width:1px}\n"
    ".bar b{font-weight:600}\n"
    ".scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:3px 14px 3px 0;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--line)}\n"
    "th:first-child,td:first-child{text-align:left}\n"
    "th{color:var(--soft);font-weight:600}\n"
    ".note{color:var(--warn);font-size:.88rem}\n"
    /* On a narrow screen the charts shrink: larger text, of which every other label has room. */
    "@media(max-width:600px){main{padding:16px 10px 40px}section{padding:14px 12px}"
    "svg text{font-size:16px}svg text.odd{display:none}}\n"
    "details summary{cursor:pointer;color:var(--soft);font-size:.85rem;margin-top:14px}\n";

void report_text(FILE *f, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        default:
            fputc(*s, f);
        }
}

/* ---- the head ---- */

static void processor(char out[128])
{
    char line[256];
    out[0] = '\0';
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(out, 128, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"),
                     strchr(line, ':') + 2);
            break;
        }
    if (f)
        fclose(f);
}

static void write_head(FILE *f, const results *all)
{
    char cpu[128], when[64];
    struct utsname name;
    time_t now = time(NULL);
    struct tm tm;
    processor(cpu);
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &tm);
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          f);
    report_text(f, all->title);
    fprintf(f, "</title>\n<style>\n%s</style></head>\n<body><main>\n<h1>", style);
    report_text(f, all->title);
    fprintf(f, "</h1>\n<p class=\"soft\">%s", when);
    if (uname(&name) == 0) {
        fputs(" &#183; Linux ", f);
        report_text(f, name.release);
    }
    fputs(" &#183; ", f);
    report_text(f, cpu);
    fprintf(f,
            ", %ld cores</p>\n<p class=\"soft\">Latency counts from the time at which an event was "
            "due. Lower is better for latency, CPU and memory; higher for everything else.</p>\n",
            sysconf(_SC_NPROCESSORS_ONLN));
}

/* ---- bars ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), len = strlen(end);
    return n >= len && strcmp(s + n - len, end) == 0;
}

static void format_metric(char out[32], const metric *m, double value)
{
    if (ends_with(m->key, "_us") || strstr(m->key, "us_per_"))
        report_time(out, value);
    else if (ends_with(m->key, "_ms"))
        report_time(out, value * 1e3);
    else
        report_number(out, value);
}

static void write_bars(FILE *f, const scenario_result *s, const metric *m)
{
    double most = 0, base = metric_of(s->servers[0], m);
    for (size_t i = 0; i < s->n; i++)
        most = fmax(most, metric_of(s->servers[i], m));
    if (most <= 0)
        return;
    fputs("<div><h3>", f);
    report_text(f, m->chart);
    fputs("</h3>\n", f);
    for (size_t i = 0; i < s->n; i++) {
        double value = metric_of(s->servers[i], m);
        char text[32] = "&#8211;", ratio[32] = "";
        if (value >= 0)
            format_metric(text, m, value);
        if (i > 0 && base > 0 && value >= 0)
            snprintf(ratio, sizeof ratio, " &#215; %.2f", value / base);
        fprintf(f, "<div class=\"bar\"><span>%s</span><div>", s->servers[i]->server);
        fprintf(f, "<i class=\"s%zu\" style=\"width:%.2f%%\"></i></div>", i,
                value > 0 ? value / most * 100 : 0);
        fprintf(f, "<span><b>%s</b><span class=\"soft\">%s</span></span></div>\n", text, ratio);
    }
    fputs("</div>\n", f);
}

/* ---- a scenario ---- */

static void write_legend(FILE *f, const scenario_result *s)
{
    fputs("<p class=\"legend\">", f);
    for (size_t i = 0; i < s->n; i++)
        fprintf(f, "<span><i class=\"s%zu\"></i>%s</span>", i, s->servers[i]->server);
    fputs("</p>\n", f);
}

static void write_charts(FILE *f, const scenario_result *s)
{
    /* The same picture twice tells nothing more. */
    bool delivers = s->n > 0 && s->servers[0]->deliveries_per_s >= 0;
    fputs("<div class=\"charts\">\n", f);
    if (report_has_latency(s)) {
        fputs("<div><h3>latency by percentile</h3>\n", f);
        report_latency(f, s);
        fputs("</div>\n", f);
    }
    if (report_has_timeline(s)) {
        fputs("<div><h3>deliveries over time</h3>\n", f);
        report_timeline(f, s);
        fputs("</div>\n", f);
    }
    fputs("</div>\n<div class=\"bars\">\n", f);
    for (size_t i = 0; i < nmetrics && s->n > 0; i++)
        if (metrics[i].chart && !(delivers && strcmp(metrics[i].key, "events_per_s") == 0))
            write_bars(f, s, &metrics[i]);
    fputs("</div>\n", f);
}

static void write_table(FILE *f, const scenario_result *s)
{
    fputs("<details><summary>all numbers</summary><div class=\"scroll\"><table><tr><th></th>", f);
    for (size_t i = 0; i < s->n; i++)
        fprintf(f, "<th>%s</th>", s->servers[i]->server);
    fputs("</tr>\n", f);
    for (size_t k = 0; k < nmetrics; k++) {
        bool any = false;
        for (size_t i = 0; i < s->n; i++)
            any = any || metric_of(s->servers[i], &metrics[k]) >= 0;
        if (!any)
            continue;
        fputs("<tr><td>", f);
        report_text(f, metrics[k].title);
        fputs("</td>", f);
        for (size_t i = 0; i < s->n; i++) {
            double value = metric_of(s->servers[i], &metrics[k]);
            if (value >= 0)
                fprintf(f, "<td>%.*f</td>", metrics[k].decimals, value);
            else
                fputs("<td>&#8211;</td>", f);
        }
        fputs("</tr>\n", f);
    }
    fputs("</table></div></details>\n", f);
}

static void write_note(FILE *f, const char *server, const char *text)
{
    fprintf(f, "<p class=\"note\">%s: ", server);
    report_text(f, text);
    fputs("</p>\n", f);
}

static void write_notes(FILE *f, const scenario_result *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const result *r = s->servers[i];
        if (result_is_bad(r))
            write_note(f, r->server, "events were lost, doubled or out of order; see the numbers");
        if (r->failure[0])
            write_note(f, r->server, r->failure);
        for (uint32_t k = 0; k < r->nnotes; k++)
            write_note(f, r->server, r->notes[k]);
    }
}

static void write_scenario(FILE *f, const scenario_result *s)
{
    fputs("<section><h2>", f);
    report_text(f, s->name);
    fputs("</h2>\n<p class=\"soft\">", f);
    report_text(f, s->what);
    fputs("</p>\n", f);
    write_legend(f, s);
    write_charts(f, s);
    write_table(f, s);
    write_notes(f, s);
    fputs("</section>\n", f);
}

bool results_write_report(const results *all, FILE *f)
{
    write_head(f, all);
    for (size_t i = 0; i < all->n; i++)
        write_scenario(f, &all->scenarios[i]);
    fputs("</main></body></html>\n", f);
    return fflush(f) == 0 && !ferror(f);
}
