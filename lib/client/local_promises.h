/*
 * local_promises.h: promises of local mode: in memory, until the handle is closed.
 */
#ifndef ASQ_CLIENT_LOCAL_PROMISES_H
#define ASQ_CLIENT_LOCAL_PROMISES_H

#include "asqueue.h"
#include "client/handle.h"
#include "client/promise.h"
#include "value/table.h"
#include "value/value.h"

struct asq__local_promises {
    struct asq__table by_id;
};

int asq__local_promises_init(struct asq__local_promises *p);
/* Completes what waits for them with ASQ_ECLOSED. */
void asq__local_promises_free(struct asq__local_promises *p);
/* Opens one, made by a call; ASQ_ENOMEM. */
int asq__local_promise_open(struct asq__local_promises *p, const struct asq__call_id *id,
                            const char *maker);
/* Completes a result when the promise of its id is settled. ASQ_ENOMEM; ASQ_EEXPIRED: there is
 * none. */
int asq__local_promise_await(struct asq__local_promises *p, asq_result *r);
/* As asq__mode.settle. ASQ_ENOMEM. */
int asq__local_promise_settle(struct asq__local_promises *p, const struct asq__settlement *s,
                              enum asq__settled *ret);
/* As asq__local_promise. */
enum asq__promise_state asq__local_promise_find(const struct asq__local_promises *p,
                                                const struct asq__call_id *id,
                                                const asq_value **ret_value,
                                                const asq_error **ret_error,
                                                const char **ret_maker);

#endif
