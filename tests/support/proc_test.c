/* Tests of proc.[ch], against cat and sh. */
#include "proc.h"

#include "wait.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONG = 60000 };

static proc *shell(const char *script)
{
    proc *p = proc_start((const char *[]){"sh", "-c", script, NULL});
    cr_assert_not_null(p, "%s", strerror(errno));
    return p;
}

Test(proc, lines_go_in_and_out)
{
    proc *p = proc_start((const char *[]){"cat", NULL});
    cr_assert_not_null(p);
    cr_assert(proc_write(p, "one\n\ntwo", 8, LONG));
    cr_assert_str_eq(proc_read_line(p, LONG), "one");
    cr_assert_str_eq(proc_read_line(p, LONG), "");
    cr_assert_null(proc_read_line(p, 0), "half a line is none yet");
    proc_close_stdin(p);
    cr_assert_str_eq(proc_read_line(p, LONG), "two");
    cr_assert_null(proc_read_line(p, LONG));
    cr_assert_eq(proc_wait(p, LONG), 0);
    size_t len;
    cr_assert_str_eq(proc_stdout(p, &len), "one\n\ntwo");
    cr_assert_eq(len, 8);
    proc_free(p);
}

Test(proc, exit_code_and_both_outputs)
{
    proc *p = shell("echo out; echo err >&2; exit 7");
    cr_assert_eq(proc_wait(p, LONG), 7);
    cr_assert_eq(proc_wait(p, 0), 7, "again");
    cr_assert_str_eq(proc_stdout(p, NULL), "out\n");
    cr_assert_str_eq(proc_stderr(p, NULL), "err\n");
    cr_assert_not(proc_signal(p, SIGTERM), "it is gone");
    proc_free(p);
}

Test(proc, signals)
{
    proc *p = shell("exec cat");
    cr_assert_eq(proc_stop(p, LONG), 128 + SIGTERM);
    proc_free(p);

    p = shell("trap 'echo caught; exit 3' TERM; echo ready; while read line; do :; done; cat");
    cr_assert_str_eq(proc_read_line(p, LONG), "ready");
    cr_assert(proc_signal(p, SIGTERM));
    /* The shell runs its trap once the read has ended. */
    cr_assert_eq(proc_wait(p, LONG), 3);
    cr_assert_str_eq(proc_stdout(p, NULL), "ready\ncaught\n");
    proc_free(p);
}

Test(proc, sigpipe_is_the_programs_own_again)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    signal(SIGPIPE, SIG_IGN);
    proc *p = shell("kill -PIPE $$; exit 0");
    cr_assert_eq(proc_wait(p, LONG), 128 + SIGPIPE);
    proc_free(p);
}

Test(proc, still_running_at_the_deadline)
{
    proc *p = shell("exec 0<&-; kill -STOP $$; exit 0");
    cr_assert_eq(proc_wait(p, 20), -1);
    pid_t pid = proc_pid(p);
    cr_assert_eq(kill(pid, 0), 0);
    proc_free(p);
    cr_assert_eq(kill(pid, 0), -1, "proc_free() killed and collected it");
    cr_assert_eq(errno, ESRCH);
}

Test(proc, much_output_on_both_pipes_blocks_nobody)
{
    proc *p = shell("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; echo end");
    cr_assert_eq(proc_wait(p, LONG), 0);
    size_t len;
    (void)proc_stderr(p, &len);
    cr_assert_eq(len, 1000000);
    const char *out = proc_stdout(p, &len);
    cr_assert_eq(len, 1000004);
    cr_assert_str_eq(out + 1000000, "end\n");
    proc_free(p);
}

Test(proc, much_input_to_a_program_that_answers)
{
    enum { SIZE = 1 << 20 };
    char *input = malloc(SIZE + 1);
    cr_assert_not_null(input);
    memset(input, 'a', SIZE);
    input[SIZE] = '\0';
    int code = -1;
    proc *p = proc_run((const char *[]){"cat", NULL}, input, LONG, &code);
    cr_assert_not_null(p);
    cr_assert_eq(code, 0);
    size_t len;
    const char *out = proc_stdout(p, &len);
    cr_assert_eq(len, SIZE);
    cr_assert_eq(memcmp(out, input, SIZE), 0);
    proc_free(p);
    free(input);
}

