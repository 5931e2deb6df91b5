/* SIGINT and SIGTERM; see interrupt.h.
 *
 * Threads of this program have all signals blocked (sync.c), so the handler runs on the main one, whose
 * waits are short and look at interrupt_signal() after each. Calls are not restarted: waiting for a
 * child ends, so that the signal can be passed on to it. */
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_int came;

static void note(int signal_number) { atomic_store(&came, signal_number); }

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int interrupt_signal(void) { return atomic_load(&came); }
