/* Running sse-sub and sse-pub to their end. */
#ifndef TEST_TOOLS_H
#define TEST_TOOLS_H

#include "proc.h"
#include "scripted_server.h"

typedef struct tool_result {
    int code; /* exit code, 128 + signal, -1: did not end */
    char out[8192];
    char err[8192];
} tool_result;

/* Run a tool with these arguments (up to NULL) and this stdin (or NULL). Where an argument is "URL" or starts with "URL/" or "URL?"
 * the server's address takes its place. */
tool_result run_tool(scripted *s, const char *name, const char *const args[], const char *input);
#define RUN(s, name, ...) run_tool(s, name, (const char *const[]){__VA_ARGS__, NULL}, NULL)

/* Start one and leave it running. */
proc *start_tool(scripted *s, const char *name, const char *const args[]);
#define START(s, name, ...) start_tool(s, name, (const char *const[]){__VA_ARGS__, NULL})

/* How many lines a text has. */
size_t count_lines(const char *text);

#define TOOL_MS 60000

#endif
