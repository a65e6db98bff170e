/*
 * retry.h: policies by which a call that has failed is run again (asq_retry): checked, and decided by.
 * The same in workers and in local mode. No I/O.
 */
#ifndef ASQ_CLIENT_RETRY_H
#define ASQ_CLIENT_RETRY_H

#include "asqueue.h"
#include "proto/asqueue.pb-c.h"

/* ASQ_EINVAL, with a text that names what is wrong. */
int asq__retry_check(const asq_retry *retry, char *err, size_t errlen);

/* After run number `runs` of a call has failed with `code`: is it to be run again, by the job's policy or
 * else the method's (each may be NULL)? */
bool asq__retry_wanted(const Asqueue__Retry *of_job, const asq_retry *of_method, int code,
                       uint32_t runs, int64_t *ret_delay_ms, bool *ret_keep_place);

/* So long, or up to a half less, by chance: not everybody tries again at the same instant. */
int64_t asq__retry_jitter(int64_t ms);

#endif
