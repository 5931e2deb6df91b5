/* Channels between threads: who waits is woken, and nothing is lost, repeated or out of order.
 *
 * A test that wants a thread to be waiting looks at the thread's state in /proc; should that never
 * say so, its outcome is the same. */
#include "chan.h"
#include "chan_numbers.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

/* Threads that wait: how many of them do. */
struct waiting {
    sse_chan *chan;
    sse__thread thread;
    _Atomic(pid_t) tid;
    sse_err err;
    sse_msg *msg;
    uint64_t number;
};

static bool is_asleep(void *arg)
{
    struct waiting *w = arg;
    char path[64], line[256] = "";
    if (w->tid == 0)
        return false;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)w->tid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    bool got = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    const char *state = got ? strrchr(line, ')') : NULL;
    return state && state[1] == ' ' && state[2] == 'S';
}

static void *receive(void *arg)
{
    struct waiting *w = arg;
    w->tid = gettid();
    w->err = sse_chan_recv(w->chan, &w->msg);
    return NULL;
}

static void *receive_timed(void *arg)
{
    struct waiting *w = arg;
    w->tid = gettid();
    w->err = sse_chan_recv_timeout(w->chan, PATIENCE_MS, &w->msg);
    return NULL;
}

static void *send(void *arg)
{
    struct waiting *w = arg;
    w->tid = gettid();
    w->err = send_number(w->chan, w->number, true);
    return NULL;
}

enum { WAITERS = 5 };

static void start_waiters(struct waiting *w, sse_chan *chan, void *(*run)(void *))
{
    for (int i = 0; i < WAITERS; i++) {
        w[i] = (struct waiting){.chan = chan, .number = 100 + (uint64_t)i};
        cr_assert_eq(sse__thread_start(&w[i].thread, "waiter", 0, run, &w[i]), SSE_OK);
    }
    for (int i = 0; i < WAITERS; i++)
        cr_expect(wait_until(is_asleep, &w[i], PATIENCE_MS));
}

static void join_waiters(struct waiting *w)
{
    for (int i = 0; i < WAITERS; i++)
        sse__thread_join(&w[i].thread);
}

static void check_close_wakes_receivers(void *(*run)(void *))
{
    struct waiting w[WAITERS];
    sse_chan *chan = new_chan(2, SSE_FULL_BLOCK);
    start_waiters(w, chan, run);
    sse_chan_close(chan, SSE_EIDLE);
    join_waiters(w);
    for (int i = 0; i < WAITERS; i++) {
        cr_assert_eq(w[i].err, SSE_ECLOSED);
        cr_assert_null(w[i].msg);
    }
    sse_chan_unref(chan);
}

Test(chan, close_wakes_receivers) { check_close_wakes_receivers(receive); }

Test(chan, close_wakes_timed_receivers) { check_close_wakes_receivers(receive_timed); }

Test(chan, close_wakes_senders)
{
    struct waiting w[WAITERS];
    sse_chan *chan = new_chan(1, SSE_FULL_BLOCK);
    cr_assert_eq(send_number(chan, 1, false), SSE_OK);
    start_waiters(w, chan, send);
    sse_chan_close(chan, SSE_OK);
    join_waiters(w);
    for (int i = 0; i < WAITERS; i++)
        cr_assert_eq(w[i].err, SSE_ECLOSED);
    expect_number(chan, 1);
    cr_assert_eq(sse_chan_len(chan), 0);
    sse_chan_unref(chan);
}

/* As many wake-ups as messages: each waiting receiver gets one. */
static void check_messages_wake_receivers(void *(*run)(void *))
{
    struct waiting w[WAITERS];
    bool seen[WAITERS] = {false};
    sse_chan *chan = new_chan(WAITERS, SSE_FULL_BLOCK);
    start_waiters(w, chan, run);
    for (uint64_t i = 0; i < WAITERS; i++)
        cr_assert_eq(send_number(chan, i, false), SSE_OK);
    join_waiters(w);
    for (int i = 0; i < WAITERS; i++) {
        cr_assert_eq(w[i].err, SSE_OK);
        uint64_t number = number_of(w[i].msg);
        cr_assert(number < WAITERS && !seen[number]);
        seen[number] = true;
    }
    sse_chan_unref(chan);
}

Test(chan, messages_wake_receivers) { check_messages_wake_receivers(receive); }

Test(chan, messages_wake_timed_receivers) { check_messages_wake_receivers(receive_timed); }

