/*
 * retry.c: see retry.h.
 */
#include "client/retry.h"
#include "value/error.h"
#include "value/random.h"

enum { MAX_DELAY_MS = 60000, MAX_CODES = 64 };

/* The minimum delay after run n is n / 4 ms, so that a call that fails for ever, under a policy
 * without a delay, does not keep a worker busy. */
enum { MIN_DELAY_MS = 1, MIN_DELAY_RUNS = 4, MIN_DELAY_MOST_MS = 1000 };

int asq__retry_check(const asq_retry *retry, char *err, size_t errlen)
{
    size_t n = 0;
    if (retry->size != sizeof *retry)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "its retry policy begins with a size of %zu; ASQ_RETRY_INIT sets it",
                        retry->size);
    if (retry->delay_ms < 0 || retry->max_delay_ms < 0)
        return asq__err(err, errlen, ASQ_EINVAL, "its retry policy has a negative delay");
    while (retry->codes && retry->codes[n])
        if (retry->codes[n] > 0 || ++n > MAX_CODES)
            return asq__err(err, errlen, ASQ_EINVAL,
                            "its retry policy has codes that are not negative, or more than %d, or "
                            "no 0 at the end",
                            MAX_CODES);
    return 0;
}

/* Returns whether a further run cannot help: a fault of the caller, or a decision. */
static bool is_final(int code)
{
    switch (code) {
    case ASQ_ENOAGENT:
    case ASQ_ENOMETHOD:
    case ASQ_EARGS:
    case ASQ_ECANCELED:
    case ASQ_EDEADLINE:
    case ASQ_EINTERRUPTED:
    case ASQ_EDIVERGED: return true;
    default: return false;
    }
}

int64_t asq__retry_jitter(int64_t ms)
{
    uint64_t r;
    if (asq__random(&r, sizeof r) < 0)
        return ms;
    return ms - (int64_t) (r % ((uint64_t) ms / 2 + 1));
}

static int64_t least_delay_ms(uint32_t runs)
{
    uint32_t ms = runs / MIN_DELAY_RUNS;
    return ms < MIN_DELAY_MS ? MIN_DELAY_MS : ms < MIN_DELAY_MOST_MS ? ms : MIN_DELAY_MOST_MS;
}

bool asq__retry_wanted(const Asqueue__Retry *of_job, const asq_retry *of_method, int code,
                       uint32_t runs, int64_t *ret_delay_ms, bool *ret_keep_place)
{
    bool listed = false, any;
    uint64_t delay, max;
    if (of_job) {
        any = of_job->n_codes == 0;
        for (size_t i = 0; i < of_job->n_codes; i++)
            listed |= of_job->codes[i] == code;
        delay = of_job->delay_ms;
        max = of_job->max_delay_ms;
    } else if (of_method) {
        any = !of_method->codes;
        for (size_t i = 0; !any && of_method->codes[i]; i++)
            listed |= of_method->codes[i] == code;
        delay = (uint64_t) of_method->delay_ms;
        max = (uint64_t) of_method->max_delay_ms;
    } else {
        return false;
    }
    if (runs >= (of_job ? of_job->attempts : of_method->attempts) ||
        !(listed || (any && !is_final(code))))
        return false;
    if (max == 0)
        max = MAX_DELAY_MS;
    for (uint32_t i = 1; i < runs && delay < max; i++)
        delay *= 2;
    if (delay > max)
        delay = max;
    if (delay > INT64_MAX / 4)
        delay = INT64_MAX / 4; /* limits an unchecked policy from a message */
    int64_t least = least_delay_ms(runs);
    *ret_delay_ms = asq__retry_jitter((int64_t) delay);
    if (*ret_delay_ms < least)
        *ret_delay_ms = least;
    *ret_keep_place = of_job ? of_job->keep_place : of_method->keep_place;
    return true;
}
