/* Numbers on the page of a report. */
#include "report.h"

#include <criterion/criterion.h>

static void expect_number(double value, const char *wanted)
{
    char text[32];
    report_number(text, value);
    cr_expect_str_eq(text, wanted, "%f: %s", value, text);
}

static void expect_time(double us, const char *wanted)
{
    char text[32];
    report_time(text, us);
    cr_expect_str_eq(text, wanted, "%f: %s", us, text);
}

Test(report, numbers_have_three_digits_and_a_unit)
{
    expect_number(0, "0");
    expect_number(0.0784, "0.0784");
    expect_number(99.97, "100");
    expect_number(9999, "9999");
    expect_number(141830, "142 k");
    expect_number(12864068, "12.9 M");
    expect_number(1.5e9, "1.5 G");
}

Test(report, what_rounds_up_to_a_thousand_has_the_next_unit)
{
    expect_number(999400, "999 k");
    expect_number(999737, "1 M");
    expect_number(999.6e6, "1 G");
    expect_time(999.4, "999 &#181;s");
    expect_time(999.7, "1 ms");
    expect_time(999700, "1 s");
}
