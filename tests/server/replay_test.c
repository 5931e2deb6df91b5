/* Where a new subscriber starts: replay modes, Last-Event-ID, gaps, ages, forgetting. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sse/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static sse_server *server;
static uint16_t port;

static void start(const sse_stream_options *stream)
{
    server = serve(NULL, &port);
    cr_assert_eq(sse_server_create_stream(server, "s", stream), SSE_OK);
}

static void start_mode(sse_replay replay)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.replay = replay;
    start(&options);
}

static void stop(void) { sse_server_free(server); }

/* Publish numbers 1..n and learn the generated ids' beginning ("<epoch>-"). */
static void publish_numbers(uint64_t n, char epoch[14])
{
    http_conn *c = join(port, "s");
    say_numbers(server, "s", 1, n);
    http_block block = next(c);
    memcpy(epoch, block.id, 13);
    epoch[13] = '\0';
    http_block_fini(&block);
    expect_numbers(c, 2, n - 1);
    http_close(c);
    wait_subscribers(server, "s", 0);
}

static const char *id_of(const char *epoch, uint64_t number)
{
    static char id[64];
    snprintf(id, sizeof id, "%s%" PRIu64, epoch, number);
    return id;
}

/* features: AutoReplay, EventLog */
Test(replay, all_gives_what_is_held)
{
    start_mode(SSE_REPLAY_ALL);
    say_numbers(server, "s", 1, 10);
    wait_published(server, "s", 10);
    http_conn *c = join(port, "s");
    expect_numbers(c, 1, 10);
    say_numbers(server, "s", 11, 5);
    expect_numbers(c, 11, 5);
    http_close(c);
    cr_assert_eq(stats_of(server, "s").replayed, 1);
    stop();
}

Test(replay, resume_gives_nothing_without_an_id)
{
    start_mode(SSE_REPLAY_RESUME);
    say_numbers(server, "s", 1, 10);
    http_conn *c = join(port, "s");
    expect_nothing_but(server, c, "s", "new");
    http_close(c);
    stop();
}

/* features: EventTTL works without replay; the log then is empty */
Test(replay, none_gives_nothing)
{
    start_mode(SSE_REPLAY_NONE);
    char epoch[14];
    publish_numbers(10, epoch);
    http_conn *c = join(port, "s");
    expect_nothing_but(server, c, "s", "new");
    cr_assert_eq(stats_of(server, "s").history, 0);
    http_close(c);
    /* The id is known, what came after it is lost: told. */
    c = join_after(port, "s", id_of(epoch, 8));
    cr_assert_eq(expect_gap(c), 3);
    expect_nothing_but(server, c, "s", "newer");
    http_close(c);
    c = join_after(port, "s", id_of(epoch, 12));
    expect_nothing_but(server, c, "s", "newest");
    http_close(c);
    stop();
}

/* conformance 31; features: the last event is not replayed again */
Test(replay, resumes_after_a_generated_id)
{
    static const sse_replay modes[] = {SSE_REPLAY_ALL, SSE_REPLAY_RESUME};
    for (size_t i = 0; i < 2; i++) {
        start_mode(modes[i]);
        char epoch[14];
        publish_numbers(10, epoch);
        for (uint64_t last = 1; last < 10; last += 4) {
            http_conn *c = join_after(port, "s", id_of(epoch, last));
            expect_numbers(c, last + 1, 10 - last);
            http_close(c);
        }
        http_conn *c = join_after(port, "s", id_of(epoch, 10));
        expect_nothing_but(server, c, "s", "11");
        http_close(c);
        cr_assert_eq(stats_of(server, "s").gaps, 0);
        stop();
    }
}

/* conformance 31: ids are opaque strings */
Test(replay, resumes_after_an_id_of_the_publishers)
{
    start(NULL);
    static const char *const ids[] = {"a", "7", "0", "\xc3\xa9 with space", "-1", "A"};
    for (size_t i = 0; i < 6; i++) {
        char data[8];
        snprintf(data, sizeof data, "%zu", i);
        say_id(server, "s", ids[i], data);
    }
    for (size_t i = 0; i < 5; i++) {
        http_conn *c = join_after(port, "s", ids[i]);
        expect_numbers(c, i + 1, 5 - i);
        http_close(c);
    }
    cr_assert_eq(stats_of(server, "s").gaps, 0);
    stop();
}

