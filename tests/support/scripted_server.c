/* The scripted server: an accepting thread, a thread per connection, one lock over everything that
 * is counted.
 *
 * The descriptor `wake` becomes readable when the server is stopped, so that every poll() ends. */
#include "scripted_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 60

struct request {
    char *bytes;
    size_t len;
    size_t head; /* bytes up to and with the empty line */
};

struct scripted_conn {
    scripted *server;
    scripted_conn *next;
    pthread_t thread;
    size_t index;
    int fd;
    char *held; /* bytes read and not yet part of a request */
    size_t nheld;
    const char *request; /* read last */
    bool ended;          /* its thread can be joined; guarded by server->mu */
};

struct scripted {
    scripted_script script;
    void *user;
    int listener;
    int wake;
    uint16_t port;
    pthread_t acceptor;
    char url[256];
    char value[4096];

    pthread_mutex_t mu;
    pthread_cond_t changed;
    scripted_conn *conns;
    size_t nconns;
    size_t nended;
    struct request *requests;
    size_t nrequests;
    unsigned gate;
    bool stopping;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

/* ---- Waiting ---- */

static bool wait_changed_locked(scripted *s, const struct timespec *until)
{
    return pthread_cond_timedwait(&s->changed, &s->mu, until) == 0;
}

static struct timespec deadline(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += DEADLINE_S;
    return ts;
}

static bool wait_count(scripted *s, const size_t *counter, size_t n)
{
    struct timespec until = deadline();
    pthread_mutex_lock(&s->mu);
    bool in_time = true;
    while (*counter < n && in_time)
        in_time = wait_changed_locked(s, &until);
    bool reached = *counter >= n;
    pthread_mutex_unlock(&s->mu);
    return reached;
}

static size_t read_count(scripted *s, const size_t *counter)
{
    pthread_mutex_lock(&s->mu);
    size_t n = *counter;
    pthread_mutex_unlock(&s->mu);
    return n;
}

bool scripted_wait_connections(scripted *s, size_t n) { return wait_count(s, &s->nconns, n); }

bool scripted_wait_requests(scripted *s, size_t n) { return wait_count(s, &s->nrequests, n); }

bool scripted_wait_ended(scripted *s, size_t n) { return wait_count(s, &s->nended, n); }

size_t scripted_connections(scripted *s) { return read_count(s, &s->nconns); }

size_t scripted_requests(scripted *s) { return read_count(s, &s->nrequests); }

void scripted_open_gate(scripted *s, unsigned gate)
{
    pthread_mutex_lock(&s->mu);
    if (gate > s->gate)
        s->gate = gate;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mu);
}

bool conn_wait(scripted_conn *c, unsigned gate)
{
    scripted *s = c->server;
    struct timespec until = deadline();
    pthread_mutex_lock(&s->mu);
    bool in_time = true;
    while (s->gate < gate && !s->stopping && in_time)
        in_time = wait_changed_locked(s, &until);
    bool open = s->gate >= gate;
    pthread_mutex_unlock(&s->mu);
    return open;
}

/* ---- Connections ---- */

/* False when the server is being stopped. */
static bool wait_fd(scripted *s, int fd, short events)
{
    struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = s->wake, .events = POLLIN}};
    int n;
    do
        n = poll(fds, 2, DEADLINE_S * 1000);
    while (n < 0 && errno == EINTR);
    return n > 0 && fds[1].revents == 0;
}

bool conn_send(scripted_conn *c, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n > 0) {
        if (c->fd < 0 || !wait_fd(c->server, c->fd, POLLOUT))
            return false;
        ssize_t done = send(c->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (done > 0) {
            at += done;
            n -= (size_t)done;
        }
    }
    return true;
}

bool conn_puts(scripted_conn *c, const char *text) { return conn_send(c, text, strlen(text)); }

/* Append what comes next. False at the end. */
static bool read_more(scripted_conn *c)
{
    char buf[16384];
    if (c->fd < 0 || !wait_fd(c->server, c->fd, POLLIN))
        return false;
    ssize_t n = recv(c->fd, buf, sizeof buf, 0);
    if (n <= 0)
        return false;
    c->held = realloc(c->held, c->nheld + (size_t)n + 1);
    must(c->held, "realloc");
    memcpy(c->held + c->nheld, buf, (size_t)n);
    c->nheld += (size_t)n;
    c->held[c->nheld] = '\0';
    return true;
}

static const char *find_header(const char *head, const char *end, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line + 2 < end;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            return line + 2 + n + 1;
    return NULL;
}

static void record(scripted_conn *c, size_t head, size_t len)
{
    scripted *s = c->server;
    struct request r = {.bytes = malloc(len + 1), .len = len, .head = head};
    must(r.bytes, "malloc");
    memcpy(r.bytes, c->held, len);
    r.bytes[len] = '\0';
    memmove(c->held, c->held + len, c->nheld - len + 1);
    c->nheld -= len;
    pthread_mutex_lock(&s->mu);
    s->requests = realloc(s->requests, (s->nrequests + 1) * sizeof *s->requests);
    must(s->requests, "realloc");
    s->requests[s->nrequests++] = r;
    c->request = r.bytes;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mu);
}

bool conn_read_request(scripted_conn *c)
{
    const char *empty;
    while (!c->held || !(empty = strstr(c->held, "\r\n\r\n")))
        if (!read_more(c))
            return false;
    size_t head = (size_t)(empty - c->held) + 4;
    const char *length = find_header(c->held, c->held + head, "Content-Length");
    size_t len = head + (length ? strtoul(length, NULL, 10) : 0);
    while (c->nheld < len)
        if (!read_more(c))
            return false;
    record(c, head, len);
    return true;
}

