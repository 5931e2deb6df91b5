/* Reading /proc and the CPU clocks of other processes. No state. */
#include "procstat.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t own_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

void wait_until_ns(uint64_t when)
{
    struct timespec t = {.tv_sec = (time_t)(when / 1000000000u),
                         .tv_nsec = (long)(when % 1000000000u)};
    prctl(PR_SET_TIMERSLACK, 1UL);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* ---- processes ---- */

static void add_children(proc_group *g, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return;
    int child;
    while (g->n < PROC_GROUP_MAX && fscanf(f, "%d", &child) == 1)
        g->pids[g->n++] = child;
    fclose(f);
}

bool proc_group_find(proc_group *g, pid_t root)
{
    clockid_t clock;
    g->n = 0;
    if (root <= 0 || clock_getcpuclockid(root, &clock) != 0)
        return false;
    g->pids[g->n++] = root;
    for (size_t i = 0; i < g->n; i++)
        add_children(g, g->pids[i]);
    return true;
}

bool proc_group_lives(const proc_group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(g->pids[i], &clock) != 0)
            return false;
    }
    return true;
}

uint64_t proc_cpu_ns(const proc_group *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(g->pids[i], &clock) == 0)
            sum += clock_ns(clock);
    }
    return sum;
}

/* smaps_rollup walks the page table and is exact; statm may lag behind by some pages per core. */
static uint64_t rss_of(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Rss: %llu kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    if (kb > 0)
        return kb * 1024;
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    f = fopen(path, "r");
    if (f && fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t proc_rss_bytes(const proc_group *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->n; i++)
        sum += rss_of(g->pids[i]);
    return sum;
}

uint64_t core_busy_ns(int core)
{
    char name[16], line[512];
    unsigned long long user = 0, nice = 0, system = 0;
    snprintf(name, sizeof name, core < 0 ? "cpu " : "cpu%d ", core);
    FILE *f = fopen("/proc/stat", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) {
            if (sscanf(line, "%*s %llu %llu %llu", &user, &nice, &system) != 3)
                user = nice = system = 0;
            break;
        }
    if (f)
        fclose(f);
    return (user + nice + system) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* /proc/net/netstat has a line of names, then one of numbers. */
uint64_t tcp_timeouts(void)
{
    char names[8192], values[8192], *name_at = NULL, *value_at = NULL;
    unsigned long long found = 0;
    FILE *f = fopen("/proc/net/netstat", "r");
    if (!f)
        return 0;
    if (fgets(names, sizeof names, f) && fgets(values, sizeof values, f)) {
        const char *name = strtok_r(names, " \n", &name_at);
        const char *value = strtok_r(values, " \n", &value_at);
        while (name && value && strcmp(name, "TCPTimeouts") != 0) {
            name = strtok_r(NULL, " \n", &name_at);
            value = strtok_r(NULL, " \n", &value_at);
        }
        if (name && value)
            found = strtoull(value, NULL, 10);
    }
    fclose(f);
    return found;
}

/* ---- what is asked for ---- */

bool pin_to_core(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

int core_count(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }

int usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return core_count();
    return CPU_COUNT(&set);
}

uint64_t raise_fd_limit(uint64_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur >= wanted)
        return limit.rlim_cur;
    struct rlimit more = {wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return wanted;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}
