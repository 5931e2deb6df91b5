/* sse-server under a service manager: the test plays its part. It binds sockets and passes them on,
 * and receives what the server tells. */
#include "../support/cert.h"
#include "e2e.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the manager's side ---- */

static int listening_socket(uint32_t address, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(address)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 16) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static int unix_socket_at(const char *path, int type)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    if (type == SOCK_STREAM)
        cr_assert_eq(listen(fd, 16), 0);
    return fd;
}

/* LISTEN_PID is the process id that the shell has and keeps in exec. */
static proc *activate(const int fds[], int n, const char *const args[])
{
    const char *argv[64] = {"sh", "-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", proc_bin("sse-server")};
    size_t at = 4 + cert_args(argv + 4);
    for (; args && *args; args++)
        argv[at++] = *args;
    setenv("LISTEN_FDS", text("%d", n), 1);
    proc *p = proc_start_with(argv, fds, n);
    unsetenv("LISTEN_FDS");
    cr_assert_not_null(p);
    return p;
}

/* The next message that the server sends to the manager. */
static const char *next_message(int fd)
{
    static char message[1024];
    cr_assert(wait_readable(fd, LONG), "the server tells nothing");
    ssize_t n = recv(fd, message, sizeof message - 1, 0);
    cr_assert_gt(n, 0);
    message[n] = '\0';
    return message;
}

static void expect_message(int fd, const char *part)
{
    const char *message = next_message(fd);
    cr_assert_not_null(strstr(message, part), "'%s' lacks '%s'", message, part);
}

/* ---- sockets that are passed on ---- */

