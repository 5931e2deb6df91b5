/* Stream the answer of a language model: POST a JSON body, print the pieces as they come, end at "data: [DONE]".
 *
 *     ./llm_stream URL 'JSON' ['Authorization: Bearer KEY']
 */
#include <sse/client.h>
#include <stdio.h>
#include <string.h>

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    bool *done = user;
    if (event->data.len == 6 && memcmp(event->data.ptr, "[DONE]", 6) == 0) {
        *done = true;
        sse_subscription_close(sub);
        return;
    }
    printf("%.*s\n", (int)event->data.len,
           event->data.ptr); /* a JSON object: hand it to your JSON library */
    fflush(stdout);
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    const bool *done = user;
    (void)sub;
    if (*done)
        return;
    fprintf(stderr, "%s (HTTP %d)\n", error->message, error->http_status);
    /* A JSON object, as a rule: which limit was reached, what is wrong with the key. */
    if (error->body.len)
        fprintf(stderr, "%s\n", error->body.ptr);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: llm_stream URL JSON [HEADER]\n", stderr);
        return 64;
    }
    const char *headers[] = {"Content-Type: application/json", argc > 3 ? argv[3] : NULL, NULL};
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.headers = headers;
    options.body = sse_cstr(argv[2]); /* so the method is POST */
    options.no_reconnect = true;      /* asking again would cost again */
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    callbacks.on_event = on_event;
    callbacks.on_error = on_error;
    sse_client *client;
    bool done = false;
    if (sse_client_new(argv[1], &options, &client) != SSE_OK)
        return 1;
    sse_err err = sse_client_subscribe(client, NULL, &callbacks, &done);
    sse_client_free(client);
    if (!done)
        fprintf(stderr, "the answer is incomplete: %s\n", sse_strerror(err));
    return done ? 0 : 1;
}
