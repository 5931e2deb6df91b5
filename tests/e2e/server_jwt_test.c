/* JSON Web Tokens at sse-server: each door is tried from outside. The tokens are made here, with other code than the server's. */
#include "../support/cert.h"
#include "e2e.h"

#include <criterion/criterion.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char secret[] = "0123456789abcdef0123456789abcdef";

/* ---- making tokens ---- */

static const char *base64url(const void *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in = bytes;
    char out[1024];
    size_t o = 0;
    cr_assert_lt(n, 700);
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)in[i] << 16 | (i + 1 < n ? (unsigned)in[i + 1] << 8 : 0) |
                     (i + 2 < n ? in[i + 2] : 0);
        for (size_t k = 0; k < 4 && k <= n - i; k++)
            out[o++] = digits[v >> (18 - 6 * k) & 63];
    }
    out[o] = '\0';
    return text("%s", out);
}

static const char *unsigned_part(const char *algorithm, const char *claims)
{
    const char *header = text("{\"alg\":\"%s\",\"typ\":\"JWT\"}", algorithm);
    return text("%s.%s", base64url(header, strlen(header)), base64url(claims, strlen(claims)));
}

static const char *hmac(const char *part, const char *key, size_t key_len)
{
    unsigned char mac[32];
    cr_assert_eq(gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key_len, part, strlen(part), mac), 0);
    return text("%s.%s", part, base64url(mac, sizeof mac));
}

static const char *hmac_token(const char *claims, const char *key, size_t key_len)
{
    return hmac(unsigned_part("HS256", claims), key, key_len);
}

static const char *good_token(const char *claims)
{
    return hmac_token(claims, secret, strlen(secret));
}

/* By a private key in a file. ES256 wants the two numbers of a signature at their full length. */
static const char *signed_token(const char *algorithm, const char *claims, gnutls_privkey_t key)
{
    const char *part = unsigned_part(algorithm, claims);
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)part, (unsigned)strlen(part)}, signature;
    cr_assert_eq(gnutls_privkey_sign_data(key, GNUTLS_DIG_SHA256, 0, &data, &signature), 0);
    unsigned char raw[512] = {0};
    size_t n = signature.size;
    if (strcmp(algorithm, "ES256") == 0) {
        gnutls_datum_t r, s;
        cr_assert_eq(gnutls_decode_rs_value(&signature, &r, &s), 0);
        for (size_t i = 0; i < 32 && i < r.size; i++)
            raw[31 - i] = r.data[r.size - 1 - i];
        for (size_t i = 0; i < 32 && i < s.size; i++)
            raw[63 - i] = s.data[s.size - 1 - i];
        n = 64;
        gnutls_free(r.data);
        gnutls_free(s.data);
    } else {
        memcpy(raw, signature.data, n);
    }
    gnutls_free(signature.data);
    return text("%s.%s", part, base64url(raw, n));
}

/* A key pair; *file is the public one's. */
static gnutls_privkey_t make_key(gnutls_pk_algorithm_t kind, unsigned bits, const char **file)
{
    gnutls_privkey_t key = NULL;
    gnutls_pubkey_t public = NULL;
    gnutls_datum_t pem;
    cr_assert_eq(gnutls_privkey_init(&key), 0);
    cr_assert_eq(gnutls_privkey_generate(key, kind, bits, 0), 0);
    cr_assert_eq(gnutls_pubkey_init(&public), 0);
    cr_assert_eq(gnutls_pubkey_import_privkey(public, key, 0, 0), 0);
    cr_assert_eq(gnutls_pubkey_export2(public, GNUTLS_X509_FMT_PEM, &pem), 0);
    *file = temp_file((const char *)pem.data);
    gnutls_free(pem.data);
    gnutls_pubkey_deinit(public);
    return key;
}

/* ---- asking ---- */

static const char *bearer(const char *token) { return text("Authorization: Bearer %s\r\n", token); }

