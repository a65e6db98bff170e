/*
 * complete.h: what both programs offer for TAB from a deployment. Failures are silent, because the
 * user is typing.
 */
#ifndef ASQ_SRC_COMPLETE_H
#define ASQ_SRC_COMPLETE_H

#include "asqueue.h"

/* Opens the deployment of ASQUEUE_URL; NULL: there is none, or it does not answer within a
 * second. */
asq *as_complete_open(void);
/* Prints a name, unless a shell could take a part of it for more than a name. */
void as_complete_word(const char *word);
/* Prints the ids of the workers. */
void as_complete_workers(asq *h);

#endif
