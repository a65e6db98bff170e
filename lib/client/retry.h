/*
 * retry.h: checks and applies policies for running failed calls again (asq_retry), for workers and
 * local mode alike. No I/O.
 */
#ifndef ASQ_CLIENT_RETRY_H
#define ASQ_CLIENT_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "proto/asqueue.pb-c.h"

/* Checks a policy. ASQ_EINVAL, with a text that names the fault. */
int asq__retry_check(const asq_retry *retry, char *err, size_t errlen);

/* Decides, after run number `runs` of a call has failed with `code`, whether to run it again, by
 * the job's policy or else the method's (each may be NULL). */
bool asq__retry_wanted(const Asqueue__Retry *of_job, const asq_retry *of_method, int code,
                       uint32_t runs, int64_t *ret_delay_ms, bool *ret_keep_place);

/* Returns ms reduced by a random part of up to one half, so that retries do not all come at
 * once. */
int64_t asq__retry_jitter(int64_t ms);

#endif
