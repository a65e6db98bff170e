/*
 * died.h: the workers that have died, as rows among the others: also those of before as-ctl top
 * began, because Redis keeps their deaths for a day.
 */
#ifndef ASQ_SRC_TOP_DIED_H
#define ASQ_SRC_TOP_DIED_H

#include <stdint.h>

#include "asqueue.h"

enum { AS_TOP_DEAD_MS = 60 * 60 * 1000 };

/* Adds the deaths of the last hour to a list of workers: to the entry of the process if there is
 * one, or as a new one, with became: "died", how and heirs (text). A worker whose former process
 * has died lately gets became: "restarted". time_ms is Unix time. ASQ_ENOMEM: some are missing. */
int as_top_add_dead(asq_value *workers, const asq_value *deaths, int64_t time_ms);

enum { AS_TOP_WORKER_KEY = ASQ_MAX_ID + 1 };
/* Writes what tells an entry from others: its id, and of a dead process the pid. */
const char *as_top_worker_key(const asq_value *worker, char text[AS_TOP_WORKER_KEY]);

#endif
