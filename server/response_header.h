/* Headers that a user may add to the answers. */
#ifndef SSE_RESPONSE_HEADER_H
#define SSE_RESPONSE_HEADER_H

/* Why this line cannot be one of them, as what follows "header 'LINE': "; NULL: it can. `line` may be NULL. */
const char *sse__response_header_problem(const char *line);

#endif
