/* Mutexes, conditions, gates and threads. Only this file and sync.c touch pthread_mutex_*, pthread_cond_*,
 * pthread_create and sem_*.
 *
 * Every mutex has a rank. With SSE_LOCK_CHECKS a thread that locks a mutex while it holds one of
 * the same or a higher rank aborts, as does unlocking, waiting on or asserting a mutex that the
 * thread does not hold. */
#ifndef SSE__SYNC_H
#define SSE__SYNC_H

#include <pthread.h>
#include <semaphore.h>
#include <sse/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Internal, but called across the project's own shared libraries. */
#define SSE_INTERNAL __attribute__((visibility("default")))

/* In the order in which they may be taken: a later one while an earlier one is held. */
typedef enum sse__rank {
    SSE__RANK_CLIENT = 1,   /* list of subscriptions of a client */
    SSE__RANK_SUBSCRIPTION, /* one subscription */
    SSE__RANK_HUB,          /* table of streams, limits */
    SSE__RANK_INBOX,        /* a stream's ring of published events */
    SSE__RANK_STREAM,       /* a stream's log and subscribers */
    SSE__RANK_SUBSCRIBER,   /* suspended or not */
    SSE__RANK_LOOP,         /* an I/O loop's queue */
    SSE__RANK_CHAN,         /* a channel; leaf */
    SSE__RANK_LEAF          /* takes no other */
} sse__rank;

typedef struct sse__mutex {
    pthread_mutex_t os;
#ifdef SSE_LOCK_CHECKS
    _Atomic(pthread_t) owner; /* valid while held */
    struct sse__mutex *below; /* holder's next older lock; owner only */
    sse__rank rank;
    atomic_bool held;
#endif
} sse__mutex;

typedef struct sse__cond {
    pthread_cond_t os; /* waits on CLOCK_MONOTONIC */
} sse__cond;

SSE_INTERNAL void sse__mutex_init(sse__mutex *m, sse__rank rank);
SSE_INTERNAL void sse__mutex_fini(sse__mutex *m);
SSE_INTERNAL void sse__mutex_lock(sse__mutex *m);
SSE_INTERNAL void sse__mutex_unlock(sse__mutex *m);
/* The caller holds m (checked with SSE_LOCK_CHECKS). */
SSE_INTERNAL void sse__mutex_assert_held(const sse__mutex *m);
/* The caller holds no lock at all: user code, MHD and curl are called only then (checked with
 * SSE_LOCK_CHECKS). */
SSE_INTERNAL void sse__assert_no_locks(void);

SSE_INTERNAL void sse__cond_init(sse__cond *c);
SSE_INTERNAL void sse__cond_fini(sse__cond *c);
SSE_INTERNAL void sse__cond_wait(sse__cond *c, sse__mutex *m);
/* Wait until sse__now_ns() reaches deadline_ns. Returns false when it has. */
SSE_INTERNAL bool sse__cond_wait_until(sse__cond *c, sse__mutex *m, uint64_t deadline_ns);
SSE_INTERNAL void sse__cond_signal(sse__cond *c);
SSE_INTERNAL void sse__cond_broadcast(sse__cond *c);

/* What one thread waits at until another lets it through. Unlike a condition it has no mutex of its own to
 * take again, so that a wake-up costs one system call, and none when nobody waits; it remembers how
 * often it was opened. */
typedef struct sse__gate {
    sem_t os;
} sse__gate;

SSE_INTERNAL void sse__gate_init(sse__gate *g);
SSE_INTERNAL void sse__gate_fini(sse__gate *g);
/* Let one wait through. */
SSE_INTERNAL void sse__gate_open(sse__gate *g);
SSE_INTERNAL void sse__gate_wait(sse__gate *g);
/* Wait until sse__now_ns() reaches deadline_ns. Returns false when it has. */
SSE_INTERNAL SSE_NODISCARD bool sse__gate_wait_until(sse__gate *g, uint64_t deadline_ns);

typedef struct sse__thread {
    pthread_t os;
} sse__thread;

/* Start a thread with all signals blocked. stack_bytes 0: the system's default; it is raised to
 * what the system asks for at least. `name` shows up in ps and gdb (15 characters). Returns SSE_OK,
 * SSE_ENOMEM (no thread was to be had), SSE_ESYS. */
SSE_INTERNAL SSE_NODISCARD sse_err sse__thread_start(sse__thread *t, const char *name,
                                                     size_t stack_bytes, void *(*run)(void *),
                                                     void *arg);
SSE_INTERNAL void sse__thread_join(sse__thread *t);
SSE_INTERNAL void sse__thread_detach(sse__thread *t);
SSE_INTERNAL bool sse__thread_is_self(const sse__thread *t);

#endif
