/* Several streams over one connection: each event says where it is from, and one id resumes them all. */
#include "fixture.h"

#include "clock.h"

#include <criterion/criterion.h>
#include <sse/event.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STREAMS = 3, EACH = 8, ALL = STREAMS * EACH };

static const char *const names[STREAMS] = {"a", "b c", "d%"};
static const char query[] = "a&stream=b%20c&stream=d%25";

static sse_server *server;
static uint16_t port;

static void start_with(const sse_server_options *options)
{
    server = serve(options, &port);
    for (int i = 0; i < STREAMS; i++)
        create(server, names[i]);
}

static void start(void) { start_with(NULL); }

static void stop(void) { sse_server_free(server); }

/* Which stream an event says that it is from. */
static int stream_of(const http_block *block)
{
    sse_event event = {.id = sse_cstr(block->id)};
    char name[64];
    cr_assert_gt(sse_event_stream(&event, name, sizeof name), 0, "id: %s", block->id);
    for (int i = 0; i < STREAMS; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    cr_assert_fail("stream %s", name);
    return -1;
}

static void say_number(int stream, int number)
{
    char data[16];
    snprintf(data, sizeof data, "%d", number);
    say(server, names[stream], data);
}

/* Read n events; each stream's must be next[stream] and those after it. ids (may be NULL) gets copies. */
static void expect_in_order(http_conn *c, int n, int nexts[STREAMS], char *ids[])
{
    for (int i = 0; i < n; i++) {
        http_block block = next(c);
        cr_assert_null(block.type, "event of type %s: %s", block.type, block.data);
        int stream = stream_of(&block);
        cr_assert_eq(atoi(block.data), nexts[stream], "stream %d: %s, not %d", stream, block.data,
                     nexts[stream]);
        nexts[stream]++;
        if (ids)
            ids[i] = strdup(block.id);
        http_block_fini(&block);
    }
}

static void expect_silence(http_conn *c, int nexts[STREAMS])
{
    for (int i = 0; i < STREAMS; i++)
        say_number(i, nexts[i]);
    expect_in_order(c, STREAMS, nexts, NULL);
}

Test(together, events_say_where_they_are_from)
{
    start();
    http_conn *c = join(port, query);
    int nexts[STREAMS] = {0};
    for (int i = 0; i < ALL; i++) {
        say_number(i % STREAMS, i / STREAMS);
        expect_in_order(c, 1, nexts, NULL);
    }
    for (int i = 0; i < STREAMS; i++) {
        cr_assert_eq(nexts[i], EACH);
        cr_assert_eq(stats_of(server, names[i]).subscribers, 1);
        cr_assert_eq(stats_of(server, names[i]).delivered, EACH);
    }
    cr_assert_eq(totals(server).subscribers, 1); /* one connection */
    http_close(c);
    for (int i = 0; i < STREAMS; i++)
        wait_subscribers(server, names[i], 0);
    wait_left(server, SSE_LEFT_GONE, STREAMS);
    stop();
}

/* From each event on that the first connection received, another gets exactly the rest. */
Test(together, any_id_resumes_all)
{
    start();
    for (int i = 0; i < ALL; i++)
        say_number(i % STREAMS, i / STREAMS);
    char *ids[ALL];
    int nexts[STREAMS] = {0};
    http_conn *c = join(port, query);
    expect_in_order(c, ALL, nexts, ids);
    http_close(c);

    static const char *const orders[] = {"a&stream=b%20c&stream=d%25",
                                         "d%25&stream=a&stream=b%20c"};
    for (int k = 0; k < ALL; k++) {
        int had[STREAMS] = {0};
        for (int i = 0; i <= k; i++)
            had[stream_of(&(http_block){.id = ids[i]})]++;
        c = join_after(port, orders[k % 2], ids[k]);
        expect_in_order(c, ALL - k - 1, had, NULL);
        for (int i = 0; i < STREAMS; i++)
            cr_assert_eq(had[i], EACH);
        http_close(c);
    }
    c = join_after(port, query, ids[ALL - 1]);
    expect_silence(c, nexts);
    http_close(c);
    for (int i = 0; i < ALL; i++)
        free(ids[i]);
    cr_assert_eq(totals(server).gaps, 0);
    stop();
}

Test(together, one_more_stream_or_one_less)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.replay = SSE_REPLAY_RESUME;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    start_with(&options);
    http_conn *c = join(port, "a&stream=b%20c");
    say_number(0, 0);
    say_number(1, 0);
    int nexts[STREAMS] = {0};
    char *ids[2];
    expect_in_order(c, 2, nexts, ids);
    http_close(c);
    for (int i = 0; i < STREAMS; i++)
        say_number(i, 1);

    nexts[0] = nexts[1] = 1; /* the third is new to this client: nothing of it is replayed */
    nexts[2] = 2;
    c = join_after(port, query, ids[1]);
    expect_in_order(c, 2, nexts, NULL);
    expect_silence(c, nexts);
    http_close(c);

    c = join_after(port, "b%20c", ids[1]); /* alone, it finds its own position */
    expect_numbers(c, 1, 2);
    http_close(c);
    free(ids[0]);
    free(ids[1]);
    stop();
}

