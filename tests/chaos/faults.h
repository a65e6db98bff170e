/*
 * faults.h: the faults of a deployment. Each fault is drawn from the round's random numbers;
 * lasting ones end by themselves, or with faults_heal.
 */
#ifndef ASQ_CHAOS_FAULTS_H
#define ASQ_CHAOS_FAULTS_H

#include "chaos.h"

enum { MAX_FAULTS = 32 };

/* faults_parse: bits for a name, a prefix ("proxy-", "kill"), or a list of names with commas; 0:
 * unknown name. "all" is every fault; faults that make Redis forget something, and so weaken the
 * checks, occur in some of the rounds only. */
unsigned faults_parse(const char *names);
unsigned faults_of_round(unsigned faults, int round); /* the bits of this round */
bool faults_include(unsigned faults, const char *names);
void faults_print_names(void);

void faults_begin(struct deployment *d);
void faults_tick(struct deployment *d); /* applies due faults */
void faults_heal(struct deployment *d); /* ends all faults, from here on */

/* Return how often each was applied, since the start. */
unsigned faults_total(void);
void faults_print_counts(void);

#endif
