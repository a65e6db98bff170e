/*
 * engine.c: creation, end and events of the engine. See engine.h, batch.h. Relies on redis/ for
 * connections and on value/msg for messages.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/batch.h"
#include "client/engine.h"
#include "client/progress.h"
#include "client/resettle.h"
#include "redis/cmd.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "redis/timer.h"
#include "value/arena.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/table.h"

enum { TICK_MS = 1000, CLOCK_MS = 5000, RENEWALS = 8 /* of a pinned record within its TTL */ };

/* ---- events ---- */

void asq__engine_forget_moves(struct asq__engine *e)
{
    if (e->moves)
        memset(e->moving, 0, e->partitions * sizeof *e->moving);
    e->moves = false;
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__engine *e = w->data;
    (void) loop;
    (void) revents;
    asq__lines_log_rest(&e->lines, asq__now_ms_coarse());
    asq__redis_expire_limit(e->redis);
    asq__resettle_tick(e);
    if (!e->up)
        return;
    if (e->stalled) {
        bool reconnect = e->reconnect;
        e->stalled = e->reconnect = false;
        if (reconnect) {
            asq__redis_drop(e->redis, "Redis refuses calls");
            return;
        }
        asq__engine_resend_refused(e);
    } else if (e->moves) {
        asq__engine_forget_moves(e);
        asq__engine_resend_refused(e);
    }
    if (asq__now_ms_coarse() - asq__redis_clock(e->redis)->asked_ms >= CLOCK_MS)
        asq__redis_ask_time(e->redis);
    asq__engine_send_ready(e);
    asq__engine_query_quiet(e);
    if (e->config.record_ms &&
        asq__now_ms_coarse() - e->renewed_ms > e->config.record_ms / RENEWALS)
        asq__engine_refresh_pinned(e);
    asq__progress_read_all(e);
    asq__engine_flush_unlinks(e);
    asq__hearing_tick(e);
}

/* Asks about the batches that are not sent again. */
static void query_watched(struct asq__engine *e, const bool *parts)
{
    ASQ__LIST_EACH (it, &e->watch) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, watch);
        if ((b->state != ASQ__BATCH_FOREIGN && b->state != ASQ__BATCH_PINNED) ||
            !asq__engine_concerns(parts, b->partition))
            continue; /* is sent again or asked about */
        b->seen = 0;  /* Redis may have lost and rewritten the part already read */
        asq__batch_query(e, b);
    }
}

void asq__engine_up(struct asq__engine *e)
{
    e->up = true;
    e->stalled = e->reconnect = e->suspected = false;
    asq__engine_forget_moves(e);
    if (asq__engine_open_tables(e) < 0 || asq__hearing_open(e) < 0) {
        asq__redis_drop(e->redis, "out of memory");
        return;
    }
    asq__engine_begin_fetches(e);
    asq__engine_refresh_pinned(e);
    asq__engine_resend(e, NULL);
    query_watched(e, NULL);
    asq__resettle_all(e, NULL);
    asq__progress_read_all(e);
}

void asq__engine_parts_up(struct asq__engine *e, const bool *parts)
{
    if (!e->up || !e->open)
        return;
    e->suspected = false;
    asq__engine_refresh_pinned(e);
    asq__engine_resend(e, parts);
    query_watched(e, parts);
    asq__resettle_all(e, parts);
    asq__progress_read_all(e);
}

void asq__engine_parts_down(struct asq__engine *e, const bool *parts)
{
    asq__hearing_down(e, parts);
    asq__engine_forget_fetches(e, parts);
    asq__engine_drop_unlinks(e, parts);
    asq__engine_fetch_more(e); /* in the room of reads that were lost */
}

void asq__engine_down(struct asq__engine *e)
{
    e->up = false;
    asq__hearing_down(e, NULL);
    asq__engine_forget_fetches(e, NULL); /* every batch is queried again */
    /* Records must stay: Redis may have lost the commits after which they are not needed. */
    asq__engine_drop_unlinks(e, NULL);
}

static void end_batch(struct asq__node *node, void *user)
{
    struct asq__batch *b = ASQ__CONTAINER(node, struct asq__batch, node);
    struct asq__engine *e = user;
    if (b->state == ASQ__BATCH_FOREIGN)
        asq__batch_fail(e, b, ASQ_EEXPIRED,
                        "the namespace was made anew, and does not know this call");
    else if (b->history != ASQ__NEVER_SENT)
        asq__batch_fail(
            e, b, ASQ_EUNKNOWN,
            "the namespace was made anew while the call was under way: nobody knows whether the "
            "call had run before");
    else
        asq__batch_fail(e, b, ASQ_EREDIS,
                        "the namespace was made anew, with other partitions: the call was not run");
}