Test(together, the_publishers_id_is_kept)
{
    start();
    say_id(server, "a", "my own, 1", "x");
    say_id(server, "a", "", "y");
    http_conn *c = join(port, query);
    http_block block = next(c);
    sse_event event = {.id = sse_cstr(block.id)};
    sse_str own = sse_event_own_id(&event);
    cr_assert_eq(own.len, strlen("my own, 1"));
    cr_assert_eq(memcmp(own.ptr, "my own, 1", own.len), 0);
    http_block second = next(c); /* an empty id would make a client forget where it is */
    cr_assert_str_eq(second.data, "y");
    cr_assert_eq(stream_of(&second), 0);
    http_close(c);
    c = join_after(port, query, block.id);
    expect_data(c, "y");
    http_close(c);
    http_block_fini(&block);
    http_block_fini(&second);
    stop();
}

/* An id from before a restart, or of nobody's: each stream announces that it does not know, and one that was not read yet
 * announces it again on the next connection. */
Test(together, unknown_ids_are_gaps)
{
    static const char *const last[] = {"7", "a 000000000000-1,000000000001-2", "a  ", "a 00-1"};
    start();
    for (int i = 0; i < STREAMS; i++)
        say_number(i, 0);
    for (size_t k = 0; k < sizeof last / sizeof last[0]; k++) {
        http_conn *c = join_after(port, query, last[k]);
        int gaps = 0, events = 0;
        char *after_first_gap = NULL;
        while (gaps + events < 2 * STREAMS) {
            http_block block = next(c);
            bool gap = block.type && strcmp(block.type, "gap") == 0;
            gaps += gap;
            events += !gap;
            if (gap && !after_first_gap)
                after_first_gap = strdup(block.id);
            cr_assert(stream_of(&block) >= 0);
            http_block_fini(&block);
        }
        cr_assert_eq(gaps, STREAMS);
        http_close(c);
        /* It broke before the other gaps were read: they come again, and nobody claims to know how much is missing. */
        c = join_after(port, query, after_first_gap);
        gaps = events = 0;
        while (gaps + events < 2 * STREAMS - 1) {
            http_block block = next(c);
            bool gap = block.type && strcmp(block.type, "gap") == 0;
            cr_assert(!gap || strstr(block.data, "\"missed\":null"), "%s", block.data);
            gaps += gap;
            events += !gap;
            http_block_fini(&block);
        }
        cr_assert_eq(gaps, STREAMS - 1);
        http_close(c);
        free(after_first_gap);
    }
    stop();
}

