/* Addresses of peers.
 *
 * Any thread. An IPv4 client of a socket that takes both is the same client as on an IPv4 socket, so everything here works on IPv6
 * addresses, and IPv4 is ::ffff:a.b.c.d. */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IPV4_AT 12 /* in such an address */
#define IPV4_BITS_AT (12 * 8)

static void map_ipv4(const struct in_addr *ipv4, struct in6_addr *out)
{
    *out = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&out->s6_addr[IPV4_AT], ipv4, sizeof *ipv4);
}

static bool to_ipv6(const struct sockaddr *address, struct in6_addr *out)
{
    if (address && address->sa_family == AF_INET)
        map_ipv4(&((const struct sockaddr_in *)(const void *)address)->sin_addr, out);
    else if (address && address->sa_family == AF_INET6)
        *out = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    else
        return false;
    return true;
}

void sse__address_format(const struct sockaddr *address, char out[SSE__ADDRESS_MAX])
{
    struct in6_addr ip;
    const char *text = "unknown";
    if (address && address->sa_family == AF_UNIX)
        text = "unix";
    else if (to_ipv6(address, &ip))
        text = IN6_IS_ADDR_V4MAPPED(&ip)
                   ? inet_ntop(AF_INET, &ip.s6_addr[IPV4_AT], out, SSE__ADDRESS_MAX)
                   : inet_ntop(AF_INET6, &ip, out, SSE__ADDRESS_MAX);
    if (text != out)
        snprintf(out, SSE__ADDRESS_MAX, "%s", text ? text : "unknown");
}

bool sse__address_is_loopback(const struct sockaddr *address)
{
    struct in6_addr ip;
    return to_ipv6(address, &ip) &&
           (IN6_IS_ADDR_LOOPBACK(&ip) || (IN6_IS_ADDR_V4MAPPED(&ip) && ip.s6_addr[IPV4_AT] == 127));
}

bool sse__peer_of(const struct sockaddr *address, sse__peer *out)
{
    struct in6_addr ip;
    if (!to_ipv6(address, &ip))
        return false;
    memcpy(&out->high, &ip.s6_addr[0], sizeof out->high);
    memcpy(&out->low, &ip.s6_addr[8], sizeof out->low);
    if (IN6_IS_ADDR_LINKLOCAL(&ip))
        out->high ^= ((const struct sockaddr_in6 *)(const void *)address)->sin6_scope_id;
    else if (!IN6_IS_ADDR_V4MAPPED(&ip))
        out->low = 0;
    return true;
}

/* ---- ranges ---- */

static bool parse_bits(const char *text, uint32_t max, uint32_t *out)
{
    size_t n = strlen(text);
    if (n == 0 || n > 3 || strspn(text, "0123456789") != n)
        return false;
    *out = (uint32_t)strtoul(text, NULL, 10);
    return *out <= max;
}

static bool parse_range(const char *text, sse__range *out)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    struct in_addr ipv4;
    struct in6_addr ip;
    bool is_ipv4 = inet_pton(AF_INET, host, &ipv4) == 1;
    if (is_ipv4)
        map_ipv4(&ipv4, &ip);
    else if (inet_pton(AF_INET6, host, &ip) != 1)
        return false;
    uint32_t before = is_ipv4 ? IPV4_BITS_AT : 0;
    out->bits = 128 - before;
    if (slash && !parse_bits(slash + 1, out->bits, &out->bits))
        return false;
    out->bits += before;
    memcpy(out->first, ip.s6_addr, sizeof out->first);
    return true;
}

int sse__ranges_parse(const char *text, sse__range out[2])
{
    if (!text)
        return -1;
    if (strcmp(text, "none") == 0)
        return 0;
    if (strcmp(text, "loopback") == 0)
        return parse_range("127.0.0.0/8", &out[0]) && parse_range("::1", &out[1]) ? 2 : -1;
    return parse_range(text, &out[0]) ? 1 : -1;
}

bool sse__range_has(const sse__range *range, const struct sockaddr *address)
{
    struct in6_addr ip;
    if (!to_ipv6(address, &ip) || memcmp(ip.s6_addr, range->first, range->bits / 8) != 0)
        return false;
    uint32_t rest = range->bits % 8;
    return rest == 0 ||
           (ip.s6_addr[range->bits / 8] ^ range->first[range->bits / 8]) >> (8 - rest) == 0;
}
