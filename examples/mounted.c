/* A hub mounted in a libmicrohttpd daemon that you already have: the daemon serves its own pages, and /live is the hub's.
 *
 *     ./mounted 8080 &
 *     curl -N 'http://127.0.0.1:8080/live?stream=visits' &
 *     curl 'http://127.0.0.1:8080/hello'      # each visit of a page is published
 */
#include <microhttpd.h>
#include <signal.h>
#include <sse/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char page[] = "Hello. Your visit was published.\n";

static enum MHD_Result serve_page(sse_server *hub, struct MHD_Connection *connection,
                                  const char *url)
{
    sse_event event = {.type = sse_cstr("visit"), .data = sse_cstr(url)};
    if (sse_server_publish(hub, "visits", &event) != SSE_OK)
        return MHD_NO;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        sizeof page - 1, (void *)(uintptr_t)page, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context)
{
    if (strcmp(url, "/live") == 0)
        return (enum MHD_Result)sse_server_handle(cls, connection, url, method, version, upload,
                                                  upload_size, context);
    return serve_page(cls, connection, url);
}

/* Only the hub keeps something in *context here. */
static void completed(void *cls, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode code)
{
    sse_server_completed(cls, connection, context, (int)code);
}

int main(int argc, char **argv)
{
    sse_server *hub;
    if (sse_server_new(NULL, &hub) != SSE_OK ||
        sse_server_create_stream(hub, "visits", NULL) != SSE_OK)
        return 1;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals,
                NULL); /* before there are threads: main waits for them below */
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME,
                         (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 8080), NULL, NULL,
                         handle, hub, MHD_OPTION_NOTIFY_COMPLETED, completed, hub, MHD_OPTION_END);
    if (!daemon)
        return 1;
    printf("http://127.0.0.1:%u/live?stream=visits\n",
           (unsigned)MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);

    int signal_number;
    sigwait(&signals, &signal_number);
    sse_server_stop(
        hub); /* first the hub: the daemon may not be stopped while connections are suspended */
    MHD_stop_daemon(daemon);
    sse_server_free(hub);
}
