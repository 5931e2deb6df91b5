/* Origins and host names that a user lists are compared with what clients send, character by character. One that is written in another
 * way than clients do ("https://a.example/", "a.example:443") would match nothing, and nobody would know why: so it is refused, with a
 * word on what is wrong. No threads. */
#include "origin.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char digits[] = "0123456789";

static bool consists_of(const char *s, size_t n, const char *more)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(alphabet, s[i]) && !strchr(digits, s[i]) && !strchr(more, s[i]))
            return false;
    return n > 0;
}

/* How long the host at the start is, an IPv6 address with its brackets. */
static size_t host_length(const char *s)
{
    size_t n = *s == '[' ? strcspn(s, "]") : strcspn(s, ":");
    return n + (s[n] == ']');
}

static bool good_host(const char *host, size_t n)
{
    if (n > 2 && *host == '[')
        return host[n - 1] == ']' && consists_of(host + 1, n - 2, ":.");
    return consists_of(host, n, "-._");
}

static bool is_default_port(const char *scheme, size_t n, const char *port)
{
    return (n == 5 && strncasecmp(scheme, "https", n) == 0 && strcmp(port, ":443") == 0) ||
           (n == 4 && strncasecmp(scheme, "http", n) == 0 && strcmp(port, ":80") == 0);
}

const char *sse__origin_problem(const char *origin)
{
    static const char form[] = "it is no origin, as https://example.org or http://localhost:3000";
    if (!origin)
        return form;
    if (strcmp(origin, "*") == 0 || strcmp(origin, "null") == 0)
        return NULL;
    const char *host = strstr(origin, "://");
    if (!host || !strchr(alphabet, *origin) || !consists_of(origin, (size_t)(host - origin), "+-."))
        return form;
    size_t scheme_len = (size_t)(host - origin);
    host += 3;
    if (strchr(host, '*'))
        return "there is no other wildcard than * alone";
    if (*host != '/' && strpbrk(host, "/?#"))
        return "an origin ends with the host or its port, without a path or a slash";
    size_t n = host_length(host);
    const char *port = host + n;
    if (!good_host(host, n) ||
        (*port != '\0' && (*port != ':' || port[1] == '\0' || port[1 + strspn(port + 1, digits)])))
        return form;
    if (is_default_port(origin, scheme_len, port))
        return "browsers leave out the port that is the scheme's own";
    return NULL;
}

const char *sse__host_name_problem(const char *name)
{
    struct in6_addr address;
    if (name && (strcmp(name, "*") == 0 || inet_pton(AF_INET6, name, &address) == 1))
        return NULL;
    if (name && strchr(name, '*'))
        return "there is no other wildcard than * alone";
    size_t n = name ? strlen(name) : 0;
    if (!name || !consists_of(name, n, "-._") || name[n - 1] == '.')
        return "it is no host's name, which has no scheme, no port, no path and no dot at its end";
    return NULL;
}
