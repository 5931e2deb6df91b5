/* What the kernel says about processes: their CPU time, their memory; and what may be asked of it: a
 * core, descriptors. Thread: any. */
#ifndef BENCH_PROCSTAT_H
#define BENCH_PROCSTAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_GROUP_MAX 64

/* A server: a process and its descendants. */
typedef struct proc_group {
    pid_t pids[PROC_GROUP_MAX];
    size_t n;
} proc_group;

/* Returns false when there is no such process. */
bool proc_group_find(proc_group *g, pid_t root);

/* User and system time of all its processes, ended threads included, in nanoseconds. */
/* Whether all of them are still there. */
bool proc_group_lives(const proc_group *g);
uint64_t proc_cpu_ns(const proc_group *g);
/* Resident bytes of all its processes. */
uint64_t proc_rss_bytes(const proc_group *g);

/* How long a core has worked for processes, all together, in nanoseconds (in steps of some 10 ms);
 * core -1: all cores. */
uint64_t core_busy_ns(int core);

/* How often TCP has resent something because no answer came in time, on this machine; 0: unknown. */
uint64_t tcp_timeouts(void);

/* Nanoseconds of the monotonic clock; CPU time of the calling process. */
uint64_t now_ns(void);
uint64_t own_cpu_ns(void);

/* Wait until now_ns() is `when`; a timer's slack is asked to be as small as it goes. */
void wait_until_ns(uint64_t when);

/* Bind the calling thread, and those that it starts, to one core. Returns false when it may not. */
bool pin_to_core(int core);
int core_count(void);
/* How many cores the calling thread may use. */
int usable_cores(void);

/* Let this process have `wanted` descriptors if possible. Returns how many it may have. */
uint64_t raise_fd_limit(uint64_t wanted);

#endif
