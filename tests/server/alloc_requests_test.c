/* The i-th allocation fails, for every i, while a request is served: it is answered with 503 or ended, nothing leaks
 * (AddressSanitizer looks at that), and the server is usable afterwards. Linked like alloc_test.c, which has the hub's own functions. */
#include "alloc_hub.h"

#include "alloc_fail.h"
#include "hub.h"
#include "loop_internal.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Send a request while one allocation fails, and wait until there is an answer or the end, without
 * taking it. Allocates nothing. */
static bool peek_answer(int fd, const char *request, size_t i)
{
    char peeked[16];
    alloc_fail_at(i);
    cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    cr_assert(wait_readable(fd, LONG), "neither answered nor closed: allocation %zu", i);
    (void)recv(fd, peeked, sizeof peeked, MSG_PEEK);
    return alloc_fail_disarm();
}

/* One request, for every i; the one without a failure gets the status. What failed was answered with
 * 503 or ended, and everything works afterwards. With another subscriber there, and without. */
static void request_as(const char *request, int status, size_t at_least, bool company)
{
    bool failed = true;
    size_t i;
    for (i = 0; failed && i < MOST; i++) {
        start(NULL, 0);
        say_id(server, "s", "1", "x");
        wait_published(server, "s", 1);
        http_conn *other = company ? join(port, "s") : NULL;
        if (other)
            expect_data(other, "x");
        http_conn *c = http_connect(port);
        http_response r;
        failed = peek_answer(http_fd(c), request, i);
        bool answered = http_read_head(c, &r, LONG);
        cr_assert(answered || failed);
        if (answered) {
            cr_assert(r.status == status || (failed && r.status == 503), "%d at %zu", r.status, i);
            http_response_fini(&r);
        }
        http_close(c);
        if (other && sse_server_stream_exists(server, "s"))
            expect_nothing_but(server, other, "s", status == 200 ? "y" : "z");
        http_close(other);
        check_usable();
        sse_server_free(server);
    }
    cr_assert_gt(i, at_least);
    cr_assert_not(failed);
}

static void request_with_failures(const char *request, int status, size_t at_least)
{
    request_as(request, status, at_least, true);
    request_as(request, status, at_least, false);
}

Test(alloc_requests, subscribing)
{
    request_with_failures("GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, 3);
}

static bool two_are_accepted(void *arg)
{
    (void)arg;
    return totals(server).connections == 2;
}

/* No memory for the shard that a connection belongs to: the one that runs serves it. */
Test(alloc_requests, a_shard_that_runs_does_for_one_that_cannot_start)
{
    bool failed = true;
    size_t others = 0;
    for (size_t i = 0; failed && i < MOST; i++) {
        start(NULL, 0);
        uint32_t n = server->loops[0]->nshards;
        cr_assert_neq((uint32_t)sse__strhash("s", 1) % n, (uint32_t)sse__strhash("t", 1) % n);
        http_conn *other = join(port, "s"), *c = http_connect(port);
        http_response r;
        cr_assert_eq(shards_after(server, "s"), 1);
        cr_assert(wait_until(two_are_accepted, NULL, LONG));
        failed =
            peek_answer(http_fd(c), "GET /events?stream=t HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
        bool answered = http_read_head(c, &r, LONG), served = answered && r.status == 200;
        bool shared = served && shards_after(server, "t") == 1;
        cr_assert(served || failed);
        cr_assert_not(shared && !failed);
        if (shared)
            expect_nothing_but(server, c, "t", "served");
        others += shared;
        if (answered)
            http_response_fini(&r);
        http_close(c);
        http_close(other);
        sse_server_free(server);
    }
    cr_assert_not(failed);
    cr_assert_eq(others, 1, "%zu: once it was the shard that there was no memory for", others);
}

Test(alloc_requests, subscribing_after_an_unknown_id)
{
    request_with_failures(
        "GET /events?stream=s HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: gone\r\n\r\n", 200, 7);
}

Test(alloc_requests, subscribing_to_several)
{
    request_with_failures("GET /events?stream=t&stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n", 200,
                          6);
}

Test(alloc_requests, replaying)
{
    request_with_failures("GET /events?stream=s HTTP/1.0\r\nLast-Event-ID: 1\r\n\r\n", 200, 3);
}

Test(alloc_requests, inspecting)
{
    request_with_failures("GET /streams HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, 3);
    request_with_failures("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, 3);
    request_with_failures("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 2);
    request_with_failures("HEAD /events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, 2);
    request_with_failures("DELETE /events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n", 204, 2);
}

/* A batch is all or none, whatever fails; the worker may lose some, which is told. */
Test(alloc_requests, posting)
{
    static const char request[] =
        "POST /events?stream=s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/event-stream\r\n"
        "Content-Length: 29\r\n\r\ndata:1\n\ndata:2\n\nid:3\ndata:3\n\n";
    bool failed = true;
    size_t i;
    for (i = 0; failed && i < MOST; i++) {
        start(NULL, 0);
        http_conn *c = join(port, "s"), *p = http_connect(port);
        http_response r;
        failed = peek_answer(http_fd(p), request, i);
        bool answered = http_read_head(p, &r, LONG);
        cr_assert(answered || failed);
        uint64_t published = stats_of(server, "s").published;
        cr_assert(published == 0 || published == 3, "all or none");
        if (answered) {
            cr_assert(r.status == 200 || (failed && r.status == 503), "%d", r.status);
            if (r.status == 200)
                cr_assert_eq(published, 3);
            http_response_fini(&r);
        }
        http_close(p);
        uint64_t seen = 0;
        while (seen < published) {
            http_block block = next(c);
            const char *missed = block.type ? strstr(block.data, "\"missed\":") : NULL;
            seen += missed ? strtoull(missed + 9, NULL, 10) : 1;
            http_block_fini(&block);
        }
        cr_assert_eq(seen, published);
        http_close(c);
        check_usable();
        sse_server_free(server);
    }
    cr_assert_gt(i, 10);
    cr_assert_not(failed);
}

static bool all_places_are_back(void *arg)
{
    (void)arg;
    return sse__admission_look(server->admission).addresses == 0 && totals(server).connections == 0;
}

/* Connect, ask, and wait for the answer or the end; whatever was wanting, the address has its place back. Returns how many were
 * refused when they came. */
static size_t connect_and_ask(const char *request, bool whole, uint32_t request_timeout_ms)
{
    bool failed = true;
    size_t i, refused = 0;
    for (i = 0; failed && i < MOST; i++) {
        start(NULL, request_timeout_ms);
        char peeked[16];
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        alloc_fail_at(i);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        (void)!send(fd, request, strlen(request), MSG_NOSIGNAL);
        cr_assert(wait_readable(fd, LONG), "neither answered nor closed: allocation %zu", i);
        ssize_t n = recv(fd, peeked, sizeof peeked, 0);
        failed = alloc_fail_disarm();
        cr_assert(failed || !whole || (n > 12 && memcmp(peeked + 9, "200", 3) == 0));
        cr_assert(whole || n <= 0 || memcmp(peeked + 9, "503", 3) == 0);
        close(fd);
        cr_assert(wait_until(all_places_are_back, NULL, LONG), "allocation %zu", i);
        refused += totals(server).connects_refused;
        check_usable();
        sse_server_free(server);
    }
    cr_assert_gt(i, 3);
    cr_assert_not(failed);
    return refused;
}

Test(alloc_requests, connecting)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    cr_assert_eq(connect_and_ask(request, true, 0), 2,
                 "no memory for the address, and for the socket");
    cr_assert_eq(connect_and_ask("GET /he", false, 50), 2, "who does not go on is ended as well");
}
