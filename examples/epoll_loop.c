/* A channel's descriptor in an epoll loop that you already have, here beside stdin: a line "quit" ends the program.
 *
 *     ./epoll_loop http://127.0.0.1:8080/events news
 */
#include <sse/chan.h>
#include <sse/client.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static bool watch(int loop, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Take what is there. False: the channel is closed, and no more comes. */
static bool take_events(sse_chan *chan)
{
    sse_msg *msg;
    sse_err err;
    while ((err = sse_chan_try_recv(chan, &msg)) == SSE_OK) {
        printf("event: %s\n", sse_msg_event(msg)->data.ptr);
        sse_msg_unref(msg);
    }
    fflush(stdout);
    return err == SSE_EEMPTY;
}

static bool take_line(void)
{
    char line[256];
    ssize_t n = read(STDIN_FILENO, line, sizeof line);
    return n > 0 && strncmp(line, "quit\n", (size_t)n) != 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: epoll_loop URL [STREAM]\n", stderr);
        return 64;
    }
    sse_chan *chan;
    sse_client *client;
    if (sse_chan_new(NULL, &chan) != SSE_OK || sse_client_new(argv[1], NULL, &client) != SSE_OK ||
        sse_client_subscribe_chan(client, argc > 2 ? argv[2] : NULL, chan, NULL) != SSE_OK)
        return 1;
    int fd = sse_chan_fd(chan); /* only to wait on; it belongs to the channel */
    int loop = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || loop < 0 || !watch(loop, fd) || !watch(loop, STDIN_FILENO))
        return 1;
    for (bool go_on = true; go_on;) {
        struct epoll_event ready;
        if (epoll_wait(loop, &ready, 1, -1) == 1)
            go_on = ready.data.fd == fd ? take_events(chan) : take_line();
    }
    close(loop);
    sse_client_free(client);
    sse_chan_unref(chan);
    return 0;
}
