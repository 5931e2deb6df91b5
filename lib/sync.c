/* Mutexes, conditions, gates and threads over pthreads.
 *
 * The checks that SSE_LOCK_CHECKS adds keep, per thread, a stack of the locks that it holds.
 * Failures of pthread calls other than those for want of memory are programming errors and
 * abort. */
#include "sync.h"

#include "clock.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void must(int rc)
{
    if (rc != 0)
        abort();
}

#ifdef SSE_LOCK_CHECKS

static _Thread_local sse__mutex *newest; /* the lock that this thread took last */

static _Noreturn void lock_error(const char *what, sse__rank rank)
{
    fprintf(stderr, "lock check: %s (rank %d)\n", what, (int)rank);
    abort();
}

static void check_order(const sse__mutex *m)
{
    for (const sse__mutex *held = newest; held; held = held->below)
        if (held->rank >= m->rank)
            lock_error(held == m ? "locked twice" : "locked out of order", m->rank);
}

static void note_locked(sse__mutex *m)
{
    m->owner = pthread_self();
    m->held = true;
    m->below = newest;
    newest = m;
}

static void note_unlocked(sse__mutex *m)
{
    sse__mutex_assert_held(m);
    sse__mutex **at = &newest;
    while (*at && *at != m)
        at = &(*at)->below;
    if (!*at)
        lock_error("not on this thread's stack", m->rank);
    *at = m->below;
    m->held = false;
}

void sse__mutex_assert_held(const sse__mutex *m)
{
    if (!m->held || !pthread_equal(m->owner, pthread_self()))
        lock_error("not held by this thread", m->rank);
}

void sse__assert_no_locks(void)
{
    if (newest)
        lock_error("user code called under a lock", newest->rank);
}

#else

#define check_order(m) ((void)(m))
#define note_locked(m) ((void)(m))
#define note_unlocked(m) ((void)(m))

void sse__mutex_assert_held(const sse__mutex *m) { (void)m; }

void sse__assert_no_locks(void) {}

#endif

/* What is done under our locks is short, so a thread on another core waits actively for a moment
 * before it asks the kernel to put it to sleep, where the C library knows how. */
static void init_os_mutex(pthread_mutex_t *os)
{
    pthread_mutexattr_t attr;
    must(pthread_mutexattr_init(&attr));
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    must(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP));
#endif
    must(pthread_mutex_init(os, &attr));
    must(pthread_mutexattr_destroy(&attr));
}

void sse__mutex_init(sse__mutex *m, sse__rank rank)
{
    init_os_mutex(&m->os);
#ifdef SSE_LOCK_CHECKS
    m->rank = rank;
    m->below = NULL;
    atomic_init(&m->held, false);
#else
    (void)rank;
#endif
}

void sse__mutex_fini(sse__mutex *m) { must(pthread_mutex_destroy(&m->os)); }

void sse__mutex_lock(sse__mutex *m)
{
    check_order(m);
    must(pthread_mutex_lock(&m->os));
    note_locked(m);
}

void sse__mutex_unlock(sse__mutex *m)
{
    note_unlocked(m);
    must(pthread_mutex_unlock(&m->os));
}

void sse__cond_init(sse__cond *c)
{
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    must(pthread_cond_init(&c->os, &attr));
    must(pthread_condattr_destroy(&attr));
}

void sse__cond_fini(sse__cond *c) { must(pthread_cond_destroy(&c->os)); }

void sse__cond_wait(sse__cond *c, sse__mutex *m)
{
    note_unlocked(m);
    must(pthread_cond_wait(&c->os, &m->os));
    note_locked(m);
}

static struct timespec real_deadline(uint64_t left_ns)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t ns = (uint64_t)ts.tv_nsec + left_ns % 1000000000u;
    ts.tv_sec += (time_t)(left_ns / 1000000000u + ns / 1000000000u);
    ts.tv_nsec = (long)(ns % 1000000000u);
    return ts;
}

bool sse__cond_wait_until(sse__cond *c, sse__mutex *m, uint64_t deadline_ns)
{
    uint64_t now_ns = sse__now_ns();
    if (now_ns >= deadline_ns)
        return false;
    /* The deadline is by the clock that tests may have replaced; pthreads knows only the real
     * one. */
    struct timespec ts = real_deadline(deadline_ns - now_ns);
    note_unlocked(m);
    int rc = pthread_cond_timedwait(&c->os, &m->os, &ts);
    note_locked(m);
    if (rc != 0 && rc != ETIMEDOUT)
        abort();
    return rc == 0;
}

void sse__cond_signal(sse__cond *c) { must(pthread_cond_signal(&c->os)); }

void sse__cond_broadcast(sse__cond *c) { must(pthread_cond_broadcast(&c->os)); }

void sse__gate_init(sse__gate *g) { must(sem_init(&g->os, 0, 0)); }

void sse__gate_fini(sse__gate *g) { must(sem_destroy(&g->os)); }

void sse__gate_open(sse__gate *g) { must(sem_post(&g->os)); }

void sse__gate_wait(sse__gate *g)
{
    while (sem_wait(&g->os) != 0)
        must(errno == EINTR ? 0 : errno);
}

bool sse__gate_wait_until(sse__gate *g, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now_ns = sse__now_ns();
        if (now_ns >= deadline_ns)
            return sem_trywait(&g->os) == 0;
        struct timespec ts = real_deadline(deadline_ns - now_ns);
        if (sem_clockwait(&g->os, CLOCK_MONOTONIC, &ts) == 0)
            return true;
        if (errno == ETIMEDOUT)
            return false;
        must(errno == EINTR ? 0 : errno);
    }
}

/* Sanitizers need far more stack than the code itself. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_FLOOR ((size_t)1 << 20)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STACK_FLOOR ((size_t)1 << 20)
#endif
#endif
#ifndef STACK_FLOOR
#define STACK_FLOOR ((size_t)PTHREAD_STACK_MIN)
#endif

static sse_err set_stack(pthread_attr_t *attr, size_t stack_bytes)
{
    if (stack_bytes == 0)
        return SSE_OK;
    if (stack_bytes < STACK_FLOOR)
        stack_bytes = STACK_FLOOR;
    return pthread_attr_setstacksize(attr, stack_bytes) == 0 ? SSE_OK : SSE_ESYS;
}

/* The system refuses names that are too long instead of cutting them. */
static void set_name(sse__thread *t, const char *name)
{
    char cut[16] = {0};
    strncpy(cut, name, sizeof cut - 1);
    pthread_setname_np(t->os, cut);
}

sse_err sse__thread_start(sse__thread *t, const char *name, size_t stack_bytes,
                          void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return SSE_ENOMEM;
    sse_err err = set_stack(&attr, stack_bytes);
    if (err == SSE_OK) {
        sigset_t all, old;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        if (pthread_create(&t->os, &attr, run, arg) != 0)
            err = SSE_ENOMEM;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    pthread_attr_destroy(&attr);
    if (err == SSE_OK)
        set_name(t, name);
    return err;
}

void sse__thread_join(sse__thread *t) { must(pthread_join(t->os, NULL)); }

void sse__thread_detach(sse__thread *t) { must(pthread_detach(t->os)); }

bool sse__thread_is_self(const sse__thread *t) { return pthread_equal(t->os, pthread_self()) != 0; }
