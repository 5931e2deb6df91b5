/* `inside`, channel: one thread sends, one receives.
 *
 * Threads: the sender has one of its own, the command's thread receives. It ends the sender by
 * closing the channel, and takes out what is left, so that each message is accounted for. */
#include "inside.h"
#include "procstat.h"
#include "sync.h"

#include <poll.h>
#include <sse/chan.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY 1024u /* messages between two looks at the clock */

typedef struct passing {
    sse_chan *chan;
    sse_event event;
    sse_msg *message; /* sent again and again; NULL: each one is made and freed */
    bool polled;      /* the receiver waits for the descriptor */
    bool reserved[7];
    sse__thread thread;
    uint64_t sent; /* sender, until it has been joined */
    sse_err err;   /* likewise: why it ended */
} passing;

static void *send_all(void *arg)
{
    passing *p = arg;
    sse_err err = SSE_OK;
    while (err == SSE_OK) {
        sse_msg *fresh = NULL;
        if (!p->message)
            err = sse_msg_new(&p->event, NULL, &fresh);
        if (err == SSE_OK)
            err = sse_chan_send(p->chan, p->message ? p->message : fresh);
        sse_msg_unref(fresh);
        p->sent += err == SSE_OK;
    }
    p->err = err;
    sse_chan_close(p->chan, err); /* nobody waits for more */
    return NULL;
}

static sse_err receive(const passing *p, sse_msg **msg)
{
    sse_err err;
    if (!p->polled)
        return sse_chan_recv(p->chan, msg);
    while ((err = sse_chan_try_recv(p->chan, msg)) == SSE_EEMPTY) {
        struct pollfd ready = {.fd = sse_chan_fd(p->chan), .events = POLLIN};
        (void)poll(&ready, 1, -1);
    }
    return err;
}

/* Receive up to `most` messages. Returns how many there were before the channel's end. */
static uint64_t receive_some(const passing *p, uint64_t most)
{
    uint64_t n = 0;
    sse_msg *msg;
    while (n < most && receive(p, &msg) == SSE_OK) {
        sse_msg_unref(msg);
        n++;
    }
    return n;
}

static uint64_t receive_until(const passing *p, uint64_t until)
{
    uint64_t n = 0, some;
    do
        n += some = receive_some(p, LOOK_EVERY);
    while (some == LOOK_EVERY && now_ns() < until);
    return n;
}

static int pass(const bench *b, passing *p, result *r)
{
    sse_err err = sse_chan_new(NULL, &p->chan);
    if (err == SSE_OK && p->polled && sse_chan_fd(p->chan) < 0)
        err = SSE_ESYS;
    if (err == SSE_OK)
        err = sse__thread_start(&p->thread, "send", 0, send_all, p);
    if (err != SSE_OK)
        return inside_failed(b, r, "a channel", err);
    uint64_t all = receive_until(p, now_ns() + inside_ns(b) / 10);
    inside_use before = inside_use_now();
    uint64_t n = receive_until(p, now_ns() + inside_ns(b));
    inside_take(r, &before, n);
    sse_chan_close(p->chan, SSE_OK);
    all += n + receive_some(p, UINT64_MAX);
    sse__thread_join(&p->thread);
    r->lost = p->sent > all ? (double)(p->sent - all) : 0;
    r->duplicated = all > p->sent ? (double)(all - p->sent) : 0;
    return p->err == SSE_ECLOSED ? TOOL_GO_ON : inside_failed(b, r, "sending", p->err);
}

int inside_chan(bench *b, scenario_result *s)
{
    static const struct {
        const char *name;
        bool fresh, polled;
    } ways[] = {
        {"one message", false, false}, {"new messages", true, false}, {"polled", true, true}};
    uint32_t bytes;
    int code = bench_payload(b, 100, &bytes);
    if (code != TOOL_GO_ON)
        return code;
    char *data = tool_must(malloc(bytes));
    memset(data, 'x', bytes);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0] && code == TOOL_GO_ON; i++) {
        passing p = {.event = {.data = {data, bytes}}, .polled = ways[i].polled};
        result *r = results_server(s, ways[i].name);
        sse_err err = ways[i].fresh ? SSE_OK : sse_msg_new(&p.event, NULL, &p.message);
        code = err == SSE_OK ? pass(b, &p, r) : inside_failed(b, r, "a message", err);
        sse_chan_unref(p.chan);
        sse_msg_unref(p.message);
    }
    free(data);
    return code;
}
