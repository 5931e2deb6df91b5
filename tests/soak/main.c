/* See soak.h. */
#include "soak.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

int soak_clock(unsigned period_ms)
{
    struct timespec period = {.tv_sec = period_ms / 1000,
                              .tv_nsec = (long)(period_ms % 1000) * 1000000};
    struct itimerspec spec = {.it_interval = period, .it_value = period};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) != 0)
        abort();
    return fd;
}

void soak_tick(int clock)
{
    uint64_t times;
    if (read(clock, &times, sizeof times) != sizeof times)
        abort();
}

uint64_t soak_draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

static uint16_t port(const char *text) { return (uint16_t)strtoul(text, NULL, 10); }

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 5 && strcmp(argv[1], "publish") == 0)
        return soak_publish(port(argv[2]), port(argv[3]), (unsigned)strtoul(argv[4], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "subscribe") == 0)
        return soak_subscribe(port(argv[2]), port(argv[3]));
    fprintf(stderr, "usage: sse-soak publish HUB_PORT PHOENIX_PORT SECONDS | subscribe HUB_PORT "
                    "PHOENIX_PORT\n");
    return 64;
}
