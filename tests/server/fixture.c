/* See fixture.h. No state but the text of bulk(). */
#include "fixture.h"

#include "cert.h"
#include "hub.h"
#include "loop_internal.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sse_server_options fixture_options(void)
{
    sse_server_options options;
    sse_server_options_init(&options);
    options.heartbeat_ms = SSE_OFF;
    options.threads = 2;
    return options;
}

sse_server *serve(const sse_server_options *options, uint16_t *port)
{
    sse_server_options own = fixture_options();
    sse_server *server;
    char bound[64];
    if (options)
        own = *options;
    if (cert_tls() && !own.tls_cert_file) {
        own.tls_cert_file = cert_path(cert_default(), "crt");
        own.tls_key_file = cert_path(cert_default(), "key");
    }
    cr_assert_eq(sse_server_new(&own, &server), SSE_OK);
    cr_assert_eq(sse_server_listen(server, "127.0.0.1:0", bound, sizeof bound), SSE_OK);
    cr_assert_eq(strncmp(bound, "127.0.0.1:", 10), 0, "%s", bound);
    *port = (uint16_t)atoi(bound + 10);
    cr_assert_neq(*port, 0);
    return server;
}

void create(sse_server *server, const char *stream)
{
    cr_assert_eq(sse_server_create_stream(server, stream, NULL), SSE_OK);
}

void say_id(sse_server *server, const char *stream, const char *id, const char *data)
{
    sse_event event = {.id = sse_cstr(id), .data = sse_cstr(data)};
    sse_err err = sse_server_publish(server, stream, &event);
    cr_assert_eq(err, SSE_OK, "%s", sse_strerror(err));
}

void say(sse_server *server, const char *stream, const char *data)
{
    say_id(server, stream, NULL, data);
}

void say_numbers(sse_server *server, const char *stream, uint64_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        char number[24];
        snprintf(number, sizeof number, "%" PRIu64, first + i);
        say(server, stream, number);
    }
}

http_conn *join_after(uint16_t port, const char *stream, const char *last)
{
    char target[700], header[700] = "";
    snprintf(target, sizeof target, "/events?stream=%s", stream);
    if (last)
        snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", last);
    http_conn *c = http_open_stream(port, target, header, NULL, LONG);
    cr_assert_not_null(c, "no stream at %s", target);
    return c;
}

http_conn *join(uint16_t port, const char *stream) { return join_after(port, stream, NULL); }

http_conn *join_silently(uint16_t port, const char *stream, int rcvbuf)
{
    char target[128];
    snprintf(target, sizeof target, "/events?stream=%s", stream);
    http_conn *c = http_connect_rcvbuf(port, rcvbuf);
    cr_assert_not_null(c);
    cr_assert(http_send_request(c, "GET", target, NULL, NULL, 0, LONG));
    return c;
}

http_block next(http_conn *c)
{
    http_block block;
    http_result result = http_next_event(c, &block, LONG);
    cr_assert_eq(result, HTTP_OK, "no event: %d", (int)result);
    return block;
}

void expect_data(http_conn *c, const char *data)
{
    http_block block = next(c);
    cr_assert_str_eq(block.data, data);
    http_block_fini(&block);
}

void expect_numbers(http_conn *c, uint64_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        http_block block = next(c);
        cr_assert_eq(strtoull(block.data, NULL, 10), first + i, "%s instead of %" PRIu64,
                     block.data, first + i);
        http_block_fini(&block);
    }
}

static uint64_t missed_of(const char *json)
{
    const char *missed = strstr(json, "\"missed\":");
    cr_assert_not_null(missed, "%s", json);
    missed += strlen("\"missed\":");
    return strncmp(missed, "null", 4) == 0 ? UINT64_MAX : strtoull(missed, NULL, 10);
}

uint64_t expect_gap(http_conn *c)
{
    http_block block = next(c);
    cr_assert_str_eq(block.type ? block.type : "message", "gap", "data: %s", block.data);
    uint64_t missed = missed_of(block.data);
    http_block_fini(&block);
    return missed;
}

void expect_end(http_conn *c)
{
    http_block block;
    http_result result;
    while ((result = http_next_block(c, &block, LONG)) == HTTP_OK)
        http_block_fini(&block);
    cr_assert_eq(result, HTTP_END, "%d", (int)result);
}

void expect_farewell(http_conn *c)
{
    http_block block;
    cr_assert_eq(http_next_block(c, &block, LONG), HTTP_OK);
    cr_assert_str_eq(block.comment ? block.comment : "", "the permission has expired");
    http_block_fini(&block);
    expect_end(c);
    http_close(c);
}

void expect_nothing_but(sse_server *server, http_conn *c, const char *stream, const char *marker)
{
    say(server, stream, marker);
    expect_data(c, marker);
}

int ask(uint16_t port, const char *method, const char *target, const char *headers,
        const char *body, http_response *out)
{
    cr_assert(http_once(port, method, target, headers, body, out, LONG), "no answer to %s %s",
              method, target);
    return out->status;
}

int status_of(uint16_t port, const char *method, const char *target, const char *headers,
              const char *body)
{
    http_response response;
    int status = ask(port, method, target, headers, body, &response);
    http_response_fini(&response);
    return status;
}

sse_stream_stats stats_of(sse_server *server, const char *stream)
{
    sse_stream_stats stats = {0};
    (void)!sse_server_stream_stats(server, stream, &stats);
    return stats;
}

sse_server_stats totals(sse_server *server)
{
    sse_server_stats stats;
    sse_server_get_stats(server, &stats);
    return stats;
}

typedef struct wanted {
    sse_server *server;
    const char *stream;
    uint64_t n;
    sse_leave_reason reason;
} wanted;

static bool has_subscribers(void *arg)
{
    const wanted *w = arg;
    return stats_of(w->server, w->stream).subscribers == w->n;
}

void wait_subscribers(sse_server *server, const char *stream, uint64_t n)
{
    wanted w = {.server = server, .stream = stream, .n = n};
    cr_assert(wait_until(has_subscribers, &w, LONG), "%" PRIu64 " subscribers instead of %" PRIu64,
              stats_of(server, stream).subscribers, n);
}

static bool has_left(void *arg)
{
    const wanted *w = arg;
    return totals(w->server).left[w->reason] == w->n && totals(w->server).subscribers == 0;
}

void wait_left(sse_server *server, sse_leave_reason reason, uint64_t n)
{
    wanted w = {.server = server, .n = n, .reason = reason};
    cr_assert(wait_until(has_left, &w, LONG), "%" PRIu64 " left (%s) instead of %" PRIu64,
              totals(server).left[reason], sse_leave_reason_name(reason), n);
}

static bool has_published(void *arg)
{
    const wanted *w = arg;
    sse_stream_stats stats = stats_of(w->server, w->stream);
    return stats.published == w->n && stats.queued == 0;
}

void wait_published(sse_server *server, const char *stream, uint64_t n)
{
    wanted w = {.server = server, .stream = stream, .n = n};
    cr_assert(wait_until(has_published, &w, LONG));
}

/* The loop's thread starts them. What it had done by then we know by the stream's mutex. */
size_t shards_after(sse_server *server, const char *stream)
{
    const sse__loop *loop = server->loops[0];
    size_t n = 0;
    cr_assert_gt(stats_of(server, stream).subscribers, 0);
    for (uint32_t i = 0; i < loop->nshards; i++)
        n += loop->shards[i] != NULL;
    return n;
}

const char *bulk(size_t n)
{
    static char text[1 << 20];
    cr_assert_lt(n, sizeof text);
    memset(text, 'x', n);
    text[n] = '\0';
    return text;
}
