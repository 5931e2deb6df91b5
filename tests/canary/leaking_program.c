/* A program that leaks and otherwise succeeds; canary_leak_in_child starts it. */
#include <stdlib.h>

int main(void)
{
    char *volatile block = malloc(1234);
    block = NULL;
    return block != NULL;
}
