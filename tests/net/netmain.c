/* Criterion's main, unless namespaces cannot be made: then ctest is told that the tests were skipped. */
#include "netpair.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SKIPPED = 77 };

int main(int argc, char *argv[])
{
    const char *why;
    if (!netpair_permitted(&why)) {
        fprintf(stderr, "SKIPPED: no network of our own: %s. These tests need root and iproute2.\n",
                why);
        return SKIPPED;
    }
    struct criterion_test_set *tests = criterion_initialize();
    int result = criterion_handle_args(argc, argv, true) ? !criterion_run_all_tests(tests) : 0;
    criterion_finalize(tests);
    return result;
}
