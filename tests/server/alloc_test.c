/* The i-th allocation fails, for every i: errors are reported, nothing leaks (AddressSanitizer looks
 * at that), and the server is usable afterwards. Linked with wrapped allocation functions, which see
 * the test's own client too: it is only used while nothing fails. Here the hub's own functions; requests are in alloc_requests_test.c. */
#include "alloc_hub.h"

#include "../support/cert.h"
#include "alloc_fail.h"
#include "hub.h"
#include "reload.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Threads that cannot be started: the linker sends all calls here. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
static atomic_int threads_left = INT_MAX;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    if (threads_left-- <= 0)
        return EAGAIN;
    return __real_pthread_create(thread, attr, run, arg);
}

Test(alloc, new_and_free)
{
    static const char *const headers[] = {"X-A: b", "X-C: d"}, *const origins[] = {"*", "http://x"};
    sse_server_options options = fixture_options();
    options.headers = headers;
    options.header_count = 2;
    options.cors_origins = origins;
    options.cors_origin_count = 2;
    options.retry_ms = 7;
    options.connects_per_minute = 7;
    int fds = wait_count_fds(0);
    bool failed = true;
    size_t i;
    for (i = 0; failed && i < MOST; i++) {
        alloc_fail_at(i);
        sse_err err = sse_server_new(&options, &server);
        failed = alloc_fail_disarm();
        cr_assert_eq(err, failed ? SSE_ENOMEM : SSE_OK, "%zu: %s", i, sse_strerror(err));
        if (err == SSE_OK)
            sse_server_free(server);
        cr_assert_eq(wait_count_fds(0), fds);
    }
    cr_assert_gt(i, 8);
    cr_assert_not(failed);
}

/* Half a reload would be worse than none: the new certificate with the old origins, or the other way round. */
Test(alloc, reload_is_all_or_nothing)
{
    static const char *const before[] = {"http://old"}, *const after[] = {"http://new",
                                                                          "http://more"};
    sse_server_options options = fixture_options();
    options.cors_origins = before;
    options.cors_origin_count = 1;
    options.tls_cert_file = cert_path(cert_default(), "crt");
    options.tls_key_file = cert_path("server", "key");
    cr_assert_eq(sse_server_new(&options, &server), SSE_OK);
    struct sse__identity *identity = server->identity;
    char **origins = server->cors_origins;
    bool failed = true;
    size_t i;
    for (i = 0; failed && i < MOST; i++) {
        alloc_fail_at(i);
        sse_err err = sse__server_reload(server, after, 2);
        failed = alloc_fail_disarm();
        cr_assert_eq(err, failed ? SSE_ENOMEM : SSE_OK, "%zu: %s", i, sse_strerror(err));
        cr_assert_eq(server->identity == identity, failed, "%zu", i);
        cr_assert_eq(server->cors_origins == origins, failed, "%zu", i);
    }
    cr_assert_gt(i, 3); /* the list, its strings, the certificate */
    cr_assert_not(failed);
    cr_assert_str_eq(server->cors_origins[1], "http://more");
    origins = server->cors_origins;
    identity = server->identity;
    cert_make("server", &(cert_spec){.ip = "127.0.0.1"});
    cr_assert_eq(unlink(cert_path("server", "key")), 0);
    cr_assert_eq(sse__server_reload(server, before, 1), SSE_ECERT);
    cr_assert(server->identity == identity && server->cors_origins == origins);
    sse_server_free(server);
}

Test(alloc, listening)
{
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/sse-alloc-%ld.sock", (long)getpid());
    const char *addresses[] = {"127.0.0.1:0", path};
    for (size_t which = 0; which < 2; which++) {
        bool failed = true;
        size_t i;
        for (i = 0; failed && i < MOST; i++) {
            cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
            int fds = wait_count_fds(0);
            alloc_fail_at(i);
            sse_err err = sse_server_listen(server, addresses[which], NULL, 0);
            failed = alloc_fail_disarm();
            cr_assert_eq(err, failed ? SSE_ENOMEM : SSE_OK, "%zu: %s", i, sse_strerror(err));
            if (failed)
                cr_assert_eq(wait_count_fds(0), fds);
            cr_assert_eq(sse_server_listen(server, "127.0.0.1:0", NULL, 0), SSE_OK);
            sse_server_free(server);
        }
        cr_assert_gt(i, 2);
        cr_assert_not(failed);
    }
}

