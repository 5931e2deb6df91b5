/* Small string work for requests: the URL with its stream parameter, and header lines. */
#ifndef SSE__URL_H
#define SSE__URL_H

#include <sse/error.h>
#include <stdbool.h>
#include <stddef.h>

/* A new string: url with NAME=VALUE appended to its query, VALUE percent-encoded; the fragment is
 * dropped, it is never sent. value NULL: url without its fragment. NULL: no memory. The caller
 * frees. */
char *sse__url_with(const char *url, const char *name, const char *value);

/* True for "Name: value", "Name:value" and "Name:" with a name that is a token and no CR or LF
 * anywhere. */
bool sse__header_valid(const char *line);
/* True when the line's name is `name` (case does not matter). */
bool sse__header_is(const char *line, const char *name);
/* The value of a valid line, without the blanks before it. */
const char *sse__header_value(const char *line);

/* True for a token of HTTP: methods, header names. */
bool sse__is_token(const char *s, size_t n);

#endif
