/* sse-server and the service manager that started it: sockets it passed on (LISTEN_FDS), and what it
 * wants to be told (NOTIFY_SOCKET, WATCHDOG_USEC). See sd_listen_fds(3) and sd_notify(3). One
 * thread. */
#ifndef SSE_TOOL_SERVICE_H
#define SSE_TOOL_SERVICE_H

#include <sse/export.h>
#include <stddef.h>
#include <stdint.h>

enum { SERVICE_FIRST_FD = 3 };

/* How many sockets were passed on, from SERVICE_FIRST_FD on: 0 when none, or when they are another
 * process's; -1 when LISTEN_FDS makes no sense. Programs that this one starts inherit none. */
int service_sockets(void);

/* Where a passed socket listens, in the form of --listen ("127.0.0.1:80", "[::]:80", "unix:PATH");
 * "" when it is no listening stream socket. */
void service_socket_address(int fd, char *out, size_t size);

/* Tell the service manager; several assignments are separated by line ends. Does nothing without
 * one. */
void service_notify(const char *format, ...) SSE_PRINTF(1, 2);

/* Every how many nanoseconds WATCHDOG=1 is to be sent; 0: not at all. */
uint64_t service_watchdog_ns(void);

#endif
