/* Where results go; see output.h. A file named `-` is stdout, which belongs to it alone then: tables go to
 * stderr. Whoever closes the other end of stdout has read enough, as with head(1): no failure. */
#include "output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_stdout(const char *path) { return path && strcmp(path, "-") == 0; }

/* ---- before ---- */

/* The directory in which a file would be made. */
static bool has_directory(const char *path)
{
    char *copy = tool_must(strdup(path));
    char *slash = strrchr(copy, '/');
    if (slash)
        slash[slash == copy ? 1 : 0] = '\0';
    bool ok = access(slash ? copy : ".", W_OK) == 0;
    int saved = errno;
    free(copy);
    errno = saved;
    return ok;
}

/* Without opening it: a pipe's reader would take the close for the end. */
static bool can_write(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT && has_directory(path);
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return false;
    }
    return access(path, W_OK) == 0;
}

static int check(const bench *b, const char *option, const char *path)
{
    if (!path || is_stdout(path) || can_write(path))
        return TOOL_GO_ON;
    return tool_misuse(b->tool, "option '--%s': %s: %s", option, path, strerror(errno));
}

int output_check(bench *b)
{
    const char *json = b->options->json, *report = b->options->report;
    b->out = is_stdout(json) || is_stdout(report) ? stderr : stdout;
    if (is_stdout(json) && is_stdout(report))
        return tool_misuse(b->tool, "options '--json' and '--report' cannot both have stdout");
    int code = check(b, "json", json);
    return code == TOOL_GO_ON ? check(b, "report", report) : code;
}

/* ---- tables ---- */

/* Keep the first reason. */
static void flush(bench *b)
{
    errno = 0;
    bool ok = fflush(b->out) == 0 && !ferror(b->out);
    if (!ok && b->out_error == 0)
        b->out_error = errno ? errno : EIO;
}

void output_scenario(bench *b, const scenario_result *s)
{
    bool any = false;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < nmetrics; k++)
            any = any || metric_of(s->servers[i], &metrics[k]) >= 0;
    if (any)
        results_print(s, b->out);
    flush(b);
}

void output_line(bench *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(b->out, format, args);
    va_end(args);
    fputc('\n', b->out);
    flush(b);
}

/* ---- files ---- */

static bool failed(const bench *b, const char *path, int error)
{
    if (error == EPIPE && is_stdout(path))
        return false;
    tool_say(b->tool, "%s: %s", is_stdout(path) ? "stdout" : path, strerror(error));
    return true;
}

static bool written(const bench *b, bool (*write)(const results *, FILE *), const char *path)
{
    errno = 0;
    FILE *f = is_stdout(path) ? stdout : fopen(path, "w");
    bool ok = f && write(&b->all, f);
    if (f && f != stdout)
        ok = fclose(f) == 0 && ok;
    return ok || !failed(b, path, errno ? errno : EIO);
}

int output_write(bench *b, int code)
{
    const char *json = b->options->json, *report = b->options->report;
    bool ok = b->out_error == 0 || !failed(b, "-", b->out_error);
    if (json && !written(b, results_write_json, json))
        ok = false;
    if (report && !written(b, results_write_report, report))
        ok = false;
    return ok ? code : TOOL_UNAVAILABLE;
}
