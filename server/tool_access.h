/* Who may do what at sse-server: the authorize callback and the rules that it goes by. */
#ifndef SSE_TOOL_ACCESS_H
#define SSE_TOOL_ACCESS_H

#include "sync.h"
#include "tool_config.h"

#include <sse/server.h>

/* What the files that the options name say. Immutable once in use, shared. */
typedef struct access_rules access_rules;

/* Read the files. Returns TOOL_GO_ON, or TOOL_USAGE after it has said what is wrong.
 * Thread: any. */
enum tool_exit access_rules_load(const config *c, access_rules **out);
void access_rules_unref(access_rules *rules);
/* Must who publishes show something? */
bool access_rules_guard_publishing(const access_rules *rules);

typedef struct access_gate {
    sse__mutex mu; /* rank LEAF; guards `rules` */
    access_rules *rules;
} access_gate;

/* Takes over the reference. */
void access_gate_init(access_gate *gate, access_rules *rules);
void access_gate_fini(access_gate *gate);
/* From the next request on these rules hold; takes over the reference. Thread: any. */
void access_gate_change(access_gate *gate, access_rules *rules);
/* sse_server_callbacks.authorize. Thread: any. */
int access_gate_authorize(access_gate *gate, const sse_request *request);

#endif
