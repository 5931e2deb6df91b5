/* What the hub notes in a message. */
#ifndef SSE__MSG_H
#define SSE__MSG_H

#include "sync.h"

#include <sse/event.h>

/* When the message was accepted, by sse__now_ns(); 0 until it is set.
 * Thread:  setting: the one that made the message, before any other sees it; reading: any. */
SSE_INTERNAL void sse__msg_set_time(sse_msg *msg, uint64_t ns);
SSE_INTERNAL uint64_t sse__msg_time(const sse_msg *msg);

#endif
