/* One line of what a server says with a refusal. It goes to terminals and into logs, and it comes
 * from anybody: nothing in it may move a cursor, start a line of its own or be endless. Pure
 * functions. */
#include "sentence.h"

#include "utf8.h"

#include <string.h>

#define CUT "..."
#define CUT_CHARS (sizeof CUT - 1)

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static sse_str skip_space(sse_str s)
{
    while (s.len > 0 && is_space(*s.ptr)) {
        s.ptr++;
        s.len--;
    }
    return s;
}

/* The first line, or all of them when it is JSON. */
static sse_str relevant(sse_str body)
{
    sse_str s = skip_space(body);
    if (s.len > 0 && *s.ptr != '{' && *s.ptr != '[')
        for (size_t i = 0; i < s.len; i++)
            if (s.ptr[i] == '\r' || s.ptr[i] == '\n')
                s.len = i;
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* How many bytes the character at the start takes; 0: it is no UTF-8. */
static size_t character(sse_str s)
{
    unsigned char c = (unsigned char)*s.ptr;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return n <= s.len && sse__utf8_valid_prefix(s.ptr, n) == n ? n : 0;
}

/* C0, DEL, and C1, which are two bytes in UTF-8. */
static bool is_control(const char *s, size_t n)
{
    unsigned char c = (unsigned char)s[0];
    return n == 1 ? c < 0x20 || c == 0x7f : n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0;
}

/* Take the next character off s and write it to `to`: runs of space become one. Returns how many bytes were written. */
static size_t move_character(sse_str *s, char *to)
{
    sse_str rest = skip_space(*s);
    if (rest.len < s->len) {
        *s = rest;
        *to = ' ';
        return 1;
    }
    size_t n = character(*s);
    bool harmless = n > 0 && !is_control(s->ptr, n);
    size_t written = harmless ? n : 1;
    memcpy(to, harmless ? s->ptr : "?", written);
    s->ptr += n ? n : 1;
    s->len -= n ? n : 1;
    return written;
}

void sse__sentence(sse_str body, char *out)
{
    sse_str s = relevant(body);
    char *at = out, *cut = out; /* where "..." goes if there is more than fits */
    for (size_t chars = 0; s.len > 0; chars++) {
        if (chars == SSE__SENTENCE_CHARS - CUT_CHARS)
            cut = at;
        if (chars == SSE__SENTENCE_CHARS) {
            memcpy(cut, CUT, CUT_CHARS);
            at = cut + CUT_CHARS;
            break;
        }
        at += move_character(&s, at);
    }
    *at = '\0';
}
