/* Signals that end a measurement. */
#include "interrupt.h"

#include <criterion/criterion.h>
#include <signal.h>

/* The same one twice in a row is what timeout(1) sends; by default it would end this process. */
Test(bench_interrupt, one_signal_that_is_sent_twice_is_one)
{
    interrupt_catch();
    cr_assert_eq(interrupt_signal(), 0);
    cr_assert_eq(raise(SIGTERM), 0);
    cr_assert_eq(interrupt_signal(), SIGTERM);
    cr_assert_eq(raise(SIGTERM), 0);
    cr_assert_eq(raise(SIGINT), 0);
    cr_assert_eq(interrupt_signal(), SIGTERM, "the first one");
}
