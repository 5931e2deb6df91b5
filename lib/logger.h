/* Formats a line and hands it to the user's log callback. */
#ifndef SSE__LOGGER_H
#define SSE__LOGGER_H

#include "sync.h"

#include <sse/log.h>

/* True when a line of this level would be taken. */
SSE_INTERNAL bool sse__log_wants(const sse_logger *logger, sse_log_level level);

/* Lines are cut at 1 KiB; control characters become '?'.
 * Thread:  any; no lock may be held. */
SSE_INTERNAL void sse__log(const sse_logger *logger, sse_log_level level, const char *format, ...)
    SSE_PRINTF(3, 4);

#endif
