/* One measurement in several processes, each with a part of the subscribers and a server of its
 * own, because a process may not have as many descriptors as are needed. */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include "result.h"

/* Where the parts wait for each other. */
typedef struct meeting meeting;

/* Wait until all parts have come here as often as the caller, or one has failed. Thread: any of a
 * part's process. */
void meeting_wait(meeting *m);
bool meeting_is_first(const meeting *m);

/* Run work() in `n` processes, number 0 to n - 1, and add up what they measure. work() returns
 * TOOL_GO_ON, or an exit code after a message in its result. Returns the same; r->failure is then
 * that of the first part that failed. To be called while this process has one thread. */
int parts_run(uint32_t n, int (*work)(const void *user, uint32_t number, meeting *m, result *r),
              const void *user, result *r);

#endif
