/* sse-soak: the load of scripts/soak, and the check that nothing is lost under it.
 *
 *     sse-soak publish HUB_PORT PHOENIX_PORT SECONDS
 *     sse-soak subscribe HUB_PORT PHOENIX_PORT
 *
 * Both talk to two sse-servers on 127.0.0.1: the hub, which runs all the time, and the phoenix, which is killed and started again.
 * Events of a stream are numbered from 0; the last one has the type "end" and ends the subscribers, which then say what they have
 * received and exit 0, or 1 when something was lost, repeated or out of order. */
#ifndef TEST_SOAK_H
#define TEST_SOAK_H

#include <stdint.h>

#define STREAM_FAST "fast"     /* the hub: many small events */
#define STREAM_MEDIUM "medium" /* the hub: some of 1 KB */
#define STREAM_BIG "big"       /* the hub: few of 64 KB */
#define STREAM_BURST "burst"   /* the hub: hundreds at once, now and then */
#define STREAM_SLOW "slow"     /* the hub: more than its subscribers read */
#define STREAM_PHOENIX "p"     /* the phoenix */

int soak_publish(uint16_t hub, uint16_t phoenix, unsigned seconds);
int soak_subscribe(uint16_t hub, uint16_t phoenix);

/* A descriptor that becomes readable every so often, for a pace without sleeping; and wait for its next time. */
int soak_clock(unsigned period_ms);
void soak_tick(int clock);

uint64_t soak_draw(uint64_t *state, uint64_t below);

#endif
