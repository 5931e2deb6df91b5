/* Servers that mean harm, to the client of the library: each ends in a clear error, within bounded memory and time, and the
 * subscription goes on with the next connection. More of the same kind is in client/connection_test.c and e2e/bad_server_test.c. */
#include "recorder.h"
#include "scale.h"
#include "scripted_server.h"
#include "wait.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY = 16 << 20 };

static sse_client_options quick(void)
{
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.retry_ms = 1;
    o.max_retry_ms = 1;
    return o;
}

/* The first connection is the hostile one, all others are good. */
typedef struct hostile {
    void (*attack)(scripted_conn *c);
    const char *bytes; /* instead */
    size_t len;
} hostile;

static void script(scripted_conn *c, void *user)
{
    const hostile *h = user;
    if (!conn_read_request(c))
        return;
    if (conn_index(c) > 0) {
        conn_puts(c, STREAM_HEAD "data: good\n\n");
        conn_wait_peer(c);
    } else if (h->attack) {
        h->attack(c);
    } else {
        conn_send(c, h->bytes, h->len);
        conn_wait_peer(c);
    }
}

/* It ends in one of these errors (the second may be SSE_OK: none), and the next connection works. */
static void survives(const hostile *h, const sse_client_options *options, sse_err err, sse_err or)
{
    scripted *server = scripted_start(script, (void *)(uintptr_t)h);
    recorder *rec = recorder_new();
    sse_client *client = client_for(scripted_url(server, "/"), options);
    long memory = wait_resident_bytes(0);
    sse_subscription *sub = recorder_subscribe(rec, client, NULL);
    cr_assert(recorder_wait(rec, "event |message|good"), "%s", recorder_lines(rec));
    memory = wait_resident_bytes(0) - memory;
    recorded_error last = recorder_last_error(rec);
    cr_assert(last.e.err == err || (or != SSE_OK && last.e.err == or), "%s: %s",
              sse_errname(last.e.err), recorder_lines(rec));
    cr_assert_neq(last.message[0], '\0');
    cr_assert_eq(recorder_count(rec, "retry"), 1);
    cr_assert(SANITIZED || memory < MEMORY, "%ld bytes more", memory);
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(rec);
    scripted_stop(server);
}

static void survives_bytes(const char *bytes, size_t len, sse_err err, sse_err or)
{
    sse_client_options o = quick();
    hostile h = {.bytes = bytes, .len = len};
    o.response_timeout_ms = 500; /* where it waits for more */
    o.idle_timeout_ms = 500;
    survives(&h, &o, err, or);
}

static void survives_attack(void (*attack)(scripted_conn *c), const sse_client_options *options,
                            sse_err err, sse_err or)
{
    hostile h = {.attack = attack};
    survives(&h, options, err, or);
}

#define SURVIVES(literal, err, or) survives_bytes(literal, sizeof literal - 1, err, or)

/* ---- answers that are none ---- */

Test(hostile_client, status_lines_of_garbage)
{
    SURVIVES("HTTP/1.1 abc OK\r\n\r\n", SSE_ENETWORK, SSE_ETIMEOUT);
    SURVIVES("HTTP/1.1 -200 OK\r\n\r\n", SSE_ENETWORK, SSE_ETIMEOUT);
    SURVIVES("HTTP/7.1 200 OK\r\n\r\n", SSE_ENETWORK, SSE_ETIMEOUT);
    SURVIVES("ICY 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", SSE_ENETWORK, SSE_ETIMEOUT);
    SURVIVES("\r\n\r\n\r\n\r\n", SSE_ENETWORK, SSE_ETIMEOUT);
    SURVIVES("HTTP/1.1", SSE_ENETWORK, SSE_ETIMEOUT);
    SURVIVES("\0\0\0\0\0\0\0\0\n\n", SSE_ENETWORK, SSE_ETIMEOUT);
}

