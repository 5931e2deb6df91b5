/* Helpers of the end-to-end tests. The thread that starts a program must outlive it (proc.h), so
 * tests start programs on their main thread. */
#include "e2e.h"

#include "../support/cert.h"
#include "json.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *text(const char *format, ...)
{
    static _Thread_local char ring[128][1024];
    static _Thread_local unsigned at;
    char *out = ring[at++ % 128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, sizeof ring[0], format, args);
    va_end(args);
    cr_assert_lt(n, (int)sizeof ring[0]);
    return out;
}

/* ---- sse-server ---- */

hub hub_start(const char *const args[])
{
    hub h;
    h.process = proc_start_server(args, &h.port);
    cr_assert_not_null(h.process, "sse-server does not start");
    snprintf(h.url, sizeof h.url, "%s", url_at(h.port));
    return h;
}

hub hub_start_at(uint16_t port, const char *const args[])
{
    const char *all[64] = {"--listen", text("127.0.0.1:%u", port)};
    size_t n = 2;
    for (; args && *args; args++)
        all[n++] = *args;
    return hub_start(all);
}

uint16_t listening_port(proc *p)
{
    uint16_t port;
    const char *line = proc_read_line(p, LONG);
    cr_assert_not_null(line, "no line says where it listens: %s", err_of(p));
    const char *pattern =
        cert_tls() ? "listening on https://127.0.0.1:%hu" : "listening on http://127.0.0.1:%hu";
    cr_assert_eq(sscanf(line, pattern, &port), 1, "%s", line);
    return port;
}

void hub_end(hub *h)
{
    int code = proc_stop(h->process, LONG);
    cr_assert_eq(code, 0, "sse-server ended with %d: %s", code, err_of(h->process));
    proc_free(h->process);
    h->process = NULL;
}

void hub_kill(hub *h)
{
    proc_signal(h->process, SIGKILL);
    cr_assert_eq(proc_wait(h->process, LONG), 128 + SIGKILL);
    proc_free(h->process);
    h->process = NULL;
}

uint16_t unused_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

const char *url_at(uint16_t port)
{
    return text("http%s://127.0.0.1:%u", cert_tls() ? "s" : "", port);
}

const char *trusted(void)
{
    if (!cert_tls())
        return NULL;
    (void)cert_default();
    return text("%s", cert_path("ca", "crt"));
}

/* ---- requests ---- */

http_response ask(const hub *h, const char *method, const char *target, const char *headers,
                  const char *body)
{
    http_response r;
    cr_assert(http_once(h->port, method, target, headers, body, &r, LONG), "no answer to %s %s",
              method, target);
    return r;
}

void expect(const hub *h, const char *method, const char *target, const char *headers,
            const char *body, int status, const char *part)
{
    http_response r = ask(h, method, target, headers, body);
    cr_assert_eq(r.status, status, "%s %s: %d (not %d) %s", method, target, r.status, status,
                 r.body);
    cr_assert(!part || strstr(r.body, part), "%s %s: '%s' lacks '%s'", method, target, r.body,
              part);
    http_response_fini(&r);
}

void expect_error(const hub *h, const char *method, const char *target, const char *headers,
                  const char *body, int status, const char *part)
{
    http_response r = ask(h, method, target, headers, body);
    const char *type = http_header(&r, "Content-Type");
    cr_assert_eq(r.status, status, "%s %s: %d (not %d) %s", method, target, r.status, status,
                 r.body);
    cr_assert(type && strncmp(type, "text/plain", 10) == 0, "%s %s: type %s", method, target,
              type ? type : "none");
    cr_assert(one_line(r.body) && r.body_len > 2 && r.body[r.body_len - 2] == '.',
              "not a sentence: '%s'", r.body);
    cr_assert(!part || strstr(r.body, part), "'%s' lacks '%s'", r.body, part);
    http_response_fini(&r);
}

void publish(const hub *h, const char *stream, const char *more, const char *data)
{
    expect(h, "POST", text("/events?stream=%s%s", stream, more ? more : ""), NULL, data, 200, NULL);
}

