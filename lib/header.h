/* Header lines of HTTP, "Name: value" (RFC 9110, sections 5.1 and 5.6.2). */
#ifndef SSE__HEADER_H
#define SSE__HEADER_H

#include "sync.h"

static inline bool sse__is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 3986, "unreserved": what a URL holds as it is. */
static inline bool sse__is_unreserved(char c)
{
    return sse__is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* True for "Name: value", "Name:value" and "Name:" with a name that is a token and no CR or LF
 * anywhere. */
SSE_INTERNAL bool sse__header_valid(const char *line);
/* True when the line's name is `name` (case does not matter). */
SSE_INTERNAL bool sse__header_is(const char *line, const char *name);
/* The value of a valid line, without the blanks before it. */
SSE_INTERNAL const char *sse__header_value(const char *line);

/* True for a content type that is text/event-stream, parameters allowed, in any case of letters. NULL is not. */
SSE_INTERNAL bool sse__is_event_stream(const char *content_type);

/* True for a token of HTTP: methods, header names. */
SSE_INTERNAL bool sse__is_token(const char *s, size_t n);

#endif