void conn_reset(scripted_conn *c)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->fd);
    c->fd = -1;
}

void conn_wait_peer(scripted_conn *c)
{
    while (read_more(c))
        c->nheld = 0;
}

size_t conn_index(const scripted_conn *c) { return c->index; }

const char *conn_request(const scripted_conn *c) { return c->request; }

scripted *conn_server(const scripted_conn *c) { return c->server; }

static void end_connection(scripted_conn *c)
{
    scripted *s = c->server;
    if (c->fd >= 0) {
        shutdown(c->fd, SHUT_WR);
        conn_wait_peer(c); /* a close with unread bytes would be an RST */
        close(c->fd);
    }
    free(c->held);
    pthread_mutex_lock(&s->mu);
    s->nended++;
    c->ended = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mu);
}

static void *connection_main(void *arg)
{
    scripted_conn *c = arg;
    c->server->script(c, c->server->user);
    end_connection(c);
    return NULL;
}

/* ---- The server ---- */

static void add_connection(scripted *s, int fd)
{
    scripted_conn *c = calloc(1, sizeof *c);
    must(c, "calloc");
    c->server = s;
    c->fd = fd;
    pthread_mutex_lock(&s->mu);
    c->index = s->nconns++;
    c->next = s->conns;
    s->conns = c;
    must(pthread_create(&c->thread, NULL, connection_main, c) == 0, "pthread_create");
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mu);
}

static scripted_conn *take_ended(scripted *s)
{
    scripted_conn *c = NULL;
    pthread_mutex_lock(&s->mu);
    for (scripted_conn **at = &s->conns; *at; at = &(*at)->next)
        if ((*at)->ended) {
            c = *at;
            *at = c->next;
            break;
        }
    pthread_mutex_unlock(&s->mu);
    return c;
}

/* Threads that have ended keep their stacks until they are joined, which is too much for tests with
 * thousands of connections. */
static void join_ended(scripted *s)
{
    for (scripted_conn *c; (c = take_ended(s));) {
        pthread_join(c->thread, NULL);
        free(c);
    }
}

static void *accept_main(void *arg)
{
    scripted *s = arg;
    while (wait_fd(s, s->listener, POLLIN)) {
        join_ended(s);
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            add_connection(s, fd);
    }
    return NULL;
}

static void listen_on_loopback(scripted *s)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof addr;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(s->listener >= 0, "socket");
    must(bind(s->listener, (struct sockaddr *)&addr, len) == 0, "bind");
    must(listen(s->listener, 512) == 0, "listen");
    must(getsockname(s->listener, (struct sockaddr *)&addr, &len) == 0, "getsockname");
    s->port = ntohs(addr.sin_port);
}

scripted *scripted_start(scripted_script script, void *user)
{
    scripted *s = calloc(1, sizeof *s);
    must(s, "calloc");
    s->script = script;
    s->user = user;
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC);
    must(s->wake >= 0, "eventfd");
    listen_on_loopback(s);
    must(pthread_create(&s->acceptor, NULL, accept_main, s) == 0, "pthread_create");
    return s;
}

static void free_connections(scripted *s)
{
    while (s->conns) {
        scripted_conn *c = s->conns;
        s->conns = c->next;
        pthread_join(c->thread, NULL);
        free(c);
    }
}

void scripted_stop(scripted *s)
{
    uint64_t one = 1;
    must(write(s->wake, &one, sizeof one) == (ssize_t)sizeof one, "write");
    pthread_mutex_lock(&s->mu);
    s->stopping = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mu);
    pthread_join(s->acceptor, NULL);
    free_connections(s);
    for (size_t i = 0; i < s->nrequests; i++)
        free(s->requests[i].bytes);
    free(s->requests);
    close(s->listener);
    close(s->wake);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

uint16_t scripted_port(const scripted *s) { return s->port; }

const char *scripted_url(scripted *s, const char *path)
{
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u%s", s->port, path);
    return s->url;
}

/* ---- Recorded requests ---- */

static struct request request_at(scripted *s, size_t i)
{
    pthread_mutex_lock(&s->mu);
    must(i < s->nrequests, "no such request");
    struct request r = s->requests[i];
    pthread_mutex_unlock(&s->mu);
    return r;
}

const char *scripted_request(scripted *s, size_t i) { return request_at(s, i).bytes; }

const char *scripted_request_body(scripted *s, size_t i)
{
    struct request r = request_at(s, i);
    return r.bytes + r.head;
}

const char *scripted_request_header(scripted *s, size_t i, const char *name)
{
    struct request r = request_at(s, i);
    const char *value = find_header(r.bytes, r.bytes + r.head, name);
    if (!value)
        return NULL;
    value += *value == ' ';
    snprintf(s->value, sizeof s->value, "%.*s", (int)strcspn(value, "\r"), value);
    return s->value;
}

size_t scripted_request_header_count(scripted *s, size_t i, const char *name)
{
    struct request r = request_at(s, i);
    size_t n = 0;
    for (const char *at = r.bytes; (at = find_header(at, r.bytes + r.head, name)); n++)
        ;
    return n;
}

void scripted_play(scripted_conn *c, void *user)
{
    const scripted_replies *all = user;
    const scripted_reply *r = &all->replies[c->index < all->n ? c->index : all->n - 1];
    if (!conn_read_request(c))
        return;
    conn_puts(c, r->bytes);
    if (r->end == END_RST)
        conn_reset(c);
    else if (r->end == END_HOLD)
        conn_wait_peer(c);
}
