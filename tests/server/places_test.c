/* A connection that nobody counts costs no look at the clock when it ends. */
#include "clock.h"
#include "hub.h"
#include "loop_internal.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local unsigned looks; /* not those of the keeper */

static uint64_t counting_clock(void)
{
    looks++;
    return 5000000000000;
}

static sse_server *make(uint32_t connections_per_address)
{
    static const char *const none[] = {"none"};
    sse_server_options options;
    sse_server *server;
    sse_server_options_init(&options);
    options.max_connections_per_address = connections_per_address;
    options.connect_exempt = none;
    options.connect_exempt_count = 1;
    sse__clock_set_source(counting_clock);
    cr_assert_eq(sse_server_new(&options, &server), SSE_OK);
    return server;
}

static void unmake(sse_server *server)
{
    sse_server_free(server);
    sse__clock_set_source(NULL);
}

static sse__visitor *enter(sse_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(0xc0000201)}};
    sse__entry entry =
        sse__admission_enter(server->admission, (struct sockaddr *)&address, 5000000000000);
    cr_assert_eq(entry.denial, SSE__DENIED_NOT);
    return entry.visitor;
}

/* Both ways in which a connection ends, served and not served; how often each looked at the clock. */
static void expect_looks(sse_server *server, unsigned n)
{
    sse__loop loop = {.hub = server};
    sse__shard shard = {.hub = server, .loop = &loop};
    sse__conn *conn = calloc(1, sizeof *conn);
    sse__pending *pending = calloc(1, sizeof *pending);
    cr_assert(conn && pending);
    conn->shard = &shard;
    if (server->admission)
        conn->visitor = enter(server);
    looks = 0;
    sse__conn_free(conn);
    cr_assert_eq(looks, n, "%u", looks);
    pending->fd = dup(STDIN_FILENO);
    if (server->admission)
        pending->visitor = enter(server); /* the one place is free again */
    looks = 0;
    atomic_fetch_add(&server->counters.connections, 1);
    sse__pending_drop(&loop, pending);
    cr_assert_eq(looks, n, "%u", looks);
}

Test(places, without_limits_nobody_looks_at_the_clock)
{
    sse_server *server = make(0);
    cr_assert_null(server->admission);
    expect_looks(server, 0);
    unmake(server);
}

Test(places, with_limits_each_is_given_back_at_its_time)
{
    sse_server *server = make(1);
    expect_looks(server, 1);
    cr_assert_eq(sse__admission_look(server->admission).addresses, 0);
    unmake(server);
}
