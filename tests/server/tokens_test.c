/* Bearer tokens: reading the file, comparing. */
#include "tokens.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Load from a file with this content. */
static bool load(tokens *t, const char *content)
{
    char path[] = "/tmp/sse-tokens-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
    bool ok = tokens_load(t, path);
    int error = errno;
    unlink(path);
    errno = error;
    return ok;
}

Test(tokens, reads_one_a_line)
{
    tokens t;
    cr_assert(load(&t, "# comment\n\nfirst\r\nsecond one\n\n#third\nlast"));
    cr_assert_eq(t.n, 3);
    cr_assert_str_eq(t.list[0], "first");
    cr_assert_str_eq(t.list[1], "second one");
    cr_assert_str_eq(t.list[2], "last");
    tokens_free(&t);
    cr_assert_eq(t.n, 0);
}

Test(tokens, a_file_without_a_token_is_an_error)
{
    tokens t;
    cr_assert_not(load(&t, "# nothing\n\n"));
    cr_assert_eq(errno, EINVAL);
    cr_assert_null(t.list);
    cr_assert_not(load(&t, ""));
    cr_assert_not(tokens_load(&t, "/nowhere/at/all"));
    cr_assert_eq(errno, ENOENT);
    cr_assert_not(tokens_load(&t, "/tmp"));
    cr_assert_eq(errno, EISDIR);
}

Test(tokens, matches_a_bearer_header)
{
    tokens t;
    cr_assert(load(&t, "secret\nother\n"));
    cr_assert(tokens_match(&t, "Bearer secret"));
    cr_assert(tokens_match(&t, "bearer other"));
    cr_assert(tokens_match(&t, "BEARER   other"));
    static const char *const wrong[] = {"Bearer",
                                        "Bearer ",
                                        "Bearer secre",
                                        "Bearer secrets",
                                        "Bearer Secret",
                                        "Basic secret",
                                        "secret",
                                        "",
                                        "Bearer secretsecret",
                                        "Bearer secret other"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_not(tokens_match(&t, wrong[i]), "%s", wrong[i]);
    cr_assert_not(tokens_match(&t, NULL));
    tokens_free(&t);
}
