/* A growing text, and JSON strings. No threads. */
#include "json.h"

#include "utf8.h"

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

static void add_json_char(sse__text *text, char c)
{
    static const char short_forms[] = "b\bf\fn\nr\rt\t\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof short_forms; i += 2)
        if (c == short_forms[i + 1]) {
            sse__text_addf(text, "\\%c", short_forms[i]);
            return;
        }
    if ((unsigned char)c < 0x20 || c == 0x7f)
        sse__text_addf(text, "\\u%04x", (unsigned)(unsigned char)c);
    else
        sse__text_add_bytes(text, &c, 1);
}

void sse__text_json(sse__text *text, const char *bytes, size_t n)
{
    size_t size = sse__utf8_repaired_size(bytes, n);
    char *repaired = malloc(size + 1);
    text->failed = text->failed || !repaired;
    sse__text_add_bytes(text, "\"", 1);
    if (repaired)
        sse__utf8_repair(bytes, n, repaired);
    for (size_t i = 0; repaired && i < size; i++)
        add_json_char(text, repaired[i]);
    sse__text_add_bytes(text, "\"", 1);
    free(repaired);
}
