/* How sse-sub writes an event. */
#ifndef SSE_PRINT_H
#define SSE_PRINT_H

#include "tool.h"

typedef enum print_format { PRINT_DATA = 0, PRINT_SSE, PRINT_JSON } print_format;

/* Append an event to a buffer: its data and a line end; wire format; or one JSON object and a line
 * end, with the stream's name unless that is NULL. */
void print_event(tool_buffer *out, print_format format, const sse_event *event, const char *stream);

#endif
