/* What a subscriber receives: content, ids, order, the answer's head; over TCP and unix sockets. */
#include "fixture.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static sse_server *server;
static uint16_t port;
static http_conn *c;

static void setup_with(const sse_stream_options *stream)
{
    sse_server_options options = fixture_options();
    server = serve(&options, &port);
    cr_assert_eq(sse_server_create_stream(server, "s", stream), SSE_OK);
    c = join(port, "s");
}

static void setup(void) { setup_with(NULL); }

static void teardown(void)
{
    http_close(c);
    sse_server_free(server);
}

static void publish(const sse_event *event)
{
    cr_assert_eq(sse_server_publish(server, "s", event), SSE_OK);
}

/* The next lines of the stream, up to and with the empty one, joined by '|'. */
static void expect_lines(const char *lines)
{
    char got[4096] = "";
    for (;;) {
        const char *line;
        size_t len;
        cr_assert_eq(http_read_line(c, &line, &len, LONG), HTTP_OK);
        if (len == 0)
            break;
        strncat(got, line, len);
        strcat(got, "|");
    }
    cr_assert_str_eq(got, lines);
}

TestSuite(delivery, .init = setup, .fini = teardown);

/* features: event ID Data Event Retry Comment */
Test(delivery, carries_all_parts)
{
    publish(&(sse_event){.id = sse_cstr("i 1"),
                         .type = sse_cstr("t y"),
                         .data = sse_cstr("d"),
                         .comment = sse_cstr("c"),
                         .retry_ms = 1234,
                         .has_retry = true});
    expect_lines(": c|id: i 1|event: t y|retry: 1234|data: d|");
}

/* conformance 30 */
Test(delivery, events_without_data_are_legal)
{
    publish(&(sse_event){.comment = sse_cstr("just a comment")});
    expect_lines(": just a comment|");
    publish(&(sse_event){.id = sse_cstr("7")});
    expect_lines("id: 7|");
    publish(&(sse_event){.retry_ms = 10, .has_retry = true});
    expect_lines("retry: 10|");
    publish(&(sse_event){.type = sse_cstr("x")});
    expect_lines("event: x|");
    publish(&(sse_event){.id = sse_cstr("")});
    expect_lines("id:|");
    cr_assert_eq(stats_of(server, "s").subscribers, 1, "nothing of this closes anything");
}

/* conformance 30; features: empty data does not close the connection */
Test(delivery, empty_data_arrives_as_empty_data)
{
    publish(&(sse_event){.id = sse_cstr("e"), .data = sse_cstr("")});
    expect_lines("id: e|data:|");
    publish(&(sse_event){.id = sse_cstr("f"), .data = sse_cstr("")});
    http_block block = next(c);
    cr_assert_str_eq(block.data, "");
    http_block_fini(&block);
    expect_nothing_but(server, c, "s", "next");
}

/* conformance 29; features: SplitData always on */
Test(delivery, line_ends_in_data_arrive_as_lf)
{
    static const char *const data[][2] = {{"a\nb", "a\nb"},
                                          {"a\rb", "a\nb"},
                                          {"a\r\nb", "a\nb"},
                                          {"\n", "\n"},
                                          {"a\r\n\r\nb", "a\n\nb"},
                                          {"a\n\rb", "a\n\nb"},
                                          {"a\r", "a\n"},
                                          {"a\r\n", "a\n"},
                                          {"x\nid: 9\ndata: y", "x\nid: 9\ndata: y"},
                                          {"\n\nevent: z", "\n\nevent: z"}};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        say_id(server, "s", "k", data[i][0]);
        http_block block = next(c);
        cr_assert_str_eq(block.data, data[i][1]);
        cr_assert_str_eq(block.id, "k");
        cr_assert_null(block.type);
        http_block_fini(&block);
    }
}

/* features: data starting with ":" is no comment */
Test(delivery, data_is_never_taken_for_something_else)
{
    static const char *const data[] = {":",       ": x",          " leading", "  two",   "\tx",
                                       "data: x", "\xef\xbb\xbf", "\xc3\xa9", "retry: 1"};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        say(server, "s", data[i]);
        expect_data(c, data[i]);
    }
}

Test(delivery, nul_is_data)
{
    publish(&(sse_event){.data = {"a\0b", 3}});
    http_block block = next(c);
    cr_assert_eq(block.data_len, 3);
    cr_assert_eq(memcmp(block.data, "a\0b", 3), 0);
    http_block_fini(&block);
}

