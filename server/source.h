/* What an I/O loop waits for: the first member of everything whose address is in its epoll set. */
#ifndef SSE__SOURCE_H
#define SSE__SOURCE_H

typedef enum sse__source_kind {
    SSE__SOURCE_WAKE,     /* the loop's eventfd */
    SSE__SOURCE_LISTENER, /* a listening socket */
    SSE__SOURCE_PENDING,  /* an accepted socket whose request line has not come yet */
    SSE__SOURCE_DISCARD,  /* a socket that is answered, whose peer still sends */
    SSE__SOURCE_SHARD,    /* the epoll descriptor of a daemon */
    SSE__SOURCE_SUB       /* a subscriber's socket: has the peer gone? */
} sse__source_kind;

typedef struct sse__source {
    sse__source_kind kind;
} sse__source;

#endif