struct batch {
    const hub *h;
    const char *target, *body;
};

/* A full ring answers 429: the caller of a hub asks again. */
static bool batch_taken(void *arg)
{
    const struct batch *b = arg;
    http_response r = ask(b->h, "POST", b->target, "Content-Type: text/event-stream\r\n", b->body);
    int status = r.status;
    cr_assert(status == 200 || status == 429, "%d %s", status, r.body);
    http_response_fini(&r);
    return status == 200;
}

void publish_numbers(const hub *h, const char *stream, size_t first, size_t n)
{
    enum { BATCH = 500, MAX_LINE = 32 };
    char *body = malloc(BATCH * MAX_LINE);
    cr_assert_not_null(body);
    for (size_t done = 0; done < n;) {
        int at = 0;
        for (size_t i = 0; i < BATCH && done < n; i++, done++)
            at += sprintf(body + at, "data:%zu\n\n", first + done);
        struct batch b = {h, text("/events?stream=%s", stream), body};
        cr_assert(wait_until(batch_taken, &b, LONG), "the ring stays full");
    }
    free(body);
}

/* ---- a plain subscriber ---- */

http_conn *follow(const hub *h, const char *stream, const char *more, const char *headers)
{
    const char *target = text("/events?stream=%s%s", stream, more ? more : "");
    http_conn *c = http_open_stream(h->port, target, headers, NULL, LONG);
    cr_assert_not_null(c, "no event stream at %s", target);
    return c;
}

void expect_block(http_conn *c, const char *id, const char *type, const char *data,
                  const char *retry)
{
    http_block b;
    cr_assert_eq(http_next_block(c, &b, LONG), HTTP_OK);
    const char *got[] = {b.id, b.type, b.data, b.retry};
    const char *wanted[] = {id, type, data, retry};
    for (int i = 0; i < 4; i++)
        cr_assert(wanted[i] ? got[i] && strcmp(got[i], wanted[i]) == 0 : got[i] == NULL,
                  "part %d: '%s', not '%s'", i, got[i] ? got[i] : "(none)",
                  wanted[i] ? wanted[i] : "(none)");
    http_block_fini(&b);
}

void expect_data(http_conn *c, const char *data)
{
    http_block b;
    http_result result = http_next_event(c, &b, LONG);
    cr_assert_eq(result, HTTP_OK, "no event (%d) where '%s' should come", result, data);
    cr_assert_str_eq(b.data, data);
    http_block_fini(&b);
}

void expect_numbers(http_conn *c, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_data(c, text("%zu", first + i));
}

void expect_nothing_before(const hub *h, const char *stream, http_conn *c, const char *marker)
{
    publish(h, stream, NULL, marker);
    expect_data(c, marker);
}

/* ---- GET /streams ---- */

/* The body of /streams, checked; the caller frees it. */
static char *streams(const hub *h)
{
    http_response r = ask(h, "GET", "/streams", NULL, NULL);
    cr_assert_eq(r.status, 200);
    cr_assert(json_valid(r.body), "not JSON: %s", r.body);
    char *body = strdup(r.body);
    http_response_fini(&r);
    return body;
}

static bool find_number(const hub *h, const char *stream, const char *key, uint64_t *out)
{
    char name[512];
    char *body = streams(h);
    const char *value = NULL, *object;
    for (size_t i = 0; !value && (object = json_element(body, i)); i++) {
        cr_assert(json_string(json_member(object, "name"), name, sizeof name));
        if (strcmp(name, stream) == 0)
            value = json_member(object, key);
    }
    if (value)
        *out = strtoull(value, NULL, 10);
    free(body);
    return value != NULL;
}

uint64_t stream_number(const hub *h, const char *stream, const char *key)
{
    uint64_t n = 0;
    cr_assert(find_number(h, stream, key, &n), "/streams has no %s of %s", key, stream);
    return n;
}

struct wish {
    const hub *h;
    const char *stream, *key;
    uint64_t value, is;
    bool or_more;
};

