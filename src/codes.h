/*
 * codes.h: reads the code of a failure as people write it.
 */
#ifndef ASQ_SRC_CODES_H
#define ASQ_SRC_CODES_H

#include <stdbool.h>

/* Reads "ASQ_EDEADLINE", "edeadline", "ASQ_EUSER(3)", or a number. */
bool as_code_read(const char *text, int *ret);

#endif
