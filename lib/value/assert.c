/*
 * assert.c: the end of a process whose state contradicts itself. See assert.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "value/assert.h"

void asq__assert_failed(const char *file, int line, const char *condition)
{
    /* Without stdio: its lock may belong to this very thread, or to one that waits for it. */
    dprintf(STDERR_FILENO, "asqueue: %s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}
