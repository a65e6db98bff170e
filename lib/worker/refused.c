/*
 * refused.c: logs for an operator that Redis refuses commits of a partition because of their
 * content or of one of their keys: the key, the cause and what to do, once and then once a minute
 * for each cause; and the end of it. Such a partition waits, starts no calls, and tries again; the
 * others go on.
 */
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "redis/refusal.h"
#include "redis/trouble.h"
#include "value/clock.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/refused.h"

static const char *hint(enum asq__refusal kind)
{
    switch (kind) {
    case ASQ__REFUSED_KEY:
    case ASQ__REFUSED_ACCESS: return ASQ__DENIAL_HINT;
    case ASQ__REFUSED_SIZE:
        return "; raise proto-max-bulk-len (redis-cli CONFIG SET, and in redis.conf)";
    default: return "";
    }
}

bool asq__refused_is_how(const char *died_how)
{
    return died_how && strncmp(died_how, ASQ__REFUSED_HOW, strlen(ASQ__REFUSED_HOW)) == 0;
}

void asq__refused_note(struct asq__partition *p, const char *text)
{
    struct asq__process *w = p->w;
    const char *why = text,
               *key_end = strncmp(text, "ERR asq:", 8) == 0 ? strstr(text, "}:") : NULL;
    char detail[ASQ__TROUBLE_TEXT];
    if (key_end && (key_end = strstr(key_end, ": ")))
        why = key_end + 2; /* one cause, whatever partition's key it is about */
    int key_n = why == text ? 0 : (int) (why - text) - 4;
    if (!p->refused) {
        p->refused = true;
        w->nrefused++;
    }
    if (asq__trouble_note(&w->refusing, why, asq__now_ms(), detail))
        asq__process_log_some(
            w, ASQ_LOG_ERROR,
            "partition %u: Redis refuses its commit; the worker retries it, and starts no calls "
            "of this partition: %.*s%s%s",
            p->number, key_n, why == text ? "" : text + 4, detail, hint(asq__text_refusal(why)));
}

void asq__refused_over(struct asq__partition *p, bool taken)
{
    struct asq__process *w = p->w;
    char text[ASQ__TROUBLE_TEXT];
    p->refused = false;
    p->refused_since_ms = 0;
    if (--w->nrefused == 0 && asq__trouble_over(&w->refusing, asq__now_ms(), text) && taken)
        asq__process_log(w, ASQ_LOG_INFO, "commits of all partitions are taken again%s", text);
}
