/* What the id of an event says on a connection with several streams.
 *
 * Threads: any; pure functions. An id is of this form as a whole, or it is not: nothing is guessed from one that only begins like
 * it. server/together.c writes what is read here. */
#include "event_stream.h"

#include <string.h>

#define EPOCH_DIGITS 12

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The value of a hexadecimal digit in lower case, or -1. */
static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Either case will do behind a percent sign (RFC 3986, 2.1). */
static int escape_value(char c) { return hex_value(c >= 'A' && c <= 'F' ? (char)(c | 0x20) : c); }

/* The position at the start, or 0: its length. */
static size_t position_length(const char *at, size_t n, uint64_t *epoch)
{
    size_t i = 0;
    *epoch = 0;
    for (; i < n && i < EPOCH_DIGITS && hex_value(at[i]) >= 0; i++)
        *epoch = *epoch << 4 | (uint64_t)hex_value(at[i]);
    if (i != EPOCH_DIGITS || i == n || at[i++] != '-')
        return 0;
    size_t digits = i;
    while (i < n && is_digit(at[i]))
        i++;
    return i > digits ? i : 0;
}

bool sse__event_id_next(sse_str *positions, sse_str *position, uint64_t *epoch)
{
    size_t n = position_length(positions->ptr, positions->len, epoch);
    if (n == 0)
        return false;
    *position = (sse_str){positions->ptr, n};
    size_t taken = n < positions->len ? n + 1 : n; /* with its comma */
    *positions = (sse_str){positions->ptr + taken, positions->len - taken};
    return true;
}

/* Positions with a comma between each two, and nothing else. */
static bool good_positions(const char *at, const char *end)
{
    for (uint64_t epoch;;) {
        size_t n = position_length(at, (size_t)(end - at), &epoch);
        if (n == 0)
            return false;
        at += n;
        if (at == end)
            return true;
        if (*at++ != ',')
            return false;
    }
}

static const char *find_space(const char *at, const char *end)
{
    const char *space = at < end ? memchr(at, ' ', (size_t)(end - at)) : NULL;
    return space ? space : end;
}

bool sse__event_id_split(sse_str id, sse__event_id *out)
{
    const char *at = id.ptr, *end = at + id.len, *space = find_space(at, end);
    if (space == end || space == at)
        return false;
    const char *list = space + 1, *list_end = find_space(list, end);
    if (!good_positions(list, list_end))
        return false;
    out->name = (sse_str){at, (size_t)(space - at)};
    out->positions = (sse_str){list, (size_t)(list_end - list)};
    out->own =
        list_end == end ? (sse_str){0} : (sse_str){list_end + 1, (size_t)(end - list_end - 1)};
    return true;
}

size_t sse_event_stream(const sse_event *event, char *name, size_t size)
{
    sse__event_id parts;
    size_t n = 0;
    if (size > 0)
        name[0] = '\0';
    if (!sse__event_id_split(event->id, &parts))
        return 0;
    sse_str encoded = parts.name;
    for (size_t i = 0; i < encoded.len; i++, n++) {
        char c = encoded.ptr[i];
        bool escaped = c == '%' && i + 2 < encoded.len && escape_value(encoded.ptr[i + 1]) >= 0 &&
                       escape_value(encoded.ptr[i + 2]) >= 0;
        if (escaped) {
            c = (char)(escape_value(encoded.ptr[i + 1]) << 4 | escape_value(encoded.ptr[i + 2]));
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
    sse__event_id parts;
    return sse__event_id_split(event->id, &parts) ? parts.own : event->id;
}