static long long from_now(int seconds) { return (long long)time(NULL) + seconds; }

static void refused(const hub *h, const char *token, int status, const char *part)
{
    expect_error(h, "GET", "/events?stream=a", bearer(token), NULL, status, part);
    expect_error(h, "POST", "/events?stream=a", bearer(token), "x", status, part);
    expect_error(h, "DELETE", "/events?stream=a", bearer(token), NULL, status, part);
}

static hub start(const char *key_file)
{
    return hub_start(
        ARGS("--stream=a", "--stream=b", "--stream=news.today", "--jwt-key", key_file));
}

static const char both[] = "{\"sse\":{\"publish\":[\"a\"],\"subscribe\":[\"a\",\"news.*\"]}}";

static void works(const hub *h, const char *token)
{
    http_conn *c = follow(h, "a", NULL, bearer(token));
    expect(h, "POST", "/events?stream=a", bearer(token), "hello", 200, NULL);
    expect_data(c, "hello");
    http_close(c);
}

Test(server_jwt, claims_list_the_streams)
{
    hub h = start(temp_file(secret));
    works(&h, good_token(both));
    http_close(follow(&h, "news.today", NULL, bearer(good_token(both))));
    const char *token = good_token(both);
    expect_error(&h, "GET", "/events?stream=b", bearer(token), NULL, 403, "not allowed");
    expect_error(&h, "GET", "/events?stream=a&stream=b", bearer(token), NULL, 403, "not allowed");
    expect_error(&h, "POST", "/events?stream=news.today", bearer(token), "x", 403, "not allowed");
    expect_error(&h, "DELETE", "/events?stream=b", bearer(token), NULL, 403, "not allowed");
    expect_error(&h, "GET", "/streams", bearer(token), NULL, 403, "not allowed");
    token = good_token("{\"sse\":{\"subscribe\":[\"*\"]}}");
    expect(&h, "GET", "/streams", bearer(token), NULL, 200, "\"b\"");
    expect_error(&h, "POST", "/events?stream=a", bearer(token), "x", 403, "not allowed");
    refused(&h, good_token("{}"), 403, "not allowed");
    refused(&h, good_token("{\"sse\":{\"publish\":\"a\",\"subscribe\":{\"a\":1}}}"), 403,
            "not allowed");
    hub_end(&h);
}

Test(server_jwt, without_a_token)
{
    hub h = start(temp_file(secret));
    http_response r = ask(&h, "GET", "/events?stream=a", NULL, NULL);
    cr_assert_eq(r.status, 401);
    cr_assert_str_eq(http_header(&r, "WWW-Authenticate"), "Bearer");
    http_response_fini(&r);
    expect_error(&h, "POST", "/events?stream=a", NULL, "x", 401, "token");
    expect_error(&h, "DELETE", "/events?stream=a", NULL, NULL, 401, "token");
    expect_error(&h, "GET", "/metrics", NULL, NULL, 401, "token");
    hub_end(&h);
}

Test(server_jwt, time)
{
    hub h = start(temp_file(secret));
    static const char lists[] = "\"sse\":{\"publish\":[\"a\"],\"subscribe\":[\"a\"]}}";
    refused(&h, good_token(text("{\"exp\":%lld,%s", from_now(-1), lists)), 401, "expired");
    refused(&h, good_token(text("{\"nbf\":%lld,%s", from_now(3600), lists)), 401, "not valid yet");
    refused(&h, good_token(text("{\"exp\":\"soon\",%s", lists)), 401, "not a number");
    works(&h,
          good_token(text("{\"exp\":%lld.5,\"nbf\":%lld,%s", from_now(3600), from_now(-5), lists)));
    http_response r =
        ask(&h, "GET", "/events?stream=a", bearer(good_token(text("{\"exp\":1,%s", lists))), NULL);
    cr_assert_not_null(strstr(http_header(&r, "WWW-Authenticate"), "error=\"invalid_token\""));
    http_response_fini(&r);
    hub_end(&h);
}

