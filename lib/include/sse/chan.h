/* A channel: a bounded, thread-safe queue of messages between any number of senders and
 * receivers. */
#ifndef SSE_CHAN_H
#define SSE_CHAN_H

#include <sse/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The handle; reference-counted. */
typedef struct sse_chan sse_chan;

/* What a send does when the channel is full. */
typedef enum sse_full_policy {
    SSE_FULL_DEFAULT = 0, /* block */
    SSE_FULL_BLOCK,       /* wait for room */
    SSE_FULL_DROP_OLDEST, /* make room; the oldest message is counted as dropped */
    SSE_FULL_DROP_NEWEST  /* the message that was to be sent is counted as dropped */
} sse_full_policy;

/* Options of a channel. */
typedef struct sse_chan_options {
    size_t size;            /* set by SSE_CHAN_OPTIONS_INIT */
    size_t capacity;        /* messages; 0 = 1024 */
    sse_full_policy policy; /* what a send does when it is full */
    uint32_t reserved;
} sse_chan_options;
#define SSE_CHAN_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(sse_chan_options), 0, SSE_FULL_DEFAULT, 0                                           \
    }

/* Make a channel with one reference. options may be NULL.
 * Returns: SSE_OK, SSE_EINVAL, SSE_ENOMEM, SSE_ESYS.
 * Thread:  any. */
SSE_API SSE_NODISCARD sse_err sse_chan_new(const sse_chan_options *options, sse_chan **out);

/* References; the last unref frees the channel and what is left in it. NULL is fine for unref.
 * Thread:  any. */
SSE_API sse_chan *sse_chan_ref(sse_chan *chan);
SSE_API void sse_chan_unref(sse_chan *chan);

/* Send a message.
 * Thread:  any. Under SSE_FULL_BLOCK waits while the channel is full; a close wakes it.
 * Owns:    takes its own reference; the caller keeps his.
 * Returns: SSE_OK, also when the policy dropped something; SSE_ECLOSED; SSE_ENOMEM, then nothing
 *          was sent. */
SSE_API SSE_NODISCARD sse_err sse_chan_send(sse_chan *chan, sse_msg *msg);

/* The same without ever waiting: SSE_EFULL when a blocking channel is full. */
SSE_API SSE_NODISCARD sse_err sse_chan_try_send(sse_chan *chan, sse_msg *msg);

/* Receive the oldest message: wait for ever, not at all, or for some milliseconds.
 * Thread:  any.
 * Owns:    the caller owns *out: sse_msg_unref().
 * Returns: SSE_OK; SSE_ECLOSED once the channel is closed and empty; SSE_EEMPTY (try); SSE_ETIMEOUT
 *          (timed). */
SSE_API SSE_NODISCARD sse_err sse_chan_recv(sse_chan *chan, sse_msg **out);
SSE_API SSE_NODISCARD sse_err sse_chan_try_recv(sse_chan *chan, sse_msg **out);
SSE_API SSE_NODISCARD sse_err sse_chan_recv_timeout(sse_chan *chan, uint32_t timeout_ms,
                                                    sse_msg **out);

/* Close: senders fail from now on, receivers get what is left and then SSE_ECLOSED. Wakes
 * everybody. Idempotent. `reason` of the first close is kept for sse_chan_reason(): SSE_OK for an
 * ordinary end.
 * Thread:  any. */
SSE_API void sse_chan_close(sse_chan *chan, sse_err reason);
SSE_API sse_err sse_chan_reason(const sse_chan *chan);
SSE_API bool sse_chan_closed(const sse_chan *chan);

/* A descriptor that poll() reports readable while the channel holds a message or is closed. Only
 * wait on it: do not read or close it. It lives as long as the channel. After a wake-up receive
 * until SSE_EEMPTY (or go back to poll()).
 * Thread:  any. Made on the first call.
 * Returns: the descriptor, or -1 with errno set. */
SSE_API int sse_chan_fd(sse_chan *chan);

/* Messages in it now; messages dropped so far; and its capacity. Dropped are those that the policy
 * let go, and the events that a subscription could not send into it: too big, not base64 although
 * they should be, no memory.
 * Thread:  any. */
SSE_API size_t sse_chan_len(const sse_chan *chan);
SSE_API uint64_t sse_chan_dropped(const sse_chan *chan);
SSE_API size_t sse_chan_capacity(const sse_chan *chan);

#ifdef __cplusplus
}
#endif
#endif
