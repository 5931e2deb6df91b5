/* Uses libsse alone. Compiles as C and as C++. */
#include <sse/parser.h>
#include <sse/version.h>
#include <stdio.h>

static int on_event(void *user, const sse_event *event)
{
    ++*(unsigned *)user;
    printf("%.*s\n", (int)event->data.len, event->data.ptr);
    return 0;
}

int main(void)
{
    static const char bytes[] = "data: parsed\n\n";
    unsigned events = 0;
    sse_parser *parser = NULL;
    sse_parser_options options = SSE_PARSER_OPTIONS_INIT;
    sse_parser_callbacks callbacks = SSE_PARSER_CALLBACKS_INIT;
    callbacks.on_event = on_event;
    if (sse_parser_new(&options, &callbacks, &events, &parser) != SSE_OK)
        return 1;
    if (sse_parser_feed(parser, bytes, sizeof bytes - 1) != SSE_OK || events != 1)
        return 2;
    sse_parser_free(parser);
    printf("version %s %s\n", sse_version(), SSE_VERSION);
    return 0;
}
