/* Plants a block that nobody frees; the test itself passes. */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(canary, leak)
{
    char *volatile block = malloc(1234);
    cr_assert_not_null(block);
    block = NULL;
}
