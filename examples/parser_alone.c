/* The parser alone, with bytes from wherever you get them: here from stdin.
 *
 *     curl -sN 'http://127.0.0.1:8080/events?stream=news' | ./parser_alone
 */
#include <sse/parser.h>
#include <stdio.h>
#include <unistd.h>

static int on_event(void *user, const sse_event *event)
{
    unsigned *number = user;
    printf("%u %.*s: %.*s\n", ++*number, event->type.ptr ? (int)event->type.len : 7,
           event->type.ptr ? event->type.ptr : "message", (int)event->data.len, event->data.ptr);
    return 0; /* anything else stops the parser */
}

int main(void)
{
    unsigned number = 0;
    sse_parser *parser;
    sse_parser_callbacks callbacks = {.size = sizeof callbacks, .on_event = on_event};
    if (sse_parser_new(NULL, &callbacks, &number, &parser) != SSE_OK)
        return 1;
    char bytes[4096]; /* read(), and not fread(): what has come, as it comes */
    for (ssize_t n; (n = read(STDIN_FILENO, bytes, sizeof bytes)) > 0; fflush(stdout))
        if (sse_parser_feed(parser, bytes, (size_t)n) != SSE_OK)
            break;
    if (sse_parser_reset(parser))
        fputs("the last event was cut off\n", stderr);
    sse_parser_free(parser);
}