Test(server_jwt, forged)
{
    hub h = start(temp_file(secret));
    const char *good = good_token(both);
    refused(&h, hmac_token(both, "another secret of thirty-two bytes", 34), 401, "signature");
    refused(&h, text("%s.", unsigned_part("none", both)), 401, NULL);
    refused(&h, text("%s.", unsigned_part("None", both)), 401, NULL);
    refused(&h, text("%s.%s", unsigned_part("none", both), strrchr(good, '.') + 1), 401, NULL);
    refused(&h, text("%s.", unsigned_part("HS256", both)), 401, NULL);
    refused(&h, text("%sA", good), 401, NULL);
    refused(&h, "a.b.c", 401, "not a JSON Web Token");
    refused(&h, "nothing", 401, "not a JSON Web Token");
    char *changed = strdup(good);
    strchr(changed, '.')[10] ^= 1;
    refused(&h, changed, 401, NULL);
    free(changed);
    hub_end(&h);
}

/* RFC 7515, 4.1.11: who does not know what is critical must not accept the token, however well it is signed. */
Test(server_jwt, critical_header)
{
    static const char *const headers[] = {
        "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"HS256\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"crit\":\"exp\"}",
    };
    hub h = start(temp_file(secret));
    const char *claims = base64url(both, strlen(both));
    const char *plain = base64url("{\"alg\":\"HS256\"}", 15);
    works(&h, hmac(text("%s.%s", plain, claims), secret, strlen(secret)));
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        const char *header = base64url(headers[i], strlen(headers[i]));
        refused(&h, hmac(text("%s.%s", header, claims), secret, strlen(secret)), 401, "critical");
    }
    hub_end(&h);
}

/* Each key with its algorithm and no other: above all, no HMAC with the public key, which everybody knows. */
static void public_key(gnutls_pk_algorithm_t kind, unsigned bits, const char *algorithm)
{
    const char *file;
    gnutls_privkey_t key = make_key(kind, bits, &file);
    char pem[2048];
    FILE *f = fopen(file, "re");
    size_t n = fread(pem, 1, sizeof pem, f);
    fclose(f);
    hub h = hub_start(ARGS("--stream=a", "--jwt-key", file, "--jwt-alg", algorithm));
    works(&h, signed_token(algorithm, both, key));
    refused(&h, hmac_token(both, pem, n), 401, "algorithm");
    refused(&h, hmac_token(both, pem, n - 1), 401, "algorithm");
    refused(&h, text("%s.", unsigned_part("none", both)), 401, NULL);
    const char *other;
    gnutls_privkey_t stranger = make_key(kind, bits, &other);
    refused(&h, signed_token(algorithm, both, stranger), 401, "signature");
    gnutls_privkey_deinit(stranger);
    gnutls_privkey_deinit(key);
    hub_end(&h);
}

Test(server_jwt, rs256) { public_key(GNUTLS_PK_RSA, 2048, "RS256"); }

Test(server_jwt, es256)
{
    public_key(GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), "ES256");
}

/* ---- live connections ---- */

Test(server_jwt, a_subscriber_is_closed_when_its_token_expires)
{
    hub h = start(temp_file(secret));
    const char *short_lived =
        good_token(text("{\"exp\":%lld,\"sse\":{\"subscribe\":[\"a\"]}}", from_now(2)));
    http_conn *stays = follow(&h, "a", NULL, bearer(good_token(both)));
    http_conn *goes = follow(&h, "a", NULL, bearer(short_lived));
    expect(&h, "POST", "/events?stream=a", bearer(good_token(both)), "1", 200, NULL);
    expect_data(goes, "1");
    http_block b;
    cr_assert_eq(http_next_block(goes, &b, LONG), HTTP_OK);
    cr_assert_str_eq(b.comment, "the permission has expired");
    http_block_fini(&b);
    cr_assert_eq(http_next_block(goes, &b, LONG), HTTP_END);
    expect_error(&h, "GET", "/events?stream=a", bearer(short_lived), NULL, 401, "expired");
    expect(&h, "POST", "/events?stream=a", bearer(good_token(both)), "2", 200, NULL);
    expect_numbers(stays, 1, 2);
    expect(&h, "GET", "/metrics", bearer(good_token("{\"sse\":{\"subscribe\":[\"*\"]}}")), NULL,
           200, "reason=\"expired\"} 1");
    http_close(goes);
    http_close(stays);
    hub_end(&h);
}

