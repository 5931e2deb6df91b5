/* Plants a leak in a program that the test starts, as the end-to-end tests start sse-server. */
#include "proc.h"

#include <criterion/criterion.h>

Test(canary, leak_in_child)
{
    proc *p = proc_start((const char *[]){LEAKING_PROGRAM, NULL});
    cr_assert_not_null(p);
    int code = proc_wait(p, 30000);
    proc_free(p);
    cr_assert_eq(code, 0, "exit code %d", code);
}
