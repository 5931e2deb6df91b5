/* Processes with a part each, and memory that they share for their results.
 *
 * Each part ends with this process (server_fork()). A part that ends without a result, in whatever
 * way, counts as failed, so that the others do not wait for it. */
#include "parts.h"

#include "interrupt.h"
#include "procstat.h"
#include "servers.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_NS 1000000u

typedef struct part {
    pid_t pid; /* of the process that started them */
    int code;
    bool done; /* the part's process has set code and result */
    result result;
} part;

typedef struct shared {
    atomic_uint arrived;
    atomic_bool failed;
    uint32_t n;
    part parts[];
} shared;

struct meeting {
    shared *shared;
    uint32_t number;
    uint32_t times; /* that this part has been here */
};

void meeting_wait(meeting *m)
{
    shared *s = m->shared;
    uint32_t all = ++m->times * s->n;
    atomic_fetch_add(&s->arrived, 1);
    while (atomic_load(&s->arrived) < all && !atomic_load(&s->failed))
        wait_until_ns(now_ns() + LOOK_NS);
}

bool meeting_is_first(const meeting *m) { return m->number == 0; }

static void finish(shared *s, uint32_t number, int code)
{
    s->parts[number].code = code;
    s->parts[number].done = true;
    if (code != TOOL_GO_ON)
        atomic_store(&s->failed, true);
}

static void start(shared *s, uint32_t number,
                  int (*work)(const void *user, uint32_t number, meeting *m, result *r),
                  const void *user)
{
    const server_needs here = {.pin = false};
    part *p = &s->parts[number];
    pid_t pid = server_fork(&here);
    if (pid != 0)
        p->pid = pid; /* the part shares this memory, and has 0 there */
    if (pid < 0) {
        snprintf(p->result.failure, sizeof p->result.failure, "fork: %s", strerror(errno));
        finish(s, number, TOOL_UNAVAILABLE);
    }
    if (pid != 0)
        return;
    interrupt_catch();
    meeting m = {.shared = s, .number = number};
    finish(s, number, work(user, number, &m, &p->result));
    _exit(0);
}

static void wait_for_all(shared *s)
{
    pid_t pid;
    bool told = false;
    while ((pid = waitpid(-1, NULL, 0)) > 0 || errno == EINTR) {
        for (uint32_t i = 0; i < s->n && !told && interrupt_signal(); i++)
            if (s->parts[i].pid > 0)
                kill(s->parts[i].pid, SIGINT);
        told = interrupt_signal() != 0;
        for (uint32_t i = 0; i < s->n && pid > 0; i++)
            if (s->parts[i].pid == pid && !s->parts[i].done) {
                snprintf(s->parts[i].result.failure, sizeof s->parts[i].result.failure,
                         "a load process ended by itself");
                finish(s, i, TOOL_UNAVAILABLE);
            }
    }
}

static int add_up(const shared *s, result *r)
{
    int code = TOOL_GO_ON;
    for (uint32_t i = 0; i < s->n; i++) {
        const part *p = &s->parts[i];
        if (p->code != TOOL_GO_ON && code == TOOL_GO_ON) {
            code = p->code;
            memcpy(r->failure, p->result.failure, sizeof r->failure);
        }
    }
    for (uint32_t i = 0; i < s->n && code == TOOL_GO_ON; i++)
        result_merge(r, &s->parts[i].result, i);
    return code;
}

int parts_run(uint32_t n, int (*work)(const void *user, uint32_t number, meeting *m, result *r),
              const void *user, result *r)
{
    size_t size = sizeof(shared) + n * sizeof(part);
    shared *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) {
        snprintf(r->failure, sizeof r->failure, "shared memory: %s", strerror(errno));
        return TOOL_UNAVAILABLE;
    }
    s->n = n;
    for (uint32_t i = 0; i < n; i++)
        result_init(&s->parts[i].result, r->server);
    for (uint32_t i = 0; i < n; i++)
        start(s, i, work, user);
    wait_for_all(s);
    int code = add_up(s, r);
    munmap(s, size);
    return code;
}
