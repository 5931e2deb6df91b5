/* Plants two locks taken against their ranks; the lock checks must abort. Nothing else would notice
 * in a single thread. */
#include "sync.h"

#include <criterion/criterion.h>

Test(canary, lock_order)
{
    sse__mutex stream, chan;
    sse__mutex_init(&stream, SSE__RANK_STREAM);
    sse__mutex_init(&chan, SSE__RANK_CHAN);
    sse__mutex_lock(&chan);
    sse__mutex_lock(&stream);
    sse__mutex_unlock(&stream);
    sse__mutex_unlock(&chan);
    sse__mutex_fini(&stream);
    sse__mutex_fini(&chan);
}
