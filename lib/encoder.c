/* Wire format from an event.
 *
 * Threads: any; no state, no allocation. Size and text come from the same functions run twice: a
 * sink without a buffer only counts, so that the size is exact by construction. Text with line
 * ends is cut with memchr; the position of the next CR and of the next LF are remembered, so
 * that each byte is looked at a constant number of times whatever the mix. */
#include "encoder.h"

#include <string.h>

/* Where the text goes; `to` is NULL when it is only counted. */
struct sink {
    char *to;
    size_t len;
};

static void put(struct sink *out, const char *bytes, size_t n)
{
    if (out->to && n > 0)
        memcpy(out->to + out->len, bytes, n);
    out->len += n;
}

/* A line "name: value", or "name:" when the value is empty. The name comes with its colon. The
 * space is always there before a value, because a reader removes one and the value may begin
 * with a space itself. */
static void put_line(struct sink *out, const char *name, size_t name_len, const char *value,
                     size_t n)
{
    put(out, name, name_len);
    if (n > 0) {
        put(out, " ", 1);
        put(out, value, n);
    }
    put(out, "\n", 1);
}

static const char *find(const char *at, const char *end, char c)
{
    const char *found = at < end ? memchr(at, c, (size_t)(end - at)) : NULL;
    return found ? found : end;
}

/* One line for each line of the text. There is always one more line than there are line ends. */
static void put_lines(struct sink *out, const char *name, size_t name_len, sse_str text)
{
    const char *at = text.ptr, *end = at + text.len;
    const char *lf = find(at, end, '\n'), *cr = find(at, end, '\r');
    for (;;) {
        const char *eol = lf < cr ? lf : cr;
        put_line(out, name, name_len, at, (size_t)(eol - at));
        if (eol == end)
            return;
        at = eol + 1;
        if (*eol == '\r' && at < end && lf == at)
            at++; /* CRLF is one line end */
        if (lf < at)
            lf = find(at, end, '\n');
        if (cr < at)
            cr = find(at, end, '\r');
    }
}

static void put_number(struct sink *out, uint64_t number)
{
    char digits[20], *at = digits + sizeof digits;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put_line(out, "retry:", 6, at, (size_t)(digits + sizeof digits - at));
}

static void put_event(struct sink *out, const sse_event *event)
{
    if (event->comment.ptr)
        put_lines(out, ":", 1, event->comment);
    if (event->id.ptr)
        put_line(out, "id:", 3, event->id.ptr, event->id.len);
    if (event->type.ptr && event->type.len > 0)
        put_line(out, "event:", 6, event->type.ptr, event->type.len);
    if (event->has_retry)
        put_number(out, event->retry_ms);
    if (event->data.ptr)
        put_lines(out, "data:", 5, event->data);
    if (out->len == 0)
        put_line(out, ":", 1, NULL, 0);
    put(out, "\n", 1);
}

size_t sse_event_encoded_size(const sse_event *event)
{
    struct sink count = {NULL, 0};
    put_event(&count, event);
    return count.len;
}

void sse__event_write(const sse_event *event, char *to)
{
    struct sink out = {to, 0};
    put_event(&out, event);
}

sse_err sse_event_encode(const sse_event *event, char *buf, size_t cap, size_t *len)
{
    *len = 0;
    sse_err err = sse_event_check(event);
    if (err != SSE_OK)
        return err;
    *len = sse_event_encoded_size(event);
    if (*len > cap)
        return SSE_ETOOBIG;
    sse__event_write(event, buf);
    return SSE_OK;
}
