/* Plants an assertion that does not hold. */
#include <criterion/criterion.h>

Test(canary, assertion) { cr_assert_eq(1 + 1, 3); }
