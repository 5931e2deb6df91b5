/* Waiting for a condition with a deadline, and what the kernel says about a process. Deadlines only
 * turn a hang into a failure: choose them generously. */
#ifndef TEST_WAIT_H
#define TEST_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Milliseconds of the monotonic clock, and what is left until such a moment: 0 when it has passed.
 */
int64_t wait_now_ms(void);
int wait_left_ms(int64_t deadline_ms);

/* Ask cond(arg) every few milliseconds until it says true. Returns false when the time is over and
 * it still says false. */
bool wait_until(bool (*cond)(void *arg), void *arg, int timeout_ms);

/* Wait until fd can be read (or has ended). Returns false when the time is over. */
bool wait_readable(int fd, int timeout_ms);

/* Threads and open descriptors of a process, and its resident memory in bytes; pid 0 is the calling
 * process. The descriptor that counting itself takes is not counted. Return -1 when there is no
 * such process. */
int wait_count_threads(pid_t pid);
int wait_count_fds(pid_t pid);
long wait_resident_bytes(pid_t pid);

#endif
