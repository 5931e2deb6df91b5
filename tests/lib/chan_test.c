/* Channels seen from one thread: order, policies, closing, the descriptor. */
#include "chan.h"
#include "chan_numbers.h"
#include "clock.h"
#include "layout.h"

#include <fcntl.h>
#include <stddef.h>

Test(chan, refuses_bad_options)
{
    sse_chan_options options = SSE_CHAN_OPTIONS_INIT;
    sse_chan *chan = (sse_chan *)1;
    options.policy = (sse_full_policy)4;
    cr_assert_eq(sse_chan_new(&options, &chan), SSE_EINVAL);
    cr_assert_null(chan);
    options = (sse_chan_options)SSE_CHAN_OPTIONS_INIT;
    options.size = 1;
    cr_assert_eq(sse_chan_new(&options, &chan), SSE_EINVAL);
    sse_chan_unref(NULL);
}

/* As a program has them that was built with an older header. */
Test(chan, understands_shorter_options)
{
    sse_chan_options options = SSE_CHAN_OPTIONS_INIT;
    sse_chan *chan;
    options.capacity = 5;
    options.policy = (sse_full_policy)4; /* not looked at */
    options.size = offsetof(sse_chan_options, policy);
    cr_assert_eq(sse_chan_new(&options, &chan), SSE_OK);
    cr_assert_eq(sse_chan_capacity(chan), 5);
    sse_chan_unref(chan);
}

HAS_NO_GAP_BEHIND(sse_chan_options, reserved);

Test(chan, has_defaults)
{
    sse_chan *chan;
    cr_assert_eq(sse_chan_new(NULL, &chan), SSE_OK);
    cr_assert_eq(sse_chan_capacity(chan), 1024);
    cr_assert_eq(sse_chan_len(chan), 0);
    cr_assert_eq(sse_chan_dropped(chan), 0);
    cr_assert_not(sse_chan_closed(chan));
    for (uint64_t i = 0; i < 1024; i++)
        cr_assert_eq(send_number(chan, i, false), SSE_OK);
    cr_assert_eq(send_number(chan, 0, false), SSE_EFULL, "the default policy blocks");
    cr_assert_eq(sse_chan_len(chan), 1024);
    cr_assert_eq(sse_chan_dropped(chan), 0);
    sse_chan_unref(chan); /* with everything in it */
}

Test(chan, is_first_in_first_out)
{
    sse_chan *chan = new_chan(3, SSE_FULL_BLOCK);
    sse_msg *msg = (sse_msg *)1;
    cr_assert_eq(sse_chan_try_recv(chan, &msg), SSE_EEMPTY);
    cr_assert_null(msg);
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(send_number(chan, 2 * i, true), SSE_OK);
        cr_assert_eq(send_number(chan, 2 * i + 1, true), SSE_OK);
        expect_number(chan, 2 * i);
        cr_assert_eq(sse_chan_recv(chan, &msg), SSE_OK);
        cr_assert_eq(number_of(msg), 2 * i + 1);
    }
    sse_chan_unref(chan);
}

Test(chan, the_sender_keeps_his_reference)
{
    sse_chan *chan = new_chan(1, SSE_FULL_BLOCK);
    sse_msg *msg = make(5), *got;
    cr_assert_eq(sse_chan_send(chan, msg), SSE_OK);
    cr_assert_eq(sse_chan_try_send(chan, msg), SSE_EFULL);
    cr_assert_eq(sse_chan_recv(chan, &got), SSE_OK);
    cr_assert_eq(got, msg);
    sse_msg_unref(got);
    cr_assert_eq(number_of(msg), 5);
    sse_chan_unref(chan);
}

Test(chan, drop_oldest_makes_room)
{
    sse_chan *chan = new_chan(3, SSE_FULL_DROP_OLDEST);
    for (uint64_t i = 0; i < 10; i++)
        cr_assert_eq(send_number(chan, i, i % 2), SSE_OK);
    cr_assert_eq(sse_chan_dropped(chan), 7);
    cr_assert_eq(sse_chan_len(chan), 3);
    for (uint64_t i = 7; i < 10; i++)
        expect_number(chan, i);
    cr_assert_eq(sse_chan_len(chan), 0);
    sse_chan_unref(chan);
}

Test(chan, drop_newest_keeps_what_there_is)
{
    sse_chan *chan = new_chan(3, SSE_FULL_DROP_NEWEST);
    for (uint64_t i = 0; i < 10; i++)
        cr_assert_eq(send_number(chan, i, i % 2), SSE_OK);
    cr_assert_eq(sse_chan_dropped(chan), 7);
    for (uint64_t i = 0; i < 3; i++)
        expect_number(chan, i);
    sse_chan_unref(chan);
}

Test(chan, a_timed_receive_times_out)
{
    sse_chan *chan = new_chan(1, SSE_FULL_BLOCK);
    sse_msg *msg;
    uint64_t before = sse__now_ns();
    cr_assert_eq(sse_chan_recv_timeout(chan, 20, &msg), SSE_ETIMEOUT);
    cr_assert_null(msg);
    cr_assert_geq(sse__now_ns() - before, 20000000);
    cr_assert_eq(sse_chan_recv_timeout(chan, 0, &msg), SSE_ETIMEOUT);
    cr_assert_eq(send_number(chan, 3, false), SSE_OK);
    cr_assert_eq(sse_chan_recv_timeout(chan, 0, &msg), SSE_OK);
    cr_assert_eq(number_of(msg), 3);
    sse_chan_unref(chan);
}