Test(chan, room_wakes_senders)
{
    struct waiting w[WAITERS];
    bool seen[WAITERS] = {false};
    sse_chan *chan = new_chan(1, SSE_FULL_BLOCK);
    sse_msg *msg;
    cr_assert_eq(send_number(chan, 1, false), SSE_OK);
    start_waiters(w, chan, send);
    expect_number(chan, 1);
    for (int i = 0; i < WAITERS; i++) {
        cr_assert_eq(sse_chan_recv_timeout(chan, PATIENCE_MS, &msg), SSE_OK);
        uint64_t number = number_of(msg) - 100;
        cr_assert(number < WAITERS && !seen[number]);
        seen[number] = true;
    }
    join_waiters(w);
    for (int i = 0; i < WAITERS; i++)
        cr_assert_eq(w[i].err, SSE_OK);
    sse_chan_unref(chan);
}

Test(chan, poll_is_woken_by_a_message_and_by_close)
{
    struct waiting w = {.chan = new_chan(1, SSE_FULL_BLOCK), .number = 7};
    int fd = sse_chan_fd(w.chan);
    cr_assert_eq(sse__thread_start(&w.thread, "sender", 0, send, &w), SSE_OK);
    cr_assert(wait_readable(fd, PATIENCE_MS));
    expect_number(w.chan, 7);
    sse__thread_join(&w.thread);
    cr_assert_not(readable(fd));
    sse_chan_unref(w.chan);
}

/* A send that can be called off, as the client does when a subscription ends. */
static atomic_bool called_off;

static void *send_unless(void *arg)
{
    struct waiting *w = arg;
    sse_msg *msg = make(w->number);
    w->tid = gettid();
    w->err = sse__chan_send_unless(w->chan, msg, &called_off);
    sse_msg_unref(msg);
    return NULL;
}

Test(chan, a_send_that_is_called_off_sends_only_without_waiting)
{
    sse_chan *chan = new_chan(1, SSE_FULL_BLOCK);
    sse_msg *msg = make(1);
    called_off = true;
    cr_assert_eq(sse__chan_send_unless(chan, msg, &called_off), SSE_OK);
    cr_assert_eq(sse__chan_send_unless(chan, msg, &called_off), SSE_ECANCELED);
    cr_assert_eq(sse_chan_len(chan), 1);
    sse_chan_close(chan, SSE_OK);
    cr_assert_eq(sse__chan_send_unless(chan, msg, &called_off), SSE_ECLOSED);
    sse_msg_unref(msg);
    sse_chan_unref(chan);
}

Test(chan, waiting_sends_are_called_off_and_the_others_go_on)
{
    struct waiting off[WAITERS], on[WAITERS];
    sse_chan *chan = new_chan(1, SSE_FULL_BLOCK);
    sse_msg *msg;
    cr_assert_eq(send_number(chan, 1, false), SSE_OK);
    start_waiters(off, chan, send_unless);
    start_waiters(on, chan, send);
    called_off = true;
    sse__chan_wake_senders(chan);
    join_waiters(off);
    for (int i = 0; i < WAITERS; i++)
        cr_assert_eq(off[i].err, SSE_ECANCELED);
    expect_number(chan, 1);
    for (int i = 0; i < WAITERS; i++) {
        cr_assert_eq(sse_chan_recv_timeout(chan, PATIENCE_MS, &msg), SSE_OK);
        sse_msg_unref(msg);
    }
    join_waiters(on);
    for (int i = 0; i < WAITERS; i++)
        cr_assert_eq(on[i].err, SSE_OK);
    sse_chan_unref(chan);
}

/* Many producers and consumers: every message once, and each producer's in order at every consumer.
 */
enum { PRODUCERS = 4, CONSUMERS = 3, EACH = 20000 };

enum receive_kind { BLOCKING, TIMED, POLLED };

struct crowd {
    sse_chan *chan;
    atomic_uchar got[PRODUCERS][EACH];
    atomic_size_t accepted;
    atomic_size_t misordered;
    atomic_size_t repeated;
    enum receive_kind kind;
};

struct member {
    struct crowd *crowd;
    sse__thread thread;
    uint64_t number;
};

static void *produce(void *arg)
{
    struct member *m = arg;
    for (uint64_t i = 0; i < EACH; i++)
        if (send_number(m->crowd->chan, m->number * EACH + i, true) == SSE_OK)
            m->crowd->accepted++;
    return NULL;
}

static sse_err receive_some_way(struct crowd *c, sse_msg **msg)
{
    sse_err err;
    switch (c->kind) {
    case TIMED:
        do
            err = sse_chan_recv_timeout(c->chan, 1, msg);
        while (err == SSE_ETIMEOUT);
        return err;
    case POLLED:
        while ((err = sse_chan_try_recv(c->chan, msg)) == SSE_EEMPTY)
            if (!wait_readable(sse_chan_fd(c->chan), PATIENCE_MS))
                return SSE_ETIMEOUT;
        return err;
    default:
        return sse_chan_recv(c->chan, msg);
    }
}

