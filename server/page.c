/* GET /: the page, which lists streams, watches them and publishes. Its files are in page/ and become part of the library.
 *
 * No threads of its own. The page may load nothing but what is here, and talk to nobody but this server: its policy says so to the
 * browser, so that even markup in an event, should it ever become part of the page, could neither run nor call home. */
#include "page.h"

#include "mhd.h"

#include <string.h>

static const sse__header headers[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

static const sse__page_file *find(const char *url)
{
    const char *name = strcmp(url, "/") == 0 ? "index.html" : url + 1;
    const sse__page_file *file = sse__page_files;
    while (file->name && strcmp(file->name, name) != 0)
        file++;
    return file->name && *url == '/' ? file : NULL;
}

static const char *type_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (strcmp(dot, ".css") == 0)
        return "text/css; charset=utf-8";
    return strcmp(dot, ".js") == 0 ? "text/javascript; charset=utf-8" : "text/html; charset=utf-8";
}

bool sse__page_has(const char *url) { return find(url) != NULL; }

void sse__http_page(const char *url, sse__answer *answer)
{
    const sse__page_file *file = find(url);
    answer->status = 200;
    answer->type = type_of(file->name);
    answer->headers = headers;
    answer->header_count = sizeof headers / sizeof headers[0];
    sse__text_add_bytes(&answer->body, (const char *)file->bytes, file->len);
}
