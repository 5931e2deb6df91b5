/* Starting and ending the servers that are measured; nginx with nchan is in nchan.c.
 *
 * Children are forked while this program has no other threads. Each ends with this process
 * (PR_SET_PDEATHSIG), so that nothing is left behind when it is interrupted. */
#include "servers.h"

#include "procstat.h"
#include "raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 10000

const char *const server_names[SERVER_KINDS] = {"raw", "sse-server", "nchan"};

pid_t server_fork(const server_needs *needs)
{
    fflush(stdout);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0); /* Ctrl-C is for this program, which ends the others in its order */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (getppid() != parent)
        _exit(TOOL_UNAVAILABLE);
    if (needs->pin)
        pin_to_core(0);
    return 0;
}

int server_listen(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

void server_urls(server *s, uint16_t port, const char *subscribe, const char *publish)
{
    char text[512];
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s", port, subscribe);
    (void)http_url_parse(&s->subscribe, text);
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s", port, publish);
    (void)http_url_parse(&s->publish, text);
    snprintf(text, sizeof text, "http://127.0.0.1:%u" SERVER_STATUS, port);
    (void)http_url_parse(&s->status, text);
}

/* ---- raw ---- */

static bool raw_start(server *s, const server_needs *needs, char why[200])
{
    uint16_t port;
    int listener = server_listen(&port);
    if (listener < 0) {
        snprintf(why, 200, "listening: %s", strerror(errno));
        return false;
    }
    s->pid = server_fork(needs);
    if (s->pid == 0) {
        raw_options options = {.listener = listener,
                               .coalesce = needs->coalesce ? needs->coalesce : 16,
                               .replay = needs->replay,
                               .log_bytes = needs->big ? 16u << 20 : 1u << 20};
        raw_serve(&options);
    }
    close(listener);
    s->named = true;
    server_urls(s, port, "/events", "/events");
    return s->pid > 0;
}

/* ---- sse-server ---- */

static void sse_server_path(const server_needs *needs, char path[4096])
{
    if (needs->sse_server) {
        snprintf(path, 4096, "%s", needs->sse_server);
        return;
    }
    ssize_t n = readlink("/proc/self/exe", path, 4000);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash ? slash + 1 : path, 32, "sse-server");
}

static void exec_sse_server(const server_needs *needs, int out)
{
    char path[4096], connections[16];
    sse_server_path(needs, path);
    snprintf(connections, sizeof connections, "%u", needs->connections + 100);
    tool_list args = {0};
    const char *fixed[] = {
        path,    "--listen",          "127.0.0.1:0", "--auto-stream", "--auto-stream-idle",
        "86400", "--max-subscribers", connections,   "--log-level",   "warn"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        tool_set_list(&args, fixed[i]);
    if (needs->pin) { /* one core, one I/O thread */
        tool_set_list(&args, "--threads");
        tool_set_list(&args, "1");
    }
    if (needs->flat_out) {
        tool_set_list(&args, "--slow-consumer");
        tool_set_list(&args, "block");
    }
    for (size_t i = 0; needs->extra && i < needs->extra->n; i++)
        tool_set_list(&args, needs->extra->items[i]);
    dup2(out, STDOUT_FILENO);
    execv(path, (char *const *)args.items);
    fprintf(stderr, "sse-bench: %s: %s\n", path, strerror(errno));
    _exit(127);
}

/* The line that says where it listens. */
static bool read_port(int fd, uint16_t *port)
{
    char line[256];
    size_t len = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (len < sizeof line - 1 && poll(&p, 1, START_MS) > 0) {
        ssize_t n = read(fd, line + len, sizeof line - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        line[len] = '\0';
        if (strchr(line, '\n')) {
            const char *colon = strrchr(line, ':');
            long number = colon ? strtol(colon + 1, NULL, 10) : 0;
            *port = (uint16_t)number;
            return strncmp(line, "listening on http://", 20) == 0 && number > 0;
        }
    }
    return false;
}

static bool sse_server_start(server *s, const server_needs *needs, char why[200])
{
    int out[2];
    uint16_t port = 0;
    if (pipe2(out, O_CLOEXEC) != 0)
        return false;
    s->pid = server_fork(needs);
    if (s->pid == 0)
        exec_sse_server(needs, out[1]);
    close(out[1]);
    bool ready = s->pid > 0 && read_port(out[0], &port);
    close(out[0]);
    s->named = true;
    if (ready)
        server_urls(s, port, "/events", "/events");
    else
        snprintf(why, 200, "sse-server did not start");
    return ready;
}

/* ---- all ---- */

bool server_available(server_kind kind, const server_needs *needs, const char **why)
{
    char path[4096];
    if (kind == SERVER_NCHAN)
        return nchan_available(why);
    if (kind == SERVER_RAW)
        return true;
    sse_server_path(needs, path);
    *why = "there is no sse-server beside sse-bench (name it with --server)";
    return access(path, X_OK) == 0;
}

bool server_start(server *s, server_kind kind, const server_needs *needs, char why[200])
{
    memset(s, 0, sizeof *s);
    snprintf(why, 200, "it did not start");
    s->kind = kind;
    bool ok = false;
    if (kind == SERVER_RAW)
        ok = raw_start(s, needs, why);
    else if (kind == SERVER_SSE)
        ok = sse_server_start(s, needs, why);
    else if (kind == SERVER_NCHAN)
        ok = nchan_start(s, needs, why);
    if (ok)
        why[0] = '\0';
    else if (s->pid > 0)
        (void)server_stop(s);
    return ok;
}

bool server_stop(server *s)
{
    int status;
    bool ended = waitpid(s->pid, &status, WNOHANG) == s->pid;
    if (!ended) {
        /* What it would do for its subscribers at the end is not what is measured: no drain. nginx
         * has a child of its own, which it ends when it is asked to. */
        kill(s->pid, s->kind == SERVER_NCHAN ? SIGTERM : SIGKILL);
        waitpid(s->pid, &status, 0);
    }
    if (s->kind == SERVER_NCHAN)
        nchan_clean(s);
    s->pid = 0;
    return !ended;
}
