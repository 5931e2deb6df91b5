/* Linked into a program beside alloc_fail.c: allocation number $ALLOC_FAIL_AT fails, libcurl's
 * included. Where the program comes to its end without one that failed, it says so. */
#include "alloc_fail.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void arm(void)
{
    const char *at = getenv("ALLOC_FAIL_AT");
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free, realloc, strdup, calloc);
    if (at)
        alloc_fail_at(strtoul(at, NULL, 10));
}

__attribute__((destructor)) static void tell(void)
{
    static const char line[] = "nothing failed\n";
    if (!alloc_fail_disarm())
        (void)!write(STDERR_FILENO, line, sizeof line - 1);
}
