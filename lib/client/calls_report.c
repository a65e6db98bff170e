/*
 * calls_report.c: asks the workers what only they know, by a message on their channel, and reads
 * their answers, a field for each partition (worker/report.c). A worker that does not answer in
 * time is not waited for again. See calls.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/calls.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/grow.h"
#include "value/random.h"
#include "value/unconst.h"
#include "value/value.h"

enum {
    ANSWER_MS = 2500,
    VALID_MS = 8000, /* older answers may be gone */
    POLL_MS = 10,
    MAX_FIELD = 1024 * 1024, /* bytes; workers write less */
    ROW_HEIGHT = 2
};

int asq__report_ask(asq *h, struct asq__report_reader *r)
{
    char channel[ASQ__KEY_MAX], question[40];
    uint64_t random;
    int rc = asq__random(&random, sizeof random);
    if (rc < 0)
        return asq__fail(h, rc, "no random number: %s", asq_strerror(rc));
    snprintf(r->nonce, sizeof r->nonce, "%016llx", (unsigned long long) random);
    snprintf(question, sizeof question, "?%s", r->nonce);
    r->asked_ms = asq__now_ms();
    r->last_owner[0] = '\0';
    asq__keys_channel(asq__redis_keys(asq__remote_redis(h)), "workers", channel);
    struct asq__query q = { .partition = ASQ__NO_PARTITION,
                            .argc = 3,
                            .argv = (const char *[]){ "PUBLISH", channel, question } };
    rc = asq__admin_ask(h, &q);
    if (q.denied) {
        r->nonce[0] = '\0';
        rc = 0;
    }
    return rc;
}

static void clear(struct asq__report_reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->calls[i].id);
        asq_value_free(r->calls[i].row);
    }
    r->n = r->n_begun = 0;
}

void asq__report_release(struct asq__report_reader *r)
{
    clear(r);
    free(r->calls);
    free(r->begun);
}

/* Returns whether a row has what rows of workers have. Others are left out. */
static bool is_row(const asq_value *row, const char **ret_id)
{
    static const char *const texts[] = { "id", "state", "agent", "class", "method", "why" };
    struct asq__call_id id;
    const char *text;
    int64_t age;
    if (asq_value_type(row) != ASQ_MAP || row->height > ROW_HEIGHT)
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (asq_value_get_string(asq_map_get(row, texts[i]), &text, NULL) < 0)
            return false;
    *ret_id = asq_map_string(row, "id");
    return asq__call_id_parse(*ret_id, &id) == 0 &&
           asq_value_get_int(asq_map_get(row, "age_ms"), &age) == 0;
}

/* A report of one partition, as it is read. */
struct answer {
    struct asq__report_reader *r;
    uint32_t partition;
    const char *owner;
    bool answered;
};

static int add_row(asq *h, const struct answer *a, const char *text, size_t n)
{
    struct asq__report_reader *r = a->r;
    asq_value *row;
    const char *id;
    int rc = asq_from_json(text, n, &row, NULL, 0);
    if (rc == ASQ_ENOMEM)
        return asq__fail_memory(h);
    if (rc < 0)
        return 0;
    if (!is_row(row, &id)) {
        asq_value_free(row);
        return 0;
    }
    if (!*asq_map_string(row, "class"))
        asq_map_remove(row, "class");
    char *copy = strdup(id);
    if (!copy || asq_map_set_int(row, "partition", a->partition) < 0 ||
        asq_map_set(row, "worker", asq_value_string(a->owner)) < 0 ||
        !asq__grow(&r->calls, r->n, &r->room, sizeof *r->calls)) {
        free(copy);
        asq_value_free(row);
        return asq__fail_memory(h);
    }
    struct asq__reported *added = &r->calls[r->n++];
    added->id = copy;
    added->agent = asq_map_string(row, "agent");
    added->row = row;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct asq__reported *) a)->id, ((const struct asq__reported *) b)->id);
}

const struct asq__reported *asq__report_find(const struct asq__report_reader *r, const char *id)
{
    struct asq__reported key = { .id = asq__unconst(id) };
    return r->n ? bsearch(&key, r->calls, r->n, sizeof key, compare) : NULL;
}

