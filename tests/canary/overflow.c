/* Plants undefined behaviour; the test itself passes. */
#include <criterion/criterion.h>
#include <limits.h>

static volatile int number = INT_MAX;

Test(canary, overflow)
{
    number = number + 1;
    cr_assert_neq(number, 0);
}
