/*
 * faults.h: the faults of a deployment. Each fault is drawn from the round's random numbers;
 * lasting faults end by themselves, or by faults_heal.
 */
#ifndef ASQ_CHAOS_FAULTS_H
#define ASQ_CHAOS_FAULTS_H

#include "chaos.h"

enum { MAX_FAULTS = 60 };

/* faults_parse returns the bits for a name, a prefix ("proxy-", "kill"), or a list of names with
 * commas; 0: unknown name. "all" is every fault; faults that make Redis lose data, and so weaken
 * the checks, occur in some rounds only. */
uint64_t faults_parse(const char *names);
/* Returns the faults of this round that the plan's deployment can have. */
uint64_t faults_of_round(const struct plan *plan, int round);
bool faults_include(uint64_t faults, const char *names);
void faults_print_names(void);

void faults_begin(struct deployment *d);
void faults_tick(struct deployment *d); /* Applies the due faults. */
void faults_heal(struct deployment *d); /* Ends all faults, and makes no more. */

/* For files of faults. faults_later calls fn(d, arg) when the time is over, or at the end. */
typedef void (*heal_fn)(struct deployment *d, int arg);
void faults_later(int64_t ms, heal_fn fn, int arg);
int64_t faults_between(struct deployment *d, int from, int to);
/* Returns half of the lease time, one and a half, or five times. */
int64_t faults_pause_ms(struct deployment *d);

/* Return how often each fault was applied since the start. */
unsigned faults_total(void);
void faults_print_counts(void);

#endif
