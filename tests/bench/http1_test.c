/* The load client's HTTP: URLs, heads that come in pieces, chunks cut anywhere. */
#include "http1.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

Test(bench_http1, urls)
{
    http_url url;
    char target[2112];
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1:8080/events?stream=a"));
    cr_assert_str_eq(url.authority, "127.0.0.1:8080");
    cr_assert_str_eq(url.target, "/events?stream=a");
    cr_assert_eq(ntohs(((struct sockaddr_in *)&url.address)->sin_port), 8080);
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1"));
    cr_assert_str_eq(url.target, "/events");
    cr_assert_eq(ntohs(((struct sockaddr_in *)&url.address)->sin_port), 80);
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1:1/?stream=x#y"));
    cr_assert_str_eq(url.target, "/?stream=x");
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1:1?stream=x"));
    cr_assert_str_eq(url.target, "/events?stream=x");
    cr_assert_null(http_url_parse(&url, "http://[::1]:81/a"));
    cr_assert_eq(url.address.ss_family, AF_INET6);
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1/sub/{}/x"));
    http_target(&url, 12, true, target);
    cr_assert_str_eq(target, "/sub/12/x");
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1/e"));
    http_target(&url, 3, true, target);
    cr_assert_str_eq(target, "/e?stream=bench-3");
    http_target(&url, 3, false, target);
    cr_assert_str_eq(target, "/e");
}

/* For TLS: whether it is, whose port it is, and the name that a certificate has to hold. */
Test(bench_http1, urls_of_https)
{
    http_url url;
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1/"));
    cr_assert(!url.tls);
    cr_assert_null(http_url_parse(&url, "HTTPS://127.0.0.1"));
    cr_assert(url.tls);
    cr_assert_eq(ntohs(((struct sockaddr_in *)&url.address)->sin_port), 443);
    cr_assert_str_eq(url.host, "127.0.0.1");
    cr_assert_str_eq(url.target, "/events");
    cr_assert_null(http_url_parse(&url, "https://[::1]:8443/a"));
    cr_assert_str_eq(url.host, "::1");
    cr_assert_str_eq(url.authority, "[::1]:8443");
    cr_assert_null(http_url_parse(&url, "https://localhost:8443/a?b"));
    cr_assert_str_eq(url.host, "localhost");
}

Test(bench_http1, urls_that_are_none)
{
    http_url url;
    cr_assert_not_null(http_url_parse(&url, "ftp://127.0.0.1/"));
    cr_assert_not_null(http_url_parse(&url, "https:///x"));
    cr_assert_not_null(http_url_parse(&url, "127.0.0.1:80"));
    cr_assert_not_null(http_url_parse(&url, "http:///x"));
    cr_assert_not_null(http_url_parse(&url, "http://user@127.0.0.1/"));
    static const char *const wrong[][2] = {
        {"http://user:pw@127.0.0.1/", "Authorization"},
        {"http://127.0.0.1:99999/", "port"},
        {"http://127.0.0.1:0/", "port"},
        {"http://127.0.0.1:8o/", "port"},
        {"http://:80/", "host"},
        {"http://[::1/", "]"},
        {"http://[::1]x/", "]"},
        {"http://127.0.0.1/a b", "space"},
        {"http://127.0.0.1/a\r\nX: y", "control"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *why = http_url_parse(&url, wrong[i][0]);
        cr_assert(why && strstr(why, wrong[i][1]), "%s: %s", wrong[i][0], why ? why : "fine");
        cr_assert(!url.unresolved);
    }
    cr_assert_not_null(http_url_parse(&url, "http://nobody..invalid/"));
    cr_assert(url.unresolved);
    cr_assert_null(http_url_parse(&url, "http://127.0.0.1:/x"));
    cr_assert_eq(ntohs(((struct sockaddr_in *)&url.address)->sin_port), 80, "as without a colon");
}

Test(bench_http1, the_address_that_answers)
{
    struct sockaddr_in nobody = {.sin_family = AF_INET}, somebody;
    nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    somebody = nobody;
    struct addrinfo second = {.ai_family = AF_INET,
                              .ai_addr = (struct sockaddr *)&somebody,
                              .ai_addrlen = sizeof somebody};
    struct addrinfo first = second;
    first.ai_addr = (struct sockaddr *)&nobody;
    first.ai_next = &second;
    /* Bound, so that nobody else gets the port, but without listen(). */
    int one = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof nobody;
    cr_assert_eq(bind(one, (struct sockaddr *)&nobody, len), 0);
    cr_assert_eq(getsockname(one, (struct sockaddr *)&nobody, &len), 0);
    cr_assert_eq(bind(other, (struct sockaddr *)&somebody, len), 0);
    cr_assert_eq(getsockname(other, (struct sockaddr *)&somebody, &len), 0);
    cr_assert_eq(http_address(&first), &first, "nobody answers at any");
    cr_assert_eq(listen(other, 4), 0);
    cr_assert_eq(http_address(&first), &second);
    close(one);
    close(other);
}

Test(bench_http1, heads_in_pieces)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                               "content-type:  text/event-stream; charset=utf-8\r\n"
                               "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nrest";
    http_head head;
    size_t n = strlen(text) - 4;
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(http_head_parse(&head, text, i), 0, "%zu bytes", i);
    cr_assert_eq(http_head_parse(&head, text, strlen(text)), (long)n);
    cr_assert_eq(head.status, 200);
    cr_assert(head.chunked && head.close && head.event_stream && !head.has_length);
    cr_assert_gt(http_head_parse(&head, "HTTP/1.1 429 No\r\nContent-Length: 17\r\n\r\n", 40), 0);
    cr_assert_eq(head.status, 429);
    cr_assert(head.has_length && head.content_length == 17 && !head.chunked);
    cr_assert_eq(http_head_parse(&head, "SSH-2.0-x\r\n\r\n", 13), -1);
    cr_assert_eq(http_head_parse(&head, "HTTP/1.1 2x0 OK\r\n\r\n", 19), -1);
}

/* All data of a chunked body that comes in pieces. */
static http_chunk_state decode(const char *text, size_t piece, char *out)
{
    http_chunks c = {0};
    size_t n = strlen(text), len = 0;
    for (size_t at = 0; at < n; at += piece) {
        size_t have = n - at < piece ? n - at : piece, used = 0, took, got;
        const char *data;
        do {
            took = http_chunks_next(&c, text + at + used, have - used, &data, &got);
            used += took;
            memcpy(out + len, data, got);
            len += got;
        } while (took > 0 && used < have);
    }
    out[len] = '\0';
    return c.state;
}

Test(bench_http1, chunks_cut_anywhere)
{
    static const char text[] =
        "5\r\nhello\r\n00a;x=\"y\"\r\n, big worl\r\n2\nd!\r\n0\r\nT: 1\r\n\r\n";
    char out[128];
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        cr_assert_eq(decode(text, piece, out), CHUNK_END, "pieces of %zu", piece);
        cr_assert_str_eq(out, "hello, big world!");
    }
}

Test(bench_http1, chunks_that_are_none)
{
    char out[128];
    cr_assert_eq(decode("xyz\r\n", 1, out), CHUNK_BROKEN);
    cr_assert_eq(decode("2\r\nabc\r\n", 100, out), CHUNK_BROKEN);
    cr_assert_eq(decode("fffffffffffffffff\r\n", 100, out), CHUNK_BROKEN);
    cr_assert_eq(decode("3\r\nab", 100, out), CHUNK_DATA);
}
