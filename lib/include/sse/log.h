/* Log callback. The library never prints; what it has to tell goes here. */
#ifndef SSE_LOG_H
#define SSE_LOG_H

#include <sse/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much is told, and how important a line is. */
typedef enum sse_log_level {
    SSE_LOG_DEFAULT = 0, /* info */
    SSE_LOG_ERROR,
    SSE_LOG_WARN,
    SSE_LOG_INFO,
    SSE_LOG_DEBUG
} sse_log_level;

/* Receives one line without a line end. Called from any thread of the library, several at once,
 * never under a lock. */
typedef void (*sse_log_fn)(void *user, sse_log_level level, const char *line);

/* Where the lines go. */
typedef struct sse_logger {
    sse_log_fn fn;       /* NULL: no logging */
    void *user;          /* passed to fn */
    sse_log_level level; /* lines above this level are not made */
    int reserved;
} sse_logger;

/* "error", "warn", "info", "debug". */
SSE_API const char *sse_log_level_name(sse_log_level level);

#ifdef __cplusplus
}
#endif
#endif
