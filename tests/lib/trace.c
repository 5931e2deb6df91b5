/* See trace.h. Threads: one. Aborts when memory is short: these are tests. */
#include "trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void trace_init(struct trace *t) { *t = (struct trace){.problems = true}; }

void trace_fini(struct trace *t)
{
    free(t->text);
    t->text = NULL;
}

void trace_clear(struct trace *t) { t->len = t->calls = 0; }

const char *trace_text(const struct trace *t) { return t->len > 0 ? t->text : ""; }

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void room(struct trace *t, size_t n)
{
    if (t->len + n < t->cap)
        return;
    t->cap = (t->len + n) * 2 + 64;
    t->text = must(realloc(t->text, t->cap));
}

static void SSE_PRINTF(2, 3) put(struct trace *t, const char *format, ...)
{
    char piece[128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    room(t, (size_t)n + 1);
    memcpy(t->text + t->len, piece, (size_t)n + 1);
    t->len += (size_t)n;
}

static void put_quoted(struct trace *t, const char *before, sse_str s)
{
    static const char hex[] = "0123456789abcdef";
    put(t, "%s\"", before);
    room(t, s.len * 4 + 2);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '\\' && c != '"') {
            t->text[t->len++] = (char)c;
        } else {
            const char escape[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
            memcpy(t->text + t->len, escape, 4);
            t->len += 4;
        }
    }
    put(t, "\"");
}

static int called(struct trace *t)
{
    put(t, "\n");
    return ++t->calls == t->stop_at;
}

static int on_block(struct trace *t, const sse_event *event)
{
    put(t, "block");
    if (event->id.ptr)
        put_quoted(t, " id ", event->id);
    if (event->type.ptr)
        put_quoted(t, " type ", event->type);
    if (event->has_retry)
        put(t, " retry %" PRIu64, event->retry_ms);
    if (event->comment.ptr)
        put_quoted(t, " comment ", event->comment);
    if (event->data.ptr)
        put_quoted(t, " data ", event->data);
    return called(t);
}

static int on_event(void *user, const sse_event *event)
{
    struct trace *t = user;
    if (t->raw)
        return on_block(t, event);
    if (!event->id.ptr || !event->data.ptr || event->comment.ptr || event->has_retry ||
        (event->type.ptr && event->type.len == 0))
        t->malformed = true;
    if (event->type.ptr)
        put_quoted(t, "event ", event->type);
    else
        put(t, "message");
    if (event->id.len > 0)
        put_quoted(t, " #", event->id);
    put_quoted(t, " ", event->data);
    return called(t);
}

static int on_comment(void *user, sse_str comment)
{
    put_quoted(user, ": ", comment);
    return called(user);
}

static int on_retry(void *user, uint64_t ms)
{
    put(user, "retry %" PRIu64, ms);
    return called(user);
}

static int on_id(void *user, sse_str id)
{
    put_quoted(user, "id ", id);
    return called(user);
}

static int on_problem(void *user, sse_err err, uint64_t line, const char *what)
{
    struct trace *t = user;
    if (!t->problems)
        return 0;
    put(t, "! %s %" PRIu64 "%s", sse_errname(err), line, what ? "" : " without words");
    return called(t);
}

const sse_parser_callbacks trace_callbacks = {
    .size = sizeof trace_callbacks,
    .on_event = on_event,
    .on_comment = on_comment,
    .on_retry = on_retry,
    .on_id = on_id,
    .on_problem = on_problem,
};

static sse_err feed_copy(sse_parser *p, const char *bytes, size_t n)
{
    char *copy = must(malloc(n > 0 ? n : 1));
    if (n > 0)
        memcpy(copy, bytes, n);
    sse_err err = sse_parser_feed(p, copy, n);
    memset(copy, 'X', n);
    free(copy);
    return err;
}

sse_err trace_feed(sse_parser *p, sse_str input, struct cut cut)
{
    uint64_t seed = cut.n;
    sse_err err = SSE_OK;
    for (size_t at = 0; at < input.len && err == SSE_OK;) {
        size_t left = input.len - at, n = left;
        if (cut.kind == CUT_EVERY)
            n = cut.n;
        else if (cut.kind == CUT_AT && at < cut.n)
            n = cut.n - at;
        else if (cut.kind == CUT_RANDOM)
            n = (size_t)(test_random(&seed) % 17);
        n = n < left ? n : left;
        err = feed_copy(p, input.ptr + at, n);
        at += n;
    }
    return err;
}

void trace_end(struct trace *t, sse_parser *p)
{
    if (sse_parser_reset(p))
        put(t, "unfinished\n");
}

void trace_run(struct trace *t, const sse_parser_options *options, sse_str input, struct cut cut)
{
    sse_parser *p;
    t->raw = options && options->raw_blocks;
    if (sse_parser_new(options, &trace_callbacks, t, &p) != SSE_OK)
        abort();
    if (trace_feed(p, input, cut) != SSE_OK && t->stop_at == 0)
        put(t, "feed failed\n");
    trace_end(t, p);
    sse_parser_free(p);
}

uint64_t test_random(uint64_t *state)
{
    uint64_t bits = *state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
}