/* The accepted event has its place at once, also while the worker has not got to it. */
Test(replay, an_id_that_was_just_published_is_known)
{
    start(NULL);
    for (int i = 0; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof id, "id-%d", i);
        say_id(server, "s", id, "x");
        http_conn *c = join_after(port, "s", id);
        expect_nothing_but(server, c, "s", "mark");
        http_close(c);
    }
    cr_assert_eq(stats_of(server, "s").gaps, 0);
    stop();
}

/* Wherever the two are: in the log, or accepted a moment ago. */
Test(replay, of_an_id_published_twice_the_newest_counts)
{
    for (int round = 0; round < 50; round++) {
        start(NULL);
        say_id(server, "s", "twice", "1");
        say_id(server, "s", "other", "2");
        say_id(server, "s", "twice", "3");
        say_id(server, "s", "last", "4");
        if (round % 2)
            wait_published(server, "s", 4);
        http_conn *c = join_after(port, "s", "twice");
        expect_data(c, "4");
        http_close(c);
        cr_assert_eq(stats_of(server, "s").gaps, 0);
        stop();
    }
}

Test(replay, generated_and_own_ids_mix)
{
    start(NULL);
    char epoch[14];
    publish_numbers(3, epoch);
    say_id(server, "s", "own", "4");
    say_numbers(server, "s", 5, 2);
    http_conn *c = join_after(port, "s", id_of(epoch, 3));
    expect_numbers(c, 4, 3);
    http_close(c);
    c = join_after(port, "s", "own");
    expect_numbers(c, 5, 2);
    http_close(c);
    /* The position of an event with an own id works too: a gap event may have told it. */
    c = join_after(port, "s", id_of(epoch, 4));
    expect_numbers(c, 5, 2);
    http_close(c);
    stop();
}

/* contract: query lastEventId where headers cannot be set */
Test(replay, takes_the_id_from_the_query)
{
    start(NULL);
    say_id(server, "s", "a b", "1");
    say_id(server, "s", "c", "2");
    say_id(server, "s", "d", "3");
    http_conn *c = http_open_stream(port, "/events?stream=s&lastEventId=a+b", NULL, NULL, LONG);
    cr_assert_not_null(c);
    expect_numbers(c, 2, 2);
    http_close(c);
    c = http_open_stream(port, "/events?lastEventId=a%20b&stream=s", "Last-Event-ID: c\r\n", NULL,
                         LONG);
    cr_assert_not_null(c);
    expect_data(c, "3"); /* the header is newer: a reconnecting client keeps its URL */
    http_close(c);
    c = http_open_stream(port, "/events?stream=s&lastEventId=", NULL, NULL, LONG);
    cr_assert_not_null(c);
    expect_numbers(c, 1, 3);
    http_close(c);
    stop();
}

static void expect_unknown(const char *id, const char *json_id)
{
    http_conn *c = join_after(port, "s", id);
    http_block block = next(c);
    cr_assert_str_eq(block.type, "gap");
    char json[512];
    snprintf(json, sizeof json, "{\"requested\":%s,\"oldest\":\"first\",\"missed\":null}", json_id);
    cr_assert_str_eq(block.data, json);
    http_block_fini(&block);
    expect_numbers(c, 1, 3);
    http_close(c);
}

/* conformance 31: an id that was never held is a gap, told before the oldest event */
Test(replay, unknown_ids_are_a_gap)
{
    start(NULL);
    say_id(server, "s", "first", "1");
    say_numbers(server, "s", 2, 2);
    wait_published(server, "s", 3);
    expect_unknown("nobody", "\"nobody\"");
    expect_unknown("quo\"te\\", "\"quo\\\"te\\\\\"");
    expect_unknown("0123456789ab-2", "\"0123456789ab-2\""); /* of another epoch */
    expect_unknown("1", "\"1\"");
    cr_assert_eq(stats_of(server, "s").gaps, 4);
    stop();
}