Test(alloc, creating_streams)
{
    start(NULL, 0);
    bool failed = true;
    size_t i;
    for (i = 0; failed && i < MOST; i++) {
        alloc_fail_at(i);
        sse_err err = sse_server_create_stream(server, "new", NULL);
        failed = alloc_fail_disarm();
        cr_assert_eq(err, failed ? SSE_ENOMEM : SSE_OK);
        cr_assert_eq(sse_server_stream_exists(server, "new"), err == SSE_OK);
    }
    cr_assert_gt(i, 1);
    cr_assert_not(failed);
    cr_assert_eq(totals(server).streams, 3);
    sse_server_free(server);
}

static int count_streams(void *user, const char *name, const sse_stream_stats *stats)
{
    (void)name;
    (void)stats;
    ++*(int *)user;
    return 0;
}

Test(alloc, listing_streams)
{
    start(NULL, 0);
    int n = 0;
    alloc_fail_at(0);
    cr_assert_eq(sse_server_each_stream(server, count_streams, &n), SSE_ENOMEM);
    cr_assert(alloc_fail_disarm());
    cr_assert_eq(n, 0);
    cr_assert_eq(sse_server_each_stream(server, count_streams, &n), SSE_OK);
    cr_assert_eq(n, 2);
    sse_server_free(server);
}

/* An event is refused, delivered, or (when the worker has no memory for it) announced as missing. */
static void publish_with_failure(const sse_stream_options *options, const char *id)
{
    bool failed = true;
    size_t i;
    for (i = 0; failed && i < MOST; i++) {
        start(options, 0);
        http_conn *c = join(port, "s");
        sse_event event = {.id = sse_cstr(id), .data = sse_cstr("the event")};
        alloc_fail_at(i);
        sse_err err = sse_server_publish(server, "s", &event);
        wait_published(server, "s", err == SSE_OK);
        failed = alloc_fail_disarm();
        cr_assert(err == SSE_OK || (failed && err == SSE_ENOMEM), "%s", sse_strerror(err));
        say(server, "s", "after");
        http_block block = next(c);
        if (err == SSE_OK && block.type) {
            cr_assert_str_eq(block.type, "gap");
            cr_assert_not_null(strstr(block.data, "\"missed\":1}"), "%s", block.data);
            cr_assert(failed);
        } else if (err == SSE_OK) {
            cr_assert_str_eq(block.data, "the event");
        }
        if (err == SSE_OK) {
            http_block_fini(&block);
            block = next(c);
        }
        cr_assert_str_eq(block.data, "after");
        http_block_fini(&block);
        http_close(c);
        check_usable();
        sse_server_free(server);
    }
    cr_assert_gt(i, 3);
    cr_assert_not(failed);
}

Test(alloc, publishing) { publish_with_failure(NULL, NULL); }

Test(alloc, publishing_with_an_id) { publish_with_failure(NULL, "id"); }

Test(alloc, publishing_as_base64)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.base64 = true;
    bool failed = true;
    for (size_t i = 0; failed && i < MOST; i++) {
        start(&options, 0);
        sse_event event = {.data = sse_cstr("x")};
        alloc_fail_at(i);
        sse_err err = sse_server_publish(server, "s", &event);
        wait_published(server, "s", err == SSE_OK);
        failed = alloc_fail_disarm();
        http_conn *c = join(port, "s");
        say(server, "s", "x");
        if (err == SSE_OK && !failed)
            expect_data(c, "eA==");
        http_block block = next(c);
        if (block.type) { /* the gap */
            http_block_fini(&block);
            block = next(c);
        }
        cr_assert_str_eq(block.data, "eA==", "never as it was: %s", block.data);
        http_block_fini(&block);
        http_close(c);
        sse_server_free(server);
    }
    cr_assert_not(failed);
}

/* Nothing can be allocated any more: those that are connected get what can be told, and the end
 * comes all the same. */