Test(hostile_client, nul_in_headers)
{
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-A: a\0b\r\n\r\ndata: x\n\n",
             SSE_ENETWORK, SSE_EIDLE);
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\0\r\n\r\n", SSE_ENETWORK,
             SSE_EIDLE);
    SURVIVES("HTTP/1.1 503 N\0o\r\nContent-Length: 0\r\n\r\n", SSE_ENETWORK, SSE_EHTTP);
}

Test(hostile_client, lengths_of_garbage)
{
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: "
             "-1\r\n\r\ndata: x\n\n",
             SSE_ENETWORK, SSE_EIDLE);
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: "
             "99999999999999999999\r\n\r\n",
             SSE_ENETWORK, SSE_EIDLE);
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: x\r\n\r\n",
             SSE_ENETWORK, SSE_EIDLE);
}

#define CHUNKED                                                                                    \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

Test(hostile_client, chunks_of_garbage)
{
    SURVIVES(CHUNKED "ffffffffffffffffff\r\ndata: x\n\n", SSE_ENETWORK, SSE_OK);
    SURVIVES(CHUNKED "-1\r\ndata: x\n\n", SSE_ENETWORK, SSE_OK);
    SURVIVES(CHUNKED "\r\n\r\n\r\n", SSE_ENETWORK, SSE_OK);
    SURVIVES(CHUNKED "3\r\nabcdefgh\r\n", SSE_ENETWORK, SSE_OK);
    SURVIVES(CHUNKED "7fffffffffffffff\r\ndata: x\n", SSE_EIDLE, SSE_ENETWORK);
}

Test(hostile_client, compression_that_was_not_asked_for)
{
    /* It comes as it is: no event in it, and nothing else of it. */
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: "
             "gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff garbage",
             SSE_EIDLE, SSE_ENETWORK);
    SURVIVES("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: gzip, "
             "chunked\r\n\r\n5\r\nhello\r\n",
             SSE_ENETWORK, SSE_EIDLE);
}

