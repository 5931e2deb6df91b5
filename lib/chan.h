/* What the client needs of channels beyond the public part: a send that can be called off without
 * closing the channel, which others may share. */
#ifndef SSE__CHAN_H
#define SSE__CHAN_H

#include "sync.h"

#include <sse/chan.h>

/* As sse_chan_send(), but gives up waiting for room when *stop becomes true; whoever sets it calls
 * sse__chan_wake_senders() then.
 * Thread:  any.
 * Returns: also SSE_ECANCELED: there was no room and *stop. */
SSE_INTERNAL SSE_NODISCARD sse_err sse__chan_send_unless(sse_chan *chan, sse_msg *msg,
                                                         const atomic_bool *stop);

/* Count a message that was lost before it could be sent, as sse_chan_dropped() tells.
 * Thread:  any. */
SSE_INTERNAL void sse__chan_count_lost(sse_chan *chan);

/* Make every sender that waits look again.
 * Thread:  any. */
SSE_INTERNAL void sse__chan_wake_senders(sse_chan *chan);

#endif
