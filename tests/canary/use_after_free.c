/* Plants a read of freed memory; the test itself passes. The pointer is volatile, or the compiler
 * would see it coming. */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(canary, use_after_free)
{
    char *volatile block = malloc(16);
    cr_assert_not_null(block);
    block[3] = 'x';
    free(block);
    cr_assert_neq(block[3], 'y');
}