/* A history too small: the gap of each stream, and what was announced and delivered is what was published. */
Test(together, gaps_are_counted_for_each_stream)
{
    sse_stream_options own = SSE_STREAM_OPTIONS_INIT;
    own.history_events = 4;
    sse_server_options options = fixture_options();
    options.stream = &own;
    start_with(&options);
    http_conn *c = join(port, query);
    for (int i = 0; i < STREAMS; i++)
        say_number(i, 0);
    int nexts[STREAMS] = {0};
    char *ids[STREAMS];
    expect_in_order(c, STREAMS, nexts, ids);
    http_close(c);
    for (int number = 1; number < 10; number++)
        for (int i = 0; i < STREAMS - 1; i++)
            say_number(i, number);
    for (int i = 0; i < STREAMS - 1; i++)
        wait_published(server, names[i], 10);
    c = join_after(port, query, ids[STREAMS - 1]);
    int received[STREAMS] = {0}, missed[STREAMS] = {0};
    for (int i = 0; i < 2 * 5; i++) {
        http_block block = next(c);
        int stream = stream_of(&block);
        const char *found = strstr(block.data, "\"missed\":");
        if (found)
            missed[stream] += atoi(found + 9);
        else
            received[stream]++;
        http_block_fini(&block);
    }
    for (int i = 0; i < STREAMS - 1; i++) {
        cr_assert_eq(received[i], 4);
        cr_assert_eq(missed[i], 5);
    }
    http_close(c);
    for (int i = 0; i < STREAMS; i++)
        free(ids[i]);
    stop();
}

static bool removals(void *arg)
{
    return totals(server).left[SSE_LEFT_REMOVED] == *(uint64_t *)arg;
}

static void remove_stream(int stream, uint64_t in_all)
{
    cr_assert_eq(sse_server_remove_stream(server, names[stream]), SSE_OK);
    cr_assert(wait_until(removals, &in_all, LONG));
}

Test(together, a_removed_stream_leaves_the_others)
{
    start();
    http_conn *c = join(port, query);
    int nexts[STREAMS] = {0};
    expect_silence(c, nexts);
    remove_stream(0, 1); /* the first, which leads */
    say_number(1, 1);
    say_number(2, 1);
    expect_in_order(c, 2, nexts, NULL);
    cr_assert_eq(totals(server).subscribers, 1);
    remove_stream(1, 2);
    say_number(2, 2);
    expect_in_order(c, 1, nexts, NULL);
    remove_stream(2, 3);
    expect_end(c);
    http_close(c);
    stop();
}

Test(together, leaving_is_noticed_when_the_lead_has_ended)
{
    start();
    http_conn *c = join(port, query);
    remove_stream(0, 1);
    http_reset(c);
    wait_left(server, SSE_LEFT_GONE, STREAMS - 1);
    stop();
}

Test(together, closing_delivers_what_was_accepted)
{
    start();
    http_conn *c = join(port, query);
    for (int i = 0; i < ALL; i++)
        say_number(i % STREAMS, i / STREAMS);
    sse_server_close(server);
    int nexts[STREAMS] = {0};
    expect_in_order(c, ALL, nexts, NULL);
    http_block farewell;
    cr_assert_eq(http_next_block(c, &farewell, LONG), HTTP_OK);
    cr_assert_not_null(farewell.retry);
    http_block_fini(&farewell);
    expect_end(c);
    http_close(c);
    wait_left(server, SSE_LEFT_DRAINED, STREAMS);
    stop();
}

/* One stream has far more to say than fits at once; the others are not kept waiting behind all of it. */
Test(together, a_loud_stream_does_not_silence_the_others)
{
    enum { LOUD = 200 };
    start();
    for (int i = 0; i < LOUD; i++)
        say(server, "a", bulk(4000));
    wait_published(server, "a", LOUD);
    say(server, names[1], "quiet");
    wait_published(server, names[1], 1);
    http_conn *c = join(port, query);
    int before = 0;
    for (;; before++) {
        http_block block = next(c);
        bool quiet = strcmp(block.data, "quiet") == 0;
        http_block_fini(&block);
        if (quiet)
            break;
    }
    cr_assert_lt(before, 50); /* a connection's buffer holds one or two of the loud ones */
    http_close(c);
    stop();
}

