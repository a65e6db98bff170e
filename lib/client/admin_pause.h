/*
 * admin_pause.h: what is paused, for other functions that look at a deployment.
 */
#ifndef ASQ_CLIENT_ADMIN_PAUSE_H
#define ASQ_CLIENT_ADMIN_PAUSE_H

#include "asqueue.h"
#include "redis/pauses.h"

/* Reads what is paused, between asq__admin_begin and asq__admin_end; nothing, if this user must not
 * see it. The caller frees the list. */
int asq__admin_pauses(asq *h, struct asq__pause **ret_list, size_t *ret_n);
/* Returns the pause that makes calls of the class wait; NULL: there is none. */
const struct asq__pause *asq__pause_of(const struct asq__pause *list, size_t n,
                                       const char *class_name);

#endif
