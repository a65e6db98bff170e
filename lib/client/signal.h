/*
 * signal.h: signals to agents, as lists show them.
 */
#ifndef ASQ_CLIENT_SIGNAL_H
#define ASQ_CLIENT_SIGNAL_H

#include "asqueue.h"
#include "value/signal_box.h"

/* Appends the signals in a box to a list. ASQ_ENOMEM. */
int asq__signals_add(asq_value *list, const struct asq__signal_box *box);
/* local.c: appends the signals to an agent. */
int asq__local_signals(asq *h, const char *agent, asq_value *list);

#endif
