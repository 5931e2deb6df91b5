/* A loop that is given news all the time still looks at its sockets. The linker sends a call here that the loop makes just before it
 * decides whether to wait, so that there is something to do for it then each time: publishing from another thread would leave it
 * turns without. */
#include "fixture.h"

#include "loop_internal.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <sys/epoll.h>

static sse_server *server;
static uint16_t port;
static sse__stream *_Atomic busy;
static atomic_ulong news, looks; /* while it is busy */

sse__sub *__real_sse__expiry_first(const sse__expiry *expiry);
sse__sub *__wrap_sse__expiry_first(const sse__expiry *expiry);

/* As the stream's worker does when it has appended an event. */
sse__sub *__wrap_sse__expiry_first(const sse__expiry *expiry)
{
    sse__stream *st = busy;
    if (st && expiry == &server->loops[0]->expiry) {
        sse__mutex_lock(&st->mu);
        sse__stream_wake_locked(st);
        sse__mutex_unlock(&st->mu);
        news++;
    }
    return __real_sse__expiry_first(expiry);
}

int __real_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);

int __wrap_epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
    looks += busy && fd == server->loops[0]->epoll_fd;
    return __real_epoll_wait(fd, events, n, timeout);
}

static bool has_had_turns(void *arg)
{
    (void)arg;
    return news > 1000;
}

Test(turns, of_a_loop_that_always_has_news_are_for_sockets_too)
{
    sse__stream *st;
    sse_server_options options = fixture_options();
    options.http_publish = true;
    options.threads = 1;
    server = serve(&options, &port);
    create(server, "busy");
    create(server, "s");
    http_conn *reader = join(port, "busy");
    cr_assert_eq(sse__hub_stream(server, "busy", false, &st), SSE_OK);
    busy = st;
    say(server, "busy", "0"); /* wakes the loop up, if it sleeps */
    expect_data(reader, "0");

    /* The call is made twice in a turn, and it looks every other turn at least. */
    cr_assert(wait_until(has_had_turns, NULL, LONG));
    unsigned long turns = news / 2, looked = looks;
    cr_assert_geq(looked, turns / 2 - 10, "%lu times in %lu turns", looked, turns);

    http_conn *c = join(port, "s");
    cr_assert_eq(status_of(port, "POST", "/events?stream=s", NULL, "posted"), 200);
    expect_data(c, "posted");
    say_numbers(server, "busy", 1, 100);
    expect_numbers(reader, 1, 100);
    cr_assert_eq(status_of(port, "GET", "/healthz", NULL, NULL), 200);
    http_close(c);
    wait_subscribers(server, "s", 0);

    busy = NULL;
    http_close(reader);
    sse__stream_unref(st);
    sse_server_free(server);
}
