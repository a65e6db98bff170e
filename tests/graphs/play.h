/*
 * play.h: plays one graph on one handle: makes the program's calls as far as it can without
 * waiting, takes their results as they come, and has the outcomes checked.
 */
#ifndef ASQ_TESTS_GRAPH_PLAY_H
#define ASQ_TESTS_GRAPH_PLAY_H

#include "graphs/graph.h"
#include "graphs/model.h"

struct play;

enum play_state { PLAY_GOES_ON, PLAY_ENDED, PLAY_FAILED };

/* Makes a play. g must live as long. rest_ms: time after which everything is checked again.
 * NULL: out of memory. */
struct play *play_new(const struct graph *g, asq *h, enum check_where where, int64_t rest_ms);
void play_free(struct play *p);
/* Advances as far as possible. Call it after each asq_poll. */
enum play_state play_go_on(struct play *p);
/* Returns whether its outcomes are there and correct, so that others may begin. */
bool play_is_resting(const struct play *p);
/* Returns the time of the last progress, by sup_now_ms(). */
int64_t play_since_ms(const struct play *p);
const char *play_why(const struct play *p);
void play_print(const struct play *p, const char *name, FILE *out);
void play_count(const struct play *p, struct figures *f);

#endif
