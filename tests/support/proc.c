/* Programs that a test starts. Single-threaded use of each proc; nothing is shared between them.
 *
 * Between fork and exec the child calls async-signal-safe functions only: the test may have
 * threads. That exec worked is known by a pipe that exec closes. The end of the program is seen by
 * a pidfd, so that one poll() covers output and end. */
#include "proc.h"

#include "cert.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct stream {
    char *bytes; /* NUL-terminated */
    size_t len;
    size_t allocated;
    int fd; /* -1 once it has ended */
} stream;

struct proc {
    pid_t pid;
    int pidfd;
    int in; /* -1 once closed */
    int sent_signal;
    int code; /* -1 while it runs */
    stream out;
    stream err;
    size_t line_at; /* where the next line starts in out */
    char *line;
};

static void *must_alloc(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- starting ---- */

/* More descriptors for the program, as 3, 4, …; all numbers are at least LOW_FDS. */
enum { LOW_FDS = 16, EXTRA_MAX = LOW_FDS - 4 };
typedef struct extra {
    int fd[EXTRA_MAX];
    int n;
} extra;

static _Noreturn void child(const char *const argv[], const extra *more, int in, int out, int err,
                            int report, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    /* All that is there is at LOW_FDS and above, see high_pipe(): nothing is hit that is still
     * needed. */
    int told = 3 + more->n;
    bool ok = dup3(report, told, O_CLOEXEC) >= 0 && dup2(in, 0) >= 0 && dup2(out, 1) >= 0 &&
              dup2(err, 2) >= 0;
    for (int i = 0; i < more->n && ok; i++)
        ok = dup2(more->fd[i], 3 + i) >= 0;
    if (ok) {
        close_range((unsigned)told + 1, ~0u, 0);
        execvp(argv[0], (char *const *)argv);
    }
    int error = errno;
    ssize_t ignored = write(told, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

/* A pipe whose descriptors are so high that dup2() in the child hits none of them. */
static bool high_pipe(int fds[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        fds[i] = fcntl(low[i], F_DUPFD_CLOEXEC, LOW_FDS);
        close(low[i]);
    }
    return fds[0] >= 0 && fds[1] >= 0;
}

/* in, out, err, report; even is the reading end */
typedef struct pipes {
    int fd[4][2];
} pipes;

static bool pipes_open(pipes *ps)
{
    memset(ps, 0xff, sizeof *ps);
    for (int i = 0; i < 4; i++)
        if (!high_pipe(ps->fd[i]))
            return false;
    return true;
}

static void pipes_close(pipes *ps)
{
    for (int i = 0; i < 4; i++) {
        close_fd(&ps->fd[i][0]);
        close_fd(&ps->fd[i][1]);
    }
}

static int take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Returns 0 when exec has worked, else its errno. */
static int exec_result(int report)
{
    int error = 0;
    ssize_t n;
    do
        n = read(report, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    return n == 0 ? 0 : error;
}

static int spawn(const char *const argv[], const extra *more, pipes *ps, pid_t *pid)
{
    pid_t parent = getpid();
    *pid = fork();
    if (*pid < 0)
        return errno;
    if (*pid == 0)
        child(argv, more, ps->fd[0][0], ps->fd[1][1], ps->fd[2][1], ps->fd[3][1], parent);
    close_fd(&ps->fd[0][0]);
    for (int i = 1; i < 4; i++)
        close_fd(&ps->fd[i][1]);
    int error = exec_result(ps->fd[3][0]);
    if (error)
        waitpid(*pid, NULL, 0);
    return error;
}

static void stream_take(stream *s, int *fd)
{
    s->fd = take(fd);
    s->bytes = must_alloc(calloc(1, 1));
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
}

proc *proc_start(const char *const argv[]) { return proc_start_with(argv, NULL, 0); }

proc *proc_start_with(const char *const argv[], const int fds[], int n)
{
    pipes ps;
    pid_t pid = -1;
    extra more = {.n = n};
    if (n > EXTRA_MAX)
        abort();
    for (int i = 0; i < n; i++)
        more.fd[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, LOW_FDS);
    int error = pipes_open(&ps) ? spawn(argv, &more, &ps, &pid) : errno;
    for (int i = 0; i < n; i++)
        close_fd(&more.fd[i]);
    if (error) {
        pipes_close(&ps);
        errno = error;
        return NULL;
    }
    proc *p = must_alloc(calloc(1, sizeof *p));
    p->pid = pid;
    p->pidfd = pidfd_open(pid, 0);
    if (p->pidfd < 0)
        abort();
    p->code = -1;
    p->in = take(&ps.fd[0][1]);
    fcntl(p->in, F_SETFL, O_NONBLOCK);
    stream_take(&p->out, &ps.fd[1][0]);
    stream_take(&p->err, &ps.fd[2][0]);
    pipes_close(&ps);
    return p;
}

/* ---- reading what it writes ---- */

static void stream_read(stream *s)
{
    for (;;) {
        if (s->allocated - s->len < 4097) {
            s->allocated = s->allocated * 2 + 8192;
            s->bytes = must_alloc(realloc(s->bytes, s->allocated));
        }
        ssize_t n = read(s->fd, s->bytes + s->len, s->allocated - s->len - 1);
        if (n > 0)
            s->len += (size_t)n;
        s->bytes[s->len] = '\0';
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n == 0 || errno != EAGAIN)
            close_fd(&s->fd);
        return;
    }
}

static void collect(proc *p)
{
    int status;
    pid_t pid;
    do
        pid = waitpid(p->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    if (pid != p->pid)
        abort();
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Wait for output or the end, at most until the deadline, and take what is there. Returns false
 * when nothing can come any more or the time is over. */
static bool pump(proc *p, int64_t deadline)
{
    struct pollfd pfds[3] = {{.fd = p->out.fd, .events = POLLIN},
                             {.fd = p->err.fd, .events = POLLIN},
                             {.fd = p->code < 0 ? p->pidfd : -1, .events = POLLIN}};
    if (pfds[0].fd < 0 && pfds[1].fd < 0 && pfds[2].fd < 0)
        return false;
    int left = wait_left_ms(deadline);
    int n = poll(pfds, 3, left);
    if (n > 0 && pfds[0].revents)
        stream_read(&p->out);
    if (n > 0 && pfds[1].revents)
        stream_read(&p->err);
    if (n > 0 && pfds[2].revents)
        collect(p);
    return n != 0 || left > 0;
}

static const char *take_line(proc *p, size_t len, size_t line_end)
{
    free(p->line);
    p->line = must_alloc(malloc(len + 1));
    memcpy(p->line, p->out.bytes + p->line_at, len);
    p->line[len] = '\0';
    p->line_at += len + line_end;
    return p->line;
}

const char *proc_read_line(proc *p, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    for (;;) {
        const char *start = p->out.bytes + p->line_at;
        size_t rest = p->out.len - p->line_at;
        const char *end = memchr(start, '\n', rest);
        if (end)
            return take_line(p, (size_t)(end - start), 1);
        if (p->out.fd < 0)
            return rest > 0 ? take_line(p, rest, 0) : NULL;
        if (!pump(p, deadline))
            return NULL;
    }
}

bool proc_wait_stderr(proc *p, const char *text, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    while (!memmem(p->err.bytes, p->err.len, text, strlen(text)))
        if (p->err.fd < 0 || !pump(p, deadline))
            return false;
    return true;
}

const char *proc_stdout(const proc *p, size_t *len)
{
    if (len)
        *len = p->out.len;
    return p->out.bytes;
}

const char *proc_stderr(const proc *p, size_t *len)
{
    if (len)
        *len = p->err.len;
    return p->err.bytes;
}

/* ---- writing, signals, the end ---- */

/* write() without the SIGPIPE that a closed pipe sends to this thread. The process' own disposition
 * stays as it is: that the library raises no SIGPIPE is something that tests must be able to see.
 */
static ssize_t quiet_write(int fd, const void *bytes, size_t n)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t written = write(fd, bytes, n);
    int error = errno;
    if (written < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_only, NULL, &(struct timespec){0, 0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

/* Wait until stdin takes bytes, reading what comes meanwhile: the program may wait for its reader
 * first. */
static bool wait_writable(proc *p, int64_t deadline)
{
    struct pollfd pfds[3] = {{.fd = p->in, .events = POLLOUT},
                             {.fd = p->out.fd, .events = POLLIN},
                             {.fd = p->err.fd, .events = POLLIN}};
    int n = poll(pfds, 3, wait_left_ms(deadline));
    if (n > 0 && pfds[1].revents)
        stream_read(&p->out);
    if (n > 0 && pfds[2].revents)
        stream_read(&p->err);
    return n > 0 || wait_left_ms(deadline) > 0;
}

bool proc_write(proc *p, const void *bytes, size_t n, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    const char *at = bytes;
    while (n > 0) {
        ssize_t written = p->in >= 0 ? quiet_write(p->in, at, n) : -1;
        if (written > 0) {
            at += written;
            n -= (size_t)written;
        } else if (p->in < 0 || (errno != EAGAIN && errno != EINTR) ||
                   !wait_writable(p, deadline)) {
            return false;
        }
    }
    return true;
}

void proc_close_stdin(proc *p) { close_fd(&p->in); }

pid_t proc_pid(const proc *p) { return p->pid; }

bool proc_signal(proc *p, int signal_number)
{
    if (p->code >= 0)
        return false;
    p->sent_signal = signal_number;
    return kill(p->pid, signal_number) == 0;
}

static void relay_stderr(const proc *p)
{
    fprintf(stderr, "---- stderr of process %ld ----\n%s----\n", (long)p->pid, p->err.bytes);
}

int proc_wait(proc *p, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    bool ended_before = p->code >= 0;
    proc_close_stdin(p);
    while (p->code < 0)
        if (!pump(p, deadline))
            return -1;
    /* A grandchild may hold the pipes open for ever: take only what is there. */
    if (p->out.fd >= 0)
        stream_read(&p->out);
    if (p->err.fd >= 0)
        stream_read(&p->err);
    if (!ended_before && p->code > 128 && p->code != 128 + p->sent_signal)
        relay_stderr(p);
    return p->code;
}

int proc_stop(proc *p, int timeout_ms)
{
    proc_signal(p, SIGTERM);
    return proc_wait(p, timeout_ms);
}

void proc_free(proc *p)
{
    if (!p)
        return;
    if (proc_signal(p, SIGKILL))
        collect(p);
    close_fd(&p->in);
    close_fd(&p->out.fd);
    close_fd(&p->err.fd);
    close_fd(&p->pidfd);
    free(p->out.bytes);
    free(p->err.bytes);
    free(p->line);
    free(p);
}

proc *proc_run(const char *const argv[], const char *input, int timeout_ms, int *code)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    proc *p = proc_start(argv);
    if (!p)
        return NULL;
    /* A program may well end without reading its input: that alone is no error. */
    if (input)
        (void)proc_write(p, input, strlen(input), timeout_ms);
    *code = proc_wait(p, wait_left_ms(deadline));
    if (*code >= 0)
        return p;
    proc_free(p);
    return NULL;
}

/* ---- the project's programs ---- */

const char *proc_bin(const char *name)
{
    static _Thread_local char path[4096];
    const char *dir = getenv("SSE_BIN");
    if (!dir) {
        fprintf(stderr, "SSE_BIN is not set: it names the directory of the project's programs\n");
        abort();
    }
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

enum { MAX_ARGS = 128, START_TIMEOUT_MS = 60000 };

static bool has_listen(const char *const args[])
{
    for (; args && *args; args++)
        if (strcmp(*args, "--listen") == 0 || strncmp(*args, "--listen=", 9) == 0)
            return true;
    return false;
}

static bool read_address(proc *p, uint16_t *port)
{
    const char *line = proc_read_line(p, START_TIMEOUT_MS);
    static const char start[] = "listening on ";
    if (!line || strncmp(line, start, sizeof start - 1) != 0)
        return false;
    const char *address = line + sizeof start - 1;
    const char *colon = strrchr(address, ':');
    *port = 0;
    if (strncmp(address, "http", 4) == 0 && colon)
        *port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return true;
}

proc *proc_start_server(const char *const args[], uint16_t *port)
{
    const char *argv[MAX_ARGS + 8] = {proc_bin("sse-server")};
    size_t n = 1;
    if (!has_listen(args)) {
        argv[n++] = "--listen";
        argv[n++] = "127.0.0.1:0";
    }
    n += cert_args(argv + n);
    for (; args && *args; args++) {
        if (n > MAX_ARGS)
            abort();
        argv[n++] = *args;
    }
    proc *p = proc_start(argv);
    if (p && read_address(p, port))
        return p;
    if (!p) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        return NULL;
    }
    (void)proc_wait(p, 0);
    relay_stderr(p);
    proc_free(p);
    return NULL;
}
