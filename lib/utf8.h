/* Validation and repair of UTF-8, as the WHATWG decoder does it. */
#ifndef SSE__UTF8_H
#define SSE__UTF8_H

#include "sync.h"

/* How many bytes at the start are valid UTF-8; n when all are.
 * Thread:  any. */
SSE_INTERNAL size_t sse__utf8_valid_prefix(const char *s, size_t n);

/* What the text takes when every invalid sequence (a maximal subpart) is replaced by U+FFFD. Never
 * less than n.
 * Thread:  any. */
SSE_INTERNAL size_t sse__utf8_repaired_size(const char *s, size_t n);

/* Write the repaired text, sse__utf8_repaired_size() bytes, to out. `in` may be the last n bytes of
 * the room at out: output never overtakes input, because no replacement is shorter than what it
 * replaces.
 * Thread:  any. */
SSE_INTERNAL void sse__utf8_repair(const char *in, size_t n, char *out);

#endif
