/* Whoever sleeps at a gate is woken by what it waits for, and not by the clock that comes to its rescue: here the clock never does, so that
 * a wake-up that is missing is a hang. */
#include "fixture.h"

#include "hub.h"

#include <criterion/criterion.h>
#include <semaphore.h>

/* The linker sends all calls here. */
int __wrap_sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *deadline);

int __wrap_sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *deadline)
{
    (void)clock, (void)deadline;
    return sem_wait(sem);
}

static sse_server *server;
static uint16_t port;
static sse__stream *stream;

static bool sleeps(void *arg)
{
    (void)arg;
    sse__mutex_lock(&stream->inbox_mu);
    bool asleep = stream->worker_sleeps;
    sse__mutex_unlock(&stream->inbox_mu);
    return asleep;
}

/* A subscriber has all that there was, and the worker sleeps. */
static http_conn *start(void)
{
    server = serve(NULL, &port);
    create(server, "s");
    cr_assert_eq(sse__hub_stream(server, "s", false, &stream), SSE_OK);
    http_conn *c = join(port, "s");
    for (int i = 0; i < 3; i++) {
        say(server, "s", "x");
        expect_data(c, "x");
        cr_assert(wait_until(sleeps, NULL, LONG));
    }
    return c;
}

static void stop(http_conn *c)
{
    http_close(c);
    sse__stream_unref(stream);
    sse_server_free(server);
    cr_assert_null(http_connect(port));
}

Test(wakes, a_removal_wakes_the_worker)
{
    http_conn *c = start();
    cr_assert_eq(sse_server_remove_stream(server, "s"), SSE_OK);
    expect_end(c);
    wait_left(server, SSE_LEFT_REMOVED, 1);
    stop(c);
}

Test(wakes, a_close_wakes_the_worker)
{
    http_conn *c = start();
    http_block farewell;
    sse_server_close(server);
    cr_assert_eq(http_next_block(c, &farewell, LONG), HTTP_OK);
    cr_assert_not_null(farewell.retry);
    http_block_fini(&farewell);
    expect_end(c);
    stop(c);
}
