/*
 * refused_blame.c: gives up the calls of a commit that Redis keeps refusing because of its content,
 * with an unknown error text. The calls are blamed as if a process had died of them, and the
 * partition is released and claimed anew. Then the calls run one at a time, and the outcome of each
 * is committed alone. So the good calls lose their blame, and the bad call comes to its last
 * attempt, becomes a dead letter, and ends in an error.
 *
 * Blame and release are one script (blame.lua), fenced by token and seq. If the script has no
 * effect, the commit waits as before. If its answer is lost, the lease shows that it is not this
 * process's any more.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "value/clock.h"
#include "value/msg.h"
#include "worker/commit.h"
#include "worker/core/attempts.h"
#include "worker/core/commit_set.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/refused.h"

/* How long a commit is refused before its calls are blamed: at first, and when they were blamed
 * before. */
enum { GIVE_UP_MS = 30000, AGAIN_MS = 5000 };

struct blame {
    struct asq__partition *p;
    uint64_t ownership;
    size_t n;
    char text[300];
};

/* Returns whether the refusal is for the content of the commit: the server has taken the section's
 * first write, or commits of others since, and the text is none that tells of permissions, memory,
 * the server or a length. */
static bool is_for_content(const struct asq__partition *p, const char *text)
{
    char lease[ASQ__KEY_MAX];
    size_t n = asq__keys_lease(asq__redis_keys(p->w->redis), p->number, lease);
    bool began = strncmp(text, "ERR asq:", 8) == 0 &&
                 (strncmp(text + 4, lease, n) != 0 || text[4 + n] != ':');
    return asq__text_refusal(text) == ASQ__REFUSED_COMMAND &&
           (began || atomic_load(&p->w->commits) > p->refused_taken);
}

static void on_blamed(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct blame *b = user;
    struct asq__partition *p = b->p;
    struct asq__process *w = p->w;
    (void) conn;
    if (p->ownership != b->ownership || !asq__partition_is_owned(p)) {
        free(b);
        return;
    }
    p->asking = false;
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        asq__process_log_some(
            w, ASQ_LOG_ERROR,
            "partition %u: Redis keeps refusing a commit; its calls (%zu) run again, each alone: "
            "%s",
            p->number, b->n, b->text);
        w->refresh_due = true; /* the lease has no owner, and is claimed again */
        asq__partition_abandon(p, "its calls are tried again");
    } else {
        if (reply && reply->type == REDIS_REPLY_ERROR)
            asq__refused_note(p, reply->str);
        asq__commit_recover_later(p);
    }
    free(b);
}

static void put_ms(struct asq__cmd *cmd, int ms)
{
    asq__cmd_number(cmd, (uint64_t) ms);
}

/* Sends the blame. The calls' ids stand behind the rest, so that the commit can append them. */
static void send_blame(struct asq__partition *p, const struct asq__commit *c, uint64_t seq,
                       const char *text)
{
    static const uint8_t nobody[ASQ__BATCH_ID];
    const struct asq__keys *keys = asq__redis_keys(p->w->redis);
    char key[ASQ__KEY_MAX], how[sizeof ASQ__REFUSED_HOW + 300];
    struct asq__cmd cmd;
    struct blame *b = malloc(sizeof *b);
    if (!b)
        return;
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_blame, 4);
    asq__cmd_put(&cmd, key, asq__keys_lease(keys, p->number, key));
    asq__cmd_put(&cmd, key, asq__keys_jobs(keys, p->number, key));
    asq__cmd_put(&cmd, key, asq__keys_attempts(keys, p->number, key));
    asq__cmd_put(&cmd, key, asq__keys_result(keys, p->number, nobody, key));
    asq__cmd_puts(&cmd, p->token);
    asq__cmd_number(&cmd, seq - 1);
    snprintf(how, sizeof how, ASQ__REFUSED_HOW "%.280s", text);
    asq__cmd_puts(&cmd, how);
    put_ms(&cmd, ASQ__DIED_WAIT_MS);
    put_ms(&cmd, ASQ__DIED_WAIT_MAX_MS);
    *b = (struct blame){ .p = p, .ownership = p->ownership, .n = asq__commit_blame(c, &cmd) };
    snprintf(b->text, sizeof b->text, "%s", text);
    if (b->n && asq__conn_send(asq__redis_conn(p->w->redis, p->number), on_blamed, b, &cmd) == 0)
        p->asking = true;
    else
        free(b);
    asq__cmd_release(&cmd);
}

void asq__refused_blame(struct asq__partition *p, const struct asq__commit *c, uint64_t seq,
                        const char *text)
{
    int64_t now_ms = asq__now_ms();
    if (!p->refused_since_ms || p->refused_seq != seq) {
        p->refused_since_ms = now_ms;
        p->refused_seq = seq;
        p->refused_taken = atomic_load(&p->w->commits);
    }
    if (!is_for_content(p, text)) {
        p->refused_since_ms = 0;
        return;
    }
    if (now_ms - p->refused_since_ms < (asq__commit_is_apart(c) ? AGAIN_MS : GIVE_UP_MS) ||
        p->asking)
        return;
    p->refused_since_ms = now_ms; /* the next try, should this one come to nothing */
    send_blame(p, c, seq, text);
}
