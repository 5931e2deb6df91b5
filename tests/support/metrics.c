/* A strict reader of Prometheus' text format.
 *
 * One thread at a time. The text is taken line by line: a family begins with its HELP, then comes its TYPE, then its series, all
 * together. What promtool warns of is an error here: a counter without _total, a name that another unit or type sneaked into. */
#include "metrics.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct series {
    char *name; /* with its labels */
    double value;
    bool counts; /* of a counter or a histogram */
} series;

struct metrics {
    char *text;
    series *list;
    size_t n;
    char **families;
    size_t nfamilies;
    const char *type; /* of the current family */
    double le;        /* of the last bucket of the current histogram */
    double cumulated; /* in it */
};

static bool wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return false;
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static size_t name_length(const char *s)
{
    size_t n = 0;
    while (isalpha((unsigned char)s[n]) || s[n] == '_' || s[n] == ':' ||
           (n > 0 && isdigit((unsigned char)s[n])))
        n++;
    return n;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* ---- families ---- */

static bool check_family_name(const char *name, const char *type)
{
    static const char *const bad[] = {"_milliseconds", "_ms",      "_us",    "_minutes",
                                      "_kilobytes",    "_counter", "_gauge", "_histogram"};
    bool counter = strcmp(type, "counter") == 0;
    if (name[name_length(name)] != '\0')
        return wrong("'%s' is no name", name);
    if (counter != ends_with(name, "_total"))
        return wrong("%s is a %s", name, type);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (strstr(name, bad[i]))
            return wrong("%s holds %s", name, bad[i]);
    if (ends_with(name, "_sum") || ends_with(name, "_count") || ends_with(name, "_bucket"))
        return wrong("%s looks like a part of a histogram", name);
    return true;
}

/* "NAME REST" behind "# HELP ". */
static bool begin_family(metrics *m, char *line)
{
    char *space = strchr(line, ' ');
    if (!space || space[1] == '\0')
        return wrong("no help: %s", line);
    *space = '\0';
    for (size_t i = 0; i < m->nfamilies; i++)
        if (strcmp(m->families[i], line) == 0)
            return wrong("%s is there twice", line);
    m->families = must(realloc(m->families, (m->nfamilies + 1) * sizeof *m->families));
    m->families[m->nfamilies++] = line;
    m->type = NULL;
    return true;
}

static bool set_type(metrics *m, char *line)
{
    char *space = strchr(line, ' ');
    if (!space || m->nfamilies == 0)
        return wrong("TYPE without HELP: %s", line);
    *space = '\0';
    m->type = space + 1;
    m->le = -INFINITY;
    m->cumulated = 0;
    if (strcmp(line, m->families[m->nfamilies - 1]) != 0)
        return wrong("TYPE of %s without its HELP", line);
    if (strcmp(m->type, "counter") != 0 && strcmp(m->type, "gauge") != 0 &&
        strcmp(m->type, "histogram") != 0)
        return wrong("type %s", m->type);
    return check_family_name(line, m->type);
}

/* ---- series ---- */

/* {name="value",...}; *end is behind it. */
static bool check_labels(const char *at, const char **end)
{
    do {
        at++;
        size_t n = name_length(at);
        if (n == 0 || at[n] != '=' || at[n + 1] != '"')
            return wrong("labels: %s", at);
        for (at += n + 2; *at != '"'; at++) {
            if (*at == '\\' && !strchr("\\\"n", *++at))
                return wrong("an escape: %s", at);
            if (*at == '\0')
                return wrong("a label has no end");
        }
        at++;
    } while (*at == ',');
    *end = at + 1;
    return *at == '}' || wrong("labels: %s", at);
}

static bool check_bucket(metrics *m, const char *line, double value)
{
    const char *le = strstr(line, "{le=\"");
    if (!le)
        return wrong("a bucket without a bound: %s", line);
    double bound = strtod(le + 5, NULL);
    if (bound <= m->le || value < m->cumulated)
        return wrong("buckets go up: %s", line);
    m->le = bound;
    m->cumulated = value;
    return true;
}

/* Does a series of this name (n bytes) belong to the current family? */
static bool belongs(metrics *m, const char *line, size_t n, double value)
{
    const char *family = m->families[m->nfamilies - 1];
    size_t len = strlen(family);
    if (n < len || strncmp(line, family, len) != 0)
        return wrong("%.*s is among %s", (int)n, line, family);
    const char *rest = line + len;
    if (strcmp(m->type, "histogram") != 0)
        return n == len || wrong("%.*s is among %s", (int)n, line, family);
    if (strncmp(rest, "_bucket", n - len) == 0 && n - len == 7)
        return check_bucket(m, line, value);
    if (strncmp(rest, "_count", n - len) == 0 && n - len == 6)
        return (isinf(m->le) && value == m->cumulated) || wrong("not the last bucket: %s", line);
    return (strncmp(rest, "_sum", n - len) == 0 && n - len == 4) || wrong("%s", line);
}

static bool add_series(metrics *m, char *line)
{
    size_t n = name_length(line);
    const char *at = line + n;
    char *end;
    if (n == 0 || !m->type)
        return wrong("no series, or without TYPE: %s", line);
    if (*at == '{' && !check_labels(at, &at))
        return false;
    if (*at != ' ')
        return wrong("no value: %s", line);
    double value = strtod(at + 1, &end);
    if (end == at + 1 || *end || isspace((unsigned char)at[1]) || isnan(value) || value < 0)
        return wrong("no value: %s", line);
    if (!belongs(m, line, n, value))
        return false;
    line[at - line] = '\0';
    if (metrics_value(m, line) != -1)
        return wrong("%s is there twice", line);
    m->list = must(realloc(m->list, (m->n + 1) * sizeof *m->list));
    m->list[m->n++] = (series){line, value, strcmp(m->type, "gauge") != 0};
    return true;
}

static bool take_line(metrics *m, char *line)
{
    if (strncmp(line, "# HELP ", 7) == 0)
        return begin_family(m, line + 7);
    if (strncmp(line, "# TYPE ", 7) == 0)
        return set_type(m, line + 7);
    return add_series(m, line);
}

/* ---- the whole ---- */

metrics *metrics_parse(const char *text)
{
    metrics *m = must(calloc(1, sizeof *m));
    m->text = must(strdup(text));
    bool ok = true;
    char *line = m->text, *end;
    for (; ok && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        ok = take_line(m, line);
    }
    if (ok && *line)
        ok = wrong("the last line has no end: %s", line);
    if (ok)
        return m;
    metrics_free(m);
    return NULL;
}

void metrics_free(metrics *m)
{
    if (!m)
        return;
    free(m->list);
    free(m->families);
    free(m->text);
    free(m);
}

double metrics_value(const metrics *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->list[i].name, name) == 0)
            return m->list[i].value;
    return -1;
}

size_t metrics_count(const metrics *m, const char *prefix)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += strncmp(m->list[i].name, prefix, strlen(prefix)) == 0;
    return n;
}

bool metrics_grew(const metrics *before, const metrics *after)
{
    for (size_t i = 0; i < before->n; i++) {
        const series *s = &before->list[i];
        double now = metrics_value(after, s->name);
        if (s->counts && now < s->value)
            return wrong("%s went from %.9g to %.9g", s->name, s->value, now);
    }
    return true;
}
