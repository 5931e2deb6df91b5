/* A subscriber that stops reading, under each policy of sse-server: the others receive everything,
 * the counters say what happened, and the slow one learns what it lost. */
#include "e2e.h"
#include "json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Together more than the ring and what the kernel buffers for one connection. */
enum { RING = 16, EVENTS = 300, EVENT_BYTES = 60000 };

static char *payload(size_t number)
{
    char *s = malloc(EVENT_BYTES + 1);
    cr_assert_not_null(s);
    memset(s, 'x', EVENT_BYTES);
    s[EVENT_BYTES] = '\0';
    s[snprintf(s, EVENT_BYTES, "%zu", number)] = ' ';
    return s;
}

static size_t number_of(const char *data)
{
    cr_assert_eq(strlen(data), (size_t)EVENT_BYTES);
    return strtoul(data, NULL, 10);
}

struct attempt {
    const hub *h;
    const char *data;
    int refused;
};

static bool accepted(void *arg)
{
    struct attempt *a = arg;
    http_response r = ask(a->h, "POST", "/events?stream=s", NULL, a->data);
    int status = r.status;
    http_response_fini(&r);
    a->refused += status == 429;
    cr_assert(status == 200 || status == 429, "%d", status);
    return status == 200;
}

static hub start(const char *policy)
{
    return hub_start(ARGS("--stream=s", "--slow-consumer", policy, "--buffer", text("%d", RING),
                          "--history=8", "--slow-grace=0.1"));
}

/* Subscribe and read only the head. */
static http_conn *stop_reading(const hub *h)
{
    http_response r;
    http_conn *c = http_connect_rcvbuf(h->port, 4096);
    cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200);
    http_response_fini(&r);
    return c;
}

static void read_one(http_conn *c, size_t number)
{
    http_block b;
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
    cr_assert_null(b.type, "%s", b.type);
    cr_assert_eq(number_of(b.data), number);
    http_block_fini(&b);
}

/* Publish everything; the healthy subscriber reads each event as it comes. */
static void publish_to(const hub *h, http_conn *healthy)
{
    for (size_t i = 0; i < EVENTS; i++) {
        char *data = payload(i);
        struct attempt a = {h, data, 0};
        cr_assert(wait_until(accepted, &a, LONG), "the ring stays full");
        free(data);
        read_one(healthy, i);
    }
}

/* What the slow one gets when it reads again: numbers that grow, and gaps. Ends with the last
 * event. Returns how many events came; adds up what the gaps tell. */
static size_t read_late(http_conn *c, size_t last, uint64_t *missed, uint64_t *gaps)
{
    size_t n = 0, next = 0;
    *missed = *gaps = 0;
    for (;;) {
        http_block b;
        cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
        if (b.type && strcmp(b.type, "gap") == 0) {
            cr_assert(json_valid(b.data), "%s", b.data);
            uint64_t m = strtoull(json_member(b.data, "missed"), NULL, 10);
            next += m;
            *missed += m;
            ++*gaps;
        } else {
            size_t number = number_of(b.data);
            cr_assert_eq(number, next, "%zu where %zu should come", number, next);
            next++;
            n++;
        }
        http_block_fini(&b);
        if (next > last)
            return n;
    }
}

/* features r3labs "one full subscriber blocks the whole stream" must not be so. */
Test(slow, close)
{
    hub h = start("close");
    http_conn *healthy = follow(&h, "s", NULL, NULL), *slow = stop_reading(&h);
    publish_to(&h, healthy);
    wait_number(&h, "s", "slow_closed", 1);
    wait_number(&h, "s", "subscribers", 1);
    cr_assert_eq(stream_number(&h, "s", "drops"), 0u);
    http_block b;
    http_result result;
    size_t got = 0;
    for (; (result = http_next_event(slow, &b, LONG)) == HTTP_OK; got++) {
        cr_assert_eq(number_of(b.data), got);
        http_block_fini(&b);
    }
    cr_assert_eq(result, HTTP_BROKEN, "it must not look like the end of the stream");
    cr_assert_lt(got, (size_t)EVENTS);
    http_close(slow);
    http_response r = ask(&h, "GET", "/metrics", NULL, NULL);
    cr_assert_not_null(strstr(r.body, "sse_unsubscribed_total{reason=\"slow\"} 1\n"));
    http_response_fini(&r);
    http_close(healthy);
    hub_end(&h);
}

Test(slow, close_is_the_default)
{
    hub h = hub_start(ARGS("--stream=s", "--history=8", "--buffer", text("%d", RING)));
    http_conn *healthy = follow(&h, "s", NULL, NULL), *slow = stop_reading(&h);
    publish_to(&h, healthy);
    wait_number(&h, "s", "slow_closed", 1);
    http_close(slow);
    http_close(healthy);
    hub_end(&h);
}

