/*
 * trouble.h: a state in which something is tried again and again: when is that to be told? Each cause
 * at once, then once a minute with the number of tries, and at last that it is over. What comes back within
 * the minute is told once it has lasted two seconds. Knows no log.
 */
#ifndef ASQ_REDIS_TROUBLE_H
#define ASQ_REDIS_TROUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASQ__TROUBLE_CAUSES = 4, ASQ__TROUBLE_TEXT = 480 };

/* All zero: there was none. */
struct asq__trouble {
    int64_t since_ms; /* 0: there is none now */
    unsigned tries;   /* since then */
    bool told;        /* something was, and not yet that it is over */
    struct {
        uint64_t hash;
        int64_t told_ms;
    } causes[ASQ__TROUBLE_CAUSES];
};

/* A try has failed. True: it is to be told, as `text`. */
bool asq__trouble_note(struct asq__trouble *t, const char *why, int64_t now_ms,
                       char text[ASQ__TROUBLE_TEXT]);
/* A try has succeeded. True: it is to be told; `text` says after how long (" after 73 s, …"). */
bool asq__trouble_over(struct asq__trouble *t, int64_t now_ms, char text[ASQ__TROUBLE_TEXT]);

#endif
