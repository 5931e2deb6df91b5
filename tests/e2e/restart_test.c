/* sse-server killed or ended under connected clients, and started again on the same port: what was
 * published before and after arrives exactly once and in order. Ids of another epoch make the new
 * server tell of a gap, which is an event of type "gap" in between. */
#include "e2e.h"
#include "json.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sse/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The data of the next event that is no gap, from sse-sub --format=json; counts the gaps. */
static void read_data(proc *p, char *out, size_t size, int *gaps)
{
    char type[32];
    for (;;) {
        const char *line = proc_read_line(p, LONG);
        cr_assert_not_null(line, "no event; stderr: %s", err_of(p));
        cr_assert(json_valid(line), "%s", line);
        cr_assert(json_string(json_member(line, "type"), type, sizeof type));
        cr_assert(json_string(json_member(line, "data"), out, size));
        if (strcmp(type, "gap") != 0)
            return;
        ++*gaps;
    }
}

static void expect_json_numbers(proc *p, size_t first, size_t n, int *gaps)
{
    char data[256];
    for (size_t i = 0; i < n; i++) {
        read_data(p, data, sizeof data, gaps);
        cr_assert_str_eq(data, text("%zu", first + i));
    }
}

/* End the server in this way and start another in its place. */
static void restart(hub *h, int signal_number, const char *const args[])
{
    uint16_t port = h->port;
    if (signal_number == SIGKILL)
        hub_kill(h);
    else
        hub_end(h);
    *h = hub_start_at(port, args);
}

static void restart_under_sub(int signal_number)
{
    enum { ROUNDS = 3, EACH = 200 };
    const char *const args[] = {"--stream=s", NULL};
    int gaps = 0;
    hub h = hub_start(args);
    proc *p = tool_start(
        "sse-sub", ARGS(h.url, "--stream=s", "--format=json", "--retry=10", "--max-retry=50"));
    for (size_t round = 0; round < ROUNDS; round++) {
        /* While the client is away, or not: the history is there for it. */
        publish_numbers(&h, "s", round * 2 * EACH, EACH);
        expect_json_numbers(p, round * 2 * EACH, EACH, &gaps);
        publish_numbers(&h, "s", (round * 2 + 1) * EACH, EACH);
        expect_json_numbers(p, (round * 2 + 1) * EACH, EACH, &gaps);
        if (round + 1 < ROUNDS)
            restart(&h, signal_number, args);
    }
    cr_assert_eq(gaps, ROUNDS - 1, "each restart is a gap that is told once, not %d in all", gaps);
    cr_assert_eq(proc_stop(p, LONG), 0);
    cr_assert_null(proc_read_line(p, LONG), "an event too many");
    proc_free(p);
    hub_end(&h);
}

Test(restart, sub_after_sigkill) { restart_under_sub(SIGKILL); }

Test(restart, sub_after_sigterm) { restart_under_sub(SIGTERM); }

/* Two streams over one connection: each is complete, whatever the order between them. */
Test(restart, sub_of_two_streams_after_sigkill)
{
    enum { ROUNDS = 3, EACH = 100 };
    const char *const args[] = {"--stream=a", "--stream=b c", NULL};
    static const char *const names[] = {"a", "b c"}, *const parameters[] = {"a", "b%20c"};
    hub h = hub_start(args);
    proc *p = tool_start("sse-sub", ARGS(h.url, "--stream=a", "--stream=b c", "--format=json",
                                         "--retry=10", "--max-retry=50"));
    size_t nexts[2] = {0}, gaps[2] = {0};
    for (size_t round = 1; round <= ROUNDS; round++) {
        for (size_t i = 0; i < 2; i++)
            publish_numbers(&h, parameters[i], (round - 1) * EACH, EACH);
        while (nexts[0] < round * EACH || nexts[1] < round * EACH) {
            char type[32], stream[32], data[256];
            const char *line = proc_read_line(p, LONG);
            cr_assert_not_null(line, "no event; stderr: %s", err_of(p));
            cr_assert(json_string(json_member(line, "type"), type, sizeof type));
            cr_assert(json_string(json_member(line, "data"), data, sizeof data));
            cr_assert(json_string(json_member(line, "stream"), stream, sizeof stream), "%s", line);
            size_t which = strcmp(stream, names[1]) == 0;
            cr_assert_str_eq(stream, names[which]);
            if (strcmp(type, "gap") == 0)
                gaps[which]++;
            else
                cr_assert_str_eq(data, text("%zu", nexts[which]++));
        }
        if (round < ROUNDS)
            restart(&h, SIGKILL, args);
    }
    for (size_t i = 0; i < 2;
         i++) /* once a restart and stream; again if it came before the gap was read */
        cr_assert_eq(gaps[i], ROUNDS - 1);
    cr_assert_eq(proc_stop(p, LONG), 0);
    proc_free(p);
    hub_end(&h);
}