static void check_drop(const char *policy)
{
    uint64_t missed, gaps;
    hub h = start(policy);
    http_conn *healthy = follow(&h, "s", NULL, NULL), *slow = stop_reading(&h);
    publish_to(&h, healthy);
    wait_at_least(&h, "s", "drops", 1);
    cr_assert_eq(stream_number(&h, "s", "subscribers"), 2u);
    cr_assert_eq(stream_number(&h, "s", "slow_closed"), 0u);
    size_t got = read_late(slow, EVENTS - 1, &missed, &gaps);
    cr_assert_eq(got + missed, (uint64_t)EVENTS, "%zu delivered, %llu announced", got,
                 (unsigned long long)missed);
    cr_assert_gt(missed, 0u);
    cr_assert_eq(stream_number(&h, "s", "drops"), missed);
    cr_assert_eq(stream_number(&h, "s", "gaps"), gaps);
    /* It has caught up, and is like any other. */
    publish(&h, "s", NULL, "after");
    expect_data(slow, "after");
    expect_data(healthy, "after");
    http_close(slow);
    http_close(healthy);
    hub_end(&h);
}

Test(slow, drop_oldest) { check_drop("drop-oldest"); }

Test(slow, drop_newest) { check_drop("drop-newest"); }

/* Which events are lost is what the two differ in: the newest survive, or those that waited first.
 */
static size_t last_before_first_gap(const char *policy, size_t *first_after)
{
    hub h = start(policy);
    http_conn *healthy = follow(&h, "s", NULL, NULL), *slow = stop_reading(&h);
    publish_to(&h, healthy);
    size_t before = 0;
    bool gap = false;
    *first_after = EVENTS;
    for (size_t at = 0; at < EVENTS;) {
        http_block b;
        cr_assert_eq(http_next_event(slow, &b, LONG), HTTP_OK);
        if (b.type) {
            gap = true;
            at += strtoul(json_member(b.data, "missed"), NULL, 10);
        } else {
            at = number_of(b.data) + 1;
            if (!gap)
                before = at - 1;
            else if (*first_after == EVENTS)
                *first_after = at - 1;
        }
        http_block_fini(&b);
    }
    http_close(slow);
    http_close(healthy);
    hub_end(&h);
    return before;
}

Test(slow, oldest_and_newest_differ)
{
    size_t after_oldest, after_newest;
    size_t oldest = last_before_first_gap("drop-oldest", &after_oldest);
    size_t newest = last_before_first_gap("drop-newest", &after_newest);
    cr_assert_geq(after_oldest, (size_t)(EVENTS - 2 * RING), "the newest are kept: %zu",
                  after_oldest);
    cr_assert_lt(after_oldest, (size_t)EVENTS);
    cr_assert_eq(after_newest, (size_t)EVENTS, "the newest are lost: %zu", after_newest);
    cr_assert_gt(newest, oldest, "what waited first is kept: %zu and %zu", newest, oldest);
}

/* The publisher is refused until the slow one reads; then nothing is lost for anybody. */
Test(slow, block)
{
    hub h = start("block");
    http_conn *healthy = follow(&h, "s", NULL, NULL), *slow = stop_reading(&h);
    size_t published = 0;
    struct attempt a = {&h, NULL, 0};
    /* The ring may be full for a moment before that, while the worker has not looked. */
    while (a.refused == 0 || published <= (size_t)RING) {
        cr_assert_lt(published, (size_t)EVENTS, "the ring is never full");
        char *data = payload(published);
        a.data = data;
        if (accepted(&a))
            published++;
        free(data);
    }
    cr_assert_eq(stream_number(&h, "s", "slow_closed"), 0u);
    /* Both have not read, and either may be the one that the ring waits for: what was accepted last is not in it yet. */
    for (size_t i = 0; i < published; i++) {
        read_one(slow, i);
        read_one(healthy, i);
    }
    publish(&h, "s", NULL, "after");
    expect_data(slow, "after");
    expect_data(healthy, "after");
    cr_assert_eq(stream_number(&h, "s", "drops"), 0u);
    cr_assert_eq(stream_number(&h, "s", "gaps"), 0u);
    http_close(slow);
    http_close(healthy);
    hub_end(&h);
}

/* A blocking subscriber that goes away blocks no more. */
Test(slow, block_ends_with_the_connection)
{
    hub h = start("block");
    http_conn *slow = stop_reading(&h);
    char *data = payload(0);
    struct attempt a = {&h, data, 0};
    for (int i = 0; a.refused == 0; i++) {
        cr_assert_lt(i, EVENTS);
        (void)accepted(&a);
    }
    http_reset(slow);
    cr_assert(wait_until(accepted, &a, LONG), "still blocked");
    free(data);
    hub_end(&h);
}

/* Another stream of the same server does not notice. */
Test(slow, another_stream_is_not_touched)
{
    hub h = hub_start(ARGS("--stream=s", "--stream=other", "--slow-consumer=block", "--buffer=4",
                           "--history=8", "--threads=1"));
    http_conn *slow = stop_reading(&h), *other = follow(&h, "other", NULL, NULL);
    char *data = payload(0);
    struct attempt a = {&h, data, 0};
    for (int i = 0; a.refused == 0; i++) {
        cr_assert_lt(i, EVENTS);
        (void)accepted(&a);
    }
    free(data);
    for (size_t i = 0; i < 200; i++) {
        publish(&h, "other", NULL, text("%zu", i));
        expect_numbers(other, i, 1);
    }
    http_close(other);
    http_close(slow);
    hub_end(&h);
}
