/* sse-bench as a program: where its results go, and what it says when they cannot go there. */
#include "../e2e/json.h"
#include "program.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Something that is measured soon. */
#define QUICK "inside", "--scenario=chan", "--duration=0.05"

Test(bench_output, stdout_is_the_file_s_alone_where_that_is_asked_for)
{
    int code;
    proc *p = bench(ARGS(QUICK, "--json", "-"), &code);
    cr_assert_eq(code, 0);
    cr_assert(json_valid(proc_stdout(p, NULL)), "%s", proc_stdout(p, NULL));
    (void)server_of(proc_stdout(p, NULL), 0, "chan", "polled");
    cr_assert(strstr(proc_stderr(p, NULL), "CPU us/event"), "%s", proc_stderr(p, NULL));
    proc_free(p);

    p = bench(ARGS(QUICK, "--report=-"), &code);
    cr_assert_eq(code, 0);
    cr_assert_eq(strncmp(proc_stdout(p, NULL), "<!DOCTYPE html>", 15), 0);
    cr_assert_neq(access("-", F_OK), 0);
    cr_assert(strstr(proc_stderr(p, NULL), "CPU us/event"));
    proc_free(p);
    expect_code(ARGS(QUICK, "--report=-", "--json=-"), 64, "both");
}

/* A page is passed on to others, who need not have the token. */
Test(bench_output, the_page_does_not_tell_the_query)
{
    int code;
    proc *p = bench(ARGS("load", "http://127.0.0.1:1/events?access_token=secret", "--report=-",
                         "--timeout=1", "--subscribers=1"),
                    &code);
    const char *page = proc_stdout(p, NULL);
    cr_assert(strstr(page, "<title>sse-bench load http://127.0.0.1:1/events</title>"), "%s", page);
    cr_assert_null(strstr(page, "secret"), "%s", page);
    proc_free(p);
}

/* Nobody is there, which would be 69: it did not get so far. */
Test(bench_output, what_cannot_be_written_is_told_before_anything_is_measured)
{
    const char *url = "http://127.0.0.1:1/";
    expect_code(ARGS("load", url, "--json", "/does/not/exist.json"), 64,
                "option '--json': /does/not/exist.json: No such file or directory");
    expect_code(ARGS("storm", url, "--report", "/tmp"), 64,
                "option '--report': /tmp: Is a directory");
}

/* Run it with this as its descriptor 1, and return what it said on stderr; *code is its exit code. */
static char *bench_with_stdout(int fd, int *code)
{
    const char *argv[] = {"/bin/sh", "-c", "exec \"$@\" >&3", "sh", proc_bin("sse-bench"),
                          QUICK,     NULL};
    proc *p = proc_start_with(argv, &fd, 1);
    cr_assert_not_null(p);
    *code = proc_wait(p, LONG);
    char *said = strdup(proc_stderr(p, NULL));
    proc_free(p);
    cr_assert_not_null(said);
    return said;
}

Test(bench_output, a_full_disk_is_told)
{
    int code, full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert_geq(full, 0);
    char *said = bench_with_stdout(full, &code);
    cr_assert_eq(code, 69, "exit %d: %s", code, said);
    cr_assert(strstr(said, "stdout: No space left on device"), "%s", said);
    free(said);
    close(full);
    expect_code(ARGS(QUICK, "--json", "/dev/full"), 69, "/dev/full: No space left on device");
    expect_code(ARGS(QUICK, "--report", "/dev/full"), 69, "/dev/full: No space left on device");
}

/* As with head(1). */
Test(bench_output, who_has_read_enough_is_no_failure)
{
    int code, ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    char *said = bench_with_stdout(ends[1], &code);
    cr_assert_eq(code, 0, "exit %d: %s", code, said);
    cr_assert_str_eq(said, "");
    free(said);
    close(ends[1]);
}
