/* Bearer tokens from a file, one a line (RFC 6750). */
#ifndef SSE_TOKENS_H
#define SSE_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tokens {
    char **list;
    size_t n;
} tokens;

/* Read a file; empty lines and lines that start with # do not count. Returns false with errno set
 * (EINVAL: no token in it). */
bool tokens_load(tokens *t, const char *path);
void tokens_free(tokens *t);
/* The token in an Authorization header; NULL when there is none. */
const char *tokens_bearer(const char *authorization);
/* Is this one of them? NULL is none. Takes the same time whatever the token given. */
bool tokens_have(const tokens *t, const char *given);
/* Does an Authorization header (or NULL) carry one of them? */
bool tokens_match(const tokens *t, const char *authorization);

#endif