/* An id of this stream's that it has not given yet: of a copy that was restored, perhaps. */
Test(replay, ids_of_the_future_are_a_gap)
{
    start(NULL);
    char epoch[14];
    publish_numbers(3, epoch);
    http_conn *c = join_after(port, "s", id_of(epoch, 4));
    cr_assert_eq(expect_gap(c), UINT64_MAX);
    expect_numbers(c, 1, 3);
    http_close(c);
    stop();
}

Test(replay, an_empty_stream_tells_of_the_gap_too)
{
    start(NULL);
    http_conn *c = join_after(port, "s", "before-the-restart");
    http_block block = next(c);
    cr_assert_str_eq(block.type, "gap");
    cr_assert_str_eq(block.data,
                     "{\"requested\":\"before-the-restart\",\"oldest\":null,\"missed\":null}");
    http_block_fini(&block);
    expect_nothing_but(server, c, "s", "x");
    http_close(c);
    stop();
}

/* conformance 31: an id that is no longer held; the numbers are right */
Test(replay, fallen_out_of_the_history_is_a_gap_with_its_number)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.history_events = 10;
    start(&options);
    char epoch[14];
    publish_numbers(100, epoch);
    cr_assert_eq(stats_of(server, "s").history, 10);
    static const uint64_t lasts[] = {1, 50, 89, 90, 91};
    for (size_t i = 0; i < sizeof lasts / sizeof lasts[0]; i++) {
        uint64_t last = lasts[i], missed = last < 90 ? 90 - last : 0;
        http_conn *c = join_after(port, "s", id_of(epoch, last));
        if (missed > 0)
            cr_assert_eq(expect_gap(c), missed);
        expect_numbers(c, last + missed + 1, 100 - last - missed);
        http_close(c);
    }
    /* Who reconnects with the gap's own id is told nothing twice, and loses nothing. */
    http_conn *c = join_after(port, "s", id_of(epoch, 7));
    http_block block = next(c);
    cr_assert_str_eq(block.id, id_of(epoch, 90));
    http_conn *again = join_after(port, "s", block.id);
    expect_numbers(again, 91, 10);
    http_block_fini(&block);
    http_close(again);
    http_close(c);
    stop();
}

Test(replay, history_is_limited_by_bytes)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.history_bytes = 10000;
    start(&options);
    for (int i = 0; i < 100; i++)
        say(server, "s", bulk(1000));
    wait_published(server, "s", 100);
    sse_stream_stats s = stats_of(server, "s");
    cr_assert_leq(s.history_bytes, 10000);
    cr_assert_eq(s.history, 9);
    stop();
}

static bool history_empty(void *arg)
{
    (void)arg;
    return stats_of(server, "s").history == 0;
}

/* features: EventTTL */
Test(replay, events_grow_too_old)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.event_ttl_ms = 20;
    start(&options);
    char epoch[14];
    publish_numbers(5, epoch);
    cr_assert(wait_until(history_empty, NULL, LONG));
    cr_assert_str_eq(stats_of(server, "s").oldest_id, "");
    http_conn *c = join(port, "s");
    expect_nothing_but(server, c, "s", "young");
    http_close(c);
    cr_assert(wait_until(history_empty, NULL, LONG));
    c = join_after(port, "s", id_of(epoch, 3));
    cr_assert_eq(expect_gap(c), 3);
    http_close(c);
    stop();
}

/* features: Eventlog.Clear */
Test(replay, history_can_be_cleared)
{
    start(NULL);
    char epoch[14];
    publish_numbers(5, epoch);
    http_conn *c = join(port, "s");
    expect_numbers(c, 1, 5);
    cr_assert_eq(sse_server_clear_history(server, "s"), SSE_OK);
    cr_assert_eq(stats_of(server, "s").history, 0);
    cr_assert_eq(stats_of(server, "s").history_bytes, 0);
    expect_nothing_but(server, c, "s", "6");
    http_conn *later = join_after(port, "s", id_of(epoch, 2));
    cr_assert_eq(expect_gap(later), 3);
    expect_data(later, "6");
    http_close(later);
    http_close(c);
    stop();
}

