/* Texts and names of the errors, and the version. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <sse/error.h>
#include <sse/version.h>
#include <stdio.h>
#include <string.h>

Test(error, every_code_has_a_text_and_a_name_of_its_own)
{
    for (int i = 0; i < SSE_ERR_COUNT; i++) {
        const char *text = sse_strerror((sse_err)i), *name = sse_errname((sse_err)i);
        cr_assert_str_neq(text, "unknown error");
        cr_assert_neq(text[strlen(text) - 1], '.');
        cr_assert_eq(strncmp(name, "SSE_", 4), 0);
        for (int j = 0; j < i; j++) {
            cr_assert_str_neq(text, sse_strerror((sse_err)j));
            cr_assert_str_neq(name, sse_errname((sse_err)j));
        }
    }
}

Test(error, success_is_zero_and_codes_keep_their_numbers)
{
    cr_assert_eq(SSE_OK, 0);
    cr_assert_eq(SSE_EINVAL, 1);
    cr_assert_eq(SSE_EGAVEUP, 25);
    cr_assert_str_eq(sse_strerror(SSE_OK), "success");
    cr_assert_str_eq(sse_errname(SSE_OK), "SSE_OK");
    cr_assert_str_eq(sse_errname(SSE_EBASE64), "SSE_EBASE64");
}

Test(error, unknown_codes_are_told_so)
{
    static const int unknown[] = {SSE_ERR_COUNT, SSE_ERR_COUNT + 1, 10000};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        cr_assert_str_eq(sse_strerror((sse_err)unknown[i]), "unknown error");
        cr_assert_str_eq(sse_errname((sse_err)unknown[i]), "SSE_E?");
    }
}

Test(version, linked_and_compiled_agree)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", SSE_VERSION_MAJOR, SSE_VERSION_MINOR,
             SSE_VERSION_PATCH);
    cr_assert_str_eq(sse_version(), SSE_VERSION);
    cr_assert_str_eq(sse_version(), text);
    cr_assert_str_eq(sse_version(), TEST_PROJECT_VERSION);
}
