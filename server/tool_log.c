/* Log lines of sse-server.
 *
 * Level and format are the whole state, both atomic, because SIGHUP may change them while I/O
 * threads log. A line is composed in memory of its own and leaves in one write(), so that lines of
 * several threads do not mix. */
#include "tool_log.h"

#include "json.h"
#include "tool.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int chosen_format = LOG_TEXT;
static atomic_int chosen_level = SSE_LOG_INFO;

void log_configure(log_format format, sse_log_level level)
{
    atomic_store(&chosen_format, (int)format);
    atomic_store(&chosen_level, level == SSE_LOG_DEFAULT ? (int)SSE_LOG_INFO : (int)level);
}

bool log_wants(sse_log_level level) { return (int)level <= atomic_load(&chosen_level); }

/* ---- JSON ---- */

/* RFC 3339, in UTC, to the millisecond. */
static void add_time(sse__text *out)
{
    struct timespec now;
    struct tm utc;
    char date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    sse__text_addf(out, "\"%s.%03ldZ\"", date, now.tv_nsec / 1000000);
}

static void add_member(sse__text *out, const char *name, const char *value)
{
    sse__text_addf(out, ",\"%s\":", name);
    sse__text_json(out, value, strlen(value));
}

static void compose_json(sse__text *out, sse_log_level level, const char *message,
                         const log_field *fields, size_t n)
{
    sse__text_add(out, "{\"time\":");
    add_time(out);
    add_member(out, "level", sse_log_level_name(level));
    add_member(out, "message", message);
    for (size_t i = 0; i < n; i++)
        add_member(out, fields[i].name, fields[i].value);
    sse__text_add(out, "}\n");
}

/* ---- text ---- */

/* What peers sent may be part of a line; it shall not look like another line, nor drive a
 * terminal. */
static void add_on_one_line(sse__text *out, const char *s)
{
    for (; *s; s++)
        sse__text_add_bytes(out, (unsigned char)*s < 0x20 || *s == 0x7f ? "?" : s, 1);
}

/* In quotes where its end could not be seen otherwise. */
static void add_value(sse__text *out, const char *value)
{
    if (*value && !strpbrk(value, " \"\\=")) {
        add_on_one_line(out, value);
        return;
    }
    sse__text_add(out, "\"");
    for (; *value; value++) {
        char one[3] = {*value, '\0', '\0'};
        if (*value == '"' || *value == '\\') {
            one[0] = '\\';
            one[1] = *value;
        }
        add_on_one_line(out, one);
    }
    sse__text_add(out, "\"");
}

static void compose_text(sse__text *out, sse_log_level level, const char *message,
                         const log_field *fields, size_t n)
{
    sse__text_addf(out, "sse-server: %s: ", sse_log_level_name(level));
    add_on_one_line(out, message);
    for (size_t i = 0; i < n; i++) {
        sse__text_addf(out, " %s=", fields[i].name);
        add_value(out, fields[i].value);
    }
    sse__text_add(out, "\n");
}

void log_line(sse_log_level level, const log_field *fields, size_t n, const char *format, ...)
{
    if (!log_wants(level))
        return;
    char message[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    sse__text line = {0};
    if (atomic_load(&chosen_format) == LOG_JSON)
        compose_json(&line, level, message, fields, n);
    else
        compose_text(&line, level, message, fields, n);
    if (!line.failed) /* without memory a line is lost, but not the server */
        (void)!tool_write(STDERR_FILENO, line.ptr, line.len);
    sse__text_fini(&line);
}
