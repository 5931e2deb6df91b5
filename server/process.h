/* What the kernel says about this process. */
#ifndef SSE__PROCESS_H
#define SSE__PROCESS_H

#include <stdint.h>

typedef struct sse__process {
    double cpu_s;     /* user and system time */
    double started_s; /* since the epoch; 0: not known. Likewise below. */
    uint64_t open_fds;
    uint64_t max_fds;
    uint64_t resident_bytes;
} sse__process;

/* Thread: any. */
void sse__process_look(sse__process *out);

#endif
