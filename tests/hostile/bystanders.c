/* See bystanders.h. One thread of their own; `wrong` is read when it has ended. */
#include "bystanders.h"

#include "e2e.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBSCRIBERS = 20, DEADLINE_MS = 30000 };

struct bystanders {
    uint16_t port;
    bool restless;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool failed;
    _Atomic size_t events;
    http_conn *publisher;
    http_conn *subs[SUBSCRIBERS];
    char last[64]; /* id of the last event */
    char wrong[256];
};

static void complain(bystanders *b, const char *what, const char *more)
{
    snprintf(b->wrong, sizeof b->wrong, "event %zu: %s: %.100s", atomic_load(&b->events), what,
             more);
    atomic_store(&b->failed, true);
}

static http_conn *come(const bystanders *b)
{
    char header[96] = "";
    if (b->last[0])
        snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", b->last);
    return http_open_stream(b->port, "/events?stream=s", header, NULL, DEADLINE_MS);
}

static bool post(bystanders *b, const char *data, http_response *r)
{
    return http_request(b->publisher, "POST", "/events?stream=s", NULL, data, strlen(data), r,
                        DEADLINE_MS);
}

/* A connection that waits for its next request for longer than the server's limit, as on a machine that is busy, is ended, and the
 * request is sent on a new one, as every client does. If the first one had been heard as well, a subscriber would see it. */
static bool post_for_sure(bystanders *b, const char *data, http_response *r)
{
    if (post(b, data, r))
        return true;
    http_conn *again = http_connect(b->port);
    if (!again)
        return false;
    http_close(b->publisher);
    b->publisher = again;
    return post(b, data, r);
}

static bool publish_number(bystanders *b, size_t number)
{
    char data[24];
    http_response r;
    snprintf(data, sizeof data, "%zu", number);
    if (!post_for_sure(b, data, &r)) {
        complain(b, "publishing gets no answer", "");
        return false;
    }
    if (r.status == 200)
        snprintf(b->last, sizeof b->last, "%.*s", (int)strcspn(r.body, "\n"), r.body);
    else
        complain(b, "publishing is refused", r.body);
    http_response_fini(&r);
    return !atomic_load(&b->failed);
}

static bool receive(bystanders *b, size_t i, size_t number)
{
    http_block block;
    http_result result = http_next_event(b->subs[i], &block, DEADLINE_MS);
    if (result != HTTP_OK) {
        complain(b, "a subscriber gets nothing", text("result %d", (int)result));
        return false;
    }
    bool right = strtoul(block.data, NULL, 10) == number && !block.type;
    if (!right)
        complain(b, "a subscriber gets something else", block.data);
    http_block_fini(&block);
    return right;
}

static bool move_one(bystanders *b, size_t i)
{
    http_close(b->subs[i]);
    b->subs[i] = come(b);
    if (!b->subs[i])
        complain(b, "a subscriber cannot come back", "");
    return b->subs[i] != NULL;
}

static void *main_loop(void *arg)
{
    bystanders *b = arg;
    while (!atomic_load(&b->stop) && !atomic_load(&b->failed)) {
        size_t number = atomic_load(&b->events);
        if (!publish_number(b, number))
            break;
        for (size_t i = 0; i < SUBSCRIBERS && receive(b, i, number); i++)
            ;
        if (b->restless && number % 8 == 0)
            (void)move_one(b, number / 8 % SUBSCRIBERS);
        atomic_fetch_add(&b->events, 1);
    }
    return NULL;
}

bystanders *bystanders_start(uint16_t port, bool restless)
{
    bystanders *b = calloc(1, sizeof *b);
    cr_assert_not_null(b);
    b->port = port;
    b->restless = restless;
    b->publisher = http_connect(port);
    cr_assert_not_null(b->publisher);
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        b->subs[i] = come(b);
        cr_assert_not_null(b->subs[i]);
    }
    cr_assert_eq(pthread_create(&b->thread, NULL, main_loop, b), 0);
    return b;
}

size_t bystanders_events(bystanders *b) { return atomic_load(&b->events); }

typedef struct goal {
    bystanders *b;
    size_t events;
} goal;

static bool reached(void *arg)
{
    const goal *g = arg;
    return atomic_load(&g->b->failed) || atomic_load(&g->b->events) >= g->events;
}

void bystanders_go_on(bystanders *b, size_t events)
{
    goal g = {b, bystanders_events(b) + events};
    cr_assert(wait_until(reached, &g, LONG), "they are at event %zu, not %zu", bystanders_events(b),
              g.events);
    cr_assert_not(atomic_load(&b->failed), "%s", b->wrong);
}

void bystanders_stop(bystanders *b)
{
    atomic_store(&b->stop, true);
    pthread_join(b->thread, NULL);
    cr_assert_str_eq(b->wrong, "");
    http_close(b->publisher);
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        http_close(b->subs[i]);
    free(b);
}
