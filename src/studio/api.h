/*
 * api.h: the paths below /api, and what each of them does. Functions here block while they ask
 * Redis, so they run on the threads of askers.c, each with a handle of its own.
 */
#ifndef ASQ_SRC_STUDIO_API_H
#define ASQ_SRC_STUDIO_API_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "studio/answer.h"
#include "studio/target.h"

struct as_studio;

/* A request, as the function of its path gets it. */
struct as_call {
    struct as_studio *studio;
    const struct as_target *target;
    const asq_value *body; /* of a POST: a map */
    const char *id;        /* the id in its path, or NULL */
    asq *h;                /* the thread's handle */
    bool *ret_unsent;      /* set if the handle has what must not be sent any more: it is closed */
};

struct as_route {
    const char *path;   /* below /api/; a part that is an id is a star */
    const char *params; /* names of its parameters, by spaces; of a POST: of the body's keys */
    bool writes;        /* a POST that changes something */
    void (*run)(const struct as_call *c, struct as_answer *a);
    bool local; /* needs no handle */
    bool large; /* takes much memory: few run at once */
};

/* Finds the route of a target below /api; *ret_id gets the id in it, or its parameter "id". NULL:
 * none; *ret_known tells whether there is one for the other method. */
const struct as_route *as_api_find(const struct as_target *t, bool post, const char **ret_id,
                                   bool *ret_known);
/* Checks that a request has no parameter, and no key in its body, that the route does not know.
 * Answers and returns false otherwise. */
bool as_api_check(const struct as_route *route, const struct as_target *t, const asq_value *body,
                  struct as_answer *a);

/* Read a parameter: a number of at least `least` (answers and returns false if it is not one); a
 * text, which is NULL if it is empty. */
bool as_api_number(const struct as_call *c, const char *name, int64_t least, int64_t most,
                   int64_t *ret, struct as_answer *a);
const char *as_api_text(const struct as_call *c, const char *name);
/* Returns whether a library function has succeeded; else answers with the handle's failure. */
bool as_api_ok(const struct as_call *c, int rc, struct as_answer *a);

/* api_overview.c */
void as_api_overview(const struct as_call *c, struct as_answer *a);
void as_api_workers(const struct as_call *c, struct as_answer *a);
void as_api_partitions(const struct as_call *c, struct as_answer *a);
void as_api_deaths(const struct as_call *c, struct as_answer *a);
void as_api_takeovers(const struct as_call *c, struct as_answer *a);
void as_api_stats(const struct as_call *c, struct as_answer *a);
void as_api_paused(const struct as_call *c, struct as_answer *a);
void as_api_classes(const struct as_call *c, struct as_answer *a);
/* api_agents.c */
void as_api_agents(const struct as_call *c, struct as_answer *a);
void as_api_agents_count(const struct as_call *c, struct as_answer *a);
void as_api_agent(const struct as_call *c, struct as_answer *a);
void as_api_agent_calls(const struct as_call *c, struct as_answer *a);
/* api_calls.c */
void as_api_calls(const struct as_call *c, struct as_answer *a);
/* api_graph.c */
void as_api_call_tree(const struct as_call *c, struct as_answer *a);
void as_api_waits(const struct as_call *c, struct as_answer *a);
/* api_failures.c */
void as_api_failures(const struct as_call *c, struct as_answer *a);
void as_api_failures_summary(const struct as_call *c, struct as_answer *a);
void as_api_dead(const struct as_call *c, struct as_answer *a);
void as_api_dead_letter(const struct as_call *c, struct as_answer *a);
/* api_timers.c */
void as_api_timers(const struct as_call *c, struct as_answer *a);
/* api_traces.c; both need no handle. */
void as_api_traces(const struct as_call *c, struct as_answer *a);
void as_api_trace(const struct as_call *c, struct as_answer *a);
/* api_writes.c */
void as_api_call_method(const struct as_call *c, struct as_answer *a);
void as_api_create(const struct as_call *c, struct as_answer *a);
void as_api_delete(const struct as_call *c, struct as_answer *a);
void as_api_unschedule(const struct as_call *c, struct as_answer *a);
void as_api_cancel(const struct as_call *c, struct as_answer *a);
void as_api_dead_retry(const struct as_call *c, struct as_answer *a);
void as_api_dead_drop(const struct as_call *c, struct as_answer *a);
void as_api_pause(const struct as_call *c, struct as_answer *a);
void as_api_resume(const struct as_call *c, struct as_answer *a);
void as_api_stop_worker(const struct as_call *c, struct as_answer *a);

#endif
