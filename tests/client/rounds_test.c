/* Thousands of subscriptions, one after the other, each ended at some moment of its life: while it
 * connects, waits for the answer, is open, has its first event, waits to reconnect. Threads,
 * descriptors and memory come back. */
#include "recorder.h"
#include "scale.h"
#include "scripted_server.h"
#include "wait.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <string.h>

#define GENEROUS_MS 60000

static bool threads_are(void *count) { return wait_count_threads(0) == *(int *)count; }

static bool fds_are(void *count) { return wait_count_fds(0) == *(int *)count; }

/* A path of its own for each moment. */
static void play_moment(scripted_conn *c, void *user)
{
    (void)user;
    if (!conn_read_request(c))
        return;
    const char *path = conn_request(c) + strlen("GET /");
    if (strncmp(path, "answer", 6) == 0)
        conn_puts(c, "HTTP/1.1 200 OK\r\n");
    else if (strncmp(path, "open", 4) == 0)
        conn_puts(c, STREAM_HEAD);
    else if (strncmp(path, "event", 5) == 0)
        conn_puts(c, STREAM_HEAD "data: a\n\n");
    else
        return; /* "retry": it ends at once */
    conn_wait_peer(c);
}

/* Ways to end it, in turn: by the channel, by the handle, twice, with the client. */
static void round_with_channel(sse_client *client, bool wait)
{
    sse_chan *chan;
    sse_msg *msg;
    cr_assert_eq(sse_chan_new(NULL, &chan), SSE_OK);
    cr_assert_eq(sse_client_subscribe_chan(client, NULL, chan, NULL), SSE_OK);
    if (wait) {
        cr_assert_eq(sse_chan_recv(chan, &msg), SSE_OK);
        sse_msg_unref(msg);
    }
    sse_client_unsubscribe(client, chan);
    cr_assert(sse_chan_closed(chan));
    sse_chan_unref(chan);
}

static void round_with_callbacks(sse_client *client, const char *line, unsigned way)
{
    recorder *r = recorder_new();
    sse_subscription *sub = recorder_subscribe(r, client, NULL);
    if (line)
        cr_assert(recorder_wait(r, line));
    if (way % 2)
        sse_subscription_close(sub);
    if (way % 3)
        sse_subscription_stop(sub);
    sse_subscription_free(sub);
    cr_assert_eq(recorder_count(r, "close SSE_ECANCELED"), 1);
    recorder_free(r);
}

static void live_rounds(unsigned rounds)
{
    static const char *const paths[] = {"/answer", "/open", "/event", "/retry"};
    static const char *const lines[] = {NULL, "open", "event", "retry"};
    enum { MOMENTS = 4 };
    scripted *server = scripted_start(play_moment, NULL);
    sse_client *clients[MOMENTS];
    sse_client_options o = SSE_CLIENT_OPTIONS_INIT;
    int threads = wait_count_threads(0), fds = wait_count_fds(0);
    o.retry_ms = o.max_retry_ms = 3600000;
    for (size_t i = 0; i < MOMENTS; i++)
        clients[i] = client_for(scripted_url(server, paths[i]), &o);
    for (unsigned i = 0; i < rounds; i++) {
        size_t moment = i % MOMENTS;
        unsigned way = i / MOMENTS;
        if (moment == 2 && way % 2)
            round_with_channel(clients[moment], way % 4 == 1);
        else /* every fifth ends while it connects */
            round_with_callbacks(clients[moment], way % 5 ? lines[moment] : NULL, way);
    }
    cr_assert(wait_until(threads_are, &threads, GENEROUS_MS));
    cr_assert(wait_until(fds_are, &fds, GENEROUS_MS));
    for (size_t i = 0; i < MOMENTS; i++)
        sse_client_free(clients[i]);
    scripted_stop(server);
}

/* What malloc has given away. Under sanitizers, which have an allocator of their own, it is always
 * nothing; there a leak is theirs to find. */
static size_t bytes_in_use(void) { return mallinfo2().uordblks; }

Test(rounds, ten_thousand_give_everything_back, .timeout = 600)
{
    enum { ROUNDS = SCALED(10000, 1000), A_FEW = ROUNDS / 50, TOLERANCE = 64 << 10 };
    int threads = wait_count_threads(0), fds = wait_count_fds(0);
    live_rounds(A_FEW); /* what is made once */
    size_t bytes = bytes_in_use();
    live_rounds(ROUNDS);
    size_t after = bytes_in_use();
    cr_assert_leq(after, bytes + TOLERANCE, "%zu bytes more", after - bytes);
    cr_assert(wait_until(threads_are, &threads, GENEROUS_MS));
    cr_assert(wait_until(fds_are, &fds, GENEROUS_MS));
}
