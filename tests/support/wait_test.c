/* Tests of wait.[ch]. */
#include "wait.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool third_time(void *arg)
{
    int *calls = arg;
    return ++*calls >= 3;
}

static bool never(void *arg)
{
    ++*(int *)arg;
    return false;
}

Test(wait, until_asks_again_until_true)
{
    int calls = 0;
    cr_assert(wait_until(third_time, &calls, 30000));
    cr_assert_eq(calls, 3);
}

Test(wait, until_gives_up_at_the_deadline_and_asks_once_more)
{
    int calls = 0;
    cr_assert_not(wait_until(never, &calls, 0));
    cr_assert_eq(calls, 2);
    calls = 0;
    cr_assert_not(wait_until(never, &calls, 5));
    cr_assert_geq(calls, 2);
}

Test(wait, readable)
{
    int fds[2];
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_assert_not(wait_readable(fds[0], 0));
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert(wait_readable(fds[0], 30000));
    close(fds[0]);
    close(fds[1]);
}

Test(wait, left_counts_down_to_zero)
{
    cr_assert_eq(wait_left_ms(wait_now_ms() - 10), 0);
    int left = wait_left_ms(wait_now_ms() + 100000);
    cr_assert(left > 0 && left <= 100000, "%d", left);
}

Test(wait, counts_descriptors)
{
    int before = wait_count_fds(0);
    cr_assert_gt(before, 2);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(wait_count_fds(0), before + 1);
    cr_assert_eq(wait_count_fds(getpid()), before + 1);
    close(fd);
    cr_assert_eq(wait_count_fds(0), before);
}

static void *wait_for(void *arg)
{
    sem_wait(arg);
    return NULL;
}

static bool one_thread_less(void *arg) { return wait_count_threads(0) == *(int *)arg; }

Test(wait, counts_threads)
{
    sem_t go;
    pthread_t thread;
    int before = wait_count_threads(0);
    cr_assert_geq(before, 1);
    cr_assert_eq(sem_init(&go, 0, 0), 0);
    cr_assert_eq(pthread_create(&thread, NULL, wait_for, &go), 0);
    cr_assert_geq(wait_count_threads(0), before + 1);
    int with = wait_count_threads(0) - 1;
    sem_post(&go);
    pthread_join(thread, NULL);
    /* The kernel's entry goes a moment after the join. */
    cr_assert(wait_until(one_thread_less, &with, 30000));
    sem_destroy(&go);
}

Test(wait, counts_resident_memory)
{
    enum { SIZE = 32 << 20 };
    long before = wait_resident_bytes(0);
    cr_assert_gt(before, 0);
    char *volatile block = malloc(SIZE); /* volatile: or the compiler drops what nobody reads */
    cr_assert_not_null(block);
    memset(block, 1, SIZE);
    cr_assert_geq(wait_resident_bytes(0), before + SIZE / 2);
    free(block);
}

Test(wait, no_such_process)
{
    cr_assert_eq(wait_count_fds(0x7ffffff0), -1);
    cr_assert_eq(wait_count_threads(0x7ffffff0), -1);
    cr_assert_eq(wait_resident_bytes(0x7ffffff0), -1);
}
