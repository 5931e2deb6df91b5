/* Plants a data race; the test itself passes. */
#include <criterion/criterion.h>
#include <pthread.h>

static int shared;

static void *count(void *arg)
{
    for (int i = 0; i < 1000; i++)
        shared++;
    return arg;
}

Test(canary, race)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_gt(shared, 0);
}