/* What was accepted before SIGTERM is delivered before the end, although it was not waited for. */
Test(restart, drained_to_the_last_event)
{
    enum { EACH = 1000 };
    int gaps = 0;
    hub h = hub_start(ARGS("--stream=s", "--drain=600"));
    proc *p = tool_start("sse-sub", ARGS(h.url, "--stream=s", "--format=json", "--max-retry=50"));
    wait_number(&h, "s", "subscribers", 1);
    publish_numbers(&h, "s", 0, EACH);
    restart(&h, SIGTERM, ARGS("--stream=s"));
    publish_numbers(&h, "s", EACH, EACH);
    expect_json_numbers(p, 0, 2 * EACH, &gaps);
    cr_assert_eq(gaps, 1);
    proc_free(p);
    hub_end(&h);
}

/* The gap says which id was asked for, and that it is not known how much is missing. */
Test(restart, another_epoch_is_a_gap)
{
    char id[128], value[256];
    hub h = hub_start(ARGS("--stream=s"));
    publish(&h, "s", NULL, "before");
    proc *p = tool_run("sse-sub", ARGS(h.url, "--stream=s", "--format=json", "--count=1"), NULL, 0);
    const char *line = proc_read_line(p, LONG);
    cr_assert(json_string(json_member(line, "id"), id, sizeof id));
    proc_free(p);
    restart(&h, SIGTERM, ARGS("--stream=s"));
    publish(&h, "s", NULL, "after");
    p = tool_run("sse-sub",
                 ARGS(h.url, "--stream=s", "--format=json", "--count=2", "--last-event-id", id),
                 NULL, 0);
    line = proc_read_line(p, LONG);
    cr_assert(json_string(json_member(line, "type"), value, sizeof value));
    cr_assert_str_eq(value, "gap");
    cr_assert(json_string(json_member(line, "data"), value, sizeof value));
    char requested[128];
    cr_assert(json_valid(value) &&
                  json_string(json_member(value, "requested"), requested, sizeof requested),
              "%s", value);
    cr_assert_str_eq(requested, id);
    line = proc_read_line(p, LONG);
    cr_assert(json_string(json_member(line, "data"), value, sizeof value));
    cr_assert_str_eq(value, "after");
    proc_free(p);
    hub_end(&h);
}

/* ---- while the server is down ---- */

static int count(const char *s, const char *part)
{
    int n = 0;
    for (; (s = strstr(s, part)); s++)
        n++;
    return n;
}

struct said {
    proc *p;
    int times;
};

static bool tried_often(void *arg)
{
    struct said *s = arg;
    (void)proc_wait_stderr(s->p, "\1", 1); /* takes what is there */
    return count(err_of(s->p), "next attempt in") >= s->times;
}

/* conformance 21, 22: it never just stops; a connection that lived brings the delay back to its
 * base. */
Test(restart, keeps_trying)
{
    int gaps = 0;
    hub h = hub_start(ARGS("--stream=s"));
    publish_numbers(&h, "s", 0, 1);
    proc *p = tool_start("sse-sub", ARGS(h.url, "--stream=s", "--format=json", "--verbose",
                                         "--retry=4", "--max-retry=64"));
    expect_json_numbers(p, 0, 1, &gaps);
    uint16_t port = h.port;
    for (size_t round = 1; round <= 2; round++) {
        struct said many = {p, count(err_of(p), "next attempt in") + 10};
        hub_kill(&h);
        cr_assert(wait_until(tried_often, &many, LONG), "%s", err_of(p));
        h = hub_start_at(port, ARGS("--stream=s"));
        publish_numbers(&h, "s", round, 1);
        expect_json_numbers(p, round, 1, &gaps);
    }
    cr_assert_eq(proc_stop(p, LONG), 0);
    long longest = 0;
    for (const char *at = err_of(p); (at = strstr(at, "next attempt in ")); at++) {
        long delay = strtol(at + 16, NULL, 10);
        cr_assert_leq(delay, 64);
        longest = delay > longest ? delay : longest;
    }
    cr_assert_gt(longest, 4, "the delay never grew: %s", err_of(p));
    proc_free(p);
    hub_end(&h);
}

/* Every server says how long to wait, once as an option of its own, once with the event that goes
 * before the end. */
