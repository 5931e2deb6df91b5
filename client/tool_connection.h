/* What sse-sub and sse-pub share beside lib/tool: how to reach a server. Not part of the library. One
 * thread. */
#ifndef SSE_TOOL_CONNECTION_H
#define SSE_TOOL_CONNECTION_H

#include "tool.h"

#include <sse/error.h>

/* How to reach the server: the options that both tools have. */
typedef struct tool_connection {
    tool_list headers;
    const char *cacert, *cert, *key, *proxy, *unix_socket, *token_file;
    uint32_t connect_timeout_ms;
    bool insecure;
    bool verbose;
} tool_connection;

#define TOOL_CONNECTION_OPTIONS(c)                                                                 \
    {"header", "'Name: value'", "send this header too; repeatable", tool_set_header,               \
     &(c)->headers},                                                                               \
        {"token-file", "FILE", "send the first line of FILE as bearer token", tool_set_string,     \
         &(c)->token_file},                                                                        \
        {"cacert", "FILE", "trust the CA certificates in FILE (PEM)", tool_set_string,             \
         &(c)->cacert},                                                                            \
        {"insecure", NULL, "do not verify the server's certificate", tool_set_flag,                \
         &(c)->insecure},                                                                          \
        {"cert", "FILE", "client certificate (PEM)", tool_set_string, &(c)->cert},                 \
        {"key", "FILE", "key of the client certificate (PEM)", tool_set_string, &(c)->key},        \
        {"proxy", "URL", "go through this proxy", tool_set_string, &(c)->proxy},                   \
        {"unix-socket", "PATH", "connect to this socket", tool_set_string, &(c)->unix_socket},     \
        {"connect-timeout", "SECONDS", "for resolving, connecting and TLS (30)", tool_set_seconds, \
         &(c)->connect_timeout_ms},                                                                \
    {                                                                                              \
        "verbose", NULL, "tell on stderr what happens", tool_set_flag, &(c)->verbose               \
    }

/* Add the bearer token of c->token_file to c->headers.
 * Returns: TOOL_GO_ON or TOOL_USAGE after a message. */
enum tool_exit tool_add_token(const tool *t, tool_connection *c);

/* The URL to ask: one without a path gets /events. Allocated; exits the program when there is no
 * memory. */
char *tool_events_url(const char *url);

/* The exit code for how a request or a subscription ended; http_status 0: no answer. */
enum tool_exit tool_exit_code(sse_err err, int http_status);

#endif