static bool is_true(void *arg)
{
    struct wish *w = arg;
    return find_number(w->h, w->stream, w->key, &w->is) &&
           (w->is == w->value || (w->or_more && w->is > w->value));
}

void wait_number(const hub *h, const char *stream, const char *key, uint64_t value)
{
    struct wish w = {h, stream, key, value, UINT64_MAX, false};
    cr_assert(wait_until(is_true, &w, LONG), "%s of %s is %llu, not %llu", key, stream,
              (unsigned long long)w.is, (unsigned long long)value);
}

void wait_at_least(const hub *h, const char *stream, const char *key, uint64_t value)
{
    struct wish w = {h, stream, key, value, UINT64_MAX, true};
    cr_assert(wait_until(is_true, &w, LONG), "%s of %s is %llu, less than %llu", key, stream,
              (unsigned long long)w.is, (unsigned long long)value);
}

int stream_count(const hub *h)
{
    char *body = streams(h);
    int n = 0;
    while (json_element(body, (size_t)n))
        n++;
    free(body);
    return n;
}

/* ---- programs ---- */

static void fill_argv(const char *argv[64], const char *name, const char *const args[])
{
    size_t n = 0;
    argv[n++] = proc_bin(name);
    if (strcmp(name, "sse-server") == 0) {
        n += cert_args(argv + n);
    } else if (cert_tls()) {
        argv[n++] = "--cacert";
        argv[n++] = trusted();
    }
    for (; args && *args; args++) {
        cr_assert_lt(n, 63u);
        argv[n++] = *args;
    }
    argv[n] = NULL;
}

proc *tool_start(const char *name, const char *const args[])
{
    const char *argv[64];
    fill_argv(argv, name, args);
    proc *p = proc_start(argv);
    cr_assert_not_null(p, "%s does not start", argv[0]);
    return p;
}

proc *tool_run(const char *name, const char *const args[], const char *input, int code)
{
    const char *argv[64];
    int got;
    fill_argv(argv, name, args);
    proc *p = proc_run(argv, input, LONG, &got);
    cr_assert_not_null(p, "%s %s does not end", name, args ? args[0] : "");
    cr_assert_eq(got, code, "%s %s ended with %d, not %d: %s", name, args && args[0] ? args[0] : "",
                 got, code, err_of(p));
    return p;
}

void tool_fails(const char *name, const char *const args[], const char *input, int code,
                const char *part)
{
    proc *p = tool_run(name, args, input, code);
    cr_assert(one_line(err_of(p)), "not one line: '%s'", err_of(p));
    cr_assert_not_null(strstr(err_of(p), part), "'%s' lacks '%s'", err_of(p), part);
    cr_assert_str_eq(out_of(p), "");
    proc_free(p);
}

void expect_line(proc *p, const char *line)
{
    const char *got = proc_read_line(p, LONG);
    cr_assert_not_null(got, "no line where '%s' should come; stderr: %s", line, err_of(p));
    cr_assert_str_eq(got, line);
}

void tool_end(proc *p, int code)
{
    int got = proc_wait(p, LONG);
    cr_assert_eq(got, code, "ended with %d, not %d: %s", got, code, err_of(p));
    proc_free(p);
}

const char *out_of(const proc *p) { return proc_stdout(p, NULL); }

const char *err_of(const proc *p) { return proc_stderr(p, NULL); }

bool one_line(const char *s)
{
    const char *end = strchr(s, '\n');
    return end && end > s && end[1] == '\0';
}

/* ---- files ---- */

static char directory[64];
static pid_t directory_owner;

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    remove(path);
    return 0;
}

static void remove_directory(void)
{
    if (directory_owner == getpid())
        nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *temp_dir(void)
{
    if (directory_owner == getpid())
        return directory;
    strcpy(directory, "/tmp/sse-e2e-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    directory_owner = getpid();
    atexit(remove_directory);
    return directory;
}

const char *temp_file(const char *content)
{
    static unsigned number;
    const char *path = text("%s/%u", temp_dir(), number++);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    fputs(content, file);
    fclose(file);
    return path;
}
