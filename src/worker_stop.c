/*
 * worker_stop.c: see worker_stop.h. A worker that was asked to stop drains, which takes as long as
 * its calls (at most its --drain-timeout), and then leaves the list of workers. A worker that dies
 * meanwhile counts as gone when its heartbeat is overdue.
 */
#include <stdio.h>
#include <stdlib.h>

#include "output.h"
#include "program.h"
#include "worker_stop.h"
#include "workers.h"

#define POLL_MS     200
#define PATIENCE_MS 5000 /* wait before a note that names the remaining workers */

/* Limits the handle's next function to the rest of the total time. */
static void limit_timeout(asq *h, const struct as_stop_options *o)
{
    if (o->timeout_ms != ASQ_FOREVER)
        asq_set_timeout(h, as_program_left_ms(o->begun_ms, o->timeout_ms));
}

/* Lists the ids in `wanted` that are still there. NULL: see asq_last_error, or no memory. */
static asq_value *list_remaining(asq *h, const asq_value *wanted)
{
    asq_value *list = NULL, *there = asq_value_list();
    if (!there || asq_workers(h, &list) < 0)
        goto failed;
    for (size_t i = 0; i < asq_list_size(wanted); i++) {
        bool found = false;
        const char *id;
        asq_value_get_string(asq_list_get(wanted, i), &id, NULL);
        for (size_t k = 0; !found && k < asq_list_size(list); k++) {
            const asq_value *w = asq_list_get(list, k);
            found = as_worker_is_alive(w) && as_worker_includes(id, as_worker_id(w));
        }
        if (found && asq_list_append(there, asq_value_string(id)) < 0)
            goto failed;
    }
    asq_value_free(list);
    return there;
failed:
    asq_value_free(list);
    asq_value_free(there);
    return NULL;
}

/* Reports workers that are not gone in time. */
static int report_remaining(const struct as_reporter *who, const asq_value *there,
                            const struct as_stop_options *o)
{
    char *names = as_word(there);
    int status = as_report_code(
        who, ASQ_ETIMEOUT, NULL,
        "not gone within %lld ms: %s; the workers were asked to stop and still finish calls",
        (long long) o->timeout_ms, names ? names : "workers");
    free(names);
    return status;
}

/* Waits until none of the ids in `wanted` is alive. */
static int wait_until_gone(const struct as_reporter *who, asq *h, const asq_value *wanted,
                           const struct as_stop_options *o)
{
    int64_t begun = as_program_now_ms();
    asq_value *there = NULL;
    bool announced = false;
    int status = AS_EXIT_OK;
    for (;;) {
        limit_timeout(h, o);
        asq_value *now = list_remaining(h, wanted);
        int64_t left = as_program_left_ms(o->begun_ms, o->timeout_ms);
        if (!now && left != 0) {
            status = as_report(who, asq_last_error(h));
            break;
        }
        if (now) {
            asq_value_free(there);
            there = now;
            if (asq_list_size(there) == 0)
                break;
        }
        if (left == 0) {
            status = report_remaining(who, there ? there : wanted, o);
            break;
        }
        if (!announced && as_program_now_ms() - begun >= PATIENCE_MS) {
            char *names = as_word(there);
            as_note(who, "waiting for calls to finish on %s", names ? names : "workers");
            free(names);
            announced = true;
        }
        if (asq_sleep(h, left == ASQ_FOREVER || left > POLL_MS ? POLL_MS : left) < 0) {
            status = as_report(who, asq_last_error(h));
            break;
        }
    }
    asq_value_free(there);
    return status;
}

/* Collects the ids of all live workers. */
static int list_live_ids(const struct as_reporter *who, asq *h, asq_value *ids)
{
    asq_value *list;
    int rc = asq_workers(h, &list);
    if (rc < 0)
        return as_report(who, asq_last_error(h));
    for (size_t i = 0; rc == 0 && i < asq_list_size(list); i++)
        if (as_worker_is_alive(asq_list_get(list, i)))
            rc = asq_list_append(ids, asq_value_string(as_worker_id(asq_list_get(list, i))));
    asq_value_free(list);
    return rc < 0 ? as_report_code(who, rc, NULL, "%s", asq_strerror(rc)) : AS_EXIT_OK;
}

/* Returns whether a process of this worker is alive. Negative: see asq_last_error. */
static int is_alive(asq *h, const char *id)
{
    bool alive = false;
    asq_value *list;
    int rc = asq_workers(h, &list);
    if (rc < 0)
        return rc;
    for (size_t i = 0; !alive && i < asq_list_size(list); i++) {
        const asq_value *w = asq_list_get(list, i);
        alive = as_worker_is_alive(w) && as_worker_includes(id, as_worker_id(w));
    }
    asq_value_free(list);
    return alive;
}

/* Asks each worker to stop. If all live workers were meant, one that has vanished meanwhile is no
 * failure. */
static int ask_to_stop(const struct as_reporter *who, asq *h, const asq_value *ids,
                       const struct as_stop_options *o)
{
    for (size_t i = 0; i < asq_list_size(ids); i++) {
        const char *id;
        asq_value_get_string(asq_list_get(ids, i), &id, NULL);
        limit_timeout(h, o);
        int rc = asq_stop_worker(h, id);
        if (rc < 0 && !(!o->id && rc == ASQ_ENOENT))
            return as_report(who, asq_last_error(h));
    }
    return AS_EXIT_OK;
}

static int print_outcome(const struct as_reporter *who, const asq_value *ids, bool has_ended)
{
    if (who->json)
        return as_print_json_own(who,
                                 asq_pack("{s:O, s:b}", "workers", ids, "gone", (int) has_ended));
    for (size_t i = 0; i < asq_list_size(ids); i++) {
        const char *id;
        asq_value_get_string(asq_list_get(ids, i), &id, NULL);
        as_print_text(stdout, id, false);
        puts(has_ended ? " has stopped" : " was asked to stop");
    }
    return AS_EXIT_OK;
}

int as_workers_stop(const struct as_reporter *who, asq *h, const struct as_stop_options *options)
{
    asq_value *ids = asq_value_list();
    int status = AS_EXIT_OK, alive = 1;
    if (!ids || (options->id && asq_list_append(ids, asq_value_string(options->id)) < 0)) {
        asq_value_free(ids);
        return as_report_code(who, ASQ_ENOMEM, NULL, "out of memory");
    }
    limit_timeout(h, options);
    if (!options->id)
        status = list_live_ids(who, h, ids);
    if (status == AS_EXIT_OK && asq_list_size(ids) == 0)
        as_note(who, "no worker is alive in namespace '%s'", asq_namespace(h));
    if (status == AS_EXIT_OK && options->id && (alive = is_alive(h, options->id)) < 0)
        status = as_report(who, asq_last_error(h));
    if (status == AS_EXIT_OK)
        status = ask_to_stop(who, h, ids, options);
    if (status == AS_EXIT_OK && !alive)
        status = as_report_code(
            who, ASQ_ENOENT, NULL,
            "worker '%s' has sent no heartbeat for its lease time: the worker is dead, or is "
            "stopped (SIGSTOP) and ends as soon as it continues",
            options->id);
    if (status == AS_EXIT_OK && options->wait)
        status = wait_until_gone(who, h, ids, options);
    if (status == AS_EXIT_OK)
        status = print_outcome(who, ids, options->wait);
    asq_value_free(ids);
    return status;
}
