/* A strict reader of Prometheus' text format 0.0.4, with the rules of `promtool check metrics`. */
#ifndef TEST_METRICS_H
#define TEST_METRICS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct metrics metrics;

/* Read a whole text. Returns NULL when it is not as it has to be, and says why on stderr. */
metrics *metrics_parse(const char *text);
void metrics_free(metrics *m);

/* The value of a series, written as it stands there: name or name{label="value"}. -1: it is not there. */
double metrics_value(const metrics *m, const char *series);

/* How many series begin with this. */
size_t metrics_count(const metrics *m, const char *prefix);

/* True when every counter of `before` (histograms included) is in `after` and not lower there; otherwise which one is not is told on
 * stderr. */
bool metrics_grew(const metrics *before, const metrics *after);

#endif
