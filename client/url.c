/* The URL of a request. Pure functions. */
#include "url.h"

#include "header.h"

#include <stdlib.h>
#include <string.h>

/* Everything but "unreserved" is encoded, so that no name can break out of its parameter. */
static char *append_encoded(char *to, const char *s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *s; s++) {
        if (sse__is_unreserved(*s)) {
            *to++ = *s;
            continue;
        }
        *to++ = '%';
        *to++ = hex[(unsigned char)*s >> 4];
        *to++ = hex[(unsigned char)*s & 15];
    }
    return to;
}

static const char *separator(const char *url, size_t n)
{
    const char *query = memchr(url, '?', n);
    if (!query)
        return "?";
    char last = url[n - 1];
    return last == '?' || last == '&' ? "" : "&";
}

char *sse__url_with(const char *url, const char *name, const char *value)
{
    size_t n = strcspn(url, "#");
    size_t room = n + 3 + (value ? strlen(name) + 3 * strlen(value) : 0);
    char *out = malloc(room);
    if (!out)
        return NULL;
    memcpy(out, url, n);
    char *at = out + n;
    if (value) {
        at = stpcpy(at, separator(url, n));
        at = stpcpy(at, name);
        *at++ = '=';
        at = append_encoded(at, value);
    }
    *at = '\0';
    return out;
}

size_t sse__url_count(const char *url, const char *name)
{
    size_t n = strlen(name), count = 0;
    for (const char *at = strchr(url, '?'); at; at = strchr(at, '&')) {
        at++;
        count += strncmp(at, name, n) == 0 && at[n] == '=';
    }
    return count;
}
