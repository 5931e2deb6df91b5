/* What the kernel knows of a connection's peer. */
#ifndef SSE__PEER_H
#define SSE__PEER_H

#include <stdbool.h>
#include <stdint.h>

/* Has the peer, or the network to it, gone without a word? True when it has acknowledged nothing for so long although something
 * was sent that it would have to acknowledge. A peer that merely reads nothing still acknowledges, so it is not gone. Never true
 * for sockets other than TCP. */
bool sse__peer_vanished(int fd, uint32_t limit_ms);

/* Have the kernel ask peers of idle connections whether they are still there, and end those that say nothing: after two minutes.
 * On a listening socket it holds for the connections that it accepts. */
void sse__peer_keepalive(int fd);

#endif