Test(proc, write_to_a_program_that_does_not_read)
{
    proc *p = shell("exec 0<&-; echo closed; kill -STOP $$");
    cr_assert_str_eq(proc_read_line(p, LONG), "closed");
    cr_assert_not(proc_write(p, "x", 1, LONG), "and no SIGPIPE");
    proc_close_stdin(p);
    cr_assert_not(proc_write(p, "x", 1, LONG));
    proc_free(p);
}

Test(proc, wait_for_words_on_stderr)
{
    proc *p = shell("echo 'something happened' >&2; cat; echo 'something else' >&2");
    cr_assert(proc_wait_stderr(p, "happened", LONG));
    cr_assert_not(proc_wait_stderr(p, "else", 0));
    proc_close_stdin(p);
    cr_assert(proc_wait_stderr(p, "else\n", LONG));
    cr_assert_not(proc_wait_stderr(p, "never", LONG), "stderr ended");
    proc_free(p);
}

Test(proc, a_program_that_is_not_there)
{
    int before = wait_count_fds(0);
    cr_assert_null(proc_start((const char *[]){"/nonexistent/program", NULL}));
    cr_assert_eq(errno, ENOENT);
    cr_assert_eq(wait_count_fds(0), before);
}

Test(proc, nothing_is_left_open)
{
    int before = wait_count_fds(0);
    int code;
    proc_free(proc_run((const char *[]){"true", NULL}, NULL, LONG, &code));
    cr_assert_eq(code, 0);
    proc_free(shell("cat"));
    proc_free(NULL);
    cr_assert_eq(wait_count_fds(0), before);
}

Test(proc, the_program_inherits_no_descriptor)
{
    int fd = open("/dev/null", O_RDONLY);
    cr_assert_geq(fd, 3);
    proc *p = shell("ls /proc/$$/fd");
    cr_assert_eq(proc_wait(p, LONG), 0);
    cr_assert_str_eq(proc_stdout(p, NULL), "0\n1\n2\n");
    proc_free(p);
    close(fd);
}

/* A stand-in for sse-server: a script in a directory that SSE_BIN names. */
static void fake_server(char dir[], const char *script)
{
    char path[256];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/sse-server", dir);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    fputs(script, file);
    fclose(file);
    cr_assert_eq(chmod(path, 0700), 0);
    setenv("SSE_BIN", dir, 1);
}

static void remove_fake_server(const char *dir)
{
    char path[256];
    snprintf(path, sizeof path, "%s/sse-server", dir);
    unlink(path);
    rmdir(dir);
}

Test(proc, server_port_is_read)
{
    char dir[] = "/tmp/proc_test.XXXXXX";
    fake_server(dir, "#!/bin/sh\necho listening on http://127.0.0.1:41234\necho \"$*\"\ncat\n");
    uint16_t port = 0;
    proc *p = proc_start_server((const char *[]){"--auto-stream", NULL}, &port);
    cr_assert_not_null(p);
    cr_assert_eq(port, 41234);
    cr_assert_str_eq(proc_read_line(p, LONG), "--listen 127.0.0.1:0 --auto-stream");
    proc_free(p);
    p = proc_start_server((const char *[]){"--listen=127.0.0.1:7", NULL}, &port);
    cr_assert_str_eq(proc_read_line(p, LONG), "--listen=127.0.0.1:7");
    proc_free(p);
    remove_fake_server(dir);
}

Test(proc, server_that_does_not_start)
{
    char dir[] = "/tmp/proc_test.XXXXXX";
    fake_server(dir, "#!/bin/sh\necho no such option >&2\nexit 64\n");
    uint16_t port = 0;
    cr_assert_null(proc_start_server(NULL, &port));
    remove_fake_server(dir);
}
