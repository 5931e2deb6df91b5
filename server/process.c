/* What the kernel says about this process, for /metrics. Linux: /proc; what cannot be read there is 0.
 *
 * Threads: any. Everything is read anew at each call. */
#include "process.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The start of a file, NUL-terminated. Returns false when it cannot be read. */
static bool read_start(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t n = fread(out, 1, size - 1, file);
    fclose(file);
    out[n] = '\0';
    return n > 0;
}

static double cpu_seconds(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) != 0)
        return 0;
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Linux 6.2 and later say it at once; before, the entries have to be counted. */
static uint64_t count_fds(void)
{
    struct stat info;
    if (stat("/proc/self/fd", &info) == 0 && info.st_size > 0)
        return (uint64_t)info.st_size;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    uint64_t n = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n > 0 ? n - 1 : 0; /* without the one that reads them */
}

static uint64_t max_fds(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (uint64_t)limit.rlim_cur : 0;
}

static uint64_t resident_bytes(void)
{
    char text[128];
    unsigned long long pages;
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || !read_start("/proc/self/statm", text, sizeof text) ||
        sscanf(text, "%*u %llu", &pages) != 1)
        return 0;
    return pages * (uint64_t)page;
}

/* Clock ticks between the system's start and this process's: the 22nd field, the 20th behind the name, which may hold anything. */
static bool start_ticks(unsigned long long *out)
{
    char text[1024];
    if (!read_start("/proc/self/stat", text, sizeof text))
        return false;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%llu", out) == 1;
}

/* The wall clock now, less the time since the start. */
static double start_time(void)
{
    unsigned long long ticks;
    long per_second = sysconf(_SC_CLK_TCK);
    struct timespec since_boot, now;
    if (per_second <= 0 || !start_ticks(&ticks) ||
        clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    double booted =
        (double)(now.tv_sec - since_boot.tv_sec) + (double)(now.tv_nsec - since_boot.tv_nsec) / 1e9;
    return booted + (double)ticks / (double)per_second;
}

void sse__process_look(sse__process *out)
{
    *out = (sse__process){.cpu_s = cpu_seconds(),
                          .started_s = start_time(),
                          .open_fds = count_fds(),
                          .max_fds = max_fds(),
                          .resident_bytes = resident_bytes()};
}
