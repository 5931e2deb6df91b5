/* Mutexes with their checks, conditions, threads. */
#include "clock.h"
#include "sync.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

static sse__mutex low, high;

static void init_both(void)
{
    sse__mutex_init(&low, SSE__RANK_HUB);
    sse__mutex_init(&high, SSE__RANK_STREAM);
}

Test(sync, locks_in_order_are_fine, .init = init_both)
{
    sse__assert_no_locks();
    sse__mutex_lock(&low);
    sse__mutex_lock(&high);
    sse__mutex_assert_held(&low);
    sse__mutex_assert_held(&high);
    sse__mutex_unlock(&low); /* in any order */
    sse__mutex_unlock(&high);
    sse__assert_no_locks();
    sse__mutex_lock(&low);
    sse__mutex_unlock(&low);
    sse__mutex_fini(&low);
    sse__mutex_fini(&high);
    cr_assert(true);
}

#ifdef SSE_LOCK_CHECKS

static void *lock_high(void *arg)
{
    sse__mutex_lock(&high);
    return arg;
}

Test(sync, out_of_order_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__mutex_lock(&high);
    sse__mutex_lock(&low);
}

Test(sync, the_same_rank_twice_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__mutex other;
    sse__mutex_init(&other, SSE__RANK_HUB);
    sse__mutex_lock(&low);
    sse__mutex_lock(&other);
}

Test(sync, the_same_lock_twice_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__mutex_lock(&low);
    sse__mutex_lock(&low);
}

Test(sync, unlocking_what_is_not_held_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__mutex_unlock(&low);
}

Test(sync, unlocking_what_another_thread_holds_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__thread t;
    cr_assert_eq(sse__thread_start(&t, "holder", 0, lock_high, NULL), SSE_OK);
    sse__thread_join(&t);
    sse__mutex_unlock(&high);
}

Test(sync, asserting_what_is_not_held_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__mutex_lock(&low);
    sse__mutex_assert_held(&high);
}

Test(sync, waiting_without_the_lock_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__cond cond;
    sse__cond_init(&cond);
    sse__cond_wait_until(&cond, &low, sse__now_ns() + 1000000);
}

Test(sync, user_code_under_a_lock_aborts, .init = init_both, .signal = SIGABRT)
{
    sse__mutex_lock(&low);
    sse__assert_no_locks();
}

Test(sync, a_wait_gives_the_lock_back_and_takes_it_again, .init = init_both)
{
    sse__cond cond;
    sse__cond_init(&cond);
    sse__mutex_lock(&low);
    cr_assert_not(sse__cond_wait_until(&cond, &low, sse__now_ns() + 1000000));
    sse__mutex_assert_held(&low);
    sse__mutex_unlock(&low);
    sse__assert_no_locks();
    sse__cond_fini(&cond);
}

#endif

/* Two threads hand a number back and forth. */
struct pingpong {
    sse__mutex mu;
    sse__cond cond;
    int turn;
};

enum { TURNS = 2000 };

static void play(struct pingpong *pp, int side)
{
    for (int i = 0; i < TURNS; i++) {
        sse__mutex_lock(&pp->mu);
        while (pp->turn % 2 != side)
            sse__cond_wait(&pp->cond, &pp->mu);
        pp->turn++;
        sse__mutex_unlock(&pp->mu);
        sse__cond_broadcast(&pp->cond);
    }
}

static void *play_one(void *arg)
{
    play(arg, 1);
    return NULL;
}

Test(sync, conditions_wake)
{
    struct pingpong pp = {.turn = 0};
    sse__thread t;
    sse__mutex_init(&pp.mu, SSE__RANK_LEAF);
    sse__cond_init(&pp.cond);
    cr_assert_eq(sse__thread_start(&t, "pong", 0, play_one, &pp), SSE_OK);
    play(&pp, 0);
    sse__thread_join(&t);
    cr_assert_eq(pp.turn, 2 * TURNS);
    sse__cond_fini(&pp.cond);
    sse__mutex_fini(&pp.mu);
}

static void *signal_it(void *arg)
{
    struct pingpong *pp = arg;
    sse__mutex_lock(&pp->mu);
    pp->turn = 1;
    sse__cond_signal(&pp->cond);
    sse__mutex_unlock(&pp->mu);
    return NULL;
}

