/*
 * faults.h: what is done to a deployment. Each fault is drawn from the round's random numbers; those that
 * last end by themselves, or with faults_heal.
 */
#ifndef ASQ_CHAOS_FAULTS_H
#define ASQ_CHAOS_FAULTS_H

#include "chaos.h"

enum { MAX_FAULTS = 32 };

/* Bits for a name, a prefix ("proxy-", "kill"), or a list of those with commas; 0: there is none.
 * "all" is every fault; those after which Redis has forgotten something, so that less can be held against
 * the rest, only in some of the rounds. */
unsigned faults_parse(const char *names);
unsigned faults_of_round(unsigned faults, int round); /* the bits that this round is to have */
bool faults_include(unsigned faults, const char *names);
void faults_print_names(void);

void faults_begin(struct deployment *d);
void faults_tick(struct deployment *d); /* does what is due */
void faults_heal(struct deployment *d); /* all is well from here on */

/* How often each was done, since the start. */
unsigned faults_total(void);
void faults_print_counts(void);

#endif
