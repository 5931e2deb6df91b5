/* The keeper: the loop that looks after subscribers in daemons of the user's. One that its test starts and stops by hand. */
#include "fixture.h"

#include "loop_internal.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

/* A subscriber is not yet known to the keeper when that stops, and leaves before it has looked for the last time: one of the two
 * frees it, and nobody looks at it afterwards (AddressSanitizer sees to that). */
Test(keeper, stops_while_one_leaves_that_it_has_not_seen)
{
    sse_server *server;
    sse__stream *stream;
    sse__loop *keeper;
    sse__sub *sub;
    int fds[2];
    cr_assert_eq(sse_server_new(NULL, &server), SSE_OK);
    create(server, "s");
    cr_assert_eq(sse__hub_stream(server, "s", false, &stream), SSE_OK);
    cr_assert_eq(sse__loop_new(server, 0, &keeper), SSE_OK);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    sse__sub_request request = {
        .streams = &stream, .stream_count = 1, .loop = keeper, .fd = fds[0], .address = "here"};
    cr_assert_eq(sse__sub_new(&request, &sub), SSE_OK);
    cr_assert_eq(stats_of(server, "s").subscribers, 1);

    sse__mutex_lock(&keeper->mu);
    keeper->stopped = true; /* as its thread says before it looks for the last time */
    sse__mutex_unlock(&keeper->mu);
    sse__sub_finish(sub);
    cr_assert_eq(stats_of(server, "s").subscribers, 0);
    sse__loop_stop(keeper);
    cr_assert_eq(sse__loop_start(keeper, "keeper"), SSE_OK);
    sse__loop_stop(keeper);
    cr_assert_null(keeper->posted);
    cr_assert_eq(atomic_load(&stream->refs), 2, "the table's and ours");

    close(fds[0]);
    close(fds[1]);
    sse__loop_free(keeper);
    sse__stream_unref(stream);
    sse_server_free(server);
}
