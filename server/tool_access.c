/* Access to sse-server.
 *
 * I/O threads ask for each request; the main thread changes the rules on SIGHUP. The rules
 * themselves never change: whoever looks takes a reference under the gate's lock and judges
 * without it. */
#include "tool_access.h"

#include "jwt.h"
#include "refusal_log.h"
#include "tokens.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct access_rules {
    tokens publish;
    tokens subscribe;
    jwt_key **keys;
    size_t nkeys;
    bool anonymous_subscribe;
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

#ifdef SSE_WITH_JWT
static enum tool_exit load_keys(const config *c, access_rules *rules)
{
    char why[256];
    if (c->jwt_algorithm && c->jwt_keys.n == 0)
        return config_refuse(c, "jwt-alg", "it says nothing without '--jwt-key'");
    rules->keys = tool_must(calloc(c->jwt_keys.n + 1, sizeof(jwt_key *)));
    for (size_t i = 0; i < c->jwt_keys.n; i++) {
        const char *path = c->jwt_keys.items[i];
        jwt_key *key = jwt_key_load(path, why, sizeof why);
        if (!key)
            return config_refuse(c, "jwt-key", "%s: %s", path, why);
        rules->keys[rules->nkeys++] = key;
        if (c->jwt_algorithm && strcmp(c->jwt_algorithm, jwt_key_algorithm(key)) != 0)
            return config_refuse(c, "jwt-alg", "%s is a key for %s", path, jwt_key_algorithm(key));
    }
    return TOOL_GO_ON;
}

static void free_keys(access_rules *rules)
{
    for (size_t i = 0; i < rules->nkeys; i++)
        jwt_key_free(rules->keys[i]);
    free(rules->keys);
}
#else
static enum tool_exit load_keys(const config *c, access_rules *rules)
{
    (void)rules;
    if (c->jwt_keys.n == 0 && !c->jwt_algorithm)
        return TOOL_GO_ON;
    return config_refuse(c, c->jwt_keys.n > 0 ? "jwt-key" : "jwt-alg",
                         "this sse-server was built without JSON Web Tokens, which need libjwt");
}

static void free_keys(access_rules *rules) { (void)rules; }
#endif

enum tool_exit access_rules_load(const config *c, access_rules **out)
{
    access_rules *rules = tool_must(calloc(1, sizeof *rules));
    atomic_init(&rules->refs, 1);
    enum tool_exit result =
        load_tokens(c, &rules->publish, "publish-token-file", c->publish_token_file);
    if (result == TOOL_GO_ON)
        result = load_tokens(c, &rules->subscribe, "subscribe-token-file", c->subscribe_token_file);
    rules->anonymous_subscribe = c->anonymous_subscribe;
    if (result == TOOL_GO_ON)
        result = load_keys(c, rules);
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
    free_keys(rules);
    free(rules);
}

bool access_rules_guard_publishing(const access_rules *rules)
{
    return rules->publish.n > 0 || rules->nkeys > 0;
}

/* ---- judging ---- */

static const char not_listed[] = "The token does not allow it.";
static const char unknown[] = "The token is not known.";

/* What nobody need show anything for. */
static bool is_open(const access_rules *rules, sse_action action)
{
    if (action == SSE_ACTION_PUBLISH || action == SSE_ACTION_REMOVE)
        return !access_rules_guard_publishing(rules);
    return rules->anonymous_subscribe || (rules->subscribe.n == 0 && rules->nkeys == 0);
}

/* Whose token it is. Both lists are searched whatever the first says, so that the time tells nothing. */
typedef struct holder {
    bool publisher;
    bool subscriber;
} holder;

static holder find_holder(const access_rules *rules, const char *token)
{
    return (holder){tokens_have(&rules->publish, token), tokens_have(&rules->subscribe, token)};
}

static bool may(holder who, sse_action action)
{
    switch (action) {
    case SSE_ACTION_SUBSCRIBE:
        return who.subscriber;
    case SSE_ACTION_INSPECT:
        return who.subscriber || who.publisher;
    case SSE_ACTION_PUBLISH:
    case SSE_ACTION_REMOVE:
        return who.publisher;
    }
    return false;
}

#ifdef SSE_WITH_JWT
static int judge_jwt(const access_rules *rules, const sse_request *request, const char *token,
                     const char **why)
{
    sse_action action = sse_request_action(request);
    struct timespec
        now; /* time() may be some milliseconds late: who was closed could come back at once */
    clock_gettime(CLOCK_REALTIME, &now);
    jwt_question question = {.token = token,
                             .token_len = strlen(token),
                             .publish = action == SSE_ACTION_PUBLISH || action == SSE_ACTION_REMOVE,
                             .stream = sse_request_stream(request),
                             .now_s = now.tv_sec};
    jwt_answer answer = jwt_judge(rules->keys, rules->nkeys, &question);
    if (answer.verdict == JWT_BAD)
        sse_request_set_reason(request, answer.reason);
    *why = answer.verdict == JWT_BAD ? answer.reason : not_listed;
    if (answer.verdict == JWT_ALLOWED && answer.expires)
        sse_request_set_expiry(request, answer.expiry_s);
    return answer.verdict == JWT_ALLOWED ? 0 : answer.verdict == JWT_DENIED ? 403 : 401;
}
#else
static int judge_jwt(const access_rules *rules, const sse_request *request, const char *token,
                     const char **why)
{
    (void)rules, (void)request, (void)token;
    *why = unknown;
    return 401; /* there are no keys */
}
#endif

/* Who cannot set headers, as a browser's EventSource, may put the token into the query to read (RFC 6750, 2.3). To publish that way is
 * not needed, and a link that somebody else made must not do it. */
static const char *find_token(const sse_request *request, bool *twice)
{
    sse_action action = sse_request_action(request);
    bool reads = action == SSE_ACTION_SUBSCRIBE || action == SSE_ACTION_INSPECT;
    const char *bearer = tokens_bearer(sse_request_header(request, "Authorization"));
    const char *query = reads ? sse_request_query(request, "access_token") : NULL;
    *twice = bearer && query;
    return bearer ? bearer : query;
}

/* 0, or the status of a refusal and why. */
static int judge(const access_rules *rules, const sse_request *request, const char **why)
{
    bool twice;
    sse_action action = sse_request_action(request);
    if (is_open(rules, action))
        return 0;
    const char *token = find_token(request, &twice);
    if (twice) {
        *why = "The token is there twice: in a header and in the query.";
        sse_request_set_reason(request, *why);
        return 400;
    }
    if (!token) {
        bool other = sse_request_header(request, "Authorization") != NULL;
        *why = other ? "What it shows is no bearer token." : "It shows no token.";
        return 401;
    }
    holder who = find_holder(rules, token);
    if (who.publisher || who.subscriber) {
        *why = not_listed;
        return may(who, action) ? 0 : 403;
    }
    if (rules->nkeys > 0)
        return judge_jwt(rules, request, token, why);
    *why = unknown;
    sse_request_set_reason(request, unknown); /* RFC 6750, 3.1: invalid_token */
    return 401;
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
    access_rules *rules = current(gate);
    const char *why = NULL;
    int status = judge(rules, request, &why);
    access_rules_unref(rules);
    if (status != 0)
        sse__request_set_log_reason(request, why); /* never the token */
    return status;
}
