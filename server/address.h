/* Addresses of peers: as text, as what limits count by, and ranges of them. No state. */
#ifndef SSE__ADDRESS_H
#define SSE__ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* The text without port; "unix"; "unknown". NULL is fine. */
#define SSE__ADDRESS_MAX 64
void sse__address_format(const struct sockaddr *address, char out[SSE__ADDRESS_MAX]);
/* Does the peer sit on this machine, by its address? A unix socket's does not count: no browser can use one. NULL is fine. */
bool sse__address_is_loopback(const struct sockaddr *address);

/* Who a peer is to limits: its IPv4 address, in whatever way it has come; the first 64 bits of an IPv6 address, because whoever has
 * one has all of these; but the whole of a link-local one, because there all neighbours share the 64 bits. */
typedef struct sse__peer {
    uint64_t high, low;
} sse__peer;
/* False when it has no address: a unix socket. */
bool sse__peer_of(const struct sockaddr *address, sse__peer *out);

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32". */
typedef struct sse__range {
    uint8_t first[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint32_t bits;     /* so many count */
} sse__range;
/* A range; or "loopback", which is two; or "none". Returns how many, or -1 when the text (NULL is fine) is none of these. */
int sse__ranges_parse(const char *text, sse__range out[2]);
bool sse__range_has(const sse__range *range, const struct sockaddr *address);

#endif