static int refuse_second(void *user, const sse_request *request)
{
    (void)user;
    return strcmp(sse_request_stream(request), names[1]) == 0 ? 403 : 0;
}

Test(together, what_is_refused)
{
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = refuse_second};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    start_with(&options);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a&stream=b%20c", NULL, NULL), 403);
    cr_assert_eq(status_of(port, "HEAD", "/events?stream=a&stream=b%20c", NULL, NULL), 403);
    cr_assert_eq(status_of(port, "HEAD", "/events?stream=a&stream=d%25", NULL, NULL), 200);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a&stream=a", NULL, NULL), 400);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a&stream=", NULL, NULL), 400);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a&stream=none", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "GET", "/events?stream=a&stream=%FF", NULL, NULL), 404);
    cr_assert_eq(status_of(port, "POST", "/events?stream=a&stream=d%25", NULL, "x"), 405);
    char many[512] = "/events?stream=s0";
    for (int i = 1; i <= 32; i++)
        sprintf(many + strlen(many), "&stream=s%d", i);
    http_response answer;
    cr_assert_eq(ask(port, "GET", many, NULL, NULL, &answer), 400);
    cr_assert(strstr(answer.body, "33"), "%s", answer.body);
    http_response_fini(&answer);
    cr_assert_eq(totals(server).subscribed, 0);
    stop();
}

/* What was replayed in one piece counts for each stream as far as it was that stream's. */
Test(together, bytes_are_counted_for_each_stream)
{
    start();
    for (int i = 0; i < ALL; i++)
        say_number(i % STREAMS, i / STREAMS);
    for (int i = 0; i < STREAMS; i++)
        wait_published(server, names[i], EACH);
    http_conn *c = join(port, query);
    uint64_t bytes[STREAMS] = {0};
    for (int i = 0; i < ALL; i++) {
        http_block block = next(c);
        bytes[stream_of(&block)] +=
            strlen("id: \ndata: \n\n") + strlen(block.id) + strlen(block.data);
        http_block_fini(&block);
    }
    for (int i = 0; i < STREAMS; i++)
        cr_assert_eq(stats_of(server, names[i]).bytes_out, bytes[i], "%s", names[i]);
    http_close(c);
    stop();
}

/* The most that a connection can have: each of them is heard, and the last id resumes all. */
Test(together, as_many_streams_as_there_can_be)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    options.connection_memory = 32768; /* 32 positions in a header */
    start_with(&options);
    char many[512] = "s0", name[16];
    for (int i = 1; i < 32; i++)
        sprintf(many + strlen(many), "&stream=s%d", i);
    http_conn *c = join(port, many);
    char *last = NULL;
    for (int i = 0; i < 32; i++) {
        snprintf(name, sizeof name, "s%d", i);
        say(server, name, name);
        http_block block = next(c);
        cr_assert_str_eq(block.data, name);
        free(last);
        last = strdup(block.id);
        http_block_fini(&block);
    }
    http_close(c);
    say(server, "s31", "more");
    c = join_after(port, many, last);
    expect_data(c, "more");
    http_close(c);
    free(last);
    stop();
}

/* Under drop-oldest what a slow reader of several streams loses is announced, stream by stream, at any id. */
Test(together, losses_are_announced)
{
    enum { BYTES = 64 << 10, EVENTS = 200 };
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.slow = SSE_SLOW_DROP_OLDEST;
    stream.ring_events = 8;
    stream.history_events = SSE_OFF;
    stream.slow_grace_ms = 10;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    start_with(&options);
    http_conn *c = join_silently(port, query, 4096);
    wait_subscribers(server, "a", 1);
    for (int number = 0; number < EVENTS; number++)
        for (int i = 0; i < 2; i++)
            say(server, names[i], bulk(BYTES));
    http_response head;
    cr_assert(http_read_head(c, &head, LONG));
    http_response_fini(&head);
    int told[STREAMS] = {0}, gaps = 0;
    while (told[0] < EVENTS || told[1] < EVENTS) {
        http_block block = next(c);
        const char *missed = block.type ? strstr(block.data, "\"missed\":") : NULL;
        told[stream_of(&block)] += missed ? atoi(missed + 9) : 1;
        gaps += missed != NULL;
        http_block_fini(&block);
    }
    cr_assert_eq(told[0], EVENTS);
    cr_assert_eq(told[1], EVENTS);
    cr_assert_gt(gaps, 1);
    http_close(c);
    stop();
}

