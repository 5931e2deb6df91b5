/* Allocation failures on demand; see alloc_fail.h.
 *
 * Threads: any. All state is atomic. free() is wrapped too where the program asks for it
 * (-Wl,--wrap=free); only then is the peak of the bytes in use right. */
#include "alloc_fail.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t n);
void __real_free(void *p);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t n);
char *__wrap_strdup(const char *s);
void __wrap_free(void *p);

static _Atomic(size_t) made;
/* So many succeed before one fails; one store arms. */
static _Atomic(ptrdiff_t) ahead = PTRDIFF_MAX;
static atomic_bool for_good; /* then all that follow fail too */
static atomic_bool failed;
static _Atomic(ptrdiff_t) in_use, peak;
static _Thread_local bool spared;

static void arm(size_t index, bool all)
{
    failed = false;
    for_good = all;
    ahead = (ptrdiff_t)index;
}

void alloc_fail_at(size_t index) { arm(index, false); }

void alloc_fail_from(size_t index) { arm(index, true); }

bool alloc_fail_disarm(void)
{
    ahead = PTRDIFF_MAX;
    return failed;
}

static _Atomic(size_t) counted_from;

void alloc_count_reset(void)
{
    counted_from = (size_t)made;
    in_use = 0;
    peak = 0;
}

size_t alloc_count(void) { return made - counted_from; }

size_t alloc_peak_bytes(void) { return (size_t)(ptrdiff_t)peak; }

void alloc_spare_thread(bool spare) { spared = spare; }

bool alloc_thread_is_spared(void) { return spared; }

static bool refused(void)
{
    if (spared)
        return false;
    made++;
    ptrdiff_t before = ahead--;
    if (before > 0 || (before < 0 && !for_good))
        return false;
    failed = true;
    return true;
}

static void account(ptrdiff_t bytes)
{
    ptrdiff_t now = atomic_fetch_add(&in_use, bytes) + bytes, high = peak;
    while (now > high && !atomic_compare_exchange_weak(&peak, &high, now))
        ;
}

static void *taken(void *p)
{
    if (p)
        account((ptrdiff_t)malloc_usable_size(p));
    return p;
}

void *__wrap_malloc(size_t n) { return refused() ? NULL : taken(__real_malloc(n)); }

void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : taken(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t n)
{
    if (refused())
        return NULL;
    ptrdiff_t before = old ? (ptrdiff_t)malloc_usable_size(old) : 0;
    void *p = __real_realloc(old, n);
    if (p)
        account((ptrdiff_t)malloc_usable_size(p) - before);
    return p;
}

char *__wrap_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = __wrap_malloc(n);
    return copy ? memcpy(copy, s, n) : NULL;
}

void __wrap_free(void *p)
{
    if (p)
        account(-(ptrdiff_t)malloc_usable_size(p));
    __real_free(p);
}
