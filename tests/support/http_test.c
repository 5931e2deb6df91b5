/* Tests of http.[ch], against sockets that the tests themselves write to. */
#include "http.h"

#include "wait.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONG = 60000 };

/* The client on one end of a socket pair; the peer's end is the test's own. */
static http_conn *pair(int *peer)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *peer = fds[1];
    return http_wrap(fds[0]);
}

static void say(int peer, const char *text)
{
    size_t n = strlen(text);
    cr_assert_eq(write(peer, text, n), (ssize_t)n);
}

static char *hear(int peer, char *buffer, size_t size)
{
    ssize_t n = read(peer, buffer, size - 1);
    cr_assert_gt(n, 0);
    buffer[n] = '\0';
    return buffer;
}

static void expect_answer(const char *answer, bool close_after, int status, const char *body)
{
    int peer;
    http_response r;
    http_conn *c = pair(&peer);
    say(peer, answer);
    if (close_after)
        shutdown(peer, SHUT_WR);
    cr_assert(http_request(c, "GET", "/x", NULL, NULL, 0, &r, LONG), "%s", answer);
    cr_assert_eq(r.status, status);
    cr_assert_str_eq(r.body, body);
    cr_assert_eq(r.body_len, strlen(body));
    http_response_fini(&r);
    http_close(c);
    close(peer);
}

Test(http, answers_in_every_framing)
{
    expect_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello");
    expect_answer("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false, 404, "");
    expect_answer("HTTP/1.1 204 No Content\r\n\r\n", false, 204, "");
    expect_answer("HTTP/1.0 200 OK\r\n\r\nuntil close", true, 200, "until close");
    expect_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                  false, 200, "x");
    expect_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
                  false, 200, "abc0123456789");
}

static void expect_no_answer(const char *answer)
{
    int peer;
    http_response r;
    http_conn *c = pair(&peer);
    say(peer, answer);
    shutdown(peer, SHUT_WR);
    cr_assert_not(http_request(c, "GET", "/x", NULL, NULL, 0, &r, LONG), "%s", answer);
    http_close(c);
    close(peer);
}

Test(http, broken_answers_are_none)
{
    expect_no_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
    expect_no_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    expect_no_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n");
    expect_no_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n");
    expect_no_answer("HTTP/1.1 200 OK\r\n");
    expect_no_answer("what?\r\n\r\n");
    expect_no_answer("");
}

Test(http, what_a_request_looks_like)
{
    int peer;
    char heard[1024];
    http_conn *c = pair(&peer);
    cr_assert(http_send_request(c, "POST", "/events?stream=a", "X-A: b\r\n", "body", 4, LONG));
    cr_assert_str_eq(hear(peer, heard, sizeof heard),
                     "POST /events?stream=a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
                     "X-A: b\r\n\r\nbody");
    cr_assert(http_send_request(c, "GET", "/", NULL, NULL, 0, LONG));
    cr_assert_str_eq(hear(peer, heard, sizeof heard), "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    http_close(c);
    close(peer);
}

Test(http, two_requests_on_one_connection)
{
    int peer;
    http_response r;
    http_conn *c = pair(&peer);
    say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: "
              "3\r\n\r\ntwo");
    cr_assert(http_request(c, "GET", "/", NULL, NULL, 0, &r, LONG));
    cr_assert_str_eq(r.body, "one");
    http_response_fini(&r);
    cr_assert(http_request(c, "GET", "/", NULL, NULL, 0, &r, LONG));
    cr_assert_str_eq(r.body, "two");
    http_response_fini(&r);
    /* The answer to a HEAD has a length and no body. */
    say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    cr_assert(http_request(c, "HEAD", "/", NULL, NULL, 0, &r, LONG));
    cr_assert_eq(r.body_len, 0);
    http_response_fini(&r);
    http_close(c);
    close(peer);
}

Test(http, headers_are_found_in_any_case)
{
    int peer;
    http_response r;
    http_conn *c = pair(&peer);
    say(peer, "HTTP/1.1 405 No\r\nallow:  GET, POST\r\nX-Allow: no\r\nContent-Length: 0\r\n\r\n");
    cr_assert(http_request(c, "PUT", "/", NULL, NULL, 0, &r, LONG));
    cr_assert_str_eq(http_header(&r, "Allow"), "GET, POST");
    cr_assert_null(http_header(&r, "Allo"));
    cr_assert_null(http_header(&r, "HTTP/1.1 405 No"));
    http_response_fini(&r);
    http_close(c);
    close(peer);
}

static http_conn *stream(int *peer)
{
    http_response head;
    http_conn *c = pair(peer);
    say(*peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    cr_assert(http_read_head(c, &head, LONG));
    http_response_fini(&head);
    return c;
}

Test(http, events_across_chunks_and_reads)
{
    int peer;
    http_block b;
    http_conn *c = stream(&peer);
    say(peer, "6\r\n: hi\n\n\r\n4\r\nid: \r\n7\r\n7\ndata:\r\n");
    cr_assert_eq(http_next_block(c, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.comment, "hi");
    cr_assert_null(b.data);
    http_block_fini(&b);
    cr_assert_eq(http_next_event(c, &b, 0), HTTP_TIMEOUT);
    say(peer, "c\r\n a\ndata\ndata\r\n2\r\n:b\r\n14\r\n\nevent: e\nretry: 5\n\n\r\n");
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.id, "7");
    cr_assert_str_eq(b.type, "e");
    cr_assert_str_eq(b.retry, "5");
    cr_assert_str_eq(b.data, "a\n\nb");
    cr_assert_eq(b.data_len, 4);
    cr_assert_null(b.comment);
    http_block_fini(&b);
    /* Another event, and half of one, which is none. */
    say(peer, "e\r\n:x\ndata: y\n\nid\r\n0\r\n\r\n");
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
    cr_assert_null(b.id);
    cr_assert_str_eq(b.data, "y");
    cr_assert_str_eq(b.comment, "x");
    http_block_fini(&b);
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_END);
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_END);
    http_close(c);
    close(peer);
}