Test(hostile_client, compressed_garbage)
{
    static const char garbage[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n"
        "\x1f\x8b\x08\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    sse_client_options o = quick();
    hostile h = {.bytes = garbage, .len = sizeof garbage - 1};
    o.accept_encoding = "";
    survives(&h, &o, SSE_ENETWORK, SSE_OK);
}

/* ---- answers without an end ---- */

static void endless(scripted_conn *c, const char *start, const char *piece)
{
    char block[65536];
    size_t n = strlen(piece), len = 0;
    for (; len + n <= sizeof block; len += n)
        memcpy(block + len, piece, n);
    conn_puts(c, start);
    while (conn_send(c, block, len))
        ;
}

static void endless_header_line(scripted_conn *c)
{
    endless(c, "HTTP/1.1 200 OK\r\nX-Endless: ", "x");
}

static void endless_status_line(scripted_conn *c) { endless(c, "HTTP/1.1 200 ", "x"); }

static void endless_headers(scripted_conn *c)
{
    endless(c, "HTTP/1.1 200 OK\r\n",
            "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n");
}

static void endless_folding(scripted_conn *c)
{
    endless(c, "HTTP/1.1 200 OK\r\nX-A: b\r\n", " more\r\n");
}

static void endless_information(scripted_conn *c)
{
    endless(c, "", "HTTP/1.1 100 Continue\r\n\r\n");
}

static void endless_hints(scripted_conn *c)
{
    endless(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

static void endless_trailers(scripted_conn *c) { endless(c, CHUNKED "0\r\n", "X-Trailer: a\r\n"); }

static void endless_chunk_extension(scripted_conn *c) { endless(c, CHUNKED "5;a=", "x"); }

static void endless_chunk_size(scripted_conn *c) { endless(c, CHUNKED, "0"); }

Test(hostile_client, headers_without_an_end)
{
    sse_client_options o = quick();
    o.response_timeout_ms = 2000;
    survives_attack(endless_header_line, &o, SSE_ENETWORK, SSE_ETIMEOUT);
    survives_attack(endless_status_line, &o, SSE_ENETWORK, SSE_ETIMEOUT);
    survives_attack(endless_headers, &o, SSE_ENETWORK, SSE_ETIMEOUT);
    survives_attack(endless_folding, &o, SSE_ENETWORK, SSE_ETIMEOUT);
}

Test(hostile_client, informational_answers_without_an_end)
{
    sse_client_options o = quick();
    o.response_timeout_ms = 2000;
    survives_attack(endless_information, &o, SSE_ENETWORK, SSE_ETIMEOUT);
    survives_attack(endless_hints, &o, SSE_ENETWORK, SSE_ETIMEOUT);
}

Test(hostile_client, chunks_without_an_end)
{
    sse_client_options o = quick();
    o.idle_timeout_ms = 2000;
    survives_attack(endless_chunk_size, &o, SSE_ENETWORK, SSE_EIDLE);
    survives_attack(endless_trailers, &o, SSE_ENETWORK, SSE_EIDLE);
    survives_attack(endless_chunk_extension, &o, SSE_ENETWORK, SSE_EIDLE);
}

/* A body that never ends a line: it is told once, costs no memory, and what comes after the line is an event again. */
static void endless_line(scripted_conn *c)
{
    enum { BLOCKS = SCALED(4000, 400) };
    char block[65536];
    memset(block, 'x', sizeof block);
    conn_puts(c, STREAM_HEAD "data: ");
    for (int i = 0; i < BLOCKS; i++)
        if (!conn_send(c, block, sizeof block))
            return;
    conn_puts(c, "\n\ndata: after\n\n");
    conn_wait(c, 1); /* until the test has looked */
}

/* The same without a data field: an id, a comment, an unknown field. */
static void endless_others(scripted_conn *c)
{
    enum { BLOCKS = SCALED(1000, 100) };
    static const char *const fields[] = {"id: ", "event: ", "retry: ", ": ", "", "data"};
    char block[65536];
    memset(block, '7', sizeof block);
    conn_puts(c, STREAM_HEAD);
    for (size_t field = 0; field < 6; field++) {
        conn_puts(c, fields[field]);
        for (int i = 0; i < BLOCKS; i++)
            if (!conn_send(c, block, sizeof block))
                return;
        conn_puts(c, "\n\n");
    }
    conn_puts(c, "retry: 1\n\ndata: after\n\n");
    conn_wait(c, 1);
}

static void takes_no_memory(void (*attack)(scripted_conn *c))
{
    sse_client_options o = quick();
    hostile h = {.attack = attack};
    o.max_event_bytes = 100000;
    scripted *server = scripted_start(script, &h);
    recorder *rec = recorder_new();
    sse_client *client = client_for(scripted_url(server, "/"), &o);
    long memory = wait_resident_bytes(0);
    sse_subscription *sub = recorder_subscribe(rec, client, NULL);
    cr_assert(recorder_wait(rec, "event |message|after"), "%.500s", recorder_lines(rec));
    memory = wait_resident_bytes(0) - memory;
    cr_assert(SANITIZED || memory < MEMORY, "%ld bytes more", memory);
    cr_assert_geq(recorder_count(rec, "error SSE_ETOOBIG lost"), 1);
    cr_assert_eq(recorder_count(rec, "event"), 1);
    cr_assert_eq(scripted_connections(server), 1);
    scripted_open_gate(server, 1);
    cr_assert(recorder_wait(rec, "event |message|good"));
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(rec);
    scripted_stop(server);
}

Test(hostile_client, a_line_without_an_end) { takes_no_memory(endless_line); }

Test(hostile_client, other_lines_without_an_end) { takes_no_memory(endless_others); }

/* Events without number: a channel bounds what waits, the socket the rest. */
static void endless_events(scripted_conn *c)
{
    endless(c, STREAM_HEAD, "data: 0123456789012345678901234567890123456789\n\n");
}

Test(hostile_client, events_without_an_end_wait_in_the_socket)
{
    enum { TAKE = 1000 };
    hostile h = {.attack = endless_events};
    sse_client_options o = quick();
    sse_chan_options chan_options = SSE_CHAN_OPTIONS_INIT;
    sse_chan *chan;
    sse_subscription *sub;
    chan_options.capacity = 100;
    scripted *server = scripted_start(script, &h);
    sse_client *client = client_for(scripted_url(server, "/"), &o);
    long memory = wait_resident_bytes(0);
    cr_assert_eq(sse_chan_new(&chan_options, &chan), SSE_OK);
    cr_assert_eq(sse_client_subscribe_chan(client, NULL, chan, &sub), SSE_OK);
    for (int i = 0; i < TAKE; i++) {
        sse_msg *msg;
        cr_assert_eq(sse_chan_recv(chan, &msg), SSE_OK);
        sse_msg_unref(msg);
    }
    memory = wait_resident_bytes(0) - memory;
    cr_assert(SANITIZED || memory < MEMORY, "%ld bytes more", memory);
    sse_subscription_free(sub);
    sse_chan_unref(chan);
    sse_client_free(client);
    scripted_stop(server);
}

/* ---- waiting times ---- */

static void waits(const char *retry_after, uint64_t at_least, uint64_t at_most)
{
    char reply[256];
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    o.retry_ms = 10;
    snprintf(reply, sizeof reply,
             "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", retry_after);
    scripted *server = scripted_start(scripted_play, REPLIES({reply, END_HOLD, 0}));
    recorder *rec = recorder_new();
    sse_client *client = client_for(scripted_url(server, "/"), &o);
    sse_subscription *sub = recorder_subscribe(rec, client, NULL);
    cr_assert(recorder_wait(rec, "retry"));
    uint64_t delay = recorder_delay(rec, 0);
    cr_assert(delay >= at_least && delay <= at_most, "Retry-After: %s gives %" PRIu64 " ms",
              retry_after, delay);
    sse_subscription_free(sub); /* at once, however long it would wait */
    sse_client_free(client);
    recorder_free(rec);
    scripted_stop(server);
}

/* An hour is the longest (max_retry_ms); what is no time is not there. */
Test(hostile_client, retry_after_of_garbage)
{
    enum { HOUR = 3600000 };
    waits("-5", 1, 10);
    waits("", 1, 10);
    waits("soon", 1, 10);
    waits("0x10", 1, 10);
    waits("18446744073709551615", HOUR, HOUR);
    waits("18446744073709551616", HOUR, HOUR);
    waits("9223372036854775807", HOUR, HOUR);
    waits("99999999999999999999999999999999999999", HOUR, HOUR);
    waits("Thu, 01 Jan 1970 00:00:00 GMT", 1, 10);
    waits("Fri, 31 Dec 9999 23:59:59 GMT", HOUR, HOUR);
}

/* ---- many bad answers in a row ---- */

static void always_bad(scripted_conn *c, void *user)
{
    static const char *const answers[] = {
        "garbage\r\n\r\n",
        CHUNKED "zz\r\n",
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\ndata: "
        "cut",
        "",
        STREAM_HEAD "data: half",
    };
    enum { BAD = 300 };
    (void)user;
    if (!conn_read_request(c))
        return;
    size_t i = conn_index(c);
    if (i >= BAD) {
        conn_puts(c, STREAM_HEAD "data: good\n\n");
        conn_wait_peer(c);
        return;
    }
    conn_puts(c, answers[i % 6]);
    if (i % 2)
        conn_reset(c);
}

Test(hostile_client, hundreds_of_bad_answers_leave_nothing_behind)
{
    sse_client_options o = quick();
    scripted *server = scripted_start(always_bad, NULL);
    recorder *rec = recorder_new();
    sse_client *client = client_for(scripted_url(server, "/"), &o);
    sse_subscription *sub = recorder_subscribe(rec, client, NULL);
    cr_assert(recorder_wait(rec, "event |message|good"), "%.500s", recorder_lines(rec));
    cr_assert_eq(recorder_count(rec, "event"), 1);
    cr_assert_eq(recorder_count(rec, "close"), 0);
    cr_assert_eq(scripted_connections(server), 301);
    sse_subscription_free(sub);
    sse_client_free(client);
    recorder_free(rec);
    scripted_stop(server);
}
