/*
 * trouble.h: decides which of repeated failures to log: each cause at once, then once a minute with
 * the number of tries, and finally the recovery. A cause that returns within the minute is logged
 * once it has lasted two seconds. Writes no log itself.
 */
#ifndef ASQ_REDIS_TROUBLE_H
#define ASQ_REDIS_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

enum { ASQ__TROUBLE_CAUSES = 4, ASQ__TROUBLE_TEXT = 480 };

/* All zero: no trouble so far. */
struct asq__trouble {
    int64_t since_ms; /* 0: no trouble now */
    unsigned tries;   /* failed tries since then */
    bool logged;      /* trouble was logged, recovery not yet */
    struct {
        uint64_t hash;
        int64_t last_logged_ms;
    } causes[ASQ__TROUBLE_CAUSES];
};

/* Notes a failed try. True: log `text`. */
bool asq__trouble_note(struct asq__trouble *t, const char *why, int64_t now_ms,
                       char text[ASQ__TROUBLE_TEXT]);
/* Notes a success. True: log it; `text` is the duration (" after 73 ms and …"). */
bool asq__trouble_over(struct asq__trouble *t, int64_t now_ms, char text[ASQ__TROUBLE_TEXT]);

#endif
