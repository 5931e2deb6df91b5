/* A channel consumed by a pool of workers: one subscription fills it, each event goes to one worker. When the workers are
 * slower than the stream the channel fills up, the connection is not read, and TCP slows the server down: nothing is lost.
 *
 *     ./worker_pool http://127.0.0.1:8080/events jobs
 */
#include <pthread.h>
#include <sse/chan.h>
#include <sse/client.h>
#include <stdio.h>

#define WORKERS 4

static void *work(void *arg)
{
    sse_chan *jobs = arg;
    sse_msg *msg;
    while (sse_chan_recv(jobs, &msg) == SSE_OK) { /* until it is closed and empty */
        const sse_event *event = sse_msg_event(msg);
        printf("done: %s\n", event->data.ptr); /* the work; data ends with a NUL here */
        sse_msg_unref(msg);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: worker_pool URL [STREAM]\n", stderr);
        return 64;
    }
    sse_chan_options chan_options = SSE_CHAN_OPTIONS_INIT;
    chan_options.capacity = 64;
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.no_reconnect = true; /* so that this example ends with its server */
    sse_chan *jobs;
    sse_client *client;
    if (sse_chan_new(&chan_options, &jobs) != SSE_OK ||
        sse_client_new(argv[1], &options, &client) != SSE_OK ||
        sse_client_subscribe_chan(client, argc > 2 ? argv[2] : NULL, jobs, NULL) != SSE_OK)
        return 1;

    pthread_t workers[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++)
        if (pthread_create(&workers[i], NULL, work, jobs) != 0)
            return 1;
    /* When the subscription ends it closes the channel, and so each worker ends when all is done. */
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    printf("end: %s\n", sse_strerror(sse_chan_reason(jobs)));
    sse_client_free(client);
    sse_chan_unref(jobs);
    return 0;
}
