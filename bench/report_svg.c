/* The page's charts, as SVG with classes that the page's style gives colours. No scripts. One
 * thread. */
#include "report.h"

#include <math.h>
#include <string.h>

#define WIDTH 560.0
#define HEIGHT 260.0
#define LEFT 68.0
#define RIGHT 40.0
#define TOP 12.0
#define BOTTOM 44.0
#define PLOT_WIDTH (WIDTH - LEFT - RIGHT)
#define PLOT_HEIGHT (HEIGHT - TOP - BOTTOM)

/* From numbers to places: x from 0 to x_max; y from y_min to y_max. */
typedef struct plot {
    FILE *f;
    double x_max, y_min, y_max;
} plot;

static double place_x(const plot *p, double x) { return LEFT + x / p->x_max * PLOT_WIDTH; }

static double place_y(const plot *p, double y)
{
    return TOP + PLOT_HEIGHT - (y - p->y_min) / (p->y_max - p->y_min) * PLOT_HEIGHT;
}

/* Three digits, so that what rounds up to a thousand of one unit is one of the next. */
void report_number(char out[32], double value)
{
    double size = fabs(value);
    if (size >= 999.5e6)
        snprintf(out, 32, "%.3g G", value / 1e9);
    else if (size >= 999.5e3)
        snprintf(out, 32, "%.3g M", value / 1e6);
    else if (size >= 1e4)
        snprintf(out, 32, "%.3g k", value / 1e3);
    else if (size >= 100 || value == floor(value))
        snprintf(out, 32, "%.0f", value);
    else
        snprintf(out, 32, "%.3g", value);
}

void report_time(char out[32], double us)
{
    if (us >= 999.5e3)
        snprintf(out, 32, "%.3g s", us / 1e6);
    else if (us >= 999.5)
        snprintf(out, 32, "%.3g ms", us / 1e3);
    else
        snprintf(out, 32, "%.3g &#181;s", us);
}

static void begin(const plot *p, const char *label)
{
    fprintf(p->f,
            "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n"
            "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
            WIDTH, HEIGHT, label, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT);
}

static void grid_x(const plot *p, double x, bool odd, const char *text)
{
    double at = place_x(p, x);
    fprintf(p->f,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text%s x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
            at, at, TOP, TOP + PLOT_HEIGHT, odd ? " class=\"odd\"" : "", at, HEIGHT - BOTTOM + 18,
            text);
}

static void grid_y(const plot *p, double y, const char *text)
{
    double at = place_y(p, y);
    fprintf(p->f,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT, WIDTH - RIGHT, at, at, LEFT - 6, at + 4, text);
}

static void name_x(const plot *p, const char *text)
{
    fprintf(p->f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
            LEFT + PLOT_WIDTH / 2, HEIGHT - 6, text);
}

/* ---- latency by percentile ---- */

bool report_has_latency(const scenario_result *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->servers[i]->latency.count > 0 && s->servers[i]->p50_us >= 0)
            return true;
    return false;
}

/* A share q of all is at -log10(1 - q), so that each nine gets the same room. */
static void latency_curve(const plot *p, const histogram *h, size_t server)
{
    uint64_t seen = 0;
    double last_x = -10, last_y = -10;
    fprintf(p->f, "<polyline class=\"s%zu\" points=\"", server);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->buckets[i] == 0)
            continue;
        double rest = 1.0 - (double)seen / (double)h->count;
        double us = (double)histogram_value(i) / 1e3;
        double x = place_x(p, fmin(-log10(rest), p->x_max));
        double y = place_y(p, fmin(fmax(log10(us), p->y_min), p->y_max));
        seen += h->buckets[i];
        if (fabs(x - last_x) + fabs(y - last_y) < 0.7)
            continue;
        fprintf(p->f, "%.1f,%.1f ", x, y);
        last_x = x;
        last_y = y;
    }
    fprintf(p->f, "%.1f,%.1f\"/>\n", place_x(p, p->x_max),
            place_y(p, fmin(log10((double)h->max / 1e3), p->y_max)));
}

