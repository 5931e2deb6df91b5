/* See reference.h. It shares no code with the parser, and is slow and simple on purpose. Threads: one. */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *ptr; /* room for the whole input, repaired */
    size_t len;
    bool set;
} text;

typedef struct reader {
    struct trace *trace;
    uint64_t line; /* the one that is being read, from 1 */
    bool open;     /* the block has lines that matter */
    text data, type, id, comment, last_id, value;
    bool has_retry;
    uint64_t retry_ms;
} reader;

static void text_init(text *t, size_t input)
{
    *t = (text){.ptr = malloc(4 * input + 1)};
    if (!t->ptr)
        abort();
}

static sse_str str(const text *t) { return (sse_str){t->set ? t->ptr : NULL, t->len}; }

static void clear(text *t)
{
    t->len = 0;
    t->set = false;
}

static void add(text *t, const char *bytes, size_t n)
{
    memcpy(t->ptr + t->len, bytes, n);
    t->len += n;
    t->set = true;
}

/* ---- UTF-8 ---- */

/* The length of the character at s, or of as much of one as there is; *valid says which. */
static size_t character(const unsigned char *s, size_t n, bool *valid)
{
    static const struct {
        unsigned char first, last; /* lead bytes */
        unsigned char low, high;   /* of the byte after it */
        unsigned char len;
    } kinds[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    *valid = false;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        if (s[0] < kinds[k].first || s[0] > kinds[k].last)
            continue;
        for (size_t i = 1; i < kinds[k].len; i++) {
            unsigned low = i == 1 ? kinds[k].low : 0x80, high = i == 1 ? kinds[k].high : 0xbf;
            if (i == n || s[i] < low || s[i] > high)
                return i;
        }
        *valid = true;
        return kinds[k].len;
    }
    return 1;
}

static void set_repaired(text *t, const char *s, size_t n)
{
    clear(t);
    t->set = true;
    for (size_t at = 0, len; at < n; at += len) {
        bool valid;
        len = character((const unsigned char *)s + at, n - at, &valid);
        if (valid)
            add(t, s + at, len);
        else
            add(t, "\xef\xbf\xbd", 3);
    }
}

/* ---- lines ---- */

static void problem(reader *r)
{
    (void)trace_callbacks.on_problem(r->trace, SSE_EINVAL, r->line, "");
}

static void append(text *t, const text *value)
{
    if (t->set)
        add(t, "\n", 1);
    add(t, value->ptr, value->len);
}

static void retry_line(reader *r)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < r->value.len; i++) {
        char c = r->value.ptr[i];
        if (c < '0' || c > '9') {
            problem(r);
            return;
        }
        bool fits = ms < UINT64_MAX / 10 || (ms == UINT64_MAX / 10 && c <= '5');
        ms = fits ? ms * 10 + (uint64_t)(c - '0') : UINT64_MAX;
    }
    if (r->value.len == 0) {
        problem(r);
        return;
    }
    r->has_retry = true;
    r->retry_ms = ms;
    (void)trace_callbacks.on_retry(r->trace, ms);
}

static void field(reader *r, const char *line, size_t n)
{
    size_t name = 0;
    while (name < n && line[name] != ':')
        name++;
    size_t value = name < n ? name + 1 : n;
    if (value < n && line[value] == ' ')
        value++;
    set_repaired(&r->value, line + value, n - value);
    if (name == 0) {
        (void)trace_callbacks.on_comment(r->trace, str(&r->value));
        append(&r->comment, &r->value);
        r->open |= r->trace->raw;
        return;
    }
    r->open = true;
    if (name == 4 && memcmp(line, "data", 4) == 0)
        append(&r->data, &r->value);
    else if (name == 5 && memcmp(line, "event", 5) == 0)
        set_repaired(&r->type, line + value, n - value);
    else if (name == 5 && memcmp(line, "retry", 5) == 0)
        retry_line(r);
    else if (name == 2 && memcmp(line, "id", 2) == 0 && !memchr(r->value.ptr, 0, r->value.len))
        set_repaired(&r->id, line + value, n - value);
    else
        problem(r);
}

static void end_of_block(reader *r)
{
    if (r->id.set &&
        (r->id.len != r->last_id.len || memcmp(r->id.ptr, r->last_id.ptr, r->id.len) != 0)) {
        clear(&r->last_id);
        add(&r->last_id, r->id.ptr, r->id.len);
        (void)trace_callbacks.on_id(r->trace, str(&r->last_id));
    }
    sse_event event = {.data = str(&r->data), .type = str(&r->type)};
    if (r->trace->raw) {
        event.id = str(&r->id);
        event.comment = str(&r->comment);
        event.has_retry = r->has_retry;
        event.retry_ms = r->retry_ms;
        if (r->data.set || r->type.set || r->id.set || r->comment.set || r->has_retry)
            (void)trace_callbacks.on_event(r->trace, &event);
    } else if (r->data.set) {
        event.id = (sse_str){r->last_id.ptr, r->last_id.len};
        if (event.type.len == 0)
            event.type.ptr = NULL;
        (void)trace_callbacks.on_event(r->trace, &event);
    }
    clear(&r->data);
    clear(&r->type);
    clear(&r->id);
    clear(&r->comment);
    r->open = r->has_retry = false;
}

/* The length of a line, without its end. */
static size_t line_length(const char *s, size_t n)
{
    size_t len = 0;
    while (len < n && s[len] != '\r' && s[len] != '\n')
        len++;
    return len;
}

static bool read_all(reader *r, const char *s, size_t n)
{
    if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) {
        s += 3;
        n -= 3;
    }
    for (r->line = 1; n > 0; r->line++) {
        size_t len = line_length(s, n);
        if (len == n)
            return true;
        if (len == 0)
            end_of_block(r);
        else
            field(r, s, len);
        size_t end = s[len] == '\r' && len + 1 < n && s[len + 1] == '\n' ? len + 2 : len + 1;
        s += end;
        n -= end;
    }
    return r->open;
}

bool reference_run(struct trace *t, sse_str input)
{
    reader r = {.trace = t};
    text *const texts[] = {&r.data, &r.type, &r.id, &r.comment, &r.last_id, &r.value};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        text_init(texts[i], input.len);
    bool unfinished = read_all(&r, input.ptr, input.len);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]->ptr);
    return unfinished;
}