/* One of them is closed as slow: that is why all of them end. */
Test(together, all_are_slow_when_one_is)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.slow = SSE_SLOW_CLOSE;
    stream.ring_events = 8;
    stream.history_events = SSE_OFF;
    stream.slow_grace_ms = 10;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    start_with(&options);
    for (int i = 0; i < 5; i++) {
        http_conn *c = join_silently(port, query, 4096);
        wait_subscribers(server, names[1], 1);
        while (stats_of(server, names[1]).subscribers > 0)
            say(server, names[1], bulk(64 << 10));
        wait_left(server, SSE_LEFT_SLOW, STREAMS * (uint64_t)(i + 1));
        http_close(c);
    }
    cr_assert_eq(totals(server).left[SSE_LEFT_GONE], 0);
    stop();
}

/* What may begin may also resume: a request that would be too large for the connection's memory with the id of its own events is
 * refused at once. */
Test(together, as_many_names_as_can_resume)
{
    sse_server_options options = fixture_options();
    options.auto_stream = true;
    options.connection_memory = 4096;
    server = serve(&options, &port);
    int accepted = 0, refused = 0;
    for (int length = 4; length <= 220; length += 12) {
        char streams[4096], *at = streams;
        for (int i = 0; i < 8; i++)
            at += sprintf(at, "%s%0*d", i ? "&stream=" : "", length, i);
        char target[sizeof streams + 32];
        snprintf(target, sizeof target, "/events?stream=%s", streams);
        http_response answer;
        http_conn *c = http_open_stream(port, target, NULL, NULL, LONG);
        if (!c) {
            cr_assert_eq(ask(port, "GET", target, NULL, NULL, &answer), 400);
            cr_assert(strstr(answer.body, "too long"), "%s", answer.body);
            http_response_fini(&answer);
            refused++;
            continue;
        }
        cr_assert_eq(refused, 0);
        char name[256], header[2048];
        snprintf(name, sizeof name, "%0*d", length, 3);
        say(server, name, "x");
        http_block block = next(c);
        snprintf(header, sizeof header,
                 "Last-Event-ID: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
                 "AppleWebKit/537.36\r\nAccept: text/event-stream\r\n",
                 block.id);
        http_block_fini(&block);
        http_close(c);
        c = http_open_stream(port, target, header, NULL, LONG);
        cr_assert_not_null(c, "names of %d bytes cannot resume", length);
        http_close(c);
        accepted++;
    }
    cr_assert_gt(accepted, 2);
    cr_assert_gt(refused, 2);
    stop();
}

static _Atomic uint64_t now_ns = 1000000000000;

static uint64_t clock_of_the_test(void) { return now_ns; }

static int for_an_hour(void *user, const sse_request *request)
{
    (void)user;
    sse_request_set_expiry(request, (int64_t)time(NULL) + 3600);
    return 0;
}

/* The permission ends for all, and they are told, although the stream that leads has ended before. */
Test(together, expire_when_the_lead_has_ended)
{
    sse__clock_set_source(clock_of_the_test);
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = for_an_hour};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    options.request_timeout_ms = SSE_OFF;
    options.drain_ms = SSE_OFF; /* its end would wait for the test's clock */
    options.threads = 1;
    start_with(&options);
    http_conn *c = join(port, query);
    remove_stream(0, 1);
    now_ns += (uint64_t)3601 * 1000000000;
    cr_assert_eq(status_of(port, "GET", "/healthz", NULL, NULL),
                 200); /* the loop looks at the clock */
    expect_farewell(c);
    wait_left(server, SSE_LEFT_EXPIRED, STREAMS - 1);
    stop();
}
