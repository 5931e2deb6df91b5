/* A recursive-descent reader over NUL-terminated text. Each skip_ function returns the first byte
 * after what it read, or NULL where the syntax is wrong; the depth is bounded because hostile input
 * is not what tests of ours print. */
#include "json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

static const char *skip_space(const char *p) { return p + strspn(p, " \t\r\n"); }

static const char *skip_value(const char *p, int depth);

static const char *skip_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        p++;
        if (*p == 'u') {
            for (int i = 0; i < 4; i++)
                if (!isxdigit((unsigned char)*++p))
                    return NULL;
        } else if (!*p || !strchr("\"\\/bfnrt", *p)) {
            return NULL;
        }
    }
    return p + 1;
}

static const char *skip_digits(const char *p)
{
    size_t n = strspn(p, "0123456789");
    return n ? p + n : NULL;
}

static const char *skip_number(const char *p)
{
    p += *p == '-';
    if (*p == '0')
        p++;
    else if (!(p = skip_digits(p)))
        return NULL;
    if (*p == '.' && !(p = skip_digits(p + 1)))
        return NULL;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        p = skip_digits(p);
    }
    return p;
}

static const char *skip_list(const char *p, char end, bool named, int depth)
{
    p = skip_space(p + 1);
    if (*p == end)
        return p + 1;
    for (;;) {
        if (named) {
            if (!(p = skip_string(p)))
                return NULL;
            p = skip_space(p);
            if (*p++ != ':')
                return NULL;
            p = skip_space(p);
        }
        if (!(p = skip_value(p, depth + 1)))
            return NULL;
        p = skip_space(p);
        if (*p == end)
            return p + 1;
        if (*p++ != ',')
            return NULL;
        p = skip_space(p);
    }
}

static const char *skip_value(const char *p, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    if (depth > MAX_DEPTH)
        return NULL;
    if (*p == '{')
        return skip_list(p, '}', true, depth);
    if (*p == '[')
        return skip_list(p, ']', false, depth);
    if (*p == '"')
        return skip_string(p);
    for (size_t i = 0; i < 3; i++)
        if (strncmp(p, words[i], strlen(words[i])) == 0)
            return p + strlen(words[i]);
    return skip_number(p);
}

bool json_valid(const char *text)
{
    const char *end = skip_value(skip_space(text), 0);
    return end && *skip_space(end) == '\0';
}

const char *json_member(const char *object, const char *key)
{
    char name[128];
    const char *p = skip_space(object);
    if (*p != '{')
        return NULL;
    for (p = skip_space(p + 1); *p == '"';) {
        bool found = json_string(p, name, sizeof name) && strcmp(name, key) == 0;
        p = skip_space(skip_string(p));
        p = skip_space(p + 1);
        if (found)
            return p;
        p = skip_space(skip_value(p, 0));
        p = skip_space(p + (*p == ','));
    }
    return NULL;
}

const char *json_element(const char *array, size_t i)
{
    const char *p = skip_space(array);
    if (*p != '[')
        return NULL;
    for (p = skip_space(p + 1); *p && *p != ']';) {
        if (i-- == 0)
            return p;
        p = skip_space(skip_value(p, 0));
        p = skip_space(p + (*p == ','));
    }
    return NULL;
}

static size_t put_utf8(unsigned long c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3f));
    out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

/* The character after a backslash at p into out; moves p behind it. */
static size_t unescape(const char **p, char out[4])
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = *(*p)++;
    if (c == 'u') {
        char digits[5] = {(*p)[0], (*p)[1], (*p)[2], (*p)[3], 0};
        *p += 4;
        return put_utf8(strtoul(digits, NULL, 16), out);
    }
    const char *at = strchr(from, c);
    out[0] = at ? to[at - from] : c;
    return 1;
}

bool json_string(const char *value, char *out, size_t size)
{
    const char *p = skip_space(value);
    size_t n = 0;
    if (*p++ != '"')
        return false;
    while (*p != '"') {
        char bytes[4] = {*p++};
        size_t len = bytes[0] == '\\' ? unescape(&p, bytes) : 1;
        for (size_t i = 0; i < len && n + 1 < size; i++)
            out[n++] = bytes[i];
    }
    out[n] = '\0';
    return true;
}