Test(chan, close_lets_receivers_have_the_rest)
{
    sse_chan *chan = new_chan(2, SSE_FULL_BLOCK);
    sse_msg *msg;
    cr_assert_eq(send_number(chan, 1, false), SSE_OK);
    cr_assert_eq(send_number(chan, 2, false), SSE_OK);
    sse_chan_close(chan, SSE_ENETWORK);
    sse_chan_close(chan, SSE_OK);
    cr_assert(sse_chan_closed(chan));
    cr_assert_eq(sse_chan_reason(chan), SSE_ENETWORK, "the first one counts");
    cr_assert_eq(send_number(chan, 3, false), SSE_ECLOSED);
    cr_assert_eq(send_number(chan, 3, true), SSE_ECLOSED, "full, but it does not wait");
    expect_number(chan, 1);
    cr_assert_eq(send_number(chan, 3, true), SSE_ECLOSED);
    cr_assert_eq(sse_chan_recv(chan, &msg), SSE_OK);
    cr_assert_eq(number_of(msg), 2);
    cr_assert_eq(sse_chan_recv(chan, &msg), SSE_ECLOSED);
    cr_assert_null(msg);
    cr_assert_eq(sse_chan_try_recv(chan, &msg), SSE_ECLOSED);
    cr_assert_eq(sse_chan_recv_timeout(chan, 1000000, &msg), SSE_ECLOSED);
    cr_assert_eq(sse_chan_dropped(chan), 0);
    sse_chan_unref(chan);
}

Test(chan, close_ends_the_drop_policies_too)
{
    static const sse_full_policy policies[] = {SSE_FULL_DROP_OLDEST, SSE_FULL_DROP_NEWEST};
    for (int i = 0; i < 2; i++) {
        sse_chan *chan = new_chan(1, policies[i]);
        cr_assert_eq(send_number(chan, 1, true), SSE_OK);
        sse_chan_close(chan, SSE_OK);
        cr_assert_eq(send_number(chan, 2, true), SSE_ECLOSED);
        cr_assert_eq(sse_chan_dropped(chan), 0);
        expect_number(chan, 1);
        sse_chan_unref(chan);
    }
}

/* The descriptor is readable exactly when there is something to receive or nothing will ever come.
 */
static void check_fd(sse_full_policy policy, bool early)
{
    sse_chan *chan = new_chan(2, policy);
    int fd = early ? sse_chan_fd(chan) : -1;
    if (early)
        cr_assert_not(readable(fd));
    cr_assert_eq(send_number(chan, 1, false), SSE_OK);
    if (!early)
        fd = sse_chan_fd(chan);
    cr_assert_geq(fd, 0);
    cr_assert_eq(sse_chan_fd(chan), fd, "there is one");
    cr_assert(readable(fd));
    cr_assert(readable(fd), "looking does not change it");
    cr_assert_eq(send_number(chan, 2, false), SSE_OK);
    sse_err full = send_number(chan, 3, false);
    cr_assert_eq(full, policy == SSE_FULL_BLOCK ? SSE_EFULL : SSE_OK);
    cr_assert(readable(fd));
    expect_number(chan, policy == SSE_FULL_DROP_OLDEST ? 2 : 1);
    cr_assert(readable(fd), "one is left");
    expect_number(chan, policy == SSE_FULL_DROP_OLDEST ? 3 : 2);
    cr_assert_not(readable(fd));
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(send_number(chan, i, false), SSE_OK);
        cr_assert(readable(fd));
        expect_number(chan, i);
        cr_assert_not(readable(fd));
    }
    sse_chan_close(chan, SSE_OK);
    cr_assert(readable(fd));
    sse_msg *msg;
    cr_assert_eq(sse_chan_try_recv(chan, &msg), SSE_ECLOSED);
    cr_assert(readable(fd), "and stays so");
    sse_chan_unref(chan);
    cr_assert_eq(fcntl(fd, F_GETFD), -1, "the descriptor is gone with the channel");
}

Test(chan, fd_follows_the_channel)
{
    static const sse_full_policy policies[] = {SSE_FULL_BLOCK, SSE_FULL_DROP_OLDEST,
                                               SSE_FULL_DROP_NEWEST};
    for (int i = 0; i < 6; i++)
        check_fd(policies[i / 2], i % 2);
}

Test(chan, fd_with_a_capacity_of_one)
{
    sse_chan *chan = new_chan(1, SSE_FULL_DROP_OLDEST);
    int fd = sse_chan_fd(chan);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert_eq(send_number(chan, i, false), SSE_OK);
        cr_assert(readable(fd));
    }
    expect_number(chan, 4);
    cr_assert_not(readable(fd));
    sse_chan_unref(chan);
}

Test(chan, fd_of_a_closed_channel)
{
    sse_chan *chan = new_chan(2, SSE_FULL_BLOCK);
    cr_assert_eq(send_number(chan, 1, false), SSE_OK);
    sse_chan_close(chan, SSE_OK);
    int fd = sse_chan_fd(chan);
    cr_assert(readable(fd));
    expect_number(chan, 1);
    cr_assert(readable(fd));
    sse_chan_unref(chan);
}

Test(chan, lives_as_long_as_its_references)
{
    sse_chan *chan = new_chan(1, SSE_FULL_BLOCK);
    cr_assert_eq(sse_chan_ref(chan), chan);
    cr_assert_eq(send_number(chan, 3, false), SSE_OK);
    sse_chan_unref(chan);
    expect_number(chan, 3);
    sse_chan_unref(chan);
}
