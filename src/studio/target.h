/*
 * target.h: the target of an HTTP request, "/api/agents/a%20b?limit=10", taken apart: decoded,
 * checked and bounded. Knows nothing of HTTP libraries and of what the parts mean.
 */
#ifndef ASQ_SRC_STUDIO_TARGET_H
#define ASQ_SRC_STUDIO_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AS_TARGET_SEGMENTS = 8, AS_TARGET_PARAMS = 16, AS_TARGET_BYTES = 8192 };

struct as_target {
    char *text;  /* owns what the others point to */
    size_t size; /* of it */
    size_t n_segments, n_params;
    const char *segments[AS_TARGET_SEGMENTS]; /* of the path; "/" has none */
    struct {
        const char *name, *value;
    } params[AS_TARGET_PARAMS];
};

/* Takes a target apart. Each part is UTF-8 without NUL afterwards. ASQ_EINVAL with a text: bytes
 * that no part may have, "%" without two digits, a parameter that comes twice, or too many parts;
 * ASQ_ELIMIT: too long; ASQ_ENOMEM. Nothing is to be released after a failure. */
int as_target_parse(const char *uri, struct as_target *ret, char *err, size_t errlen);
void as_target_release(struct as_target *t);
/* Returns a parameter; NULL: it is not given. */
const char *as_target_param(const struct as_target *t, const char *name);
/* Reads a number of decimal digits, `least` to `most`; *ret stays if the parameter is not given.
 * ASQ_EINVAL with a text. */
int as_target_number(const struct as_target *t, const char *name, int64_t least, int64_t most,
                     int64_t *ret, char *err, size_t errlen);
/* Reads pairs NAME=VALUE of a form, as `params` of *ret; errors as of as_target_parse. */
int as_target_parse_form(const char *body, struct as_target *ret, char *err, size_t errlen);

#endif
