/* A reconnect strategy of your own: here the errors decide. A server that is busy is asked again when it says, one that is not
 * there a few times and quickly, and one that refuses us never.
 *
 *     ./own_reconnect http://127.0.0.1:8080/events news
 */
#include <sse/client.h>
#include <stdio.h>

typedef struct strategy {
    unsigned tries; /* without a connection, before we give up */
    unsigned first_ms;
} strategy;

/* *delay_ms holds what the library would wait. False: give up. */
static bool next_delay(void *user, sse_subscription *sub, const sse_client_error *error,
                       uint64_t *delay_ms)
{
    const strategy *s = user;
    (void)sub;
    if (error->http_status == 401 || error->http_status == 403)
        return false;
    if (error->retry_after_ms > 0) {
        *delay_ms = error->retry_after_ms;
        return true;
    }
    if (error->err == SSE_EEOF) { /* an ordinary end: come back at once, unless it says otherwise */
        *delay_ms = error->has_server_retry ? error->server_retry_ms : 0;
        return true;
    }
    *delay_ms = (uint64_t)s->first_ms * error->attempt; /* 1, 2, 3 times as long */
    return error->attempt < s->tries;
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    (void)user;
    (void)sub;
    printf("event: %.*s\n", (int)event->data.len, event->data.ptr);
    fflush(stdout);
}

static void on_retry(void *user, sse_subscription *sub, const sse_client_error *error,
                     uint64_t delay_ms)
{
    (void)user;
    (void)sub;
    printf("%s: again in %llu ms\n", sse_errname(error->err), (unsigned long long)delay_ms);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: own_reconnect URL [STREAM]\n", stderr);
        return 64;
    }
    strategy s = {.tries = 3, .first_ms = 20};
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.next_delay = next_delay;
    options.user = &s;
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    callbacks.on_event = on_event;
    callbacks.on_retry = on_retry;
    sse_client *client;
    if (sse_client_new(argv[1], &options, &client) != SSE_OK)
        return 1;
    sse_err err = sse_client_subscribe(client, argc > 2 ? argv[2] : NULL, &callbacks, NULL);
    printf("end: %s\n", sse_strerror(err));
    sse_client_free(client);
    return err == SSE_ESTOPPED ? 0 : 1;
}
