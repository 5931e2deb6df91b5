/* The log of sse-server: lines on stderr, as text or as JSON. Thread: any, after log_configure(). */
#ifndef SSE_TOOL_LOG_H
#define SSE_TOOL_LOG_H

#include <sse/log.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum log_format { LOG_TEXT, LOG_JSON } log_format;

/* A value that belongs to a line, such as the peer's address. */
typedef struct log_field {
    const char *name;
    const char *value;
} log_field;

/* May be called again while other threads log. SSE_LOG_DEFAULT is info. */
void log_configure(log_format format, sse_log_level level);

/* Is a line of this level written? */
bool log_wants(sse_log_level level);

/* One line, in one write. Text: "sse-server: LEVEL: MESSAGE name=value …". JSON: an object with
 * time, level, message and the fields, valid whatever bytes they hold. */
void log_line(sse_log_level level, const log_field *fields, size_t n, const char *format, ...)
    SSE_PRINTF(4, 5);

#define log_error(...) log_line(SSE_LOG_ERROR, NULL, 0, __VA_ARGS__)
#define log_warn(...) log_line(SSE_LOG_WARN, NULL, 0, __VA_ARGS__)
#define log_info(...) log_line(SSE_LOG_INFO, NULL, 0, __VA_ARGS__)

#endif
