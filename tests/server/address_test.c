/* Addresses of peers: as text, as who they are to limits, and ranges of them. */
#include "address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

typedef union any {
    struct sockaddr sa;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    struct sockaddr_un local;
} any;

static any parse(const char *text)
{
    any a = {.ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(4711)}};
    if (inet_pton(AF_INET6, text, &a.ipv6.sin6_addr) == 1)
        return a;
    a = (any){.ipv4 = {.sin_family = AF_INET, .sin_port = htons(4711)}};
    cr_assert_eq(inet_pton(AF_INET, text, &a.ipv4.sin_addr), 1, "%s", text);
    return a;
}

static const any unix_peer = {.local = {.sun_family = AF_UNIX}};

static bool same(const char *one, const char *other)
{
    any a = parse(one), b = parse(other);
    sse__peer p, q;
    cr_assert(sse__peer_of(&a.sa, &p) && sse__peer_of(&b.sa, &q));
    return p.high == q.high && p.low == q.low;
}

Test(address, text)
{
    static const char *const pairs[][2] = {{"192.0.2.1", "192.0.2.1"},
                                           {"::ffff:192.0.2.1", "192.0.2.1"},
                                           {"2001:db8::1", "2001:db8::1"},
                                           {"::1", "::1"}};
    char out[SSE__ADDRESS_MAX];
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        any a = parse(pairs[i][0]);
        sse__address_format(&a.sa, out);
        cr_assert_str_eq(out, pairs[i][1]);
    }
    sse__address_format(&unix_peer.sa, out);
    cr_assert_str_eq(out, "unix");
    sse__address_format(NULL, out);
    cr_assert_str_eq(out, "unknown");
}

Test(address, loopback)
{
    static const char *const here[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};
    static const char *const elsewhere[] = {"128.0.0.1", "::2", "::ffff:126.0.0.1", "0.0.0.0"};
    for (size_t i = 0; i < 4; i++) {
        any a = parse(here[i]), b = parse(elsewhere[i]);
        cr_assert(sse__address_is_loopback(&a.sa), "%s", here[i]);
        cr_assert_not(sse__address_is_loopback(&b.sa), "%s", elsewhere[i]);
    }
    cr_assert_not(sse__address_is_loopback(&unix_peer.sa));
    cr_assert_not(sse__address_is_loopback(NULL));
}

Test(address, who_a_peer_is)
{
    sse__peer peer;
    cr_assert(same("192.0.2.1", "::ffff:192.0.2.1"), "it has come to a socket for both");
    cr_assert_not(same("192.0.2.1", "192.0.2.2"));
    cr_assert_not(same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    cr_assert(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"), "the same /64");
    cr_assert_not(same("2001:db8:1:2::1", "2001:db8:1:3::1"));
    cr_assert_not(same("fe80::1", "fe80::2"), "neighbours on a link");
    cr_assert_not(same("::1", "127.0.0.1"));
    any one = parse("fe80::1"), other = one;
    other.ipv6.sin6_scope_id = 7;
    sse__peer p, q;
    cr_assert(sse__peer_of(&one.sa, &p) && sse__peer_of(&other.sa, &q));
    cr_assert(p.high != q.high || p.low != q.low, "another link");
    cr_assert_not(sse__peer_of(&unix_peer.sa, &peer));
    cr_assert_not(sse__peer_of(NULL, &peer));
}

static bool has(const char *word, const char *address)
{
    sse__range ranges[2];
    any a = parse(address);
    int n = sse__ranges_parse(word, ranges);
    cr_assert_geq(n, 0, "%s", word);
    bool found = false;
    for (int i = 0; i < n; i++)
        found |= sse__range_has(&ranges[i], &a.sa);
    return found;
}

Test(address, ranges)
{
    static const struct {
        const char *range, *in, *out;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
        {"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::192.0.2.1"},
        {"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
        {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
        {"192.0.2.77/24", "192.0.2.1", "192.0.1.77"}, /* what is behind the bits does not count */
        {"10.0.0.0/9", "10.127.255.255", "10.128.0.0"},
        {"192.0.2.1/32", "192.0.2.1", "192.0.2.0"},
        {"0.0.0.0/0", "203.0.113.9", "2001:db8::1"},
        {"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"},
        {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
        {"2001:db8::/61", "2001:db8:0:7::1", "2001:db8:0:8::1"},
        {"loopback", "127.0.0.77", "192.0.2.1"},
        {"loopback", "::1", "::2"},
        {"loopback", "::ffff:127.0.0.1", "::ffff:128.0.0.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert(has(cases[i].range, cases[i].in), "%s, %s", cases[i].range, cases[i].in);
        cr_assert_not(has(cases[i].range, cases[i].out), "%s, %s", cases[i].range, cases[i].out);
    }
    cr_assert_not(has("none", "127.0.0.1"));
    sse__range range[2];
    cr_assert_eq(sse__ranges_parse("0.0.0.0/0", range), 1);
    cr_assert_not(sse__range_has(range, &unix_peer.sa));
}

Test(address, what_is_no_range)
{
    static const char *const wrong[] = {
        "",
        "localhost",
        "192.0.2",
        "192.0.2.1/",
        "192.0.2.1/33",
        "192.0.2.1/-1",
        "192.0.2.1/2x",
        "192.0.2.1/ 8",
        "/24",
        "192.0.2.256",
        "2001:db8::/129",
        "2001:db8::g",
        "[::1]",
        "fe80::1%lo",
        "None",
        " 192.0.2.1",
        "192.0.2.1,192.0.2.2",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/64"};
    sse__range ranges[2];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(sse__ranges_parse(wrong[i], ranges), -1, "'%s'", wrong[i]);
    cr_assert_eq(sse__ranges_parse(NULL, ranges), -1);
}