static void *consume(void *arg)
{
    struct member *m = arg;
    uint64_t next[PRODUCERS] = {0};
    sse_msg *msg;
    while (receive_some_way(m->crowd, &msg) == SSE_OK) {
        uint64_t number = number_of(msg), from = number / EACH, at = number % EACH;
        if (at < next[from])
            m->crowd->misordered++;
        next[from] = at + 1;
        if (m->crowd->got[from][at]++)
            m->crowd->repeated++;
    }
    return NULL;
}

static void check_crowd(size_t capacity, sse_full_policy policy, enum receive_kind kind)
{
    struct crowd *c = calloc(1, sizeof *c);
    struct member producers[PRODUCERS], consumers[CONSUMERS];
    cr_assert(c);
    c->chan = new_chan(capacity, policy);
    c->kind = kind;
    for (uint64_t i = 0; i < CONSUMERS; i++) {
        consumers[i] = (struct member){.crowd = c, .number = i};
        cr_assert_eq(sse__thread_start(&consumers[i].thread, "consumer", 0, consume, &consumers[i]),
                     SSE_OK);
    }
    for (uint64_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct member){.crowd = c, .number = i};
        cr_assert_eq(sse__thread_start(&producers[i].thread, "producer", 0, produce, &producers[i]),
                     SSE_OK);
    }
    for (int i = 0; i < PRODUCERS; i++)
        sse__thread_join(&producers[i].thread);
    sse_chan_close(c->chan, SSE_OK);
    for (int i = 0; i < CONSUMERS; i++)
        sse__thread_join(&consumers[i].thread);

    size_t received = 0;
    for (int i = 0; i < PRODUCERS; i++)
        for (int k = 0; k < EACH; k++)
            received += c->got[i][k];
    cr_assert_eq(c->accepted, PRODUCERS * EACH);
    cr_assert_eq(c->misordered, 0);
    cr_assert_eq(c->repeated, 0);
    cr_assert_eq(received + sse_chan_dropped(c->chan), PRODUCERS * EACH);
    if (policy == SSE_FULL_BLOCK)
        cr_assert_eq(received, PRODUCERS * EACH);
    cr_assert_eq(sse_chan_len(c->chan), 0);
    sse_chan_unref(c->chan);
    free(c);
}

Test(chan, crowd_with_much_room) { check_crowd(1024, SSE_FULL_BLOCK, BLOCKING); }
Test(chan, crowd_with_hardly_any_room) { check_crowd(1, SSE_FULL_BLOCK, BLOCKING); }
Test(chan, crowd_with_little_room_and_timed_receivers) { check_crowd(3, SSE_FULL_BLOCK, TIMED); }
Test(chan, crowd_that_polls) { check_crowd(16, SSE_FULL_BLOCK, POLLED); }
Test(chan, crowd_that_drops_oldest) { check_crowd(8, SSE_FULL_DROP_OLDEST, BLOCKING); }
Test(chan, crowd_that_drops_newest) { check_crowd(8, SSE_FULL_DROP_NEWEST, TIMED); }
Test(chan, crowd_that_drops_and_polls) { check_crowd(8, SSE_FULL_DROP_OLDEST, POLLED); }

/* Closing in the middle: what was accepted and not dropped is received, the rest is refused. */
Test(chan, closed_under_a_crowd)
{
    struct crowd *c = calloc(1, sizeof *c);
    struct member producers[PRODUCERS], consumer = {.crowd = c};
    cr_assert(c);
    c->chan = new_chan(4, SSE_FULL_BLOCK);
    for (uint64_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct member){.crowd = c, .number = i};
        cr_assert_eq(sse__thread_start(&producers[i].thread, "producer", 0, produce, &producers[i]),
                     SSE_OK);
    }
    sse_msg *msg;
    for (int i = 0; i < EACH / 2; i++) {
        cr_assert_eq(sse_chan_recv(c->chan, &msg), SSE_OK);
        uint64_t number = number_of(msg);
        c->got[number / EACH][number % EACH]++;
    }
    sse_chan_close(c->chan, SSE_OK);
    consume(&consumer);
    for (int i = 0; i < PRODUCERS; i++)
        sse__thread_join(&producers[i].thread);
    size_t received = 0;
    for (int i = 0; i < PRODUCERS; i++)
        for (int k = 0; k < EACH; k++)
            received += c->got[i][k];
    cr_assert_eq(received, c->accepted);
    cr_assert_eq(c->repeated, 0);
    cr_assert_lt(received, PRODUCERS * EACH);
    sse_chan_unref(c->chan);
    free(c);
}
