/* Heartbeat wheel: constant work per subscriber and interval, none while events flow.
 *
 * Loop's thread only. A subscriber sits in the slot in which its heartbeat is due if nothing else
 * is sent to it; when the slot comes up and something was sent meanwhile, it moves on to where it
 * is due now. One turn of the wheel is two intervals. */
#include "loop_internal.h"

void sse__wheel_init(sse__wheel *wheel, uint32_t heartbeat_ms, uint64_t now_ms)
{
    wheel->interval_ms = heartbeat_ms == SSE_OFF ? 0 : heartbeat_ms;
    uint32_t tick = wheel->interval_ms / (SSE__SLOTS / 2);
    wheel->tick_ms = wheel->interval_ms == 0 || tick > 1000 ? 1000 : tick < 5 ? 5 : tick;
    wheel->next_tick_ms = now_ms + wheel->tick_ms;
}

static void put(sse__wheel *wheel, sse__sub *sub, uint64_t delay_ms)
{
    uint64_t ticks = delay_ms / wheel->tick_ms;
    if (ticks < 1)
        ticks = 1;
    if (ticks > SSE__SLOTS - 1)
        ticks = SSE__SLOTS - 1;
    sub->slot = (wheel->position + (int)ticks) % SSE__SLOTS;
    sub->prev_in_slot = NULL;
    sub->next_in_slot = wheel->slots[sub->slot];
    if (sub->next_in_slot)
        sub->next_in_slot->prev_in_slot = sub;
    wheel->slots[sub->slot] = sub;
}

/* When its heartbeat is due, from now. */
static uint64_t delay(const sse__wheel *wheel, const sse__sub *sub, uint64_t now_ms)
{
    uint64_t due_ms = atomic_load(&sub->sent_ms) + wheel->interval_ms;
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

void sse__wheel_add(sse__wheel *wheel, sse__sub *sub, uint64_t now_ms)
{
    if (wheel->interval_ms != 0)
        put(wheel, sub, delay(wheel, sub, now_ms));
}

void sse__wheel_remove(sse__wheel *wheel, sse__sub *sub)
{
    if (sub->slot < 0)
        return;
    if (sub->prev_in_slot)
        sub->prev_in_slot->next_in_slot = sub->next_in_slot;
    else
        wheel->slots[sub->slot] = sub->next_in_slot;
    if (sub->next_in_slot)
        sub->next_in_slot->prev_in_slot = sub->prev_in_slot;
    sub->slot = -1;
}

void sse__wheel_tick(sse__wheel *wheel, uint64_t now_ms, void (*due)(sse__sub *sub))
{
    wheel->position = (wheel->position + 1) % SSE__SLOTS;
    sse__sub *sub = wheel->slots[wheel->position];
    wheel->slots[wheel->position] = NULL;
    for (sse__sub *next; sub; sub = next) {
        next = sub->next_in_slot;
        if (wheel->look)
            wheel->look(sub);
        uint64_t left_ms = delay(wheel, sub, now_ms);
        if (left_ms == 0) {
            due(sub);
            left_ms = wheel->interval_ms;
        }
        put(wheel, sub, left_ms);
    }
}
