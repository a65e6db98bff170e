/*
 * codes.c: see codes.h.
 */
#include "codes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "asqueue.h"

enum { LAST_CODE = -999 };

bool as_code_read(const char *text, int *ret)
{
    char *end;
    const char *name = strncasecmp(text, "ASQ_", 4) == 0 ? text + 4 : text;
    long number = strtol(text, &end, 10);
    if (end > text && !*end && number && number > INT32_MIN && number < INT32_MAX) {
        *ret = (int) number;
        return true;
    }
    if (strncasecmp(name, "EUSER(", 6) == 0 && name[6] >= '0' && name[6] <= '9') {
        number = strtol(name + 6, &end, 10);
        *ret = number < INT32_MAX / 2 ? ASQ_EUSER((int) number) : 0;
        return *ret && strcmp(end, ")") == 0;
    }
    for (int code = -1; code >= LAST_CODE; code--) {
        const char *known = asq_error_name(code);
        if (known && (strcasecmp(known, name) == 0 || strcasecmp(known + 4, name) == 0)) {
            *ret = code;
            return true;
        }
    }
    return false;
}
