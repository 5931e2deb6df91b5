/* SIGINT and SIGTERM end a measurement, not the program: what was measured until then is printed and
 * written. */
#ifndef BENCH_INTERRUPT_H
#define BENCH_INTERRUPT_H

/* From now on the first of them is noted; one that comes later than half a second after it ends the program
 * as usual. */
void interrupt_catch(void);
/* The signal that came, 0: none. Thread: any. */
int interrupt_signal(void);

#endif
