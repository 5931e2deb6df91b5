/* Listening sockets, looked at. Any thread, no state. */
#include "socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

bool sse__socket_is_listening(int fd)
{
    return option(fd, SO_TYPE) == SOCK_STREAM && option(fd, SO_ACCEPTCONN) == 1;
}

bool sse__socket_is_unix(int fd) { return option(fd, SO_DOMAIN) == AF_UNIX; }

/* A path that takes all the room there is comes without a NUL; a name without a file begins with one. */
static void describe_unix(const struct sockaddr_un *address, char *out, size_t size)
{
    const char *path = address->sun_path;
    size_t room = sizeof address->sun_path;
    if (*path)
        snprintf(out, size, "unix:%.*s", (int)room, path);
    else
        snprintf(out, size, "unix:@%.*s", (int)(room - 1), path + 1);
}

void sse__socket_address(int fd, char *out, size_t size)
{
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_storage room;
    } address;
    socklen_t len = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (!out || size == 0)
        return;
    *out = '\0';
    memset(&address, 0, sizeof address);
    if (getsockname(fd, &address.any, &len) != 0)
        return;
    if (address.any.sa_family == AF_UNIX)
        describe_unix(&address.un, out, size);
    else if (getnameinfo(&address.any, len, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
