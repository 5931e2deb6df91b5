/* Access to sse-server.
 *
 * I/O threads ask for each request; the main thread changes the rules on SIGHUP. The rules
 * themselves never change: whoever looks takes a reference under the gate's lock and judges
 * without it. */
#include "tool_access.h"

#include "tokens.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct access_rules {
    tokens publish;
    tokens subscribe;
    atomic_uint refs;
};

/* ---- rules ---- */

static enum tool_exit load_tokens(const config *c, tokens *list, const char *option,
                                  const char *path)
{
    if (!path || tokens_load(list, path))
        return TOOL_GO_ON;
    return config_refuse(c, option, "%s: %s", path,
                         errno == EINVAL ? "there is no token in it" : strerror(errno));
}

enum tool_exit access_rules_load(const config *c, access_rules **out)
{
    access_rules *rules = tool_must(calloc(1, sizeof *rules));
    atomic_init(&rules->refs, 1);
    enum tool_exit result =
        load_tokens(c, &rules->publish, "publish-token-file", c->publish_token_file);
    if (result == TOOL_GO_ON)
        result = load_tokens(c, &rules->subscribe, "subscribe-token-file", c->subscribe_token_file);
    if (result == TOOL_GO_ON)
        *out = rules;
    else
        access_rules_unref(rules);
    return result;
}

void access_rules_unref(access_rules *rules)
{
    if (!rules || atomic_fetch_sub(&rules->refs, 1) != 1)
        return;
    tokens_free(&rules->publish);
    tokens_free(&rules->subscribe);
    free(rules);
}

bool access_rules_guard_publishing(const access_rules *rules) { return rules->publish.n > 0; }

static bool allows(const access_rules *rules, sse_action action, const char *header)
{
    bool publisher = rules->publish.n > 0 && tokens_match(&rules->publish, header);
    bool subscriber = rules->subscribe.n == 0 || tokens_match(&rules->subscribe, header);
    switch (action) {
    case SSE_ACTION_SUBSCRIBE:
        return subscriber;
    case SSE_ACTION_INSPECT:
        return subscriber || publisher;
    case SSE_ACTION_PUBLISH:
    case SSE_ACTION_REMOVE:
        return rules->publish.n == 0 || publisher;
    }
    return false;
}

/* ---- the gate ---- */

void access_gate_init(access_gate *gate, access_rules *rules)
{
    sse__mutex_init(&gate->mu, SSE__RANK_LEAF);
    gate->rules = rules;
}

void access_gate_fini(access_gate *gate)
{
    access_rules_unref(gate->rules);
    sse__mutex_fini(&gate->mu);
}

void access_gate_change(access_gate *gate, access_rules *rules)
{
    sse__mutex_lock(&gate->mu);
    access_rules *old = gate->rules;
    gate->rules = rules;
    sse__mutex_unlock(&gate->mu);
    access_rules_unref(old);
}

static access_rules *current(access_gate *gate)
{
    sse__mutex_lock(&gate->mu);
    access_rules *rules = gate->rules;
    atomic_fetch_add(&rules->refs, 1);
    sse__mutex_unlock(&gate->mu);
    return rules;
}

int access_gate_authorize(access_gate *gate, const sse_request *request)
{
    const char *header = sse_request_header(request, "Authorization");
    access_rules *rules = current(gate);
    bool allowed = allows(rules, sse_request_action(request), header);
    access_rules_unref(rules);
    if (allowed)
        return 0;
    return header ? 403 : 401;
}
