/* JSON Web Tokens of sse-server. Keys do not change once loaded; judging keeps no state: any thread.
 *
 * The key decides the algorithm, and never the token (RFC 8725, 3.1): the token's `alg` only has to be the same. So `none` is refused,
 * and so is an HMAC made with somebody's public key. A token is judged in this order: form, algorithm, signature, time, claims;
 * nothing of it counts before its signature does. */
#include "jwt.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <jansson.h>
#include <jwt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 8192
#define SECRET_MIN 32 /* RFC 7518, 3.2 */
#define RSA_MIN 2048  /* RFC 7518, 3.3 */

struct jwt_key {
    jwt_alg_t algorithm;
    unsigned char *bytes;
    size_t len;
};

/* ---- keys ---- */

const char *jwt_key_algorithm(const jwt_key *key) { return jwt_alg_str(key->algorithm); }

void jwt_key_free(jwt_key *key)
{
    if (!key)
        return;
    if (key->bytes)
        gnutls_memset(key->bytes, 0, key->len);
    free(key->bytes);
    free(key);
}

static bool read_file(const char *path, jwt_key *key)
{
    enum { MOST = 65536 };
    FILE *file = fopen(path, "re");
    key->bytes = file ? calloc(1, MOST + 1) : NULL;
    if (key->bytes)
        key->len = fread(key->bytes, 1, MOST, file);
    bool ok = key->bytes && !ferror(file);
    int error = errno;
    if (file)
        fclose(file);
    errno = error;
    return ok;
}

/* Which algorithm a public key is for. */
static const char *classify_public(jwt_key *key)
{
    unsigned bits = 0;
    gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
    gnutls_pubkey_t public;
    gnutls_datum_t pem = {key->bytes, (unsigned)key->len};
    if (gnutls_pubkey_init(&public) != 0)
        return "no memory";
    const char *why = NULL;
    int kind = gnutls_pubkey_import(public, &pem, GNUTLS_X509_FMT_PEM) == 0
                   ? gnutls_pubkey_get_pk_algorithm(public, &bits)
                   : GNUTLS_PK_UNKNOWN;
    key->algorithm = kind == GNUTLS_PK_RSA ? JWT_ALG_RS256 : JWT_ALG_ES256;
    if (kind == GNUTLS_PK_RSA && bits < RSA_MIN)
        why = "an RSA key wants 2048 bits at least";
    else if (kind == GNUTLS_PK_ECDSA &&
             (gnutls_pubkey_export_ecc_raw(public, &curve, NULL, NULL) != 0 ||
              curve != GNUTLS_ECC_CURVE_SECP256R1))
        why = "ES256 wants a key of the curve P-256";
    else if (kind != GNUTLS_PK_RSA && kind != GNUTLS_PK_ECDSA)
        why = "not a public key (BEGIN PUBLIC KEY) of RSA or of the curve P-256";
    gnutls_pubkey_deinit(public);
    return why;
}

static const char *classify(jwt_key *key)
{
    if (memmem(key->bytes, key->len, "-----BEGIN", 10))
        return classify_public(key);
    key->algorithm = JWT_ALG_HS256;
    while (key->len > 0 && strchr("\r\n", key->bytes[key->len - 1]))
        key->len--;
    return key->len < SECRET_MIN ? "a secret for HS256 wants 32 bytes at least" : NULL;
}

jwt_key *jwt_key_load(const char *path, char *why, size_t why_size)
{
    jwt_key *key = calloc(1, sizeof *key);
    const char *problem = !key                   ? "no memory"
                          : read_file(path, key) ? classify(key)
                                                 : strerror(errno);
    if (!problem)
        return key;
    snprintf(why, why_size, "%s", problem);
    jwt_key_free(key);
    return NULL;
}

/* ---- signature ---- */

