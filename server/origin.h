/* Origins and host names that a user lists. */
#ifndef SSE_ORIGIN_H
#define SSE_ORIGIN_H

/* Why no page can be of this origin, as what follows "'ORIGIN': "; NULL: one can. "*" and "null" are fine, NULL is not. */
const char *sse__origin_problem(const char *origin);

/* Likewise: why no request can be for this host. "*" is fine. */
const char *sse__host_name_problem(const char *name);

#endif
