/*
 * read.c: see read.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oldest.h"
#include "program.h"
#include "top/died.h"
#include "top/read.h"

enum {
    SHARE = 30,
    MAX_LETTERS = 200,
    MAX_FAILURES = 200,
    ITS_FAILURES = 50,
    OLDEST = 500,
    MAX_PROGRESS = 50, /* calls of which values are read */
    SCAN_MS = 120000   /* for all calls; each page has the handle's timeout */
};

/* ---- Lists that are kept -------------------------------------------------------------------- */

static bool is_due(const struct as_top_kept *kept)
{
    return as_program_now_ms() >= kept->next_ms;
}

/* Takes a new list in place of the last one, whose reading has taken so long. */
static void keep(struct as_top_reader *reader, struct as_top_kept *kept, asq_value *list,
                 int64_t took_ms)
{
    int64_t pause_ms = SHARE * (took_ms > 0 ? took_ms : 0);
    asq_value_free(kept->list);
    kept->list = list;
    kept->next_ms =
        as_program_now_ms() + (pause_ms > reader->interval_ms ? pause_ms : reader->interval_ms);
}

void as_top_reader_release(struct as_top_reader *reader)
{
    asq_value_free(reader->queued.list);
    asq_value_free(reader->progress.list);
    asq_value_free(reader->failures.list);
    asq_value_free(reader->letters.list);
    asq_value_free(reader->its_failures.list);
    asq_value_free(reader->failure);
    as_top_forget(&reader->memory);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

struct collecting {
    const struct as_top_reader *reader;
    struct as_oldest oldest;
    size_t counts[AS_TOP_CALL_STATES];
};

static int collect(const asq_value *call, void *user)
{
    struct collecting *c = user;
    if (c->reader->stop && atomic_load(c->reader->stop))
        return ASQ_ECANCELED;
    const char *state = asq_map_string(call, "state");
    for (size_t i = 0; i < AS_TOP_CALL_STATES; i++)
        c->counts[i] += strcmp(state, as_top_call_states[i]) == 0;
    return as_oldest_add(&c->oldest, call);
}

/* Lists the oldest calls of some states. counts (may be NULL) gets the numbers of all. */
static int read_calls(struct as_top_reader *reader, unsigned states, const char *agent,
                      asq_value **ret, size_t *counts)
{
    struct collecting c = { .reader = reader, .oldest = { .limit = OLDEST } };
    int rc = asq_calls_each(reader->h, states, agent, NULL, SCAN_MS, collect, &c);
    if (rc == 0 && counts)
        for (size_t i = 0; i < AS_TOP_CALL_STATES; i++)
            counts[i] += c.counts[i];
    if (rc == 0)
        return as_oldest_list(&c.oldest, ret);
    as_oldest_release(&c.oldest);
    return rc;
}

bool as_top_queued_is_due(const struct as_top_reader *reader)
{
    return is_due(&reader->queued);
}

int as_top_read_queued(struct as_top_reader *reader)
{
    int64_t begun_ms = as_program_now_ms();
    size_t counts[AS_TOP_CALL_STATES] = { 0 };
    asq_value *list;
    int rc = read_calls(reader, ASQ_CALLS_WAITING | ASQ_CALLS_DELAYED | ASQ_CALLS_RETRYING, NULL,
                        &list, counts);
    if (rc < 0)
        return rc;
    memcpy(reader->n_queued, counts, sizeof counts);
    reader->queued_ms = as_program_now_ms();
    /* The time that workers take for their answers is no load of Redis. */
    keep(reader, &reader->queued, list, reader->queued_ms - begun_ms - reader->begun_took_ms);
    return 0;
}

/* Lists the calls that have begun, and behind them those that have not. */
static int add_calls(struct as_top_reader *reader, struct as_top_frame *frame)
{
    int64_t begun_ms = as_program_now_ms();
    int rc = read_calls(reader, ASQ_CALLS_RUNNING | ASQ_CALLS_PARKED, NULL, &frame->calls,
                        frame->n_calls);
    reader->begun_took_ms = as_program_now_ms() - begun_ms;
    for (size_t i = 0; rc == 0 && i < asq_list_size(reader->queued.list); i++)
        rc = asq_list_append(frame->calls, asq_value_copy(asq_list_get(reader->queued.list, i)));
    for (size_t i = 0; i < AS_TOP_CALL_STATES; i++)
        frame->n_calls[i] += reader->n_queued[i];
    frame->queued_ms = reader->queued_ms;
    return rc;
}

/* Adds the last value of a call, which is read if it has emitted more since the last time. */
static int add_value(struct as_top_reader *reader, const asq_value *call, asq_value *list)
{
    const char *id = asq_map_string(call, "id");
    const asq_value *known = asq_map_get(reader->progress.list, id);
    double emitted = as_top_number(call, "emitted");
    if (known && as_top_number(known, "emitted") == emitted)
        return asq_map_set(list, id, asq_value_copy(known));
    asq_value *value;
    int rc = asq_emitted_last(reader->h, id, &value);
    if (rc == ASQ_ENOENT) /* it has not left its worker yet, or the call has ended */
        return 0;
    return rc < 0
               ? rc
               : asq_map_set(list, id,
                             asq_pack("{s:I, s:o}", "emitted", (int64_t) emitted, "value", value));
}

/* Reads the last values of calls that emit, the oldest of them. */
static int add_progress(struct as_top_reader *reader, struct as_top_frame *frame)
{
    int64_t begun_ms = as_program_now_ms();
    int rc = 0;
    if (is_due(&reader->progress)) {
        asq_value *list = asq_value_map();
        rc = list ? 0 : ASQ_ENOMEM;
        for (size_t i = 0; rc == 0 && i < asq_list_size(frame->calls); i++) {
            const asq_value *call = asq_list_get(frame->calls, i);
            if (as_top_number(call, "emitted") > 0 && asq_map_size(list) < MAX_PROGRESS)
                rc = add_value(reader, call, list);
        }
        keep(reader, &reader->progress, list, as_program_now_ms() - begun_ms);
    }
    if (rc == 0 && !(frame->progress = asq_value_copy(reader->progress.list)))
        rc = ASQ_ENOMEM;
    return rc;
}

/* ---- Other parts ---------------------------------------------------------------------------- */

/* Returns whether a part alone has failed, so that the others are shown: Redis denies it to this
 * user, or has something else there. */
static bool fails_alone(int rc)
{
    return rc == ASQ_EREDIS || rc == ASQ_EPROTO || rc == ASQ_ENOTSUP || rc == ASQ_EVERSION;
}

/* Notes the failure of a part, which stays empty. Returns other failures. */
static int note(struct as_top_reader *reader, struct as_top_frame *frame, int rc)
{
    if (!fails_alone(rc))
        return rc;
    snprintf(frame->note, sizeof frame->note, "%s", asq_errmsg(reader->h));
    return 0;
}

static int add_stats(struct as_top_reader *reader, const struct as_top_wish *wish,
                     struct as_top_frame *frame)
{
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    options.last_ms = wish->last_ms;
    return note(reader, frame, asq_stats(reader->h, &options, &frame->stats));
}

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int add_workers(struct as_top_reader *reader, struct as_top_frame *frame)
{
    int rc = note(reader, frame, asq_workers_live(reader->h, &frame->workers));
    if (rc == 0 && frame->workers)
        rc = as_top_remember(&reader->memory, frame->workers, as_program_now_ms());
    if (rc == 0)
        rc = note(reader, frame, asq_workers_dead(reader->h, &frame->deaths));
    return rc == 0 && frame->workers ? as_top_add_dead(frame->workers, frame->deaths, unix_ms())
                                     : rc;
}

/* Tells how many workers there were: those that Redis does not list any more are known by that. */
static int add_history(struct as_top_reader *reader, struct as_top_frame *frame)
{
    int rc = 0;
    if (as_program_now_ms() >= reader->history_next_ms) {
        rc = note(reader, frame, as_history_read(reader->h, &reader->history));
        reader->history_next_ms = as_program_now_ms() + AS_HISTORY_PAUSE_MS;
    }
    frame->history = reader->history;
    return rc;
}

/* Reads failures, of one agent or all, if it is time for them, and gives a copy. */
static int give_failures(struct as_top_reader *reader, struct as_top_kept *kept, const char *agent,
                         size_t limit, asq_value **ret)
{
    int rc = 0;
    if (is_due(kept)) {
        asq_failures_options options = ASQ_FAILURES_OPTIONS_INIT;
        int64_t begun_ms = as_program_now_ms();
        asq_value *list;
        options.agent_id = agent;
        options.limit = limit;
        if ((rc = asq_failures(reader->h, &options, &list)) == 0)
            keep(reader, kept, list, as_program_now_ms() - begun_ms);
    }
    if (rc == 0 && !(*ret = asq_value_copy(kept->list)))
        rc = ASQ_ENOMEM;
    return rc;
}

static int add_letters(struct as_top_reader *reader, struct as_top_frame *frame)
{
    struct as_top_kept *kept = &reader->letters;
    int rc = 0;
    if (is_due(kept)) {
        int64_t begun_ms = as_program_now_ms();
        asq_value *list;
        if ((rc = asq_dead_list(reader->h, MAX_LETTERS, &list)) == 0)
            keep(reader, kept, list, as_program_now_ms() - begun_ms);
    }
    if (rc == 0 && !(frame->letters = asq_value_copy(kept->list)))
        rc = ASQ_ENOMEM;
    frame->more_letters = asq_list_size(frame->letters) == MAX_LETTERS;
    return rc;
}

static int add_agent(struct as_top_reader *reader, struct as_top_frame *frame)
{
    if (strcmp(reader->id, frame->id) != 0) {
        memcpy(reader->id, frame->id, sizeof reader->id);
        reader->its_failures.next_ms = 0;
    }
    int rc = asq_show(reader->h, frame->id, &frame->record);
    /* An agent that is not there can have calls all the same. */
    if (rc == ASQ_ENOAGENT) {
        snprintf(frame->why, sizeof frame->why, "%s", asq_errmsg(reader->h));
        rc = 0;
    }
    if (rc == 0)
        rc = read_calls(reader, 0, frame->id, &frame->its_calls, NULL);
    if (rc == 0)
        rc = give_failures(reader, &reader->its_failures, frame->id, ITS_FAILURES,
                           &frame->its_failures);
    return rc;
}

static int add_failure(struct as_top_reader *reader, struct as_top_frame *frame)
{
    const asq_value *found = as_top_find(reader->failures.list, frame->id);
    if (found && strcmp(asq_map_string(reader->failure, "id"), frame->id) != 0) {
        asq_value_free(reader->failure);
        reader->failure = asq_value_copy(found);
    }
    if (strcmp(asq_map_string(reader->failure, "id"), frame->id) != 0)
        return 0;
    frame->record = asq_value_copy(reader->failure);
    return frame->record ? 0 : ASQ_ENOMEM;
}

static int add_subject(struct as_top_reader *reader, const struct as_top_wish *wish,
                       struct as_top_frame *frame)
{
    int rc = 0;
    frame->subject = wish->subject;
    memcpy(frame->id, wish->id, sizeof frame->id);
    if (wish->subject == AS_TOP_AGENT)
        rc = add_agent(reader, frame);
    else if (wish->subject == AS_TOP_LETTER)
        rc = asq_dead_show(reader->h, wish->id, &frame->record);
    else if (wish->subject == AS_TOP_FAILURE)
        rc = add_failure(reader, frame);
    if (fails_alone(rc) || rc == ASQ_EINVAL || rc == ASQ_ENOENT) {
        snprintf(frame->why, sizeof frame->why, "%s", asq_errmsg(reader->h));
        rc = 0;
    }
    return rc;
}

int as_top_read(struct as_top_reader *reader, const struct as_top_wish *wish,
                struct as_top_frame **ret)
{
    struct as_top_frame *frame = calloc(1, sizeof *frame);
    int rc = frame ? 0 : ASQ_ENOMEM;
    if (rc == 0)
        rc = add_workers(reader, frame);
    if (rc == 0)
        rc = add_calls(reader, frame);
    if (rc == 0)
        rc = note(reader, frame, add_progress(reader, frame));
    if (rc == 0)
        rc = add_stats(reader, wish, frame);
    if (rc == 0)
        rc = add_history(reader, frame);
    if (rc == 0)
        rc = note(reader, frame, asq_paused(reader->h, &frame->paused));
    if (rc == 0 && wish->failures)
        rc = note(reader, frame,
                  give_failures(reader, &reader->failures, NULL, MAX_FAILURES, &frame->failures));
    if (rc == 0)
        rc = note(reader, frame, add_letters(reader, frame));
    if (rc == 0)
        rc = add_subject(reader, wish, frame);
    if (rc < 0) {
        as_top_frame_free(frame);
        return rc;
    }
    frame->time_ms = unix_ms();
    frame->read_ms = as_program_now_ms();
    if (!frame->queued_ms)
        frame->queued_ms = frame->read_ms;
    *ret = frame;
    return 0;
}
