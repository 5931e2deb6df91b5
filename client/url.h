/* The URL of a request, with its stream parameter. */
#ifndef SSE__URL_H
#define SSE__URL_H

#include <sse/error.h>
#include <stdbool.h>
#include <stddef.h>

/* A new string: url with NAME=VALUE appended to its query, VALUE percent-encoded; the fragment is
 * dropped, it is never sent. value NULL: url without its fragment. NULL: no memory. The caller
 * frees. */
char *sse__url_with(const char *url, const char *name, const char *value);

/* How often the query of url names this parameter. */
size_t sse__url_count(const char *url, const char *name);

#endif
