/* The protocol between a service manager and its services, spoken without libsystemd: environment
 * variables, inherited descriptors and datagrams. It works the same under anything else that sets
 * these variables. */
#include "tool_service.h"

#include "socket.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Is the variable this process's id? */
static bool is_mine(const char *pid)
{
    uint64_t n;
    return pid && tool_set_u64(&n, pid) && n == (uint64_t)getpid();
}

/* ---- sockets ---- */

int service_sockets(void)
{
    const char *fds = getenv("LISTEN_FDS");
    bool mine = fds && is_mine(getenv("LISTEN_PID"));
    uint64_t n = 0;
    bool good = !mine || (tool_set_u64(&n, fds) && n <= 1024);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (int i = 0; good && i < (int)n; i++)
        good = fcntl(SERVICE_FIRST_FD + i, F_SETFD, FD_CLOEXEC) == 0;
    return good ? (int)n : -1;
}

void service_socket_address(int fd, char *out, size_t size)
{
    *out = '\0';
    if (sse__socket_is_listening(fd))
        sse__socket_address(fd, out, size);
}

/* ---- notifications ---- */

static void send_to_manager(const char *path, const char *text, size_t n)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if ((*path != '/' && *path != '@') || length >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, length);
    if (*path == '@') /* a name of the kernel's, without a file */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    while (sendto(fd, text, n, MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0 &&
           errno == EINTR)
        ;
    close(fd);
}

void service_notify(const char *format, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    char text[1024];
    if (!path)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    send_to_manager(path, text, strlen(text));
}

uint64_t service_watchdog_ns(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t us = 0;
    const char *value = getenv("WATCHDOG_USEC");
    if (!value || (pid && !is_mine(pid)) || !tool_set_u64(&us, value))
        return 0;
    return us / 2 * 1000; /* twice as often as asked, as is usual */
}