Test(http, a_stream_that_breaks_off)
{
    int peer;
    http_block b;
    http_conn *c = stream(&peer);
    say(peer, "9\r\ndata: x\n\n\r\n9\r\nda");
    shutdown(peer, SHUT_WR);
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
    http_block_fini(&b);
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_BROKEN);
    http_close(c);
    close(peer);
}

Test(http, lines_of_a_body)
{
    int peer;
    const char *line;
    size_t len;
    http_conn *c = stream(&peer);
    say(peer, "8\r\none\n\ntwo\r\n0\r\n\r\n");
    cr_assert_eq(http_read_line(c, &line, &len, LONG), HTTP_OK);
    cr_assert_str_eq(line, "one");
    cr_assert_eq(http_read_line(c, &line, &len, LONG), HTTP_OK);
    cr_assert_eq(len, 0);
    cr_assert_eq(http_read_line(c, &line, &len, LONG), HTTP_OK);
    cr_assert_str_eq(line, "two");
    cr_assert_eq(http_read_line(c, &line, &len, LONG), HTTP_END);
    http_close(c);
    close(peer);
}

static int listener(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(fd, 8), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

Test(http, fin_and_rst_arrive_as_such)
{
    uint16_t port;
    char byte;
    int fd = listener(&port);
    http_conn *c = http_connect(port);
    cr_assert_not_null(c);
    int peer = accept(fd, NULL, NULL);
    http_close(c);
    cr_assert(wait_readable(peer, LONG));
    cr_assert_eq(read(peer, &byte, 1), 0);
    close(peer);

    c = http_connect(port);
    peer = accept(fd, NULL, NULL);
    http_reset(c);
    cr_assert(wait_readable(peer, LONG));
    cr_assert_eq(read(peer, &byte, 1), -1);
    cr_assert_eq(errno, ECONNRESET);
    close(peer);

    c = http_connect(port);
    peer = accept(fd, NULL, NULL);
    http_shutdown(c);
    cr_assert(wait_readable(peer, LONG));
    cr_assert_eq(read(peer, &byte, 1), 0);
    say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    http_response head;
    cr_assert(http_read_head(c, &head, LONG));
    http_response_fini(&head);
    http_close(c);
    close(peer);
    close(fd);
}

Test(http, nobody_listens)
{
    uint16_t port;
    http_response r;
    close(listener(&port));
    cr_assert_null(http_connect(port));
    cr_assert_eq(errno, ECONNREFUSED);
    cr_assert_not(http_once(port, "GET", "/", NULL, NULL, &r, LONG));
    cr_assert_null(http_open_stream(port, "/", NULL, NULL, LONG));
}

/* How many bytes a peer can send to a client that does not read. */
static size_t fill_up(int peer)
{
    static char block[65536];
    size_t sent = 0;
    for (ssize_t n; (n = send(peer, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;)
        sent += (size_t)n;
    cr_assert_eq(errno, EAGAIN);
    return sent;
}

Test(http, a_small_receive_buffer_fills_up_soon)
{
    uint16_t port;
    int fd = listener(&port);
    http_conn *small = http_connect_rcvbuf(port, 4096);
    int peer = accept(fd, NULL, NULL);
    int sndbuf = 4096;
    cr_assert_eq(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf), 0);
    cr_assert_lt(fill_up(peer), 200000);
    http_close(small);
    close(peer);
    close(fd);
}

static void *answer_once(void *arg)
{
    char request[1024];
    int peer = accept(*(int *)arg, NULL, NULL);
    ssize_t n = read(peer, request, sizeof request - 1);
    request[n > 0 ? n : 0] = '\0';
    bool closes = strstr(request, "Connection: close\r\n") != NULL;
    const char *answer =
        closes ? "HTTP/1.1 200 OK\r\n\r\nclosing"
               : "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    (void)!write(peer, answer, strlen(answer));
    close(peer);
    return NULL;
}

Test(http, once_and_open_stream)
{
    uint16_t port;
    pthread_t thread;
    http_response r;
    http_block b;
    int fd = listener(&port);
    cr_assert_eq(pthread_create(&thread, NULL, answer_once, &fd), 0);
    cr_assert(http_once(port, "GET", "/", "X: y\r\n", NULL, &r, LONG));
    cr_assert_str_eq(r.body, "closing");
    http_response_fini(&r);
    pthread_join(thread, NULL);

    cr_assert_eq(pthread_create(&thread, NULL, answer_once, &fd), 0);
    http_conn *c = http_open_stream(port, "/events", NULL, &r, LONG);
    cr_assert_not_null(c);
    cr_assert_str_eq(http_header(&r, "content-type"), "text/event-stream");
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.data, "1");
    http_block_fini(&b);
    cr_assert_eq(http_next_event(c, &b, LONG), HTTP_END);
    http_response_fini(&r);
    http_close(c);
    pthread_join(thread, NULL);
    close(fd);
}
