/*
 * check.h: declarations shared by the checks: the entries of the agents' logs, each the proof of a
 * committed run.
 */
#ifndef ASQ_CHAOS_CHECK_H
#define ASQ_CHAOS_CHECK_H

#include "chaos.h"
#include "history.h"

struct entry {
    char agent[32], item[48], call[128], worker[64], run[40];
    uint64_t epoch;
    size_t place; /* in its agent's log */
};

struct entries {
    struct entry *e; /* order in which check_witness gets them: by agent and place */
    size_t n, cap;
};

/* Compares the logs with the witness's notes, and counts the runs without effect. */
void check_witness(struct deployment *d, const struct entries *all, struct outcome *ret);

#endif
