/* Messages that are numbers, for the tests of channels. */
#ifndef TEST_CHAN_NUMBERS_H
#define TEST_CHAN_NUMBERS_H

#include <criterion/criterion.h>
#include <poll.h>
#include <sse/chan.h>

static inline sse_msg *make(uint64_t number)
{
    sse_event ev = {.retry_ms = number, .has_retry = true};
    sse_msg *msg;
    cr_assert_eq(sse_msg_new(&ev, NULL, &msg), SSE_OK);
    return msg;
}

static inline uint64_t number_of(sse_msg *msg)
{
    uint64_t number = sse_msg_event(msg)->retry_ms;
    sse_msg_unref(msg);
    return number;
}

static inline sse_chan *new_chan(size_t capacity, sse_full_policy policy)
{
    sse_chan_options options = SSE_CHAN_OPTIONS_INIT;
    options.capacity = capacity;
    options.policy = policy;
    sse_chan *chan;
    cr_assert_eq(sse_chan_new(&options, &chan), SSE_OK);
    return chan;
}

static inline sse_err send_number(sse_chan *chan, uint64_t number, bool wait)
{
    sse_msg *msg = make(number);
    sse_err err = wait ? sse_chan_send(chan, msg) : sse_chan_try_send(chan, msg);
    sse_msg_unref(msg);
    return err;
}

static inline void expect_number(sse_chan *chan, uint64_t number)
{
    sse_msg *msg;
    cr_assert_eq(sse_chan_try_recv(chan, &msg), SSE_OK);
    cr_assert_eq(number_of(msg), number);
}

static inline bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

#endif
