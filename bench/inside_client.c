/* `inside`, client: a child process sends a ready-made stream without end, the client library
 * receives it into a callback or a channel. By its public header only.
 *
 * Threads: events are counted on the subscription's thread, or the one that receives from the
 * channel; the command's thread reads that count. Forked before this process has threads. */
#include "inside.h"
#include "procstat.h"
#include "servers.h"
#include "sync.h"

#include <fcntl.h>
#include <signal.h>
#include <sse/client.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define EVENTS 4096u /* of the stream, which begins again after them; four hexadecimal digits */

typedef struct receiver {
    const char *column;
    bool chunked; /* each event is a chunk */
    bool channel;
    uint32_t payload;
    char url[64];
    sse_chan *chan;
    atomic_ullong events;
    atomic_ullong wrong; /* not the event that follows the one before, or not as it was sent */
    uint32_t next;       /* of the thread that counts: the number that the next one has */
    sse__thread thread;
} receiver;

/* ---- the sender's process ---- */

static void make_stream(tool_buffer *out, uint32_t payload, bool chunked)
{
    char text[96];
    char *filling = tool_must(malloc(payload));
    memset(filling, 'x', payload);
    for (uint32_t i = 0; i < EVENTS; i++) {
        int id = snprintf(text, sizeof text, "id: 000000000000-%u\ndata: %04x", 100000 + i, i);
        size_t bytes = (size_t)id + payload - 4 + 2;
        char size[32];
        snprintf(size, sizeof size, "%zx\r\n", bytes);
        if (chunked)
            tool_buffer_adds(out, size);
        tool_buffer_adds(out, text);
        tool_buffer_add(out, filling, payload - 4);
        tool_buffer_adds(out, chunked ? "\n\n\r\n" : "\n\n");
    }
    free(filling);
}

/* To one client after the other, to each until it leaves. */
static _Noreturn void send_forever(int listener, uint32_t payload, bool chunked)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    char request[4096];
    tool_buffer stream = {0};
    make_stream(&stream, payload, chunked);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            _exit(TOOL_UNAVAILABLE);
        (void)!read(fd, request, sizeof request);
        const char *rest =
            chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Connection: close\r\n\r\n";
        bool more = tool_write(fd, head, sizeof head - 1) && tool_write(fd, rest, strlen(rest));
        while (more)
            more = tool_write(fd, stream.bytes, stream.len);
        close(fd);
    }
}

static pid_t start_sender(receiver *v)
{
    uint16_t port;
    int listener = server_listen(&port);
    if (listener < 0 || fcntl(listener, F_SETFL, 0) != 0)
        return -1;
    snprintf(v->url, sizeof v->url, "http://127.0.0.1:%u/events", port);
    const server_needs needs = {.pin = false};
    pid_t pid = server_fork(&needs);
    if (pid == 0)
        send_forever(listener, v->payload, v->chunked);
    close(listener);
    return pid;
}

/* ---- the receiver ---- */

static void count(receiver *v, const sse_event *event)
{
    char number[8];
    snprintf(number, sizeof number, "%04x", v->next);
    v->next = (v->next + 1) % EVENTS;
    if (event->data.len != v->payload || memcmp(event->data.ptr, number, 4) != 0)
        atomic_fetch_add(&v->wrong, 1);
    /* Relaxed, like its reader; only this thread writes. */
    uint64_t n = atomic_load_explicit(&v->events, memory_order_relaxed);
    atomic_store_explicit(&v->events, n + 1, memory_order_relaxed);
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    (void)sub;
    count(user, event);
}

static void *receive_all(void *arg)
{
    receiver *v = arg;
    sse_msg *msg;
    while (sse_chan_recv(v->chan, &msg) == SSE_OK) {
        count(v, sse_msg_event(msg));
        sse_msg_unref(msg);
    }
    return NULL;
}

static sse_err begin(receiver *v, sse_client **client, sse_subscription **sub)
{
    static const sse_client_callbacks callbacks = {.size = sizeof callbacks, .on_event = on_event};
    sse_err err = sse_client_new(v->url, NULL, client);
    if (err != SSE_OK || !v->channel)
        return err ? err : sse_client_subscribe_start(*client, NULL, &callbacks, v, sub);
    err = sse_chan_new(NULL, &v->chan);
    if (err == SSE_OK)
        err = sse__thread_start(&v->thread, "receive", 0, receive_all, v);
    return err ? err : sse_client_subscribe_chan(*client, NULL, v->chan, sub);
}

static uint64_t received(const receiver *v)
{
    return atomic_load_explicit(&v->events, memory_order_relaxed);
}

static int measure(const bench *b, receiver *v, result *r)
{
    sse_client *client = NULL;
    sse_subscription *sub = NULL;
    sse_err err = begin(v, &client, &sub);
    for (uint64_t until = now_ns() + 10 * SECOND; !err && !received(v) && now_ns() < until;)
        wait_until_ns(now_ns() + 1000000u);
    if (err == SSE_OK && !received(v))
        err = SSE_ETIMEOUT;
    if (err == SSE_OK) {
        wait_until_ns(now_ns() + inside_ns(b) / 10);
        inside_use before = inside_use_now();
        uint64_t already = received(v);
        wait_until_ns(now_ns() + inside_ns(b));
        inside_take(r, &before, received(v) - already);
    }
    sse_subscription_free(sub);
    sse_client_free(client);
    if (v->chan) {
        sse_chan_close(v->chan, SSE_OK);
        sse__thread_join(&v->thread);
        sse_chan_unref(v->chan);
    }
    r->misordered = (double)atomic_load(&v->wrong);
    return err == SSE_OK ? TOOL_GO_ON : inside_failed(b, r, "the client", err);
}

int inside_client(bench *b, scenario_result *s)
{
    receiver ways[] = {{.column = "callback"},
                       {.column = "chunks", .chunked = true},
                       {.column = "channel", .channel = true}};
    uint32_t payload;
    int code = bench_payload(b, 100, &payload);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0] && code == TOOL_GO_ON; i++) {
        result *r = results_server(s, ways[i].column);
        ways[i].payload = payload;
        pid_t sender = start_sender(&ways[i]);
        if (sender < 0)
            return inside_failed(b, r, "a sender", SSE_ESYS);
        code = measure(b, &ways[i], r);
        kill(sender, SIGKILL);
        waitpid(sender, NULL, 0);
    }
    return code;
}