Test(replay, history_can_be_off)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.history_events = SSE_OFF;
    start(&options);
    http_conn *c = join(port, "s");
    say_numbers(server, "s", 1, 2000);
    expect_numbers(c, 1, 2000);
    cr_assert_eq(stats_of(server, "s").history, 0);
    http_conn *later = join(port, "s");
    say_numbers(server, "s", 2001, 1);
    expect_numbers(later, 2001, 1);
    http_close(c);
    http_close(later);
    stop();
}

/* Each stream may have options of its own; without, the server's hold. */
Test(replay, modes_are_the_streams_own)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.replay = SSE_REPLAY_RESUME;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    server = serve(&options, &port);
    create(server, "theirs");
    sse_stream_options own = SSE_STREAM_OPTIONS_INIT;
    own.replay = SSE_REPLAY_ALL;
    cr_assert_eq(sse_server_create_stream(server, "own", &own), SSE_OK);
    say(server, "theirs", "1");
    say(server, "own", "1");
    http_conn *theirs = join(port, "theirs"), *mine = join(port, "own");
    expect_data(mine, "1");
    expect_nothing_but(server, theirs, "theirs", "2");
    http_close(theirs);
    http_close(mine);
    stop();
}

/* Replay and new events join without a seam, whenever the subscriber comes. */
Test(replay, has_no_seam)
{
    start(NULL);
    uint64_t published = 0;
    for (int round = 0; round < 50; round++) {
        say_numbers(server, "s", published, 7);
        http_conn *c = join(port, "s");
        say_numbers(server, "s", published + 7, 3);
        published += 10;
        expect_numbers(c, 0, published);
        http_close(c);
    }
    stop();
}

Test(replay, a_cleared_history_holds_nothing_that_was_published_before)
{
    server = serve(NULL, &port);
    create(server, "a");
    for (int i = 0; i < 300; i++) {
        say(server, "a", "before");
        cr_assert_eq(sse_server_clear_history(server, "a"), SSE_OK);
    }
    wait_published(server, "a", 300);
    cr_assert_eq(stats_of(server, "a").history, 0);
    say(server, "a", "after");
    http_conn *c = join(port, "a");
    expect_data(c, "after");
    http_close(c);
    sse_server_free(server);
}

/* Who reads base64 reads all of it as base64, the gap too. */
Test(replay, a_gap_is_base64_where_data_is)
{
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    stream.base64 = true;
    sse_server_options options = fixture_options();
    options.stream = &stream;
    server = serve(&options, &port);
    create(server, "a");
    http_conn *c = join_after(port, "a", "never-seen");
    http_block gap = next(c);
    cr_assert_str_eq(gap.type, "gap");
    size_t len = 0;
    cr_assert_eq(sse_base64_decode(gap.data, gap.data_len, gap.data, &len), SSE_OK);
    cr_assert(len > 2 && gap.data[0] == '{' && gap.data[len - 1] == '}');
    http_block_fini(&gap);
    http_close(c);
    sse_server_free(server);
}

/* What does not fit into the connection's buffer at once goes out in larger segments than the buffer is. */
Test(replay, leaves_in_large_segments)
{
    start(NULL);
    char data[101] = "";
    memset(data, 'x', 100);
    for (int i = 0; i < 1000; i++)
        say(server, "s", data);
    wait_published(server, "s", 1000);
    http_conn *c = join(port, "s");
    for (int i = 0; i < 1000; i++)
        expect_data(c, data);
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    cr_assert_eq(getsockopt(http_fd(c), IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    uint64_t pieces = info.tcpi_bytes_received / 8192; /* the buffer is no larger by default */
    cr_assert_geq(pieces, 12);
    cr_assert_leq(info.tcpi_data_segs_in, pieces / 2 + 2, "%u segments", info.tcpi_data_segs_in);

    /* The last of it leaves at once, and so does what comes later: nothing waits for more. */
    say(server, "s", "later");
    expect_data(c, "later");
    http_close(c);
    stop();
}
