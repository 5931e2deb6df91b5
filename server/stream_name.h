/* Names of streams that a user gives. */
#ifndef SSE_STREAM_NAME_H
#define SSE_STREAM_NAME_H

/* Why no stream can have this name, as what follows "'NAME': "; NULL: one can. `name` may be NULL. */
const char *sse__stream_name_problem(const char *name);

#endif
