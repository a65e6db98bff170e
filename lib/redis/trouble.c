/*
 * trouble.c: see trouble.h.
 */
#include <stdio.h>
#include <string.h>

#include "redis/trouble.h"
#include "value/hash.h"

enum { LOG_EVERY_MS = 60000, SHORT_MS = 2000 };

bool asq__trouble_note(struct asq__trouble *t, const char *why, int64_t now_ms,
                       char text[ASQ__TROUBLE_TEXT])
{
    uint64_t hash = asq__fnv1a64(why, strlen(why));
    int slot = 0;
    if (!t->since_ms) {
        t->since_ms = now_ms;
        t->tries = 0;
    }
    t->tries++;
    for (int i = 0; i < ASQ__TROUBLE_CAUSES; i++) {
        if (t->causes[i].hash == hash && t->causes[i].last_logged_ms) {
            slot = i;
            break;
        }
        if (t->causes[i].last_logged_ms < t->causes[slot].last_logged_ms)
            slot = i; /* the cause logged longest ago is replaced */
    }
    bool recent = t->causes[slot].hash == hash && t->causes[slot].last_logged_ms &&
                  now_ms - t->causes[slot].last_logged_ms < LOG_EVERY_MS;
    /* Short trouble of a known cause gets no line. Longer trouble gets one, the first of this
     * time. */
    if (recent && (t->logged || now_ms - t->since_ms < SHORT_MS))
        return false;
    t->causes[slot].hash = hash;
    t->causes[slot].last_logged_ms = now_ms;
    t->logged = true;
    if (now_ms - t->since_ms < SHORT_MS)
        snprintf(text, ASQ__TROUBLE_TEXT, "%s", why);
    else
        snprintf(text, ASQ__TROUBLE_TEXT, "%s (since %lld s; %u tries)", why,
                 (long long) (now_ms - t->since_ms) / 1000, t->tries);
    return true;
}

bool asq__trouble_over(struct asq__trouble *t, int64_t now_ms, char text[ASQ__TROUBLE_TEXT])
{
    bool was_logged = t->since_ms && t->logged;
    if (was_logged)
        snprintf(text, ASQ__TROUBLE_TEXT, " after %lld ms and %u failed %s",
                 (long long) (now_ms - t->since_ms), t->tries, t->tries == 1 ? "try" : "tries");
    t->since_ms = 0;
    t->logged = false;
    return was_logged;
}