Test(alloc, ending_needs_no_memory)
{
    for (int round = 0; round < 2; round++) {
        start(NULL, 0);
        http_conn *c[5];
        for (int i = 0; i < 5; i++)
            c[i] = join(port, "s");
        say_numbers(server, "s", 0, 20);
        wait_published(server, "s", 20);
        alloc_fail_from(0);
        if (round == 0)
            sse_server_close(server);
        sse_server_stop(server);
        sse_server_free(server);
        (void)alloc_fail_disarm();
        for (int i = 0; i < 5; i++) {
            expect_numbers(c[i], 0, 20);
            expect_end(c[i]);
            http_close(c[i]);
        }
    }
}

/* For a while no event can be kept: the subscriber learns how many it missed, and the rest comes. */
Test(alloc, a_time_without_memory_is_a_gap)
{
    start(NULL, 0);
    http_conn *c = join(port, "s");
    say(server, "s", "0");
    expect_data(c, "0");
    uint64_t accepted = 0, missed = 0, received = 0;
    for (size_t i = 0; i < 40; i++) {
        sse_event event = {.data = sse_cstr("x")};
        alloc_fail_at(1); /* the message is copied, the frame is not made */
        bool ok = sse_server_publish(server, "s", &event) == SSE_OK;
        accepted += ok;
        wait_published(server, "s", 1 + accepted);
        (void)alloc_fail_disarm();
        if (!ok)
            continue;
        http_block block = next(c);
        if (block.type)
            missed += strtoull(strstr(block.data, "\"missed\":") + 9, NULL, 10);
        else
            received++;
        http_block_fini(&block);
    }
    cr_assert_gt(missed, 0);
    cr_assert_eq(received + missed, accepted);
    expect_nothing_but(server, c, "s", "end");
    http_close(c);
    sse_server_free(server);
}

/* A subscriber that cannot even be told of a loss is ended: it would not notice otherwise. */
Test(alloc, a_loss_that_cannot_be_told_ends_the_connection)
{
    start(NULL, 0);
    http_conn *c = join(port, "s");
    say(server, "s", "0");
    expect_data(c, "0");
    http_block block;
    sse_event event = {.data = sse_cstr("x")};
    sse_msg *warm;
    cr_assert_eq(sse_msg_new(&event, NULL, &warm), SSE_OK);
    sse_msg_unref(warm);
    bool published = false;
    for (size_t i = 1; i < 5 && totals(server).left[SSE_LEFT_ERROR] == 0; i++) {
        alloc_fail_from(i);
        published |= sse_server_publish(server, "s", &event) == SSE_OK;
        if (published)
            wait_left(server, SSE_LEFT_ERROR, 1);
        (void)alloc_fail_disarm();
    }
    cr_assert(published);
    cr_assert_eq(http_next_event(c, &block, LONG), HTTP_BROKEN);
    http_close(c);
    check_usable();
    sse_server_free(server);
}

Test(threads, none_for_the_server)
{
    int fds = wait_count_fds(0);
    sse_server_options options = fixture_options();
    options.threads = 4;
    for (int n = 0; n <= 5; n++) {
        threads_left = n;
        sse_err err = sse_server_new(&options, &server);
        cr_assert_eq(err, n > 0 ? SSE_OK : SSE_ENOMEM);
        if (err == SSE_OK) {
            err = sse_server_listen(server, "127.0.0.1:0", NULL, 0);
            cr_assert_eq(err, n == 5 ? SSE_OK : SSE_ENOMEM, "%d: %s", n, sse_strerror(err));
            threads_left = INT_MAX;
            cr_assert_eq(sse_server_listen(server, "127.0.0.1:0", NULL, 0), SSE_OK);
            sse_server_free(server);
        }
        cr_assert_eq(wait_count_fds(0), fds);
    }
}

Test(threads, none_for_a_worker)
{
    start(NULL, 0);
    http_conn *c = join(port, "s");
    sse_event event = {.data = sse_cstr("x")};
    threads_left = 0;
    cr_assert_eq(sse_server_publish(server, "s", &event), SSE_ENOMEM);
    cr_assert_eq(sse_server_try_publish(server, "s", &event), SSE_ENOMEM);
    cr_assert_eq(status_of(port, "POST", "/events?stream=s", NULL, "x"), 503);
    cr_assert_eq(stats_of(server, "s").published, 0, "nothing was queued");
    cr_assert_eq(totals(server).workers, 0);
    threads_left = INT_MAX;
    expect_nothing_but(server, c, "s", "now");
    http_close(c);
    sse_server_free(server);
}
