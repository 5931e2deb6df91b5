/* The hub that loses its memory. The test's thread only. */
#include "alloc_hub.h"

#include <criterion/criterion.h>

static const char *nobody = "none";
sse_server *server;
uint16_t port;

void start(const sse_stream_options *stream, uint32_t request_timeout_ms)
{
    sse_server_options options = fixture_options();
    options.http_publish = true;
    options.threads = 1;
    options.drain_ms = 500;
    options.retry_ms = 5;
    options.max_subscribers_per_ip = 10;
    options.connect_exempt = &nobody;
    options.connect_exempt_count = 1;
    options.max_connections_per_address = 10;
    options.request_timeout_ms = request_timeout_ms;
    options.heartbeat_ms =
        request_timeout_ms > 0 ? 160 : SSE_OFF; /* how often it looks at the clock */
    server = serve(&options, &port);
    cr_assert_eq(sse_server_create_stream(server, "s", stream), SSE_OK);
    create(server, "t");
}

void check_usable(void)
{
    create(server, "check");
    http_conn *c = join(port, "check");
    say(server, "check", "x");
    expect_data(c, "x");
    http_close(c);
    wait_subscribers(server, "check", 0);
    cr_assert_eq(sse_server_remove_stream(server, "check"), SSE_OK);
}
