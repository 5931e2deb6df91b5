/* Options about the way to the server, for sse-sub and sse-pub. */
#include "tool_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum tool_exit tool_add_token(const tool *t, tool_connection *c)
{
    if (!c->token_file)
        return TOOL_GO_ON;
    tool_buffer b = {0};
    if (!tool_buffer_read_file(&b, c->token_file)) {
        tool_misuse(t, "option '--token-file': %s: %s", c->token_file, strerror(errno));
        tool_buffer_free(&b);
        return TOOL_USAGE;
    }
    tool_buffer line = {0};
    tool_buffer_add(&b, "\n", 2); /* and the NUL that ends it as a string */
    tool_buffer_adds(&line, "Authorization: Bearer ");
    tool_buffer_add(&line, b.bytes, strcspn(b.bytes, "\r\n"));
    tool_buffer_add(&line, "", 1);
    tool_buffer_free(&b);
    tool_set_list(&c->headers, line.bytes);
    return TOOL_GO_ON;
}

char *tool_events_url(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    const char *path = host + strcspn(host, "/?#");
    const char *rest = *path == '/' ? path + 1 : path;
    if (*rest && *rest != '?' && *rest != '#')
        return tool_must(strdup(url));
    tool_buffer b = {0};
    tool_buffer_add(&b, url, (size_t)(path - url));
    tool_buffer_adds(&b, "/events");
    tool_buffer_add(&b, rest, strlen(rest) + 1);
    return b.bytes;
}

enum tool_exit tool_exit_code(sse_err err, int http_status)
{
    switch (err) {
    case SSE_OK:
    case SSE_ECANCELED:
    case SSE_ESTOPPED:
    case SSE_EEOF:
        return TOOL_DONE;
    case SSE_EHTTP:
        return http_status == 401 || http_status == 403 ? TOOL_DENIED : TOOL_PROTOCOL;
    case SSE_ECONTENT:
    case SSE_EREDIRECT:
    case SSE_EREJECTED:
        return TOOL_PROTOCOL;
    case SSE_EINVAL:
        return TOOL_USAGE;
    default:
        return TOOL_UNAVAILABLE;
    }
}
