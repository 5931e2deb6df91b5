/* Header lines and tokens of HTTP. No state, no threads. */
#include "header.h"

#include <string.h>
#include <strings.h>

bool sse__is_token(const char *s, size_t n)
{
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!sse__is_alnum(s[i]) && (s[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", s[i])))
            return false;
    return true;
}

bool sse__header_valid(const char *line)
{
    size_t name = strcspn(line, ":");
    return line[name] == ':' && sse__is_token(line, name) && !strpbrk(line, "\r\n");
}

bool sse__header_is(const char *line, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

const char *sse__header_value(const char *line)
{
    const char *value = strchr(line, ':') + 1;
    return value + strspn(value, " \t");
}

bool sse__is_event_stream(const char *content_type)
{
    static const char want[] = "text/event-stream";
    if (!content_type)
        return false;
    content_type += strspn(content_type, " \t");
    if (strncasecmp(content_type, want, sizeof want - 1) != 0)
        return false;
    const char *rest = content_type + sizeof want - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}