Test(server_service, takes_sockets_in_place_of_listen)
{
    uint16_t port, other;
    const char *path = text("%s/socket", temp_dir());
    const int fds[] = {listening_socket(INADDR_LOOPBACK, &port),
                       listening_socket(INADDR_LOOPBACK, &other),
                       unix_socket_at(path, SOCK_STREAM)};
    proc *p = activate(fds, 3, ARGS("--stream=s", "--listen", "127.0.0.1:1"));
    expect_line(p, text("listening on %s", url_at(port)));
    expect_line(p, text("listening on %s", url_at(other)));
    expect_line(p, text("listening on unix:%s", path));
    cr_assert(proc_wait_stderr(p, "--listen is not used", LONG));
    hub h = {p, port, ""}, h2 = {p, other, ""};
    http_conn *c = follow(&h, "s", NULL, NULL);
    publish(&h2, "s", NULL, "over a passed socket");
    expect_data(c, "over a passed socket");
    http_close(c);
    proc *sub = tool_run(
        "sse-sub",
        ARGS("--unix-socket", path, "--count=1", "--stream=s", "http://localhost/events"), NULL, 0);
    cr_assert_str_eq(out_of(sub), "over a passed socket\n");
    proc_free(sub);
    hub_end(&h);
    struct stat info;
    cr_assert_eq(stat(path, &info), 0, "the manager's file was removed");
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

/* Ask on a connection that nobody accepts yet: over TLS the hello goes out, the request has to wait for the answer to that. */
static http_conn *ask_in_advance(uint16_t port)
{
    http_conn *c = http_connect_plain(port);
    cr_assert_not_null(c, "refused");
    if (!http_secure(c, 0))
        return c;
    cr_assert(http_send_request(c, "GET", "/healthz", NULL, NULL, 0, LONG));
    return c;
}

static void expect_answer(http_conn *c)
{
    http_response r;
    if (cert_tls()) {
        cr_assert(http_secure(c, LONG), "no handshake");
        cr_assert(http_send_request(c, "GET", "/healthz", NULL, NULL, 0, LONG));
    }
    cr_assert(http_read_head(c, &r, LONG));
    cr_assert_eq(r.status, 200, "%d", r.status);
    http_response_fini(&r);
    http_close(c);
}

/* That is what it is for: no connection is refused while the server is away. */
Test(server_service, a_restart_refuses_nobody)
{
    uint16_t port;
    const int fd = listening_socket(INADDR_LOOPBACK, &port);
    proc *p = activate(&fd, 1, ARGS("--stream=s"));
    cr_assert_not_null(proc_read_line(p, LONG));
    hub h = {p, port, ""};
    publish(&h, "s", NULL, "x");
    hub_end(&h);
    http_conn *c = ask_in_advance(port);
    h.process = activate(&fd, 1, ARGS("--stream=s"));
    expect_answer(c);
    hub_end(&h);
    close(fd);
}

static bool drains(void *arg)
{
    http_response r;
    cr_assert(http_request(arg, "GET", "/healthz", NULL, NULL, 0, &r, LONG));
    int status = r.status;
    http_response_fini(&r);
    return status == 503;
}

/* Nor is anybody refused while one still drains: who connects then is its successor's. */
Test(server_service, who_comes_during_a_drain_is_the_successors)
{
    static char bulk[500001];
    memset(bulk, 'x', sizeof bulk - 1);
    uint16_t port;
    const int fd = listening_socket(INADDR_LOOPBACK, &port);
    proc *p = activate(&fd, 1, ARGS("--stream=s", "--drain=60"));
    cr_assert_not_null(proc_read_line(p, LONG));
    hub h = {p, port, ""};
    http_conn *slow = http_connect_rcvbuf(port, 4096), *open = http_connect(port);
    cr_assert(slow && open);
    cr_assert(http_send_request(slow, "GET", "/events?stream=s", NULL, NULL, 0, LONG));
    wait_number(&h, "s", "subscribers", 1);
    for (int i = 0; i < 20; i++)
        publish(&h, "s", NULL, bulk);
    proc_signal(p, SIGTERM);
    cr_assert(wait_until(drains, open, LONG));
    http_conn *c = ask_in_advance(port);
    h.process = activate(&fd, 1, ARGS("--stream=s"));
    expect_answer(c);
    http_close(open);
    http_close(slow);
    tool_end(p, 0);
    hub_end(&h);
    close(fd);
}

static void activation_fails(const int fds[], int n, const char *const args[], int code,
                             const char *part)
{
    proc *p = activate(fds, n, args);
    int got = proc_wait(p, LONG);
    cr_assert_eq(got, code, "%d: %s", got, err_of(p));
    cr_assert(one_line(err_of(p)) && strstr(err_of(p), part), "%s", err_of(p));
    cr_assert_str_eq(out_of(p), "");
    proc_free(p);
}

Test(server_service, wrong_sockets_are_refused)
{
    uint16_t port;
    const int everywhere = listening_socket(INADDR_ANY, &port);
    activation_fails(&everywhere, 1, ARGS("--stream=s"), 64, "not loopback");
    proc *p = activate(&everywhere, 1, ARGS("--stream=s", "--anonymous-publish"));
    expect_line(p, text("listening on http%s://0.0.0.0:%u", cert_tls() ? "s" : "", port));
    hub h = {p, port, ""};
    hub_end(&h);
    const int datagrams = unix_socket_at(text("%s/datagrams", temp_dir()), SOCK_DGRAM);
    activation_fails(&datagrams, 1, NULL, 69, "descriptor 3");
    const int idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    activation_fails(&idle, 1, NULL, 69, "not a listening stream socket");
    activation_fails(NULL, 0, ARGS("--listen=127.0.0.1"), 64, "--listen");
    close(everywhere);
    close(datagrams);
    close(idle);
}

/* Fewer sockets than promised, and sockets of another process. */
Test(server_service, listen_fds_is_checked)
{
    setenv("LISTEN_FDS", "3", 1);
    const char *argv[] = {"sh", "-c", "LISTEN_PID=$$ exec \"$0\"", proc_bin("sse-server"), NULL};
    int code;
    proc *p = proc_run(argv, NULL, LONG, &code);
    cr_assert(p && code == 69 && strstr(err_of(p), "LISTEN_FDS"));
    proc_free(p);
    setenv("LISTEN_PID", "1", 1);
    hub h = hub_start(NULL);
    hub_end(&h);
}

/* ---- what it tells ---- */

Test(server_service, tells_its_states)
{
    const char *path = text("%s/notify", temp_dir());
    int fd = unix_socket_at(path, SOCK_DGRAM);
    setenv("NOTIFY_SOCKET", path, 1);
    const char *tokens = temp_file("t\n");
    hub h = hub_start(ARGS("--stream=s", "--publish-token-file", tokens));
    expect_message(fd, "READY=1");
    proc_signal(h.process, SIGHUP);
    long long us = 0;
    const char *message = next_message(fd);
    cr_assert_eq(sscanf(message, "RELOADING=1\nMONOTONIC_USEC=%lld", &us), 1, "%s", message);
    cr_assert(us > 0 && us / 1000 <= wait_now_ms());
    expect_message(fd, "READY=1");
    proc_signal(h.process, SIGTERM);
    expect_message(fd, "STOPPING=1");
    cr_assert_eq(proc_wait(h.process, LONG), 0);
    proc_free(h.process);
    close(fd);
}

/* A name of the kernel's, as service managers use in containers. */
Test(server_service, abstract_socket)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* The kernel chooses a name. */
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(sa_family_t)), 0);
    socklen_t len = sizeof a;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    int n = (int)(len - sizeof(sa_family_t)) - 1;
    setenv("NOTIFY_SOCKET", text("@%.*s", n, a.sun_path + 1), 1);
    hub h = hub_start(NULL);
    expect_message(fd, "READY=1");
    hub_end(&h);
    close(fd);
}

Test(server_service, watchdog)
{
    const char *path = text("%s/notify", temp_dir());
    int fd = unix_socket_at(path, SOCK_DGRAM);
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "40000", 1);
    hub h = hub_start(ARGS("--stream=s", "--stream=t"));
    http_conn *c = follow(&h, "s", NULL, NULL);
    expect_message(fd, "READY=1");
    expect_message(fd, "WATCHDOG=1");
    while (!strstr(next_message(fd), "WATCHDOG=1\nSTATUS=1 subscribers, 2 streams"))
        ;
    http_close(c);
    hub_end(&h);
    /* Meant for another process. */
    setenv("WATCHDOG_PID", "1", 1);
    const char *other = text("%s/other", temp_dir());
    int fd2 = unix_socket_at(other, SOCK_DGRAM);
    setenv("NOTIFY_SOCKET", other, 1);
    h = hub_start(NULL);
    expect_message(fd2, "READY=1");
    hub_end(&h);
    expect_message(fd2, "STOPPING=1");
    close(fd);
    close(fd2);
}

/* A manager that has gone, or a senseless name, is no reason to fail. */
Test(server_service, nobody_listens)
{
    static const char *const names[] = {"/nonexistent/notify", "relative", "", "@"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        hub h = hub_start(NULL);
        expect(&h, "GET", "/healthz", NULL, NULL, 200, "ok");
        hub_end(&h);
    }
}
