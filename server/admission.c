/* Who may connect: a table of addresses, each with the number of its connections and a bucket of tokens.
 *
 * Any thread; one mutex, held for a few steps whatever the table holds. A connect takes a token; `burst` of them are in a full bucket,
 * and they come back one by one, `per_minute` of them in a minute. Instead of tokens the time is kept at which the bucket is full
 * again: each connect moves it on by the time that one token takes.
 *
 * An address that has no connections and a full bucket is like one that has never come, so it is not kept. Those that have no
 * connections, but not a full bucket yet, are remembered in a list, the one that left first in front; each step looks at its front for
 * those whose bucket has filled meanwhile. When more than `remembered` are in it, the first one is forgotten: it gets a full bucket, a
 * little early. So an attacker with any number of addresses gets no more memory than that, and others' connections stay counted. */
#include "admission.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS 16384 /* power of two */
#define NS 1000000000u
#define RETRY_WHEN_FULL_S 5 /* nobody knows when a connection of the address will end */

struct sse__visitor {
    sse__peer peer;
    struct sse__visitor *next;          /* of its chain */
    struct sse__visitor *older, *newer; /* in the list of those without connections */
    uint64_t full_ns;                   /* when its bucket is full */
    uint64_t connections;
};

struct sse__admission {
    /* immutable */
    sse__admission_limits limits;
    uint64_t token_ns;  /* a token takes so long to come */
    uint64_t bucket_ns; /* all but one */
    uint64_t seeds[2];  /* so that nobody can choose addresses that share a chain */
    sse__range *exempt;
    size_t nexempt;

    sse__mutex mu; /* rank LEAF; guards everything below */
    sse__visitor **chains;
    sse__visitor *first, *last; /* those without connections */
    size_t nlist;
    uint64_t latest_ns;
    sse__admission_stats stats;
};

sse_err sse__admission_new(const sse__admission_limits *limits, const sse__range *exempt,
                           size_t nexempt, sse__admission **out)
{
    sse__admission *a = calloc(1, sizeof *a);
    if (!a)
        return SSE_ENOMEM;
    sse__mutex_init(&a->mu, SSE__RANK_LEAF);
    a->limits = *limits;
    if (limits->per_minute > 0) {
        a->token_ns = (uint64_t)60 * NS / limits->per_minute;
        a->bucket_ns = a->token_ns * (limits->burst - 1);
    }
    a->seeds[0] = sse__random();
    a->seeds[1] = sse__random();
    a->chains = calloc(CHAINS, sizeof *a->chains);
    a->exempt = calloc(nexempt + 1, sizeof *a->exempt);
    if (!a->chains || !a->exempt) {
        sse__admission_free(a);
        return SSE_ENOMEM;
    }
    if (nexempt > 0)
        memcpy(a->exempt, exempt, nexempt * sizeof *exempt);
    a->nexempt = nexempt;
    *out = a;
    return SSE_OK;
}

void sse__admission_free(sse__admission *a)
{
    if (!a)
        return;
    for (size_t i = 0; a->chains && i < CHAINS; i++)
        for (sse__visitor *at = a->chains[i], *next; at; at = next) {
            next = at->next;
            free(at);
        }
    free(a->chains);
    free(a->exempt);
    sse__mutex_fini(&a->mu);
    free(a);
}

/* ---- the table ---- */

static sse__visitor **chain_of(sse__admission *a, sse__peer peer)
{
    uint64_t h = (peer.high ^ a->seeds[0]) * 0x9e3779b97f4a7c15u;
    h = ((h ^ h >> 32) + (peer.low ^ a->seeds[1])) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 29) * 0x94d049bb133111ebu;
    return &a->chains[(h ^ h >> 32) & (CHAINS - 1)];
}

static sse__visitor *find_locked(sse__admission *a, sse__peer peer)
{
    sse__visitor *at = *chain_of(a, peer);
    while (at && (at->peer.high != peer.high || at->peer.low != peer.low))
        at = at->next;
    return at;
}

static sse__visitor *add_locked(sse__admission *a, sse__peer peer)
{
    sse__visitor *visitor = calloc(1, sizeof *visitor);
    if (!visitor)
        return NULL;
    sse__visitor **chain = chain_of(a, peer);
    visitor->peer = peer;
    visitor->next = *chain;
    *chain = visitor;
    a->stats.addresses++;
    return visitor;
}

static void drop_locked(sse__admission *a, sse__visitor *visitor)
{
    sse__visitor **at = chain_of(a, visitor->peer);
    while (*at != visitor)
        at = &(*at)->next;
    *at = visitor->next;
    a->stats.addresses--;
    free(visitor);
}

