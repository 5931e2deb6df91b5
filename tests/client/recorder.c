/* The recorder: lines under a lock, and a condition for those who wait for one. */
#include "recorder.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEADLINE_S 60

struct recorder {
    void (*fn)(void *user, sse_subscription *sub, const char *line);
    void *fn_user;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    char **lines;
    size_t n;
    uint64_t *delays;
    size_t ndelays;
    recorded_error last;
    char *joined;
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

recorder *recorder_new(void)
{
    recorder *r = must(calloc(1, sizeof *r));
    pthread_mutex_init(&r->mu, NULL);
    pthread_cond_init(&r->changed, NULL);
    return r;
}

void recorder_free(recorder *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->lines[i]);
    free(r->lines);
    free(r->delays);
    free(r->joined);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mu);
    free(r);
}

void recorder_on_line(recorder *r, void (*fn)(void *user, sse_subscription *sub, const char *line),
                      void *user)
{
    r->fn = fn;
    r->fn_user = user;
}

/* ---- Writing ---- */

/* Takes the line over. */
static void add(recorder *r, sse_subscription *sub, char *line)
{
    pthread_mutex_lock(&r->mu);
    r->lines = must(realloc(r->lines, (r->n + 1) * sizeof *r->lines));
    r->lines[r->n++] = line;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mu);
    if (r->fn)
        r->fn(r->fn_user, sub, line);
}

static char *format(const char *fmt, ...) SSE_PRINTF(1, 2);
static char *format(const char *fmt, ...)
{
    char *line = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&line, fmt, args) < 0)
        abort();
    va_end(args);
    return line;
}

static void keep_error(recorder *r, const sse_client_error *e)
{
    pthread_mutex_lock(&r->mu);
    r->last.e = *e;
    snprintf(r->last.message, sizeof r->last.message, "%s", e->message);
    snprintf(r->last.url, sizeof r->last.url, "%s", e->url);
    snprintf(r->last.content_type, sizeof r->last.content_type, "%s",
             e->content_type ? e->content_type : "");
    r->last.body_len = e->body.len;
    r->last.body_ends = e->body.ptr && e->body.ptr[e->body.len] == '\0';
    memset(r->last.body, 0, sizeof r->last.body);
    if (e->body.len < sizeof r->last.body && e->body.len > 0)
        memcpy(r->last.body, e->body.ptr, e->body.len);
    r->last.e.message = r->last.e.url = r->last.e.content_type = NULL;
    r->last.e.body = (sse_str){NULL, 0};
    pthread_mutex_unlock(&r->mu);
}

static void on_open(void *user, sse_subscription *sub, const sse_response *response)
{
    add(user, sub, format("open %d", sse_response_status(response)));
}

static void on_event(void *user, sse_subscription *sub, const sse_event *e)
{
    sse_str type = e->type.ptr ? e->type : sse_cstr("message");
    add(user, sub,
        format("event %.*s|%.*s|%.*s", (int)e->id.len, e->id.ptr, (int)type.len, type.ptr,
               (int)e->data.len, e->data.ptr));
}

static void on_comment(void *user, sse_subscription *sub, sse_str comment)
{
    add(user, sub, format("comment %.*s", (int)comment.len, comment.ptr));
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *e)
{
    keep_error(user, e);
    add(user, sub,
        format("error %s%s%s", sse_errname(e->err), e->final ? " final" : "",
               e->connected ? " lost" : ""));
}

static void on_retry(void *user, sse_subscription *sub, const sse_client_error *e,
                     uint64_t delay_ms)
{
    recorder *r = user;
    (void)e;
    pthread_mutex_lock(&r->mu);
    r->delays = must(realloc(r->delays, (r->ndelays + 1) * sizeof *r->delays));
    r->delays[r->ndelays++] = delay_ms;
    pthread_mutex_unlock(&r->mu);
    add(r, sub, format("retry"));
}

static void on_close(void *user, sse_subscription *sub, const sse_client_error *e)
{
    keep_error(user, e);
    add(user, sub, format("close %s", sse_errname(e->err)));
}

sse_client_callbacks recorder_callbacks(void)
{
    sse_client_callbacks c = SSE_CLIENT_CALLBACKS_INIT;
    c.on_open = on_open;
    c.on_event = on_event;
    c.on_comment = on_comment;
    c.on_error = on_error;
    c.on_retry = on_retry;
    c.on_close = on_close;
    return c;
}

/* ---- Reading ---- */

static size_t count_locked(const recorder *r, const char *text)
{
    size_t found = 0;
    for (size_t i = 0; i < r->n; i++)
        found += strncmp(r->lines[i], text, strlen(text)) == 0;
    return found;
}

bool recorder_wait_nth(recorder *r, const char *text, size_t n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&r->mu);
    int rc = 0;
    while (count_locked(r, text) < n && rc == 0)
        rc = pthread_cond_timedwait(&r->changed, &r->mu, &until);
    bool there = count_locked(r, text) >= n;
    pthread_mutex_unlock(&r->mu);
    return there;
}

bool recorder_wait(recorder *r, const char *text) { return recorder_wait_nth(r, text, 1); }

size_t recorder_count(recorder *r, const char *text)
{
    pthread_mutex_lock(&r->mu);
    size_t n = count_locked(r, text);
    pthread_mutex_unlock(&r->mu);
    return n;
}

size_t recorder_total(recorder *r) { return recorder_count(r, ""); }

const char *recorder_lines(recorder *r)
{
    pthread_mutex_lock(&r->mu);
    size_t len = 1;
    for (size_t i = 0; i < r->n; i++)
        len += strlen(r->lines[i]) + 1;
    free(r->joined);
    char *at = r->joined = must(malloc(len));
    for (size_t i = 0; i < r->n; i++) {
        at = stpcpy(at, r->lines[i]);
        *at++ = '\n';
    }
    *at = '\0';
    pthread_mutex_unlock(&r->mu);
    return r->joined;
}

uint64_t recorder_delay(recorder *r, size_t i)
{
    pthread_mutex_lock(&r->mu);
    uint64_t ms = i < r->ndelays ? r->delays[i] : UINT64_MAX;
    pthread_mutex_unlock(&r->mu);
    return ms;
}

recorded_error recorder_last_error(recorder *r)
{
    pthread_mutex_lock(&r->mu);
    recorded_error last = r->last;
    pthread_mutex_unlock(&r->mu);
    return last;
}

/* ---- Short cuts ---- */

sse_client *client_for(const char *url, const sse_client_options *options)
{
    sse_client *client;
    if (sse_client_new(url, options, &client) != SSE_OK)
        abort();
    return client;
}

sse_subscription *recorder_subscribe(recorder *r, sse_client *client, const char *stream)
{
    sse_client_callbacks callbacks = recorder_callbacks();
    sse_subscription *sub;
    if (sse_client_subscribe_start(client, stream, &callbacks, r, &sub) != SSE_OK)
        abort();
    return sub;
}
