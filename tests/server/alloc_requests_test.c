/* The i-th allocation fails, for every i, while a request is served: it is answered with 503 or ended, nothing leaks
 * (AddressSanitizer looks at that), and the server is usable afterwards. Linked like alloc_test.c, which has the hub's own functions. */
#include "alloc_hub.h"

#include "alloc_fail.h"
#include "cert.h"
#include "hub.h"
#include "loop_internal.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* From now on the hub's allocation number i fails, and none of the test's. */
static void fail_hub_at(size_t i)
{
    alloc_spare_thread(true);
    alloc_fail_at(i);
}

/* After that: send a request and wait for an answer or the end. Returns the answer's status, 0 if there is none; *failed: whether there
 * was such an allocation. */
static int ask_failing(http_conn *c, const char *request, bool *failed)
{
    http_response r = {.status = 0};
    if (c)
        (void)http_send_text(c, request, LONG); /* it may have been ended already */
    bool answered = c && http_read_head(c, &r, LONG);
    *failed = alloc_fail_disarm();
    alloc_spare_thread(false);
    cr_assert(answered || !c || wait_readable(http_fd(c), LONG), "neither answered nor closed");
    int status = r.status;
    if (answered)
        http_response_fini(&r);
    return status;
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
        fail_hub_at(i);
        int got = ask_failing(c, request, &failed);
        cr_assert(got == status || (failed && (got == 503 || got == 0)), "%d at %zu", got, i);
        http_close(c);
        if (other && sse_server_stream_exists(server, "s"))
            expect_nothing_but(server, other, "s", status == 200 ? "y" : "z");
        http_close(other);
        check_usable();
        sse_server_free(server);
    }
    /* A handshake has taken what the connection itself wants. */
    cr_assert_gt(i, cert_tls() ? at_least - 2 : at_least);
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
    if (cert_tls())
        cr_skip_test("a connection over TLS is given to a shard before its stream is known");
    for (size_t i = 0; failed && i < MOST; i++) {
        start(NULL, 0);
        uint32_t n = server->loops[0]->nshards;
        cr_assert_neq((uint32_t)sse__strhash("s", 1) % n, (uint32_t)sse__strhash("t", 1) % n);
        http_conn *other = join(port, "s"), *c = http_connect(port);
        cr_assert_eq(shards_after(server, "s"), 1);
        cr_assert(wait_until(two_are_accepted, NULL, LONG));
        fail_hub_at(i);
        bool served = ask_failing(c, "GET /events?stream=t HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                  &failed) == 200;
        bool shared = served && shards_after(server, "t") == 1;
        cr_assert(served || failed);
        cr_assert_not(shared && !failed);
        if (shared)
            expect_nothing_but(server, c, "t", "served");
        others += shared;
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
        fail_hub_at(i);
        int status = ask_failing(p, request, &failed);
        cr_assert(status == 200 || (failed && (status == 503 || status == 0)), "%d", status);
        uint64_t published = stats_of(server, "s").published;
        cr_assert(published == 3 || (published == 0 && status != 200), "all or none");
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
        fail_hub_at(i);
        http_conn *c = http_connect(port); /* over TLS there may be none */
        int status = ask_failing(c, request, &failed);
        cr_assert(failed || !whole || status == 200, "%d", status);
        cr_assert(whole || status == 0 || status == 503, "%d", status);
        http_close(c);
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
    if (cert_tls())
        return; /* nobody could shake hands in so short a time */
    cr_assert_eq(connect_and_ask("GET /he", false, 50), 2, "who does not go on is ended as well");
}