/* ---- those without connections ---- */

static void list_locked(sse__admission *a, sse__visitor *visitor)
{
    visitor->newer = NULL;
    visitor->older = a->last;
    if (a->last)
        a->last->newer = visitor;
    else
        a->first = visitor;
    a->last = visitor;
    a->nlist++;
}

static void unlist_locked(sse__admission *a, sse__visitor *visitor)
{
    if (visitor->older)
        visitor->older->newer = visitor->newer;
    else
        a->first = visitor->newer;
    if (visitor->newer)
        visitor->newer->older = visitor->older;
    else
        a->last = visitor->older;
    a->nlist--;
}

/* Two of them, where each connect adds one at most: the list shrinks as soon as there is something to forget. */
static void forget_full_locked(sse__admission *a, uint64_t now_ns)
{
    for (int i = 0; i < 2 && a->first && a->first->full_ns <= now_ns; i++) {
        sse__visitor *visitor = a->first;
        unlist_locked(a, visitor);
        drop_locked(a, visitor);
    }
}

/* ---- coming and going ---- */

/* Time does not go back, although who has looked at the clock first may get the lock last. */
static uint64_t latest_locked(sse__admission *a, uint64_t now_ns)
{
    a->latest_ns = now_ns > a->latest_ns ? now_ns : a->latest_ns;
    return a->latest_ns;
}

/* Seconds until the address gets its next token, at least 1; 0: it has one. */
static uint32_t wait_for_token_s(const sse__admission *a, const sse__visitor *visitor,
                                 uint64_t now_ns)
{
    uint64_t ready_ns = now_ns + a->bucket_ns;
    if (visitor->full_ns <= ready_ns)
        return 0;
    uint64_t s = (visitor->full_ns - ready_ns + NS - 1) / NS;
    return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static sse__entry enter_locked(sse__admission *a, sse__peer peer, uint64_t now_ns)
{
    forget_full_locked(a, now_ns);
    sse__visitor *visitor = find_locked(a, peer);
    if (!visitor) {
        if (!(visitor = add_locked(a, peer)))
            return (sse__entry){.denial = SSE__DENIED_MEMORY};
        list_locked(a, visitor);
    }
    if (a->limits.connections > 0 && visitor->connections >= a->limits.connections)
        return (sse__entry){.denial = SSE__DENIED_ADDRESS, .retry_after_s = RETRY_WHEN_FULL_S};
    uint32_t wait_s = wait_for_token_s(a, visitor, now_ns);
    if (wait_s > 0)
        return (sse__entry){.denial = SSE__DENIED_RATE, .retry_after_s = wait_s};
    visitor->full_ns = (visitor->full_ns > now_ns ? visitor->full_ns : now_ns) + a->token_ns;
    if (visitor->connections++ == 0)
        unlist_locked(a, visitor);
    return (sse__entry){.visitor = visitor};
}

sse__entry sse__admission_enter(sse__admission *a, const struct sockaddr *address, uint64_t now_ns)
{
    sse__peer peer;
    if (!sse__peer_of(address, &peer))
        return (sse__entry){0};
    for (size_t i = 0; i < a->nexempt; i++)
        if (sse__range_has(&a->exempt[i], address))
            return (sse__entry){0};
    sse__mutex_lock(&a->mu);
    sse__entry entry = enter_locked(a, peer, latest_locked(a, now_ns));
    sse__mutex_unlock(&a->mu);
    return entry;
}

static void leave_locked(sse__admission *a, sse__visitor *visitor, uint64_t now_ns)
{
    if (--visitor->connections > 0)
        return;
    list_locked(a, visitor);
    bool full = visitor->full_ns <= now_ns;
    if (!full && a->nlist <= a->limits.remembered)
        return;
    sse__visitor *out = full ? visitor : a->first;
    a->stats.forgotten += out->full_ns > now_ns;
    unlist_locked(a, out);
    drop_locked(a, out);
}

void sse__admission_leave(sse__admission *a, sse__visitor *visitor, uint64_t now_ns)
{
    sse__mutex_lock(&a->mu);
    leave_locked(a, visitor, latest_locked(a, now_ns));
    sse__mutex_unlock(&a->mu);
}

sse__admission_stats sse__admission_look(sse__admission *a)
{
    sse__admission_stats stats = {0};
    if (!a)
        return stats;
    sse__mutex_lock(&a->mu);
    stats = a->stats;
    sse__mutex_unlock(&a->mu);
    return stats;
}
