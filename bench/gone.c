/* Subscribers leave, and the server is asked how many it has, until it has noticed.
 *
 * One thread beside the load engine's. It asks over a keep-alive connection of its own, back to
 * back while one leaves, so that what it measures is late by one request; every millisecond while
 * all leave, so that it does not slow the server down. */
#include "procstat.h"
#include "run.h"
#include "tool.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define ROUNDS 20u /* of one that leaves, in each way */
#define PATIENCE (10 * SECOND)
#define ALL_STEP_NS 1000000u

typedef struct asker {
    const run_options *options;
    char *request;
    int fd;
    char answer[65536];
} asker;

/* What a server has, by its own account. One that counts no connections has none. */
typedef struct census {
    double subscribers, connections;
} census;

/* Send, and read until the answer's head, and `body` says whether its body too, is there. Returns
 * false when something else comes. */
static bool exchange(int fd, const char *request, char *answer, size_t size, bool body,
                     http_head *head, long *at)
{
    size_t len = 0;
    if (!tool_write(fd, request, strlen(request)))
        return false;
    for (;;) {
        ssize_t n = recv(fd, answer + len, size - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        answer[len] = '\0';
        *at = http_head_parse(head, answer, len);
        if (*at < 0 || head->status != 200)
            return false;
        if (*at > 0 && (!body || (size_t)*at + head->content_length <= len))
            return true;
    }
}

/* The number in the line that begins with `name`, perhaps after "sse_"; 0: there is none. */
static double line_number(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = text; p; p = strchr(p, '\n')) {
        p += *p == '\n';
        const char *word = strncmp(p, "sse_", 4) == 0 ? p + 4 : p;
        if (strncmp(word, name, n) == 0 && (word[n] == ' ' || word[n] == ':'))
            return strtod(word + n + 1, NULL);
    }
    return 0;
}

static bool ask(asker *a, census *out)
{
    http_head head;
    long at;
    if (!exchange(a->fd, a->request, a->answer, sizeof a->answer, true, &head, &at))
        return false;
    out->subscribers = line_number(a->answer + at, "subscribers");
    out->connections = line_number(a->answer + at, "connections");
    return true;
}

/* Until the server has so many subscribers and, at the end (`leaving`), no more connections than
 * that. Returns false when it does not come to that. */
static bool wait_for(asker *a, census wanted, bool leaving, uint64_t step_ns)
{
    uint64_t until = now_ns() + PATIENCE;
    census now;
    while (ask(a, &now) && now_ns() < until) {
        if (now.subscribers == wanted.subscribers &&
            (!leaving || now.connections <= wanted.connections))
            return true;
        if (step_ns)
            wait_until_ns(now_ns() + step_ns);
    }
    return false;
}

/* One comes and leaves. Returns how long it took the server to notice, in nanoseconds; 0: never. */
static uint64_t come_and_leave(asker *a, census before, bool reset)
{
    char target[2112], answer[4096];
    const engine_options *o = &a->options->engine;
    http_head head;
    long at;
    http_target(o->url, 0, o->named, target);
    char *request = http_request("GET", target, o->url, NULL, NULL);
    int fd = wire_dial(o->url);
    census with = {before.subscribers + 1, 0};
    bool ok = fd >= 0 && exchange(fd, request, answer, sizeof answer, false, &head, &at) &&
              wait_for(a, with, false, 0);
    free(request);
    struct linger now = {1, 0};
    if (reset && fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    uint64_t left = now_ns();
    if (fd >= 0)
        close(fd);
    ok = ok && wait_for(a, before, true, 0);
    return ok ? now_ns() - left : 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median, in milliseconds; negative when one was not noticed. */
static double one_after_the_other(asker *a, census before, bool reset, result *r)
{
    uint64_t times[ROUNDS];
    for (uint32_t i = 0; i < ROUNDS; i++) {
        times[i] = come_and_leave(a, before, reset);
        if (times[i] == 0)
            return -1;
        histogram_add(&r->latency, times[i]);
    }
    qsort(times, ROUNDS, sizeof times[0], by_value);
    return (double)times[ROUNDS / 2] / 1e6;
}

static int failed(result *r, const char *what)
{
    snprintf(r->failure, sizeof r->failure, "%s", what);
    return TOOL_UNAVAILABLE;
}

/* All leave; *e is freed by it. */
static int all_leave(asker *a, engine **e, census empty, result *r)
{
    engine_totals *totals = tool_must(calloc(1, sizeof *totals));
    engine_stop(*e, totals);
    free(totals);
    uint64_t began = now_ns();
    engine_free(*e);
    *e = NULL;
    double closing = (double)(now_ns() - began) / 1e6;
    if (!wait_for(a, empty, true, ALL_STEP_NS))
        return failed(r, "the server did not notice that all had left");
    r->gone_all_ms = (double)(now_ns() - began) / 1e6;
    result_note(r, "it took this program %.0f ms to close all sockets", closing);
    return TOOL_GO_ON;
}

static int leave(asker *a, engine **e, result *r)
{
    census empty = {0, 0}, full;
    if (!ask(a, &empty))
        return failed(r, "the server does not tell how many subscribers it has");
    engine_options all = a->options->engine;
    all.reset = false; /* one leaves in either way, all by FIN */
    *e = engine_start(&all);
    r->subscribers = engine_wait_served(*e, 12 * PATIENCE, NULL, NULL);
    census wanted = {r->subscribers, 0};
    if (r->subscribers < a->options->engine.subscribers ||
        !wait_for(a, wanted, false, ALL_STEP_NS) || !ask(a, &full))
        return failed(r, "not all were served");
    r->gone_fin_ms = one_after_the_other(a, full, false, r);
    r->gone_rst_ms = one_after_the_other(a, full, true, r);
    if (r->gone_fin_ms < 0 || r->gone_rst_ms < 0)
        return failed(r, "the server did not notice that one had left");
    result_quantiles(r);
    return all_leave(a, e, empty, r);
}

int run_gone(const run_options *o, result *r)
{
    asker *a = tool_must(calloc(1, sizeof *a));
    engine *e = NULL;
    a->options = o;
    a->request = http_request("GET", o->status->target, o->status, NULL, NULL);
    a->fd = wire_dial(o->status);
    int code = a->fd >= 0 ? leave(a, &e, r) : failed(r, "asking the server: cannot connect");
    if (e) {
        engine_totals *totals = tool_must(calloc(1, sizeof *totals));
        engine_stop(e, totals);
        engine_free(e);
        free(totals);
    }
    if (a->fd >= 0)
        close(a->fd);
    free(a->request);
    free(a);
    return code;
}
