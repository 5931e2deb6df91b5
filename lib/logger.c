/* Log lines: level check, formatting, the user's callback. No state. */
#include "logger.h"

#include <stdarg.h>
#include <stdio.h>

const char *sse_log_level_name(sse_log_level level)
{
    static const char *const names[] = {"info", "error", "warn", "info", "debug"};
    return (unsigned)level < sizeof names / sizeof names[0] ? names[level] : "unknown";
}

bool sse__log_wants(const sse_logger *logger, sse_log_level level)
{
    sse_log_level limit = logger->level == SSE_LOG_DEFAULT ? SSE_LOG_INFO : logger->level;
    return logger->fn && level <= limit;
}

/* What peers sent may be part of a line; it shall not look like another line, nor drive a
 * terminal. */
static void keep_on_one_line(char *line)
{
    for (; *line; line++)
        if ((unsigned char)*line < 0x20 || *line == 0x7f)
            *line = '?';
}

void sse__log(const sse_logger *logger, sse_log_level level, const char *format, ...)
{
    if (!sse__log_wants(logger, level))
        return;
    sse__assert_no_locks();
    char line[1024] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    keep_on_one_line(line);
    logger->fn(logger->user, level, line);
}