/* ---- where the token may be ---- */

Test(server_jwt, token_in_the_query)
{
    hub h = hub_start(ARGS("--stream=a", "--log-level=debug", "--jwt-key", temp_file(secret)));
    const char *token = good_token(both);
    http_response head;
    http_conn *c = http_open_stream(h.port, text("/events?stream=a&access_token=%s", token), NULL,
                                    &head, LONG);
    cr_assert_not_null(c);
    cr_assert_str_eq(http_header(&head, "Cache-Control"), "private, no-store");
    http_response_fini(&head);
    expect_error(&h, "GET", text("/events?stream=a&access_token=%s", token), bearer(token), NULL,
                 400, "twice");
    /* A link must not publish or remove. */
    expect_error(&h, "POST", text("/events?stream=a&access_token=%s", token), NULL, "x", 401, NULL);
    expect_error(&h, "DELETE", text("/events?stream=a&access_token=%s", token), NULL, NULL, 401,
                 NULL);
    http_close(c);
    cr_assert_eq(proc_stop(h.process, LONG), 0);
    cr_assert_null(strstr(err_of(h.process), token), "the log tells a token");
    cr_assert_null(strstr(err_of(h.process), "access_token"));
    proc_free(h.process);
}

Test(server_jwt, beside_tokens_and_anonymous_subscribers)
{
    hub h = hub_start(ARGS("--stream=a", "--anonymous-subscribe", "--jwt-key", temp_file(secret),
                           "--publish-token-file", temp_file("static\n")));
    http_conn *c = follow(&h, "a", NULL, NULL);
    expect(&h, "POST", "/events?stream=a", bearer("static"), "1", 200, NULL);
    expect(&h, "POST", "/events?stream=a", bearer(good_token(both)), "2", 200, NULL);
    expect_error(&h, "POST", "/events?stream=a", NULL, "x", 401, NULL);
    expect_numbers(c, 1, 2);
    http_close(c);
    hub_end(&h);
}

/* ---- keys ---- */

Test(server_jwt, keys_that_are_refused)
{
    const char *small, *rsa, *wrong_curve;
    gnutls_privkey_deinit(make_key(GNUTLS_PK_RSA, 1024, &small));
    gnutls_privkey_deinit(make_key(GNUTLS_PK_RSA, 2048, &rsa));
    gnutls_privkey_deinit(
        make_key(GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1), &wrong_curve));
    tool_fails("sse-server", ARGS("--jwt-key", temp_file("short")), NULL, 64, "32 bytes");
    tool_fails("sse-server", ARGS("--jwt-key", "/nowhere"), NULL, 64, "/nowhere: No such file");
    tool_fails("sse-server", ARGS("--jwt-key", small), NULL, 64, "2048 bits");
    tool_fails("sse-server", ARGS("--jwt-key", wrong_curve), NULL, 64, "P-256");
    tool_fails("sse-server", ARGS("--jwt-key", rsa, "--jwt-alg=HS256"), NULL, 64,
               "a key for RS256");
    tool_fails("sse-server", ARGS("--jwt-key", rsa, "--jwt-alg=none"), NULL, 64, "--jwt-alg");
    tool_fails("sse-server", ARGS("--jwt-alg=HS256"), NULL, 64, "'--jwt-key'");
    (void)cert_default();
    tool_fails("sse-server", ARGS("--jwt-key", cert_path("server", "crt")), NULL, 64, "public key");
}
