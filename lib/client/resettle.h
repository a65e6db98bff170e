/*
 * resettle.h: settles promises again whose outcome Redis has lost in a failover, or a restart. For
 * engines that wait for no replicas: with these nothing is lost that was told.
 */
#ifndef ASQ_CLIENT_RESETTLE_H
#define ASQ_CLIENT_RESETTLE_H

#include <stdbool.h>

struct asq__engine;
struct asq__settlement;

/* Keeps a copy of a settlement that Redis has taken, for a minute, and the last 1,000 of 4 MiB. */
void asq__resettle_keep(struct asq__engine *e, const struct asq__settlement *s);
/* Makes those of the partitions p with parts[p] again, after a lost connection; NULL: all. */
void asq__resettle_all(struct asq__engine *e, const bool *parts);
void asq__resettle_tick(struct asq__engine *e); /* once a second */
/* Forgets all, before the namespace or the engine goes. */
void asq__resettle_drop(struct asq__engine *e);

#endif
