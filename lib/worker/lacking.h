/*
 * lacking.h: calls of classes that this process lacks. An owner that meets one keeps it unstarted,
 * and with it the order of its agent's calls. If another live worker has more of the partition's
 * classes and this one together, it becomes a needed one (needs.h), and the partition is handed
 * over as always, by a drain; otherwise the call waits until such a worker comes.
 */
#ifndef ASQ_WORKER_LACKING_H
#define ASQ_WORKER_LACKING_H

#include <stdbool.h>
#include <stdint.h>

struct asq__partition;
struct asq__process;

/* Returns whether a call waits for a worker that knows the class in this version: this process does
 * not. False: it is to fail, because no worker does (fail_no_class), or because the partition needs
 * too many classes already. */
bool asq__lacking_await(struct asq__partition *p, const char *class_name, uint32_t version);
/* Decides again for what is awaited. kinds: as process->kinds; it is taken over. */
void asq__lacking_decide(struct asq__process *w, char *kinds);

#endif
