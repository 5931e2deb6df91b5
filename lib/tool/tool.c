/* Options, messages and small I/O for the command-line tools. Options are matched by their whole
 * name: an abbreviation that works today would break with the next option that starts alike. */
#include "tool.h"

#include "header.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sse/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *tool_must(void *p)
{
    if (p)
        return p;
    fputs("out of memory\n", stderr);
    exit(TOOL_UNAVAILABLE);
}

/* ---- Messages ---- */

/* In one write, because lines may come from several threads. */
static void say(const char *name, const char *format, va_list args, const char *tail)
{
    char line[2048];
    int at = snprintf(line, sizeof line, "%s: ", name);
    int n = vsnprintf(line + at, sizeof line - (size_t)at - 64, format, args);
    size_t len = strlen(line);
    (void)n;
    len += (size_t)snprintf(line + len, sizeof line - len, "%s\n", tail);
    (void)!tool_write(STDERR_FILENO, line, len);
}

void tool_say(const tool *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(t->name, format, args, "");
    va_end(args);
}

enum tool_exit tool_misuse(const tool *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(t->name, format, args, " (see --help)");
    va_end(args);
    return TOOL_USAGE;
}

/* ---- Setters ---- */

bool tool_set_flag(void *target, const char *value)
{
    (void)value;
    *(bool *)target = true;
    return true;
}

bool tool_set_string(void *target, const char *value)
{
    *(const char **)target = value;
    return true;
}

bool tool_set_u64(void *target, const char *value)
{
    if (!*value || strspn(value, "0123456789") != strlen(value))
        return false;
    errno = 0;
    *(uint64_t *)target = strtoull(value, NULL, 10);
    return errno == 0;
}

bool tool_set_u32(void *target, const char *value)
{
    uint64_t n;
    if (!tool_set_u64(&n, value) || n >= UINT32_MAX)
        return false;
    *(uint32_t *)target = (uint32_t)n;
    return true;
}

bool tool_set_size(void *target, const char *value)
{
    uint64_t n;
    if (!tool_set_u64(&n, value) || n > SIZE_MAX)
        return false;
    *(size_t *)target = (size_t)n;
    return true;
}

bool tool_set_seconds(void *target, const char *value)
{
    if (!*value || strspn(value, "0123456789.") != strlen(value))
        return false;
    char *end;
    double ms = strtod(value, &end) * 1000.0;
    if (*end || ms >= (double)UINT32_MAX || ms <= 0)
        return false;
    *(uint32_t *)target = ms < 1.0 ? 1 : (uint32_t)ms;
    return true;
}

bool tool_set_list(void *target, const char *value)
{
    tool_list *list = target;
    list->items = tool_must(realloc(list->items, (list->n + 2) * sizeof *list->items));
    list->items[list->n++] = value;
    list->items[list->n] = NULL;
    return true;
}

bool tool_set_header(void *target, const char *value)
{
    return sse__header_valid(value) && tool_set_list(target, value);
}

/* ---- Parsing ---- */

static void print_option(const char *name, const char *value, const char *help)
{
    int n = printf("  --%s%s%s", name, value ? " " : "", value ? value : "");
    if (n > 28) /* the help goes below */
        n = printf("\n") - 1;
    printf("%*s %s\n", 28 - n, "", help);
}

static enum tool_exit help(const tool *t)
{
    printf("usage: %s\n\noptions:\n", t->usage);
    for (size_t i = 0; i < t->noptions; i++)
        print_option(t->options[i].name, t->options[i].value, t->options[i].help);
    print_option("help", NULL, "print this");
    print_option("version", NULL, "print the version");
    printf("\n%s", t->about);
    return TOOL_DONE;
}

static enum tool_exit version(const tool *t)
{
    printf("%s %s\n", t->name, SSE_VERSION);
    return TOOL_DONE;
}

static const tool_option *find(const tool *t, const char *name, size_t n)
{
    for (size_t i = 0; i < t->noptions; i++)
        if (strncmp(t->options[i].name, name, n) == 0 && t->options[i].name[n] == '\0')
            return &t->options[i];
    return NULL;
}

/* Parse the option argv[*i]; *i moves on when it takes the next argument. */
static enum tool_exit parse_option(const tool *t, char **argv, int *i)
{
    const char *arg = argv[*i];
    size_t n = strcspn(arg, "=");
    if (strcmp(arg, "--help") == 0)
        return help(t);
    if (strcmp(arg, "--version") == 0)
        return version(t);
    const tool_option *o = strncmp(arg, "--", 2) == 0 ? find(t, arg + 2, n - 2) : NULL;
    if (!o)
        return tool_misuse(t, "unknown option '%.*s'", (int)n, arg);
    const char *value = arg[n] == '=' ? arg + n + 1 : NULL;
    if (!o->value && value)
        return tool_misuse(t, "option '--%s' takes no value", o->name);
    if (o->value && !value && !(value = argv[++*i]))
        return tool_misuse(t, "option '--%s' needs a value", o->name);
    if (!o->set(o->target, value))
        return tool_misuse(t, "option '--%s': '%s' is not valid, it takes %s", o->name, value,
                           o->value);
    return TOOL_GO_ON;
}

enum tool_exit tool_parse(const tool *t, int argc, char **argv, const char **words, size_t *nwords)
{
    bool only_words = false;
    *nwords = 0;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            enum tool_exit code = parse_option(t, argv, &i);
            if (code != TOOL_GO_ON)
                return code;
            continue;
        }
        if (*nwords == t->max_words)
            return tool_misuse(t, "one argument too many: '%s'", argv[i]);
        words[(*nwords)++] = argv[i];
    }
    return TOOL_GO_ON;
}

/* ---- Bytes ---- */

char *tool_buffer_room(tool_buffer *b, size_t n)
{
    if (n > b->cap - b->len) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        while (cap - b->len < n)
            cap *= 2;
        b->bytes = tool_must(realloc(b->bytes, cap));
        b->cap = cap;
    }
    return b->bytes + b->len;
}

void tool_buffer_add(tool_buffer *b, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    memcpy(tool_buffer_room(b, n), bytes, n);
    b->len += n;
}

void tool_buffer_adds(tool_buffer *b, const char *s) { tool_buffer_add(b, s, strlen(s)); }

void tool_buffer_free(tool_buffer *b)
{
    free(b->bytes);
    *b = (tool_buffer){0};
}

bool tool_buffer_read_file(tool_buffer *b, const char *path)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    do {
        n = read(fd, tool_buffer_room(b, 65536), 65536);
        if (n > 0)
            b->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    int saved = errno;
    if (fd != STDIN_FILENO)
        close(fd);
    errno = saved;
    return n == 0;
}

bool tool_write(int fd, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n > 0) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            at += done;
            n -= (size_t)done;
        }
    }
    return true;
}
