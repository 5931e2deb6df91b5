#include "result.h"
void report_dummy(void);
void report_dummy(void) {}
