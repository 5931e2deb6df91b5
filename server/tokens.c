/* Bearer tokens of sse-server. Read once at the start, only read afterwards: any thread. */
#include "tokens.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool add(tokens *t, const char *line)
{
    char **list = realloc(t->list, (t->n + 1) * sizeof *list);
    if (!list)
        return false;
    t->list = list;
    t->list[t->n] = strdup(line);
    if (!t->list[t->n])
        return false;
    t->n++;
    return true;
}

bool tokens_load(tokens *t, const char *path)
{
    *t = (tokens){0};
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char *line = NULL;
    size_t size = 0;
    bool ok = true;
    while (ok && getline(&line, &size, file) >= 0) {
        for (size_t n = strlen(line); n > 0 && strchr(" \t\r\n", line[n - 1]); n--)
            line[n - 1] = '\0';
        if (*line && *line != '#')
            ok = add(t, line);
    }
    ok = ok && !ferror(file);
    free(line);
    fclose(file);
    if (ok && t->n == 0) {
        errno = EINVAL;
        ok = false;
    }
    if (!ok)
        tokens_free(t);
    return ok;
}

void tokens_free(tokens *t)
{
    int error = errno;
    for (size_t i = 0; i < t->n; i++)
        free(t->list[i]);
    free(t->list);
    *t = (tokens){0};
    errno = error;
}

/* The time depends on the length of the given token only. */
static bool equal(const char *token, const char *given, size_t given_len)
{
    size_t len = strlen(token);
    unsigned difference = len != given_len;
    for (size_t i = 0; i < given_len; i++)
        difference |= (unsigned char)(token[len ? i % len : 0] ^ given[i]);
    return difference == 0;
}

const char *tokens_bearer(const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    return authorization + 7 + strspn(authorization + 7, " ");
}

bool tokens_have(const tokens *t, const char *given)
{
    size_t len = given ? strlen(given) : 0;
    bool found = false;
    for (size_t i = 0; i < t->n && given; i++)
        found |= equal(t->list[i], given, len);
    return found;
}

bool tokens_match(const tokens *t, const char *authorization)
{
    return tokens_have(t, tokens_bearer(authorization));
}
