/* Deadlines in their order. */
#include "due.h"

#include <criterion/criterion.h>
#include <stddef.h>

enum { N = 4 };

static sse__due_list list;
static sse__due due[N];

static void fill(void)
{
    for (uint64_t i = 0; i < N; i++)
        sse__due_add(&list, &due[i], 10 * i);
}

TestSuite(due, .init = fill);

static void expect_rest(const int *order, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(sse__due_first(&list, UINT64_MAX), &due[order[i]], "%d", (int)i);
        sse__due_remove(&list, &due[order[i]]);
    }
    cr_assert_null(sse__due_first(&list, UINT64_MAX));
    cr_assert(!list.first && !list.last);
}

Test(due, nobody_before_the_time)
{
    cr_assert_eq(sse__due_first(&list, 0), &due[0]);
    sse__due_remove(&list, &due[0]);
    cr_assert_null(sse__due_first(&list, 9));
    cr_assert_eq(sse__due_first(&list, 10), &due[1]);
    expect_rest((const int[]){1, 2, 3}, 3);
}

Test(due, from_the_middle_and_both_ends)
{
    sse__due_remove(&list, &due[2]);
    sse__due_remove(&list, &due[3]);
    sse__due_remove(&list, &due[0]);
    expect_rest((const int[]){1}, 1);
}

Test(due, who_comes_again_is_the_last)
{
    sse__due_remove(&list, &due[1]);
    sse__due_add(&list, &due[1], 40);
    sse__due_remove(&list, &due[0]);
    sse__due_add(&list, &due[0], 50);
    cr_assert_null(sse__due_first(&list, 19));
    expect_rest((const int[]){2, 3, 1, 0}, 4);
    fill();
    expect_rest((const int[]){0, 1, 2, 3}, 4);
}
