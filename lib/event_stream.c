/* What the id of an event says on a connection with several streams: "NAME POSITION,POSITION,... [ID]".
 *
 * Threads: any; pure functions. The server's side of the same format is server/together.c. A position is the
 * twelve hexadecimal digits of a stream's epoch, a hyphen, and a decimal number. */
#include "header.h"

#include <sse/event.h>

#define EPOCH_DIGITS 12

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The position at the start, or 0: its length. */
static size_t position_length(const char *at, size_t n)
{
    size_t i = 0;
    while (i < n && i < EPOCH_DIGITS && hex_value(at[i]) >= 0)
        i++;
    if (i != EPOCH_DIGITS || i == n || at[i++] != '-')
        return 0;
    size_t digits = i;
    while (i < n && is_digit(at[i]))
        i++;
    return i > digits ? i : 0;
}

/* Split the id into its parts. Returns false when it is no such id. */
static bool split(sse_str id, sse_str *name, sse_str *own)
{
    const char *space = id.len > 0 ? memchr(id.ptr, ' ', id.len) : NULL;
    if (!space || space == id.ptr)
        return false;
    *name = (sse_str){id.ptr, (size_t)(space - id.ptr)};
    const char *at = space + 1, *end = id.ptr + id.len;
    for (;;) {
        size_t n = position_length(at, (size_t)(end - at));
        if (n == 0)
            return false;
        at += n;
        if (at == end || *at == ' ')
            break;
        if (*at++ != ',')
            return false;
    }
    *own = at == end ? (sse_str){0} : (sse_str){at + 1, (size_t)(end - at - 1)};
    return true;
}

size_t sse_event_stream(const sse_event *event, char *name, size_t size)
{
    sse_str encoded, own;
    size_t n = 0;
    if (size > 0)
        name[0] = '\0';
    if (!split(event->id, &encoded, &own))
        return 0;
    for (size_t i = 0; i < encoded.len; i++, n++) {
        char c = encoded.ptr[i];
        bool escaped = c == '%' && i + 2 < encoded.len && hex_value(encoded.ptr[i + 1]) >= 0 &&
                       hex_value(encoded.ptr[i + 2]) >= 0;
        if (escaped) {
            c = (char)(hex_value(encoded.ptr[i + 1]) << 4 | hex_value(encoded.ptr[i + 2]));
            i += 2;
        }
        if (n + 1 < size) {
            name[n] = c;
            name[n + 1] = '\0';
        }
    }
    return n;
}

sse_str sse_event_own_id(const sse_event *event)
{
    sse_str name, own;
    return split(event->id, &name, &own) ? own : event->id;
}