/* features: user ids are not overwritten; conformance 30 */
Test(delivery, ids_are_the_publishers_or_generated)
{
    say_id(server, "s", "mine \xc3\xa9", "1");
    say(server, "s", "2");
    say(server, "s", "3");
    publish(&(sse_event){.id = sse_cstr(""), .data = sse_cstr("4")});
    http_block block = next(c);
    cr_assert_str_eq(block.id, "mine \xc3\xa9");
    http_block_fini(&block);
    block = next(c);
    cr_assert_eq(strspn(block.id, "0123456789abcdef"), 12, "%s", block.id);
    cr_assert_str_eq(block.id + 12, "-2", "number of the event, whoever gave the others");
    char epoch[13];
    memcpy(epoch, block.id, 12);
    epoch[12] = '\0';
    http_block_fini(&block);
    block = next(c);
    cr_assert_eq(strncmp(block.id, epoch, 12), 0);
    cr_assert_str_eq(block.id + 12, "-3");
    http_block_fini(&block);
    block = next(c);
    cr_assert_str_eq(block.id, "", "an empty id resets it, which is not the same as none");
    http_block_fini(&block);
}

Test(delivery, keeps_the_order_of_many)
{
    say_numbers(server, "s", 0, 5000);
    expect_numbers(c, 0, 5000);
    cr_assert_eq(stats_of(server, "s").delivered, 5000);
}

Test(delivery, large_events_arrive_whole)
{
    const char *big = bulk((1 << 20) - 1);
    say(server, "s", "small");
    say(server, "s", big);
    say(server, "s", "after");
    expect_data(c, "small");
    http_block block = next(c);
    cr_assert_eq(block.data_len, (1 << 20) - 1);
    cr_assert_eq(memcmp(block.data, big, block.data_len), 0);
    http_block_fini(&block);
    expect_data(c, "after");
}

/* conformance 27, 28 */
Test(delivery, head_leaves_at_once_with_its_headers)
{
    http_response head;
    create(server, "silent");
    http_conn *other = http_open_stream(port, "/events?stream=silent", NULL, &head, LONG);
    cr_assert_not_null(other, "nothing was ever published, and the head is there");
    cr_assert_str_eq(http_header(&head, "Content-Type"), "text/event-stream");
    cr_assert_str_eq(http_header(&head, "Cache-Control"), "no-cache");
    cr_assert_str_eq(http_header(&head, "X-Accel-Buffering"), "no");
    cr_assert_str_eq(http_header(&head, "Transfer-Encoding"), "chunked");
    cr_assert_null(http_header(&head, "Access-Control-Allow-Origin"));
    http_response_fini(&head);
    http_close(other);
}

Test(delivery, streams_do_not_mix)
{
    create(server, "t");
    http_conn *other = join(port, "t");
    for (int i = 0; i < 100; i++) {
        say_numbers(server, "s", (uint64_t)i, 1);
        say_numbers(server, "t", 1000 + (uint64_t)i, 1);
    }
    expect_numbers(c, 0, 100);
    expect_numbers(other, 1000, 100);
    http_close(other);
}

Test(delivery, two_servers_have_ids_of_their_own)
{
    uint16_t second_port;
    sse_server *second = serve(NULL, &second_port);
    create(second, "s");
    say(server, "s", "x");
    say(second, "s", "x");
    http_conn *there = join(second_port, "s");
    http_block here = next(c), other = next(there);
    cr_assert_str_neq(here.id, other.id);
    http_block_fini(&here);
    http_block_fini(&other);
    http_close(there);
    sse_server_free(second);
}

/* features: EncodeBase64, the caller's event is left alone */
Test(base64, data_goes_out_encoded)
{
    sse_stream_options options = SSE_STREAM_OPTIONS_INIT;
    options.base64 = true;
    setup_with(&options);
    char data[] = "line\r\n\0 end";
    sse_event event = {.id = sse_cstr("1"), .data = {data, sizeof data - 1}};
    publish(&event);
    cr_assert_eq(event.data.ptr, data);
    cr_assert_eq(event.data.len, sizeof data - 1);
    cr_assert_eq(memcmp(data, "line\r\n\0 end", sizeof data), 0);
    expect_lines("id: 1|data: bGluZQ0KACBlbmQ=|");
    publish(&(sse_event){.id = sse_cstr("2"), .data = sse_cstr("")});
    expect_lines("id: 2|data:|");
    publish(&(sse_event){.comment = sse_cstr("not encoded")});
    expect_lines(": not encoded|");
    teardown();
}

static http_conn *join_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return http_wrap(fd);
}

