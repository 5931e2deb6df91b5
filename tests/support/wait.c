/* Waiting and counting for tests. No state, any thread.
 *
 * wait_until() has no event to wait for, so it pauses in poll() between two looks: first 1 ms,
 * later up to 20 ms. */
#include "wait.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int64_t wait_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int wait_left_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - wait_now_ms();
    return left > 0 ? (int)left : 0;
}

bool wait_until(bool (*cond)(void *arg), void *arg, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    int pause_ms = 1;
    while (!cond(arg)) {
        int left = wait_left_ms(deadline);
        if (left == 0)
            return cond(arg);
        poll(NULL, 0, pause_ms < left ? pause_ms : left);
        if (pause_ms < 20)
            pause_ms++;
    }
    return true;
}

bool wait_readable(int fd, int timeout_ms)
{
    int64_t deadline = wait_now_ms() + timeout_ms;
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    for (;;) {
        int n = poll(&pfd, 1, wait_left_ms(deadline));
        if (n > 0)
            return true;
        if (wait_left_ms(deadline) == 0)
            return false;
    }
}

static void proc_path(char *path, size_t size, pid_t pid, const char *leaf)
{
    if (pid == 0)
        snprintf(path, size, "/proc/self/%s", leaf);
    else
        snprintf(path, size, "/proc/%ld/%s", (long)pid, leaf);
}

static int count_entries(pid_t pid, const char *leaf)
{
    char path[64];
    proc_path(path, sizeof path, pid, leaf);
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

int wait_count_threads(pid_t pid) { return count_entries(pid, "task"); }

int wait_count_fds(pid_t pid)
{
    int n = count_entries(pid, "fd");
    return n > 0 && (pid == 0 || pid == getpid()) ? n - 1 : n;
}

long wait_resident_bytes(pid_t pid)
{
    char path[64];
    proc_path(path, sizeof path, pid, "statm");
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    long total, resident;
    int n = fscanf(file, "%ld %ld", &total, &resident);
    fclose(file);
    return n == 2 ? resident * sysconf(_SC_PAGESIZE) : -1;
}
