/* sse-bench as a program; see program.h. */
#include "program.h"

#include "../e2e/json.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_ARGS 40

static proc *run(const char *program, const char *const args[], int *code)
{
    const char *argv[MOST_ARGS] = {program};
    for (size_t i = 0; args[i]; i++) {
        cr_assert_lt(i + 2, MOST_ARGS);
        argv[i + 1] = args[i];
    }
    proc *p = proc_run(argv, NULL, LONG, code);
    cr_assert_not_null(p, "it did not end in time");
    return p;
}

proc *bench(const char *const args[], int *code) { return run(proc_bin("sse-bench"), args, code); }

void expect_code_of(const char *program, const char *const args[], int expected,
                    const char *on_stderr)
{
    int code;
    proc *p = run(program, args, &code);
    cr_assert_eq(code, expected, "exit %d, not %d: %s%s", code, expected, proc_stdout(p, NULL),
                 proc_stderr(p, NULL));
    if (on_stderr)
        cr_assert(strstr(proc_stderr(p, NULL), on_stderr), "stderr is: %s", proc_stderr(p, NULL));
    proc_free(p);
}

void expect_code(const char *const args[], int expected, const char *on_stderr)
{
    expect_code_of(proc_bin("sse-bench"), args, expected, on_stderr);
}

void expect_says(const char *const args[], int expected, const char *const on_stderr[])
{
    int code;
    proc *p = bench(args, &code);
    cr_assert_eq(code, expected, "exit %d, not %d: %s%s", code, expected, proc_stdout(p, NULL),
                 proc_stderr(p, NULL));
    for (; *on_stderr; on_stderr++)
        cr_assert(strstr(proc_stderr(p, NULL), *on_stderr), "no '%s' in: %s", *on_stderr,
                  proc_stderr(p, NULL));
    proc_free(p);
}

static const char *make_url(const char *scheme, uint16_t port, const char *path)
{
    static char urls[4][128];
    static unsigned next;
    char *url = urls[next++ % 4];
    snprintf(url, 128, "%s://127.0.0.1:%u%s", scheme, port, path);
    return url;
}

const char *url_of(uint16_t port, const char *path) { return make_url("http", port, path); }
const char *https_of(uint16_t port, const char *path) { return make_url("https", port, path); }

const char *temporary(void)
{
    static char names[2][64];
    static unsigned next;
    char *name = names[next++ % 2];
    snprintf(name, 64, "/tmp/sse-bench-test-XXXXXX");
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    close(fd);
    return name;
}

char *slurp(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    cr_assert_not_null(text);
    cr_assert_eq(read(fd, text, (size_t)st.st_size), st.st_size);
    close(fd);
    unlink(path);
    return text;
}

/* ---- reading the JSON ---- */

char *read_json(const char *path)
{
    char *text = slurp(path);
    cr_assert(json_valid(text), "not JSON: %s", text);
    return text;
}

const char *server_of(const char *json, size_t i, const char *scenario, const char *server)
{
    char name[64];
    const char *s = json_element(json_member(json, "scenarios"), i);
    cr_assert_not_null(s, "no scenario %zu in %s", i, json);
    cr_assert(json_string(json_member(s, "name"), name, sizeof name));
    cr_assert_str_eq(name, scenario);
    const char *found = json_member(json_member(s, "servers"), server);
    cr_assert_not_null(found, "no %s in %s", server, s);
    return found;
}

double number(const char *server, const char *key)
{
    const char *value = json_member(server, key);
    cr_assert_not_null(value, "no %s in %.400s", key, server);
    return strtod(value, NULL);
}

void expect_nothing_lost(const char *server)
{
    cr_assert_eq(number(server, "lost"), 0);
    cr_assert_eq(number(server, "duplicated"), 0);
    cr_assert_eq(number(server, "misordered"), 0);
}

void expect_latency(const char *server)
{
    double p50 = number(server, "p50_us"), p99 = number(server, "p99_us");
    double p999 = number(server, "p999_us"), max = number(server, "max_us");
    cr_assert(p50 > 0 && p50 <= p99 && p99 <= p999 && p999 <= max, "%f %f %f %f", p50, p99, p999,
              max);
}
