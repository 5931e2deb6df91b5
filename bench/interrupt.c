/* SIGINT and SIGTERM; see interrupt.h.
 *
 * Threads of this program have all signals blocked (sync.c), so the handler runs on the main one, whose
 * waits are short and look at interrupt_signal() after each. Calls are not restarted: waiting for a
 * child ends, so that the signal can be passed on to it. */
#include "interrupt.h"

#include "procstat.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

/* timeout(1) sends its signal twice, to its child and to the group: that is one. */
#define SAME_NS 500000000u

static atomic_int came;
static atomic_ullong came_ns;

static void note(int signal_number)
{
    if (atomic_load(&came) == 0) {
        atomic_store(&came_ns, now_ns());
        atomic_store(&came, signal_number);
    } else if (now_ns() - atomic_load(&came_ns) > SAME_NS) {
        signal(signal_number, SIG_DFL);
        raise(signal_number); /* once this function has returned */
    }
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = note};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int interrupt_signal(void) { return atomic_load(&came); }
