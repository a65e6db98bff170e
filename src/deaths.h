/*
 * deaths.h: entries of asq_workers_dead as text for people.
 */
#ifndef ASQ_SRC_DEATHS_H
#define ASQ_SRC_DEATHS_H

#include <stddef.h>

#include "asqueue.h"

/* Writes how the process has died, and whether it was heard of again; cut to n bytes. */
void as_death_how(const asq_value *death, char *text, size_t n);
/* Writes who has taken over how many partitions, the most first: "one.0 3, two.0 1"; "" if nobody
 * has. */
void as_death_heirs(const asq_value *death, char *text, size_t n);

#endif
