/* What the command-line tools share: options, messages, exit codes. Not part of the library, not
 * installed. One thread, unless said otherwise. */
#ifndef SSE_TOOL_H
#define SSE_TOOL_H

#include <sse/error.h>
#include <sse/event.h>

/* Exit codes, those of sysexits.h and of timeout(1). */
enum tool_exit {
    TOOL_GO_ON = -1, /* not an exit code */
    TOOL_DONE = 0,
    TOOL_USAGE = 64,
    TOOL_UNAVAILABLE = 69, /* could not connect, or gave up */
    TOOL_PROTOCOL = 76,    /* an answer that is not what was asked for */
    TOOL_DENIED = 77,      /* 401, 403 */
    TOOL_TIMEOUT = 124
};

/* One long option: `--name VALUE` or `--name=VALUE`. set() stores the value and returns false when
 * it makes no sense. */
typedef struct tool_option {
    const char *name;
    const char *value; /* what the help calls its value; NULL: it has none */
    const char *help;
    bool (*set)(void *target, const char *value);
    void *target;
} tool_option;

typedef struct tool {
    const char *name;
    const char *usage; /* the lines after "usage: " */
    const char *about; /* what follows the options */
    const tool_option *options;
    size_t noptions;
    size_t max_words; /* arguments that are not options */
} tool;

/* Setters: a bool that becomes true, a const char *, numbers, seconds with a fraction into uint32_t
 * milliseconds, an entry of a tool_list. */
bool tool_set_flag(void *target, const char *value);
bool tool_set_string(void *target, const char *value);
bool tool_set_u32(void *target, const char *value);
bool tool_set_u64(void *target, const char *value);
bool tool_set_size(void *target, const char *value);
bool tool_set_seconds(void *target, const char *value);
bool tool_set_list(void *target, const char *value);
bool tool_set_header(void *target, const char *value); /* a tool_list of "Name: value" */

/* Strings, ended by NULL. Its entries are borrowed, except those of tool_add_token(). */
typedef struct tool_list {
    const char **items;
    size_t n;
} tool_list;

/* Parse the command line. words has room for t->max_words + 1.
 * Returns: TOOL_GO_ON; TOOL_DONE after --help or --version; TOOL_USAGE after one line on stderr. */
enum tool_exit tool_parse(const tool *t, int argc, char **argv, const char **words, size_t *nwords);

/* "NAME: MESSAGE" and a line end to stderr. Thread: any. */
void tool_say(const tool *t, const char *format, ...) SSE_PRINTF(2, 3);
/* The same for a mistake on the command line; returns TOOL_USAGE. */
enum tool_exit tool_misuse(const tool *t, const char *format, ...) SSE_PRINTF(2, 3);

/* Bytes that grow. Exits the program when there is no memory. */
typedef struct tool_buffer {
    char *bytes;
    size_t len;
    size_t cap;
} tool_buffer;

/* Room for n more bytes, at bytes + len. */
char *tool_buffer_room(tool_buffer *b, size_t n);
void tool_buffer_add(tool_buffer *b, const void *bytes, size_t n);
void tool_buffer_adds(tool_buffer *b, const char *s);
void tool_buffer_free(tool_buffer *b);

/* Append a whole file ("-": stdin). Returns false with errno set. */
bool tool_buffer_read_file(tool_buffer *b, const char *path);

/* Write all to a descriptor. Returns false with errno set. Thread: any. */
bool tool_write(int fd, const void *bytes, size_t n);

/* p, or the end of the program with a message. */
void *tool_must(void *p);

#endif
