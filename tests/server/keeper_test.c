/* The keeper: the loop that looks after subscribers in daemons of the user's. One that its test starts and stops by hand. */
#include "fixture.h"

#include "loop_internal.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct setup {
    sse_server *server;
    sse__stream *stream;
    sse__loop *keeper;
} setup;

static setup begin(void)
{
    setup t;
    cr_assert_eq(sse_server_new(NULL, &t.server), SSE_OK);
    create(t.server, "s");
    cr_assert_eq(sse__hub_stream(t.server, "s", false, &t.stream), SSE_OK);
    cr_assert_eq(sse__loop_new(t.server, 0, &t.keeper), SSE_OK);
    return t;
}

static void end(const setup *t)
{
    cr_assert_null(t->keeper->posted);
    cr_assert_eq(atomic_load(&t->stream->refs), 2, "the table's and ours");
    sse__loop_free(t->keeper);
    sse__stream_unref(t->stream);
    sse_server_free(t->server);
}

static sse__sub *subscribe(setup *t, int fds[2])
{
    sse__sub *sub;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    sse__sub_request request = {.streams = &t->stream,
                                .stream_count = 1,
                                .loop = t->keeper,
                                .fd = fds[0],
                                .address = "here"};
    cr_assert_eq(sse__sub_new(&request, &sub), SSE_OK);
    return sub;
}

static void close_both(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void set_stopped(sse__loop *keeper, bool stopped)
{
    sse__mutex_lock(&keeper->mu);
    keeper->stopped = stopped;
    sse__mutex_unlock(&keeper->mu);
}

/* Its thread looks at the queue for the last time. */
static void look_for_the_last_time(sse__loop *keeper)
{
    sse__loop_stop(keeper);
    cr_assert_eq(sse__loop_start(keeper, "keeper"), SSE_OK);
    sse__loop_stop(keeper);
}

/* A subscriber is not yet known to the keeper when that stops, and leaves before it has looked for the last time: one of the two
 * frees it, and nobody looks at it afterwards (AddressSanitizer sees to that). */
Test(keeper, stops_while_one_leaves_that_it_has_not_seen)
{
    setup t = begin();
    int fds[2];
    sse__sub *sub = subscribe(&t, fds);
    cr_assert_eq(stats_of(t.server, "s").subscribers, 1);
    set_stopped(t.keeper, true); /* as its thread says before it looks for the last time */
    sse__sub_finish(sub);
    cr_assert_eq(stats_of(t.server, "s").subscribers, 0);
    look_for_the_last_time(t.keeper);
    end(&t);
    close_both(fds);
}

/* Two that it knows: one leaves before it stops, and is taken off its wheel by the keeper; the other one, beside it there, leaves
 * afterwards and is gone by then. */
Test(keeper, stops_while_neighbours_leave)
{
    setup t = begin();
    int one_fds[2], other_fds[2];
    sse__sub *one = subscribe(&t, one_fds), *other = subscribe(&t, other_fds);
    sse__wheel_add(&t.keeper->wheel, one, 0); /* as if it had looked since */
    sse__wheel_add(&t.keeper->wheel, other, 0);
    sse__mutex_lock(&t.keeper->mu);
    t.keeper->posted = NULL;
    one->posted = one->post_add = other->posted = other->post_add = false;
    sse__mutex_unlock(&t.keeper->mu);
    sse__sub_finish(one);
    set_stopped(t.keeper, true);
    sse__sub_finish(other);
    look_for_the_last_time(t.keeper);
    end(&t);
    close_both(one_fds);
    close_both(other_fds);
}