void asq__engine_renew(struct asq__engine *e)
{
    asq__engine_close_open(e);
    asq__engine_forget_queries(e);
    asq__resettle_drop(e);
    asq__table_each(&e->batches, end_batch, e);
    asq__hearing_close(e);
    free(e->open);
    free(e->open_list);
    free(e->ended);
    free(e->taken_ms);
    free(e->left);
    free(e->moving);
    free(e->full);
    free(e->alone);
    free(e->rounds);
    free(e->creations);
    e->creations = NULL;
    e->creating = 0;
    e->holding = e->holding_briefly = e->released = false;
    e->open = NULL;
    e->open_list = NULL;
    e->ended = e->taken_ms = e->left = NULL;
    e->moving = NULL;
    e->full = NULL;
    e->n_full = 0;
    e->alone = NULL;
    e->n_alone = 0;
    e->rounds = NULL;
    e->moves = false;
    e->partitions = 0;
    if (asq__engine_open_tables(e) < 0)
        asq__redis_drop(e->redis, "out of memory"); /* the next connection retries */
}

void asq__engine_grow(struct asq__engine *e)
{
    if (e->open && asq__engine_open_tables(e) < 0)
        asq__redis_drop(e->redis, "out of memory"); /* the next connection retries */
}

/* ---- life ---- */

int asq__engine_new(const struct asq__engine_config *config, struct asq__engine **ret)
{
    struct asq__engine *e = calloc(1, sizeof *e);
    if (!e)
        return ASQ_ENOMEM;
    int rc = asq__table_init(&e->batches, asq__batch_key);
    if (rc < 0) {
        free(e);
        return rc;
    }
    e->config = *config;
    e->redis = config->redis;
    e->loop = asq__redis_loop(config->redis);
    asq__lines_init(&e->lines, config->log, config->log_user);
    asq__cmd_init(&e->unlink);
    asq__arena_init(&e->pushed, 0);
    asq__arena_init(&e->other, 0);
    asq__list_init(&e->settled);
    asq__list_init(&e->ready);
    asq__list_init(&e->blocked);
    asq__list_init(&e->sent);
    asq__list_init(&e->foreign);
    asq__list_init(&e->watch);
    asq__list_init(&e->ended_batches);
    asq__list_init(&e->progress);
    asq__list_init(&e->queries);
    asq__list_init(&e->fetches);
    ev_timer_init(&e->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
    e->tick.data = e;
    ev_timer_start(e->loop, &e->tick);
    *ret = e;
    return 0;
}

static void close_batch(struct asq__node *node, void *user)
{
    struct asq__batch *b = ASQ__CONTAINER(node, struct asq__batch, node);
    struct asq__engine *e = user;
    asq__batch_fail(e, b, ASQ_ECLOSED, "the handle was closed");
}

void asq__engine_free(struct asq__engine *e)
{
    struct asq__list *node;
    if (!e)
        return;
    e->closing = true;
    ev_timer_stop(e->loop, &e->tick);
    asq__engine_flush_unlinks(e);
    if (e->up)
        asq__redis_flush(e->redis);
    e->up = false;
    asq__engine_forget_queries(e);
    asq__engine_forget_fetches(e, NULL);
    asq__table_each(&e->batches, close_batch, e);
    asq__progress_close(e);
    asq__resettle_drop(e);
    while ((node = asq__list_pop(&e->ended_batches))) /* the last pending reply frees each */
        ASQ__CONTAINER(node, struct asq__batch, order)->engine = NULL;
    asq__assert(e->unfinished == 0 && e->unaccepted == 0 && e->backlog == 0);
    asq__assert(e->batches.count == 0 && asq__list_empty(&e->watch) &&
                asq__list_empty(&e->foreign));
    asq__assert(asq__list_empty(&e->ready) && asq__list_empty(&e->blocked) &&
                asq__list_empty(&e->sent));
    asq__table_release(&e->batches);
    asq__hearing_close(e);
    asq__cmd_release(&e->unlink);
    free(e->forgotten);
    asq__arena_release(&e->pushed);
    asq__arena_release(&e->other);
    free(e->open);
    free(e->open_list);
    free(e->ended);
    free(e->taken_ms);
    free(e->left);
    free(e->moving);
    free(e->full);
    free(e->alone);
    free(e->rounds);
    free(e->creations);
    free(e);
}

void asq__engine_set_loop(struct asq__engine *e, struct ev_loop *loop)
{
    asq__hearing_set_loop(e, loop);
    ev_timer_stop(e->loop, &e->tick);
    e->loop = loop;
    asq__timer_restart(e->loop, &e->tick, TICK_MS / 1000., TICK_MS / 1000.);
}

bool asq__engine_accepted(const struct asq__engine *e)
{
    return e->unaccepted == 0 && e->opened == 0;
}

static void count_unaccepted(const struct asq__list *list, size_t *ret_unsent, size_t *ret_unknown)
{
    ASQ__LIST_EACH (it, list) {
        const struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b->state != ASQ__BATCH_ACCEPTED)
            *(b->history == ASQ__NEVER_SENT ? ret_unsent : ret_unknown) += b->unfinished;
    }
}

void asq__engine_count_unaccepted(const struct asq__engine *e, size_t *ret_unsent,
                                  size_t *ret_unknown)
{
    *ret_unsent = *ret_unknown = 0;
    count_unaccepted(&e->ready, ret_unsent, ret_unknown);
    count_unaccepted(&e->blocked, ret_unsent, ret_unknown);
    count_unaccepted(&e->sent, ret_unsent, ret_unknown);
}

size_t asq__engine_unfinished(const struct asq__engine *e)
{
    return e->unfinished;
}

size_t asq__engine_backlog(const struct asq__engine *e)
{
    return e->backlog;
}
