/* hostile_flood PORT COUNT [FROM [tls]]: opens COUNT connections to 127.0.0.1:PORT, from the address FROM ("": any), and never sends a byte; with
 * `tls`, none after the handshake. A program of its own, because a process may have only so many descriptors.
 *
 * Prints "open N" when all are open, "refused N" when the server has answered or closed N of them by then, and "closed" once the
 * server has closed all. Ends at the end of its stdin; its connections break then. */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(unsigned port, const char *from)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && *from &&
        (inet_pton(AF_INET, from, &own.sin_addr) != 1 ||
         bind(fd, (struct sockaddr *)&own, sizeof own) != 0)) {
        perror(from);
        exit(1);
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

/* The session is given up: nothing will be sent in it, and what the server still sends is not read. */
static void shake_hands(int fd, gnutls_certificate_credentials_t trust)
{
    gnutls_session_t session;
    int code = gnutls_init(&session, GNUTLS_CLIENT);
    if (code == 0)
        code = gnutls_set_default_priority(session);
    if (code == 0)
        code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trust);
    gnutls_transport_set_int(session, fd);
    while (code == 0 && (code = gnutls_handshake(session)) != 0 && !gnutls_error_is_fatal(code))
        code = 0;
    if (code != 0) {
        fprintf(stderr, "handshake: %s\n", gnutls_strerror(code));
        exit(1);
    }
    gnutls_deinit(session);
}

static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void add(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

/* Drop those that the server has ended. Returns how many, or -1 at the end of stdin. */
static long drop_ended(int epoll, int timeout_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, timeout_ms);
    long ended = 0;
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == STDIN_FILENO)
            return -1;
        close(events[i].data.fd);
        ended++;
    }
    return ended;
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 5)
        return 64;
    bool tls = argc > 4;
    uint32_t ends = EPOLLRDHUP | (tls ? 0 : EPOLLIN); /* session tickets lie there unread */
    gnutls_certificate_credentials_t trust;
    if (gnutls_certificate_allocate_credentials(&trust) != 0)
        return 1;
    unsigned port = (unsigned)strtoul(argv[1], NULL, 10);
    long count = strtol(argv[2], NULL, 10), ended = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    raise_limit();
    add(epoll, STDIN_FILENO, EPOLLIN);
    for (long i = 0; i < count; i++) {
        int fd = connect_to(port, argc > 3 ? argv[3] : "");
        if (tls)
            shake_hands(fd, trust);
        add(epoll, fd, ends);
    }
    for (long n; (n = drop_ended(epoll, 1000)) > 0;)
        ended += n;
    printf("open %ld\nrefused %ld\n", count, ended);
    fflush(stdout);
    while (ended < count) {
        long n = drop_ended(epoll, -1);
        if (n < 0) {
            gnutls_certificate_free_credentials(trust);
            return 0;
        }
        ended += n;
    }
    puts("closed");
    fflush(stdout);
    gnutls_certificate_free_credentials(trust);
    while (drop_ended(epoll, -1) >= 0)
        ;
    return 0;
}
