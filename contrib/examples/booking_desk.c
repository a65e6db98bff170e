/*
 * booking_desk.c: see booking_desk() in booking.h. Stands for the services of other companies.
 */
#include "booking.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Finds a line "VERB KEY ...". *ret_lines: how many lines there are. */
static bool has_line(FILE *f, const char *verb, const char *key, int *ret_lines)
{
    char line[1024], want[400];
    bool found = false;

    snprintf(want, sizeof want, "%s %s ", verb, key);
    rewind(f);
    for (*ret_lines = 0; fgets(line, sizeof line, f); ++*ret_lines)
        found |= strncmp(line, want, strlen(want)) == 0;
    return found;
}

static bool is_full(const char *desk, const char *service)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s.full", desk, service);
    return access(path, F_OK) == 0;
}

/* Adds a line, unless the same request has added it before: its sender may have died, or may not
 * have got the answer. */
static int serve(asq_ctx *ctx, FILE *f, const char *desk, const char *service, const char *verb,
                 const char *key, const char *who)
{
    int lines;
    bool booked = has_line(f, "book", key, &lines);

    if (has_line(f, verb, key, &lines) || (strcmp(verb, "cancel") == 0 && !booked))
        return 0;
    if (strcmp(verb, "book") == 0 && is_full(desk, service))
        return asq_fail(ctx, BOOKING_EREFUSED, "the %s has no room for %s", service, who);
    fseek(f, 0, SEEK_END);
    fprintf(f, "%s %s %s\n", verb, key, who);
    return fflush(f) == 0 ? 0 : asq_fail(ctx, BOOKING_EAWAY, "%s: %s", service, strerror(errno));
}

int booking_desk(asq_ctx *ctx, const char *desk, const char *service, const char *verb,
                 const char *key, const char *who, char ret_reference[BOOKING_REFERENCE])
{
    char path[1024];
    FILE *f;
    int rc;

    if (snprintf(path, sizeof path, "%s/%s", desk, service) >= (int) sizeof path)
        return asq_fail(ctx, ASQ_EARGS, "the name of the desk is too long");
    if (!(f = fopen(path, "a+")))
        return asq_fail(ctx, BOOKING_EAWAY, "%s: %s", path, strerror(errno));
    if (flock(fileno(f), LOCK_EX) < 0)
        rc = asq_fail(ctx, BOOKING_EAWAY, "%s: %s", path, strerror(errno));
    else
        rc = serve(ctx, f, desk, service, verb, key, who);
    fclose(f); /* which unlocks it */
    snprintf(ret_reference, BOOKING_REFERENCE, "%s for %.60s", service, who);
    return rc;
}