Test(unix_socket, serves_like_tcp)
{
    setup();
    char path[64], address[80], bound[128];
    snprintf(path, sizeof path, "/tmp/sse-test-%ld.sock", (long)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    cr_assert_eq(sse_server_listen(server, address, bound, sizeof bound), SSE_OK);
    cr_assert_str_eq(bound, address);
    http_conn *local = join_unix(path);
    http_response head;
    cr_assert(http_send_request(local, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    cr_assert(http_read_head(local, &head, LONG));
    cr_assert_eq(head.status, 200);
    http_response_fini(&head);
    say(server, "s", "both");
    expect_data(local, "both");
    expect_data(c, "both");
    http_close(local);
    wait_subscribers(server, "s", 1);

    /* In use: by us. */
    sse_server *second;
    cr_assert_eq(sse_server_new(NULL, &second), SSE_OK);
    cr_assert_eq(sse_server_listen(second, address, NULL, 0), SSE_EADDR);
    sse_server_free(second);
    cr_assert_eq(access(path, F_OK), 0, "it was not theirs to remove");
    teardown();
    cr_assert_neq(access(path, F_OK), 0, "it goes with the server");
}

Test(unix_socket, takes_over_a_left_over)
{
    setup();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/sse-left-%ld.sock", (long)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* as a server that was killed: the file stays */
    char text[128];
    snprintf(text, sizeof text, "unix:%s", address.sun_path);
    cr_assert_eq(sse_server_listen(server, text, NULL, 0), SSE_OK);
    http_conn *local = join_unix(address.sun_path);
    http_close(local);
    teardown();
}

static char seen_address[64];

static int note_address(void *user, const sse_request *request)
{
    (void)user;
    snprintf(seen_address, sizeof seen_address, "%s", sse_request_address(request));
    return 0;
}

/* One socket for all addresses: IPv4 clients are seen as such, or limits and logs would not fit. */
Test(listen, takes_all_addresses)
{
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = note_address};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    char bound[64];
    server = serve(&options, &port);
    create(server, "s");
    cr_assert_eq(sse_server_listen(server, ":0", bound, sizeof bound), SSE_OK);
    const char *colon = strrchr(bound, ':');
    cr_assert_not_null(colon);
    c = join((uint16_t)atoi(colon + 1), "s");
    say(server, "s", "x");
    expect_data(c, "x");
    cr_assert_str_eq(seen_address, "127.0.0.1", "on %s", bound);
    teardown();
}

Test(listen, takes_ipv6)
{
    static const sse_server_callbacks callbacks = {.size = sizeof callbacks,
                                                   .authorize = note_address};
    sse_server_options options = fixture_options();
    options.callbacks = &callbacks;
    char bound[64];
    server = serve(&options, &port);
    create(server, "s");
    c = NULL;
    cr_assert_eq(sse_server_listen(server, "[::1:0", NULL, 0), SSE_EINVAL);
    sse_err err = sse_server_listen(server, "[::1]:0", bound, sizeof bound);
    if (err == SSE_OK) {
        cr_assert_eq(strncmp(bound, "[::1]:", 6), 0, "%s", bound);
        struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        to.sin6_port = htons((uint16_t)atoi(bound + 6));
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        c = http_wrap(fd);
        http_response head;
        cr_assert(http_send_request(c, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
        cr_assert(http_read_head(c, &head, LONG));
        http_response_fini(&head);
        say(server, "s", "x");
        expect_data(c, "x");
        cr_assert_str_eq(seen_address, "::1");
    } else {
        cr_assert(err == SSE_EADDR || err == SSE_ESYS, "a machine without IPv6: %s",
                  sse_strerror(err));
    }
    teardown();
}

Test(listen, refuses_addresses_that_are_none)
{
    setup();
    static const char *const bad[] = {
        "",       "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "::1:80", "[::1:80",   "unix:",      "1.2.3.4:-1",  "127.0.0.1:123456"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(sse_server_listen(server, bad[i], NULL, 0), SSE_EINVAL, "%s", bad[i]);
    cr_assert_eq(sse_server_listen(server, NULL, NULL, 0), SSE_EINVAL);
    cr_assert_eq(sse_server_listen(server, "no.such.host.invalid:0", NULL, 0), SSE_ERESOLVE);
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", (unsigned)port);
    cr_assert_eq(sse_server_listen(server, taken, NULL, 0), SSE_EADDR);
    cr_assert_eq(sse_server_listen(server, "192.0.2.1:0", NULL, 0), SSE_EADDR, "not ours");
    char bound[64] = "unchanged";
    cr_assert_eq(sse_server_listen(server, "127.0.0.1:0", bound, sizeof bound), SSE_OK);
    http_conn *second = join((uint16_t)atoi(bound + 10), "s");
    say(server, "s", "x");
    expect_data(second, "x");
    expect_data(c, "x");
    http_close(second);
    sse_server_close(server);
    cr_assert_eq(sse_server_listen(server, "127.0.0.1:0", NULL, 0), SSE_ECLOSED);
    teardown();
}
