/* A client with callbacks, on a thread of the subscription: events as they come, and what happens to the connection in between.
 * It reconnects by itself and goes on after the last event that it has delivered.
 *
 *     ./client_callbacks http://127.0.0.1:8080/events news     # until Ctrl-C
 */
#include <signal.h>
#include <sse/client.h>
#include <stdio.h>
#include <unistd.h>

static void on_open(void *user, sse_subscription *sub, const sse_response *response)
{
    (void)user;
    (void)sub;
    printf("open: HTTP %d\n", sse_response_status(response));
    fflush(stdout);
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    unsigned *count = user;
    (void)sub;
    ++*count; /* callbacks of a subscription come one at a time: no lock */
    printf("%.*s [%.*s]: %.*s\n", event->type.ptr ? (int)event->type.len : 7,
           event->type.ptr ? event->type.ptr : "message", (int)event->id.len, event->id.ptr,
           (int)event->data.len, event->data.ptr);
    fflush(stdout);
}

static void on_retry(void *user, sse_subscription *sub, const sse_client_error *error,
                     uint64_t delay_ms)
{
    (void)user;
    (void)sub;
    fprintf(stderr, "%s; again in %llu ms\n", error->message, (unsigned long long)delay_ms);
}

/* The last callback. */
static void on_close(void *user, sse_subscription *sub, const sse_client_error *why)
{
    const unsigned *count = user;
    (void)sub;
    printf("closed after %u events: %s\n", *count, sse_strerror(why->err));
    if (why->err != SSE_ECANCELED)
        kill(getpid(), SIGTERM); /* it ended by itself: wake main */
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: client_callbacks URL [STREAM]\n", stderr);
        return 64;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals,
                NULL); /* before there are threads: main waits for them below */

    unsigned count = 0;
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    callbacks.on_open = on_open;
    callbacks.on_event = on_event;
    callbacks.on_retry = on_retry;
    callbacks.on_close = on_close;
    sse_client *client;
    if (sse_client_new(argv[1], NULL, &client) != SSE_OK)
        return 1;
    if (sse_client_subscribe_start(client, argc > 2 ? argv[2] : NULL, &callbacks, &count, NULL) !=
        SSE_OK)
        return 1;
    int signal_number;
    sigwait(&signals, &signal_number);
    sse_client_free(client); /* prompt in every state; after it no callback comes */
    return 0;
}