/* The claims of a token that one of the keys has signed, or NULL. */
static json_t *verify(jwt_key *const *keys, size_t n, const char *token, const char **why)
{
    jwt_t *jwt = NULL;
    *why = "This is not a JSON Web Token.";
    if (jwt_decode(&jwt, token, NULL, 0) != 0)
        return NULL;
    /* Read from the header: a token that was decoded without a key says that it has no algorithm. */
    const char *said = jwt_get_header(jwt, "alg");
    char *crit = jwt_get_headers_json(jwt, "crit");
    bool critical = crit != NULL;
    jwt_alg_t algorithm = JWT_ALG_NONE;
    for (size_t i = 0; i < n && said; i++)
        if (strcmp(said, jwt_alg_str(keys[i]->algorithm)) == 0)
            algorithm = keys[i]->algorithm;
    jwt_free(jwt);
    free(crit);
    *why =
        "The token's header holds something critical that is not known here."; /* RFC 7515, 4.1.11 */
    if (critical)
        return NULL;
    *why = "The algorithm of the token is not accepted.";
    for (size_t i = 0; i < n; i++) {
        if (keys[i]->algorithm != algorithm)
            continue;
        *why = "The signature of the token is wrong.";
        if (jwt_decode(&jwt, token, keys[i]->bytes, (int)keys[i]->len) != 0)
            continue;
        /* Once more: what was verified is what we accept. */
        char *text = jwt_get_alg(jwt) == algorithm ? jwt_get_grants_json(jwt, NULL) : NULL;
        json_t *claims = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
        free(text);
        jwt_free(jwt);
        return claims;
    }
    return NULL;
}

/* ---- claims ---- */

/* A NumericDate, which may have a fraction. Returns false when it is there and none. */
static bool get_date(const json_t *claims, const char *name, bool *there, double *date)
{
    const json_t *value = json_object_get(claims, name);
    *there = value != NULL;
    if (!value)
        return true;
    *date = json_number_value(value);
    return json_is_number(value) && fabs(*date) < 1e15;
}

static const char *check_time(const json_t *claims, int64_t now_s, jwt_answer *answer)
{
    bool has_exp, has_nbf;
    double exp = 0, nbf = 0;
    if (!get_date(claims, "exp", &has_exp, &exp) || !get_date(claims, "nbf", &has_nbf, &nbf))
        return "A time in the token is not a number.";
    if (has_exp && exp <= (double)now_s)
        return "The token has expired.";
    if (has_nbf && nbf > (double)now_s)
        return "The token is not valid yet.";
    answer->expires = has_exp;
    answer->expiry_s = (int64_t)exp;
    return NULL;
}

/* Exact, or all that begins with what is before a trailing star. */
static bool matches(const char *pattern, const char *stream)
{
    size_t n = strlen(pattern);
    if (n > 0 && pattern[n - 1] == '*')
        return stream ? strncmp(pattern, stream, n - 1) == 0 : n == 1;
    return stream && strcmp(pattern, stream) == 0;
}

static bool lists(const json_t *claims, const char *what, const char *stream)
{
    const json_t *patterns = json_object_get(json_object_get(claims, "sse"), what);
    for (size_t i = 0; i < json_array_size(patterns); i++) {
        const char *pattern = json_string_value(json_array_get(patterns, i));
        if (pattern && matches(pattern, stream))
            return true;
    }
    return false;
}

jwt_answer jwt_judge(jwt_key *const *keys, size_t n, const jwt_question *q)
{
    jwt_answer answer = {.verdict = JWT_BAD, .reason = "The token is too long."};
    if (q->token_len > TOKEN_MAX)
        return answer;
    char token[TOKEN_MAX + 1];
    memcpy(token, q->token, q->token_len);
    token[q->token_len] = '\0';
    json_t *claims = verify(keys, n, token, &answer.reason);
    if (!claims)
        return answer;
    answer.reason = check_time(claims, q->now_s, &answer);
    if (!answer.reason)
        answer.verdict = lists(claims, q->publish ? "publish" : "subscribe", q->stream)
                             ? JWT_ALLOWED
                             : JWT_DENIED;
    json_decref(claims);
    return answer;
}
