/*
 * sized_options.h: structs of options that a program gives, which begin with their size.
 */
#ifndef ASQ_VALUE_SIZED_OPTIONS_H
#define ASQ_VALUE_SIZED_OPTIONS_H

#include <stddef.h>

/* Copies options of a program that was built with this header or an older one to `ret`, which has
 * `known` bytes and holds what `init` sets: missing fields keep that. given NULL: copies nothing.
 * ASQ_EINVAL: they were not set up; ASQ_EVERSION: they are of a newer header. */
int asq__sized_options_take(void *ret, size_t known, const void *given, const char *init, char *err,
                            size_t errlen);

#endif
