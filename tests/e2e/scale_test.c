/* Many subscribers and many publishers at one sse-server: each subscriber receives every event, in
 * order, checked by content.
 *
 * The subscribers are connections that one thread reads with epoll. ThreadSanitizer makes the server some ten times slower and gets
 * fewer of them. */
#include "e2e.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define SLOW_BUILD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOW_BUILD 1
#endif
#endif

#ifdef SLOW_BUILD
enum { SUBSCRIBERS = 300, EVENTS = 1000 };
#else
enum { SUBSCRIBERS = 1000, EVENTS = 1000 };
#endif

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_gt(limit.rlim_cur, SUBSCRIBERS + 100u, "too few descriptors allowed");
}

/* ---- a subscriber of the epoll reader ---- */

typedef struct subscriber {
    http_conn *c;
    size_t next; /* number that the next event must carry */
} subscriber;

/* Read all that is there. */
static void drain(subscriber *s)
{
    http_block b;
    http_result result;
    while ((result = http_next_event(s->c, &b, 0)) == HTTP_OK) {
        cr_assert_str_eq(b.data, text("%zu", s->next++));
        http_block_fini(&b);
    }
    cr_assert_eq(result, HTTP_TIMEOUT, "a connection ended (%d)", (int)result);
}

static void subscribe(subscriber *s, int epoll, const hub *h, const char *stream)
{
    s->c = follow(h, stream, NULL, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, http_fd(s->c), &event), 0);
}

/* Read until each of n subscribers has got the events below `wanted`. */
static void read_all(subscriber *all, size_t n, int epoll, size_t wanted)
{
    struct epoll_event ready[64];
    int64_t deadline = wait_now_ms() + 3 * LONG;
    size_t done = 0;
    for (size_t i = 0; i < n; i++)
        done += all[i].next >= wanted;
    while (done < n) {
        int got = epoll_wait(epoll, ready, 64, wait_left_ms(deadline));
        cr_assert(got > 0 || errno == EINTR, "%zu of %zu have everything", done, n);
        for (int i = 0; i < got; i++) {
            subscriber *s = ready[i].data.ptr;
            bool had = s->next >= wanted;
            drain(s);
            done += !had && s->next >= wanted;
        }
    }
}

/* ---- one stream, many subscribers ---- */

struct publisher {
    const hub *h;
    pthread_t thread;
};

static void *publish_all(void *arg)
{
    struct publisher *p = arg;
    publish_numbers(p->h, "s", 0, EVENTS);
    return NULL;
}

Test(scale, every_subscriber_gets_every_event_in_order)
{
    raise_descriptor_limit();
    hub h = hub_start(ARGS("--stream=s"));
    subscriber *all = calloc(SUBSCRIBERS, sizeof *all);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < SUBSCRIBERS; i++)
        subscribe(&all[i], epoll, &h, "s");
    wait_number(&h, "s", "subscribers", SUBSCRIBERS);
    struct publisher p = {.h = &h};
    cr_assert_eq(pthread_create(&p.thread, NULL, publish_all, &p), 0);
    read_all(all, SUBSCRIBERS, epoll, EVENTS);
    pthread_join(p.thread, NULL);
    cr_assert_eq(stream_number(&h, "s", "events"), (uint64_t)EVENTS);
    cr_assert_eq(stream_number(&h, "s", "delivered"), (uint64_t)EVENTS * SUBSCRIBERS);
    cr_assert_eq(stream_number(&h, "s", "drops"), 0u);
    cr_assert_eq(stream_number(&h, "s", "gaps"), 0u);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        cr_assert_eq(all[i].next, (size_t)EVENTS);
        http_close(all[i].c);
    }
    wait_number(&h, "s", "subscribers", 0);
    close(epoll);
    free(all);
    hub_end(&h);
}

/* ---- many streams, many publishers ---- */

enum { STREAMS = 20, PUBLISHERS = 4, EACH = 100 };

struct load {
    const hub *h;
    int number;
    int failed;
    pthread_t thread;
};

static bool post(http_conn *c, const char *target, const char *body)
{
    http_response r;
    int status;
    do { /* 429: the ring is full for the moment */
        if (!http_request(c, "POST", target, NULL, body, strlen(body), &r, LONG))
            return false;
        status = r.status;
        http_response_fini(&r);
    } while (status == 429);
    return status == 200;
}

