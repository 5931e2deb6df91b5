/* A growing text, and JSON strings. No threads. */
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sse__text_fini(sse__text *text)
{
    free(text->ptr);
    *text = (sse__text){0};
}

static bool reserve(sse__text *text, size_t more)
{
    if (text->failed)
        return false;
    size_t need = text->len + more + 1;
    if (need <= text->allocated)
        return true;
    size_t size = text->allocated ? text->allocated * 2 : 128;
    if (size < need)
        size = need;
    char *grown = realloc(text->ptr, size);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->ptr = grown;
    text->allocated = size;
    return true;
}

void sse__text_add_bytes(sse__text *text, const char *bytes, size_t n)
{
    if (!reserve(text, n))
        return;
    memcpy(text->ptr + text->len, bytes, n);
    text->len += n;
    text->ptr[text->len] = '\0';
}

void sse__text_add(sse__text *text, const char *string)
{
    sse__text_add_bytes(text, string, strlen(string));
}

void sse__text_addf(sse__text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && reserve(text, (size_t)n)) {
        vsnprintf(text->ptr + text->len, (size_t)n + 1, format, again);
        text->len += (size_t)n;
    }
    va_end(again);
}

/* Length of the valid UTF-8 character at s, 0 when there is none (RFC 3629). */
static size_t utf8_char(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xf0 && s[0] < 0xf5   ? 4
                 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                                               : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || beyond ? 0 : len;
}

static void add_json_char(sse__text *text, const char *c, size_t len)
{
    static const char short_forms[] = "b\bf\fn\nr\rt\t\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof short_forms; i += 2)
        if (*c == short_forms[i + 1]) {
            sse__text_addf(text, "\\%c", short_forms[i]);
            return;
        }
    if ((unsigned char)*c < 0x20 || *c == 0x7f)
        sse__text_addf(text, "\\u%04x", (unsigned)*c);
    else
        sse__text_add_bytes(text, c, len);
}

void sse__text_json(sse__text *text, const char *bytes, size_t n)
{
    sse__text_add_bytes(text, "\"", 1);
    for (size_t i = 0; i < n;) {
        size_t len = utf8_char((const unsigned char *)bytes + i, n - i);
        if (len == 0)
            sse__text_add(text, "\xef\xbf\xbd");
        else
            add_json_char(text, bytes + i, len);
        i += len ? len : 1;
    }
    sse__text_add_bytes(text, "\"", 1);
}
