/* Enough JSON to check what the programs print: strict syntax, members, elements. No state; any
 * thread. */
#ifndef TEST_JSON_H
#define TEST_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Is this one JSON value (RFC 8259) with nothing behind it but white space? */
bool json_valid(const char *text);

/* The rest assumes valid JSON. The value of an object's member, or NULL. */
const char *json_member(const char *object, const char *key);
/* The i-th element of an array, or NULL. */
const char *json_element(const char *array, size_t i);
/* A string's text, unescaped, into out (cut to fit). Returns false when it is no string. */
bool json_string(const char *value, char *out, size_t size);

#endif
