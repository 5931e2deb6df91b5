/* What a listening socket tells of itself; for the library, and for the program, which is passed sockets. Any thread, no state. */
#ifndef SSE__SOCKET_H
#define SSE__SOCKET_H

#include <stdbool.h>
#include <stddef.h>

/* True for a stream socket that listens. */
bool sse__socket_is_listening(int fd);
/* True for a unix socket. */
bool sse__socket_is_unix(int fd);
/* Where it is bound, in the form of sse_server_listen(): "127.0.0.1:80", "[::1]:80", "unix:PATH"; a name without a file begins with
 * '@'. Cut to fit; "" when nobody knows. out may be NULL when size is 0. */
void sse__socket_address(int fd, char *out, size_t size);

#endif