/* Each publisher numbers its own events on every stream. */
static void *publish_everywhere(void *arg)
{
    struct load *l = arg;
    http_conn *c = http_connect(l->h->port);
    for (int n = 0; c && n < EACH; n++)
        for (int s = 0; s < STREAMS; s++) {
            char target[64], body[64];
            snprintf(target, sizeof target, "/events?stream=s%d", s);
            snprintf(body, sizeof body, "%d %d %d", s, l->number, n);
            l->failed += !post(c, target, body);
        }
    l->failed += c == NULL;
    http_close(c);
    return NULL;
}

/* The events of each publisher come in its order, each exactly once, on their own stream only. */
static void check_stream(http_conn *c, int stream)
{
    int next[PUBLISHERS] = {0};
    for (int i = 0; i < PUBLISHERS * EACH; i++) {
        http_block b;
        int from, publisher, n;
        cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
        cr_assert_eq(sscanf(b.data, "%d %d %d", &from, &publisher, &n), 3, "%s", b.data);
        cr_assert_eq(from, stream);
        cr_assert(publisher >= 0 && publisher < PUBLISHERS);
        cr_assert_eq(n, next[publisher]++, "stream %d: %s", stream, b.data);
        http_block_fini(&b);
    }
}

Test(scale, streams_and_publishers)
{
    const char *args[STREAMS + 1] = {NULL};
    char names[STREAMS][32];
    http_conn *readers[STREAMS];
    struct load loads[PUBLISHERS];
    for (int i = 0; i < STREAMS; i++) {
        snprintf(names[i], sizeof names[i], "--stream=s%d", i);
        args[i] = names[i];
    }
    hub h = hub_start(args);
    for (int i = 0; i < STREAMS; i++)
        readers[i] = follow(&h, names[i] + strlen("--stream="), NULL, NULL);
    for (int i = 0; i < PUBLISHERS; i++) {
        loads[i] = (struct load){.h = &h, .number = i};
        cr_assert_eq(pthread_create(&loads[i].thread, NULL, publish_everywhere, &loads[i]), 0);
    }
    for (int i = 0; i < STREAMS; i++)
        check_stream(readers[i], i);
    for (int i = 0; i < PUBLISHERS; i++) {
        pthread_join(loads[i].thread, NULL);
        cr_assert_eq(loads[i].failed, 0);
    }
    for (int i = 0; i < STREAMS; i++)
        http_close(readers[i]);
    hub_end(&h);
}

/* ---- coming and going ---- */

/* What the server makes on first use and keeps. */
enum { SPARE = 10 };

struct descriptors {
    pid_t pid;
    int limit;
};

static bool are_few(void *arg)
{
    const struct descriptors *d = arg;
    return wait_count_fds(d->pid) <= d->limit;
}

/* Subscribers that leave in the middle and new ones disturb nobody, and leave nothing behind. */
Test(scale, churn)
{
    enum { ROUNDS = 20, CROWD = 25 };
    hub h = hub_start(ARGS("--stream=s"));
    http_conn *steady = follow(&h, "s", NULL, NULL);
    pid_t pid = proc_pid(h.process);
    publish_numbers(&h, "s", 0, 10);
    expect_numbers(steady, 0, 10);
    wait_number(&h, "s", "subscribers", 1);
    int before = wait_count_fds(pid);
    for (size_t round = 1; round <= ROUNDS; round++) {
        http_conn *crowd[CROWD];
        for (int i = 0; i < CROWD; i++)
            crowd[i] = follow(&h, "s", NULL, NULL);
        publish_numbers(&h, "s", round * 10, 10);
        for (int i = 0; i < CROWD; i++) {
            expect_numbers(crowd[i], 0, 5); /* and leave with the rest unread */
            if (i % 2)
                http_reset(crowd[i]);
            else
                http_close(crowd[i]);
        }
        expect_numbers(steady, round * 10, 10);
    }
    /* conformance 32: noticed on FIN or RST, resources returned. */
    wait_number(&h, "s", "subscribers", 1);
    struct descriptors d = {pid, before + SPARE};
    cr_assert(wait_until(are_few, &d, LONG), "%d descriptors, %d before", wait_count_fds(pid),
              before);
    http_close(steady);
    hub_end(&h);
}