Test(sync, a_wait_with_a_deadline_can_be_woken)
{
    struct pingpong pp = {.turn = 0};
    sse__thread t;
    sse__mutex_init(&pp.mu, SSE__RANK_LEAF);
    sse__cond_init(&pp.cond);
    sse__mutex_lock(&pp.mu);
    cr_assert_eq(sse__thread_start(&t, "signal", 0, signal_it, &pp), SSE_OK);
    uint64_t deadline = sse__now_ns() + 60000000000u;
    while (pp.turn == 0)
        cr_assert(sse__cond_wait_until(&pp.cond, &pp.mu, deadline));
    sse__mutex_unlock(&pp.mu);
    sse__thread_join(&t);
    sse__cond_fini(&pp.cond);
    sse__mutex_fini(&pp.mu);
}

Test(sync, a_gate_remembers_how_often_it_was_opened)
{
    sse__gate gate;
    sse__gate_init(&gate);
    sse__gate_open(&gate);
    sse__gate_open(&gate);
    sse__gate_wait(&gate);
    cr_assert(sse__gate_wait_until(&gate, 0), "open, though the time is over");
    cr_assert_not(sse__gate_wait_until(&gate, 0));
    cr_assert_not(sse__gate_wait_until(&gate, sse__now_ns() + 1000000));
    sse__gate_fini(&gate);
}

static void *open_it(void *gate)
{
    sse__gate_open(gate);
    return NULL;
}

Test(sync, a_gate_lets_through_who_waits)
{
    sse__gate gate;
    sse__thread t;
    sse__gate_init(&gate);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(sse__thread_start(&t, "open", 0, open_it, &gate), SSE_OK);
        if (i % 2)
            sse__gate_wait(&gate);
        else
            cr_assert(sse__gate_wait_until(&gate, sse__now_ns() + 60000000000u));
        sse__thread_join(&t);
    }
    cr_assert_not(sse__gate_wait_until(&gate, 0), "each let one wait through");
    sse__gate_fini(&gate);
}

struct self {
    sse__mutex mu;
    sse__thread thread;
    sigset_t signals;
    bool is_self;
    char name[16];
    size_t stack;
};

static void *look_around(void *arg)
{
    struct self *s = arg;
    pthread_attr_t attr;
    sse__mutex_lock(&s->mu); /* until the thread is known and has its name */
    s->is_self = sse__thread_is_self(&s->thread);
    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    sse__mutex_unlock(&s->mu);
    pthread_sigmask(SIG_SETMASK, NULL, &s->signals);
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstacksize(&attr, &s->stack);
        pthread_attr_destroy(&attr);
    }
    return NULL;
}

Test(sync, threads_have_a_name_a_stack_and_no_signals)
{
    struct self s = {.is_self = false};
    sse__mutex_init(&s.mu, SSE__RANK_LEAF);
    sse__mutex_lock(&s.mu);
    cr_assert_eq(
        sse__thread_start(&s.thread, "a name that is too long", 256 << 10, look_around, &s),
        SSE_OK);
    cr_assert_not(sse__thread_is_self(&s.thread));
    sse__mutex_unlock(&s.mu);
    sse__thread_join(&s.thread);
    cr_assert(s.is_self);
    cr_assert_str_eq(s.name, "a name that is ");
    cr_assert_geq(s.stack, 256 << 10);
    cr_assert_leq(s.stack, 2 << 20);
    cr_assert(sigismember(&s.signals, SIGTERM));
    cr_assert(sigismember(&s.signals, SIGPIPE));
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    cr_assert_not(sigismember(&mine, SIGTERM), "the caller's mask is as it was");
    sse__mutex_fini(&s.mu);
}

static void *done(void *arg)
{
    struct pingpong *pp = arg;
    signal_it(pp);
    return NULL;
}

Test(sync, a_stack_too_small_is_raised_and_threads_can_be_detached)
{
    struct pingpong pp = {.turn = 0};
    sse__thread t;
    sse__mutex_init(&pp.mu, SSE__RANK_LEAF);
    sse__cond_init(&pp.cond);
    sse__mutex_lock(&pp.mu);
    cr_assert_eq(sse__thread_start(&t, "small", 1, done, &pp), SSE_OK);
    sse__thread_detach(&t);
    while (pp.turn == 0)
        sse__cond_wait(&pp.cond, &pp.mu);
    sse__mutex_unlock(&pp.mu);
    cr_assert_eq(pp.turn, 1);
}

Test(sync, a_stack_beyond_memory_is_an_error)
{
    sse__thread t;
    cr_assert_neq(sse__thread_start(&t, "huge", (size_t)1 << 60, done, NULL), SSE_OK);
}
