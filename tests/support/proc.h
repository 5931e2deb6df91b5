/* Programs that a test starts: their pipes, their end, and the project's own tools among them.
 *
 * A program dies with the thread that started it (PR_SET_PDEATHSIG), so that a test that crashes
 * leaves nothing behind. All functions of one proc: one thread at a time. Every wait drains stdout
 * and stderr, so that the program never blocks on a full pipe; what came is kept until proc_free().
 */
#ifndef TEST_PROC_H
#define TEST_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct proc proc;

/* Start argv[0], looked for in PATH, with the arguments up to NULL. Returns NULL with errno set
 * when it could not be started. */
proc *proc_start(const char *const argv[]);

/* The same with these descriptors as its 3, 4 and so on; at most 12. */
proc *proc_start_with(const char *const argv[], const int fds[], int n);

/* Kill it if it still runs, collect it, free. NULL is fine. */
void proc_free(proc *p);

pid_t proc_pid(const proc *p);

/* Write to its stdin. Returns false when it closed its end or the time is over. */
bool proc_write(proc *p, const void *bytes, size_t n, int timeout_ms);
void proc_close_stdin(proc *p);

/* The next line of its stdout without the line end; a last line that lacks one counts. Valid until
 * the next call on p. Returns NULL at the end of stdout and when the time is over. */
const char *proc_read_line(proc *p, int timeout_ms);

/* Wait until its stderr holds this text. Returns false when it ended without, or when the time is
 * over. */
bool proc_wait_stderr(proc *p, const char *text, int timeout_ms);

/* All that it wrote so far (that a wait has seen), lines already read included; NUL-terminated;
 * valid until the next call. len may be NULL. */
const char *proc_stdout(const proc *p, size_t *len);
const char *proc_stderr(const proc *p, size_t *len);

/* Returns false when it has been collected already. */
bool proc_signal(proc *p, int signal_number);

/* Wait until it has ended and read the rest of its output; closes its stdin first.
 * Returns its exit code, or 128 + the signal that ended it, or -1 when it still runs after that
 * time. When it was ended by a signal that proc_signal() did not send, its stderr is copied to the
 * test's: it holds a sanitizer's report. */
int proc_wait(proc *p, int timeout_ms);

/* SIGTERM and proc_wait(). */
int proc_stop(proc *p, int timeout_ms);

/* Run a program to its end with this text (or NULL) as its stdin. Returns NULL when it did not
 * start or did not end in time; *code is as proc_wait() returns it. */
proc *proc_run(const char *const argv[], const char *input, int timeout_ms, int *code);

/* The path of one of the project's programs, from SSE_BIN in the environment. Static memory; aborts
 * when SSE_BIN is not set. */
const char *proc_bin(const char *name);

/* Start sse-server with `--listen 127.0.0.1:0` and these further arguments (up to NULL; itself
 * NULL: none) and wait until it says that it listens. A --listen among the arguments replaces the
 * first. Over TLS if cert_tls() (cert.h). Returns NULL when that does not happen, after copying its stderr to the test's. *port is 0
 * for a unix: address. */
proc *proc_start_server(const char *const args[], uint16_t *port);

#endif