static int compare_agents(const void *a, const void *b)
{
    return strcmp((*(const struct asq__reported *const *) a)->agent,
                  (*(const struct asq__reported *const *) b)->agent);
}

const struct asq__reported *asq__report_begun(const struct asq__report_reader *r, const char *agent)
{
    const struct asq__reported wanted = { .agent = agent }, *key = &wanted, **found = NULL;
    if (r->n_begun)
        found = bsearch(&key, r->begun, r->n_begun, sizeof key, compare_agents);
    return found ? *found : NULL;
}

/* Sorts what was read, by id, and what has begun of it by agent. */
static int sort(asq *h, struct asq__report_reader *r)
{
    if (r->n)
        qsort(r->calls, r->n, sizeof *r->calls, compare);
    for (size_t i = 0; i < r->n; i++) {
        const char *state = asq_map_string(r->calls[i].row, "state");
        if (strcmp(state, "running") != 0 && strcmp(state, "parked") != 0)
            continue;
        if (!asq__grow(&r->begun, r->n_begun, &r->begun_room, sizeof *r->begun))
            return asq__fail_memory(h);
        r->begun[r->n_begun++] = &r->calls[i];
    }
    if (r->n_begun)
        qsort(r->begun, r->n_begun, sizeof *r->begun, compare_agents);
    return 0;
}

/* Reads {nonces, field of the partition}. */
static int take_answer(asq *h, const redisReply *reply, void *user)
{
    struct answer *a = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than two fields");
    const redisReply *nonces = reply->element[0], *field = reply->element[1];
    if (nonces->type != REDIS_REPLY_STRING || !strstr(nonces->str, a->r->nonce))
        return 0;
    a->answered = true;
    a->r->partial = true;
    if (field->type != REDIS_REPLY_STRING || field->len > MAX_FIELD)
        return 0; /* the partition came to this owner meanwhile */
    const char *at = field->str, *end = field->str + field->len;
    uint64_t active = 0, lines = 1;
    bool head = asq__decimal_read(&at, &active) && *at++ == ' ' && asq__decimal_read(&at, &lines) &&
                *at++ == '\n';
    a->r->partial = !head || lines < active;
    int rc = 0;
    while (head && rc == 0 && at < end) {
        const char *line_end = memchr(at, '\n', (size_t) (end - at));
        if (!line_end)
            break;
        rc = add_row(h, a, at, (size_t) (line_end - at));
        at = line_end + 1;
    }
    return rc < 0 ? rc : sort(h, a->r);
}

int asq__report_read(asq *h, struct asq__report_reader *r, uint32_t partition, const char *owner)
{
    char key[ASQ__KEY_MAX], number[24];
    struct answer a = { r, partition, owner, false };
    clear(r);
    r->partial = false;
    if (!*owner)
        return 0; /* nothing runs */
    r->partial = true;
    if (*r->nonce && asq__now_ms() - r->asked_ms > VALID_MS) {
        int rc = asq__report_ask(h, r);
        if (rc < 0)
            return rc;
    }
    bool same = strcmp(owner, r->last_owner) == 0;
    if (!*r->nonce || (same && !r->last_answered))
        return 0;
    snprintf(number, sizeof number, "%u", partition);
    asq__keys_worker_calls(asq__redis_keys(asq__remote_redis(h)), owner, key);
    for (;;) {
        struct asq__query q = { .partition = ASQ__NO_PARTITION,
                                .take = take_answer,
                                .user = &a,
                                .argc = 4,
                                .argv = (const char *[]){ "HMGET", key, "nonces", number } };
        int rc = asq__admin_ask(h, &q);
        if (rc < 0 && !q.denied && !q.wrong_type)
            return rc;
        if (a.answered || q.denied || q.wrong_type || asq__now_ms() - r->asked_ms >= ANSWER_MS)
            break;
        asq__remote_pump(h, POLL_MS);
        if (h->closed)
            return asq__admin_closed(h);
    }
    snprintf(r->last_owner, sizeof r->last_owner, "%s", owner);
    r->last_answered = a.answered;
    return 0;
}