static plot latency_plot(FILE *f, const scenario_result *s)
{
    plot p = {.f = f, .x_max = 2, .y_min = 9, .y_max = -9};
    for (size_t i = 0; i < s->n; i++) {
        const histogram *h = &s->servers[i]->latency;
        if (h->count == 0)
            continue;
        double low = floor(log10(fmax((double)histogram_quantile(h, 0.01) / 1e3, 0.1)));
        double high = ceil(log10(fmax((double)h->max / 1e3, 1)));
        p.x_max = fmax(p.x_max, fmin(6, ceil(log10((double)h->count))));
        p.y_min = fmin(p.y_min, low);
        p.y_max = fmax(p.y_max, high);
    }
    if (p.y_max <= p.y_min)
        p.y_max = p.y_min + 1;
    return p;
}

void report_latency(FILE *f, const scenario_result *s)
{
    static const char *const names[] = {"0",       "90 %",     "99 %",     "99.9 %",
                                        "99.99 %", "99.999 %", "99.9999 %"};
    plot p = latency_plot(f, s);
    begin(&p, "latency by percentile");
    for (int i = 0; i <= (int)p.x_max && i < 7; i++)
        grid_x(&p, i, i % 2 == 1, names[i]);
    for (double y = p.y_min; y <= p.y_max; y++) {
        char text[32];
        report_time(text, pow(10, y));
        grid_y(&p, y, text);
    }
    name_x(&p, "share of all that came sooner");
    for (size_t i = 0; i < s->n; i++)
        if (s->servers[i]->latency.count > 0)
            latency_curve(&p, &s->servers[i]->latency, i);
    fputs("</svg>\n", f);
}

/* ---- deliveries over time ---- */

bool report_has_timeline(const scenario_result *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->servers[i]->deliveries_per_s > 0 && s->servers[i]->seconds > 0)
            return true;
    return false;
}

/* How many points: 60, or fewer when each would hold only a few events. A divisor of the slots. */
static size_t points_of(const result *r)
{
    static const size_t choices[] = {60, 40, 30, 20, 12, 10};
    double events = r->events_per_s > 0 ? r->events_per_s * r->seconds : 1e9;
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
        if (events / (double)choices[i] >= 5)
            return choices[i];
    return 6;
}

static double point(const result *r, size_t points, size_t i)
{
    uint64_t sum = 0;
    size_t each = ENGINE_SLOTS / points;
    for (size_t k = 0; k < each; k++)
        sum += r->slots[i * each + k];
    return (double)sum * (double)points / r->seconds;
}

/* 1, 2 or 5 times a power of ten, such that about four steps reach `most`. */
static double step_for(double most)
{
    double unit = pow(10, floor(log10(most / 4)));
    double steps = most / 4 / unit;
    return unit * (steps <= 1 ? 1 : steps <= 2 ? 2 : steps <= 5 ? 5 : 10);
}

static void timeline_curve(const plot *p, const result *r, size_t server)
{
    size_t points = points_of(r);
    fprintf(p->f, "<polyline class=\"s%zu\" points=\"", server);
    for (size_t i = 0; i < points; i++)
        fprintf(p->f, "%.1f,%.1f ", place_x(p, ((double)i + 0.5) / (double)points * r->seconds),
                place_y(p, point(r, points, i)));
    fputs("\"/>\n", p->f);
}

void report_timeline(FILE *f, const scenario_result *s)
{
    plot p = {.f = f, .x_max = 0.1, .y_max = 1};
    char text[32];
    for (size_t i = 0; i < s->n; i++) {
        const result *r = s->servers[i];
        if (r->deliveries_per_s < 0 || r->seconds <= 0)
            continue;
        p.x_max = fmax(p.x_max, r->seconds);
        for (size_t k = 0, points = points_of(r); k < points; k++)
            p.y_max = fmax(p.y_max, point(r, points, k));
    }
    double step = step_for(p.y_max), seconds = step_for(p.x_max);
    p.y_max = ceil(p.y_max / step) * step;
    begin(&p, "deliveries a second over time");
    for (double y = 0; y <= p.y_max * 1.001; y += step) {
        report_number(text, y);
        grid_y(&p, y, text);
    }
    bool odd = false;
    for (double x = 0; x <= p.x_max * 1.001; x += seconds, odd = !odd) {
        snprintf(text, sizeof text, "%.3g s", x);
        grid_x(&p, x, odd, text);
    }
    name_x(&p, "deliveries a second over the measured time");
    for (size_t i = 0; i < s->n; i++)
        if (s->servers[i]->deliveries_per_s >= 0 && s->servers[i]->seconds > 0)
            timeline_curve(&p, s->servers[i], i);
    fputs("</svg>\n", f);
}
