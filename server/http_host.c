/* Host headers: a defence against DNS rebinding, by which a page of another origin makes its own name mean this machine. Such a page's
 * requests carry that name; an address cannot be made to mean another one. No threads of its own. */
#include "http.h"
#include "hub.h"

#include <arpa/inet.h>
#include <strings.h>

/* The name without port, brackets and the root's dot. Returns false when it makes no sense. */
static bool take_name(const char *host, char *name, size_t size)
{
    bool brackets = *host == '[';
    const char *start = host + brackets;
    size_t n = strcspn(start, brackets ? "]" : ":");
    const char *rest = start + n + (brackets && start[n] != '\0');
    if (n == 0 || n >= size || (*rest != '\0' && *rest != ':') ||
        (*rest == ':' && rest[1 + strspn(rest + 1, "0123456789")] != '\0'))
        return false;
    if (n > 1 && start[n - 1] == '.')
        n--;
    memcpy(name, start, n);
    name[n] = '\0';
    return true;
}

static bool is_local(const char *name)
{
    struct in6_addr address;
    size_t n = strlen(name);
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1 ||
           strcasecmp(name, "localhost") == 0 ||
           (n > 10 && strcasecmp(name + n - 10, ".localhost") == 0);
}

bool sse__http_known_host(const sse_server *hub, const char *host)
{
    char name[256];
    for (size_t i = 0; i < hub->options.host_name_count; i++)
        if (strcmp(hub->host_names[i], "*") == 0)
            return true;
    if (!take_name(host, name, sizeof name))
        return false;
    for (size_t i = 0; i < hub->options.host_name_count; i++)
        if (strcasecmp(hub->host_names[i], name) == 0)
            return true;
    return is_local(name);
}
