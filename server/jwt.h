/* JSON Web Tokens as bearer tokens (RFC 7519, RFC 8725): HS256, RS256 and ES256, by libjwt. */
#ifndef SSE_JWT_H
#define SSE_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key from a file, which may be used with one algorithm only. */
typedef struct jwt_key jwt_key;

/* Read a key: a public key (PEM) is for RS256 or ES256, as its kind says; anything else is a secret for HS256. Returns NULL after
 * writing into `why`. */
jwt_key *jwt_key_load(const char *path, char *why, size_t why_size);
void jwt_key_free(jwt_key *key);
/* "HS256", "RS256", "ES256". */
const char *jwt_key_algorithm(const jwt_key *key);

typedef enum jwt_verdict {
    JWT_ALLOWED,
    JWT_DENIED, /* a good token that does not list the stream */
    JWT_BAD     /* a token that is none, or none any more; `reason` says why */
} jwt_verdict;

/* What a token is asked for. A stream of NULL: everything ("*"). */
typedef struct jwt_question {
    const char *token;
    size_t token_len;
    bool publish; /* else: subscribe */
    const char *stream;
    int64_t now_s; /* since 1970 */
} jwt_question;

typedef struct jwt_answer {
    jwt_verdict verdict;
    const char *reason; /* static: of JWT_BAD */
    bool expires;
    int64_t expiry_s;
} jwt_answer;

/* Judge a token by the keys. Thread: any. */
jwt_answer jwt_judge(jwt_key *const *keys, size_t n, const jwt_question *question);

#endif
