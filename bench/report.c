#include "result.h"
bool results_write_report(const results *all, const char *path)
{
    (void)all;
    (void)path;
    return true;
}