static void check_asked_delay(const char *retry, int signal_number, long least)
{
    hub h = hub_start(ARGS("--stream=s", "--retry", retry));
    publish(&h, "s", NULL, "x");
    proc *p = tool_start("sse-sub", ARGS(h.url, "--stream=s", "--verbose"));
    expect_line(p, "x");
    if (signal_number == SIGKILL)
        hub_kill(&h);
    else
        hub_end(&h);
    cr_assert(proc_wait_stderr(p, "next attempt in ", LONG), "%s", err_of(p));
    const char *at = strstr(err_of(p), "next attempt in ");
    cr_assert_geq(strtol(at + 16, NULL, 10), least, "%s", at);
    proc_free(p);
}

Test(restart, server_retry_is_honoured) { check_asked_delay("12345", SIGKILL, 12345); }

/* features beyond r3labs: a drain spreads the reconnections. */
Test(restart, farewell_retry_is_honoured) { check_asked_delay("20000", SIGTERM, 20000); }

static long retry_in_farewell(http_conn *c)
{
    http_block b;
    long retry = -1;
    while (http_next_block(c, &b, LONG) == HTTP_OK) {
        if (b.retry)
            retry = strtol(b.retry, NULL, 10);
        http_block_fini(&b);
    }
    http_close(c);
    return retry;
}

Test(restart, drain_spreads_reconnections)
{
    enum { N = 30 };
    http_conn *all[N];
    int different = 0;
    hub h = hub_start(ARGS("--stream=s", "--retry=500"));
    for (int i = 0; i < N; i++)
        all[i] = follow(&h, "s", NULL, NULL);
    proc_signal(h.process, SIGTERM);
    long first = retry_in_farewell(all[0]);
    for (int i = 1; i < N; i++) {
        long retry = retry_in_farewell(all[i]);
        cr_assert_geq(retry, 500);
        different += retry != first;
    }
    cr_assert_gt(different, 0, "all were told to come back after %ld ms", first);
    cr_assert_eq(proc_wait(h.process, LONG), 0);
    proc_free(h.process);
}

/* ---- the library ---- */

enum { SUBSCRIPTIONS = 20 };

static void expect_from_chan(sse_chan *chan, size_t first, size_t n)
{
    for (size_t i = 0; i < n;) {
        sse_msg *msg;
        cr_assert_eq(sse_chan_recv_timeout(chan, LONG, &msg), SSE_OK);
        const sse_event *event = sse_msg_event(msg);
        if (event->type.len == 0) /* else it is a gap */
            cr_assert_str_eq(event->data.ptr, text("%zu", first + i++));
        sse_msg_unref(msg);
    }
}

/* Many subscriptions of one client over several ends of the server. */
Test(restart, library)
{
    enum { EACH = 100 };
    static const int ends[] = {SIGKILL, SIGTERM, SIGKILL};
    const char *args[SUBSCRIPTIONS + 1] = {NULL};
    char names[SUBSCRIPTIONS][32];
    sse_chan *chans[SUBSCRIPTIONS];
    sse_client *client;
    for (int i = 0; i < SUBSCRIPTIONS; i++) {
        snprintf(names[i], sizeof names[i], "--stream=s%d", i);
        args[i] = names[i];
    }
    hub h = hub_start(args);
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.retry_ms = 5;
    options.max_retry_ms = 40;
    options.cacert = trusted();
    cr_assert_eq(sse_client_new(text("%s/events", h.url), &options, &client), SSE_OK);
    for (int i = 0; i < SUBSCRIPTIONS; i++) {
        cr_assert_eq(sse_chan_new(NULL, &chans[i]), SSE_OK);
        cr_assert_eq(sse_client_subscribe_chan(client, text("s%d", i), chans[i], NULL), SSE_OK);
    }
    for (size_t round = 0; round < 4; round++) {
        for (int i = 0; i < SUBSCRIPTIONS; i++)
            publish_numbers(&h, text("s%d", i), round * EACH, EACH);
        for (int i = 0; i < SUBSCRIPTIONS; i++)
            expect_from_chan(chans[i], round * EACH, EACH);
        if (round < 3)
            restart(&h, ends[round], args);
    }
    sse_client_stop(client);
    for (int i = 0; i < SUBSCRIPTIONS; i++) {
        sse_msg *msg;
        cr_assert_eq(sse_chan_try_recv(chans[i], &msg), SSE_ECLOSED, "an event too many");
        sse_chan_unref(chans[i]);
    }
    sse_client_free(client);
    hub_end(&h);
}
