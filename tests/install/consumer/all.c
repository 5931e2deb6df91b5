/* Uses all three libraries: a hub, and a client that receives from it into a channel. Compiles as C and as C++. */
#include <sse/chan.h>
#include <sse/client.h>
#include <sse/server.h>
#include <stdio.h>

static int receive(const char *where)
{
    char url[160];
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    sse_chan_options chan_options = SSE_CHAN_OPTIONS_INIT;
    sse_client *client = NULL;
    sse_chan *chan = NULL;
    sse_msg *msg = NULL;
    snprintf(url, sizeof url, "http://%s/events", where);
    if (sse_client_new(url, &options, &client) != SSE_OK ||
        sse_chan_new(&chan_options, &chan) != SSE_OK ||
        sse_client_subscribe_chan(client, "news", chan, NULL) != SSE_OK)
        return 3;
    if (sse_chan_recv_timeout(chan, 30000, &msg) != SSE_OK)
        return 4;
    printf("received %s\n", sse_msg_event(msg)->data.ptr);
    sse_msg_unref(msg);
    sse_client_free(client);
    sse_chan_unref(chan);
    return 0;
}

int main(void)
{
    char where[128];
    sse_server *server = NULL;
    sse_server_options options = SSE_SERVER_OPTIONS_INIT;
    sse_stream_options stream = SSE_STREAM_OPTIONS_INIT;
    static sse_event event; /* all zero, in both languages */
    int status;
    if (sse_server_new(&options, &server) != SSE_OK ||
        sse_server_create_stream(server, "news", &stream) != SSE_OK ||
        sse_server_listen(server, "127.0.0.1:0", where, sizeof where) != SSE_OK)
        return 1;
    event.data = sse_cstr("published");
    if (sse_server_publish(server, "news", &event) != SSE_OK)
        return 2;
    status = receive(where);
    sse_server_free(server);
    return status;
}
