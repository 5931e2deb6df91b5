/* A server with a self-signed certificate: do not turn verification off, pin the server's public key. The library has no option
 * for that, curl has: the hook on the CURL * sets it before each request.
 *
 *     openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
 *     ./pinned_tls 'https://localhost:8443/events?stream=news' 'sha256//...'
 */
#include <curl/curl.h>
#include <sse/client.h>
#include <stdio.h>

/* Instead of the chain of certificates, which nobody has signed, the key is verified. */
static sse_err pin_key(void *user, sse_subscription *sub, void *curl_easy_handle)
{
    CURL *curl = curl_easy_handle;
    (void)sub;
    if (curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, (const char *)user) != CURLE_OK)
        return SSE_ECANCELED; /* this curl cannot pin keys: better no connection */
    return SSE_OK;
}

static void on_event(void *user, sse_subscription *sub, const sse_event *event)
{
    (void)user;
    printf("event: %.*s\n", (int)event->data.len, event->data.ptr);
    sse_subscription_close(sub); /* one is enough for an example */
}

static void on_error(void *user, sse_subscription *sub, const sse_client_error *error)
{
    (void)user;
    (void)sub;
    fprintf(stderr, "%s: %s\n", sse_errname(error->err), error->message);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: pinned_tls URL PIN\n", stderr);
        return 64;
    }
    sse_client_options options = SSE_CLIENT_OPTIONS_INIT;
    options.on_request = pin_key;
    options.user = argv[2];
    options.max_attempts = 1;
    sse_client_callbacks callbacks = SSE_CLIENT_CALLBACKS_INIT;
    callbacks.on_event = on_event;
    callbacks.on_error = on_error;
    sse_client *client;
    if (sse_client_new(argv[1], &options, &client) != SSE_OK)
        return 1;
    sse_err err = sse_client_subscribe(client, NULL, &callbacks, NULL);
    sse_client_free(client);
    return err == SSE_ECANCELED ? 0 : 1;
}
