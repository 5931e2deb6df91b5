/* A hub inside a threaded service: worker threads do their work and publish what they have done; the hub has threads of its
 * own for the subscribers, and never makes the workers wait for a slow one.
 *
 *     ./threaded_service 127.0.0.1:8080 &
 *     curl -N 'http://127.0.0.1:8080/events?stream=jobs'
 */
#include <pthread.h>
#include <signal.h>
#include <sse/server.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define WORKERS 4

typedef struct worker {
    pthread_t thread;
    sse_server *hub;
    unsigned number;
} worker;

static atomic_bool stopping;

static void *work(void *arg)
{
    worker *w = arg;
    for (unsigned job = 1; !stopping; job++) {
        char text[64];
        /* ... the work of your service ... */
        snprintf(text, sizeof text, "{\"worker\":%u,\"job\":%u}", w->number, job);
        sse_event event = {.type = sse_cstr("done"), .data = sse_cstr(text)};
        /* Copies the event and returns. It waits only while the stream's ring is full, and fails
         * once the hub is closed. */
        if (sse_server_publish(w->hub, "jobs", &event) != SSE_OK)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    sigset_t signals; /* blocked before there are threads, so that only sigwait() gets them */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    sse_server *hub;
    char where[128];
    if (sse_server_new(NULL, &hub) != SSE_OK ||
        sse_server_create_stream(hub, "jobs", NULL) != SSE_OK ||
        sse_server_listen(hub, argc > 1 ? argv[1] : "127.0.0.1:8080", where, sizeof where) !=
            SSE_OK)
        return 1;
    printf("http://%s/events?stream=jobs\n", where);
    fflush(stdout);

    worker workers[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.hub = hub, .number = i + 1};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 1;
    }
    int signal_number;
    sigwait(&signals, &signal_number);

    /* First those who publish, then the hub, which still delivers what they have published. */
    stopping = true;
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    sse_server_free(hub);
    return 0;
}
