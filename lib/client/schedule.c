/*
 * schedule.c: timers of agents, for programs and methods: setting and removing one is a job to the
 * agent, in the order of its calls; listing reads Redis, or local mode's own list.
 */
#include "client/schedule.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/admin_each.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/hash.h"
#include "value/msg.h"
#include "value/timer_spec.h"
#include "value/value.h"

/* ---- setting ---- */

/* Submits a job about a timer, and waits for it. */
static int ask(asq_agent *a, Asqueue__JobKind kind, const char *name, const asq_value *args)
{
    struct asq__job job = {
        .kind = kind, .agent = a->id, .class_name = a->class_name, .method = name, .args = args
    };
    asq_result *r;
    char why[300];
    int rc = asq__check_name("timer", name, why, sizeof why);
    if (rc < 0)
        return asq__fail(a->h, rc, "%s", why);
    if ((rc = asq__call_job(a->h, &job, &r)) < 0)
        return rc;
    rc = asq_result_wait(r, a->h->timeout_ms);
    asq_result_free(r);
    return rc;
}

/* Copies a timer of a program built with this header or an older one; missing fields are zero. */
static int take_timer(asq *h, const asq_timer *given, asq_timer *ret)
{
    *ret = (asq_timer) ASQ_TIMER_INIT;
    if (given->size == 0 || given->size > sizeof *ret)
        return asq__fail(h, ASQ_EINVAL,
                         "the size of the timer is %zu; ASQ_TIMER_INIT sets it, to at most %zu",
                         given->size, sizeof *ret);
    memcpy(ret, given, given->size);
    return 0;
}

int asq_schedulev(asq_agent *agent, const char *name, const asq_timer *given, const char *method,
                  asq_value *args)
{
    if (!agent || !name || !given || !method) {
        asq_value_free(args);
        return asq__null(agent ? agent->h : NULL, "asq_schedulev");
    }
    asq *h = agent->h;
    asq_timer timer;
    struct asq__timer_spec spec;
    char why[400];
    int rc = take_timer(h, given, &timer);
    if (rc < 0) {
        asq_value_free(args);
        return rc;
    }
    asq_value *map = asq__timer_spec_map(&timer, method, args);
    if (!map)
        return asq__fail_memory(h);
    rc = asq__timer_spec_read(map, &spec, why, sizeof why);
    rc = rc < 0 ? asq__fail(h, rc, "timer '%.100s': %s", name, why)
                : ask(agent, ASQUEUE__JOB_KIND__SCHEDULE, name, map);
    asq_value_free(map);
    return rc;
}

int asq_schedule(asq_agent *agent, const char *name, const asq_timer *timer, const char *method,
                 const char *fmt, ...)
{
    if (!agent || !name || !timer || !method)
        return asq__null(agent ? agent->h : NULL, "asq_schedule");
    asq_value *args = NULL;
    char why[200];
    va_list ap;
    int rc = 0;
    if (fmt) {
        va_start(ap, fmt);
        rc = asq_vpack(&args, why, sizeof why, fmt, ap);
        va_end(ap);
    }
    return rc < 0 ? asq__fail(agent->h, rc, "the arguments \"%s\": %s", fmt, why)
                  : asq_schedulev(agent, name, timer, method, args);
}

int asq_unschedule(asq_agent *agent, const char *name)
{
    if (!agent || !name)
        return asq__null(agent ? agent->h : NULL, "asq_unschedule");
    return ask(agent, ASQUEUE__JOB_KIND__UNSCHEDULE, name, NULL);
}

/* ---- listing ---- */

int asq__schedule_add(asq_value *list, const char *agent, const char *name,
                      const struct asq__timer_shown *shown)
{
    asq_value *map, *spec = NULL;
    const char *key;
    int rc = asq__value_decode(shown->spec, shown->spec_n, &spec, NULL, 0);
    if (rc < 0 || asq_value_type(spec) != ASQ_MAP) {
        asq_value_free(spec);
        return rc == ASQ_ENOMEM ? rc : 0; /* a foreign write */
    }
    map = asq_pack("{s:s, s:s, s:I, s:I}", "agent", agent, "name", name, "next_ms", shown->next_ms,
                   "fired", shown->fired);
    rc = map ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_map_size(spec); i++) {
        const asq_value *item = asq_map_at(spec, i, &key);
        rc = asq_map_set(map, key, asq_value_copy(item));
    }
    asq_value_free(spec);
    if (rc == 0 && shown->fired)
        rc = asq_map_set_int(map, "last_ms", shown->last_ms);
    if (rc == 0 && shown->fired)
        rc = asq_map_set(map, "last_call", asq_value_string(shown->last_call));
    if (rc < 0) {
        asq_value_free(map);
        return rc;
    }
    return asq_list_append(list, map);
}

/* A listing under way. */
struct listing {
    asq_value *list;
    asq_value *agents; /* that have timers: a map with null for each */
    const char *agent;
    uint32_t partition;
};

/* Reads the state beside a timer's spec, see timers_fire.lua. */
static bool read_state(const struct listing *l, const char *state, struct asq__timer_shown *ret)
{
    long long next_ms, fired, last_ms;
    char batch[33];
    if (sscanf(state, "%17lld %*47s %17lld %17lld %*47s %32s", &next_ms, &fired, &last_ms, batch) !=
        4)
        return false;
    ret->next_ms = next_ms;
    ret->fired = fired;
    ret->last_ms = last_ms;
    snprintf(ret->last_call, sizeof ret->last_call, "%u-%s-0", l->partition, batch);
    return true;
}

/* Finds the state of a timer in the hash of its agent. */
static const char *find_state(const redisReply *hash, const char *name)
{
    for (size_t i = 0; i + 1 < hash->elements; i += 2)
        if (hash->element[i]->type == REDIS_REPLY_STRING && *hash->element[i]->str == '+' &&
            strcmp(hash->element[i]->str + 1, name) == 0 &&
            hash->element[i + 1]->type == REDIS_REPLY_STRING)
            return hash->element[i + 1]->str;
    return NULL;
}

static int take_timers(asq *h, const redisReply *reply, void *user)
{
    struct listing *l = user;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const redisReply *field = reply->element[i], *spec = reply->element[i + 1];
        struct asq__timer_shown shown;
        if (field->type != REDIS_REPLY_STRING || *field->str != '=' ||
            spec->type != REDIS_REPLY_STRING)
            continue;
        const char *state = find_state(reply, field->str + 1);
        shown = (struct asq__timer_shown){ .spec = spec->str, .spec_n = spec->len };
        if (!state || !read_state(l, state, &shown))
            continue;
        if (asq__schedule_add(l->list, l->agent, field->str + 1, &shown) < 0)
            return asq__fail_memory(h);
    }
    return 0;
}

static int list_agent(asq *h, struct listing *l, const char *agent)
{
    char key[ASQ__KEY_MAX];
    l->agent = agent;
    l->partition = asq__partition_of(agent, strlen(agent), h->partitions);
    asq__keys_agent_timers(asq__redis_keys(asq__remote_redis(h)), l->partition, agent, key);
    return asq__admin_command(h, l->partition, take_timers, l, 2,
                              (const char *[]){ "HGETALL", key });
}

/* Notes the agents of a partition that have timers. */
static int take_members(asq *h, uint32_t partition, const redisReply *reply, void *user)
{
    struct listing *l = user;
    (void) partition;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        char agent[ASQ_MAX_ID + 1];
        const redisReply *member = reply->element[i];
        size_t n = member->type == REDIS_REPLY_STRING ? strcspn(member->str, " ") : 0;
        if (n == 0 || n > ASQ_MAX_ID)
            continue;
        memcpy(agent, member->str, n);
        agent[n] = '\0';
        if (asq__check_id(agent, NULL, 0) == 0 &&
            asq_map_set(l->agents, agent, asq_value_null()) == ASQ_ENOMEM)
            return asq__fail_memory(h);
    }
    return 0;
}

static int list_all(asq *h, struct listing *l)
{
    const struct asq__each each = { .partitions = h->partitions,
                                    .command = "ZRANGE",
                                    .key = asq__keys_timers,
                                    .n_more = 2,
                                    .more = { "0", "-1" },
                                    .take = take_members,
                                    .user = l };
    int rc = asq__admin_each(h, &each, 0);
    for (size_t i = 0; rc == 0 && i < asq_map_size(l->agents); i++) {
        const char *agent;
        asq_map_at(l->agents, i, &agent);
        rc = list_agent(h, l, agent);
    }
    return rc;
}

static int list_remote(asq *h, const char *agent, struct listing *l)
{
    int rc = asq__admin_begin(h, "asq_schedules");
    if (rc < 0)
        return rc;
    return asq__admin_end(h, agent ? list_agent(h, l, agent) : list_all(h, l));
}

int asq_schedules(asq *h, const char *agent, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_schedules");
    char why[300];
    int rc = agent ? asq__check_id(agent, why, sizeof why) : 0;
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    struct listing l = { .list = asq_value_list(), .agents = asq_value_map() };
    if (!l.list || !l.agents)
        rc = asq__fail_memory(h);
    else if (h->mode == &asq__local_mode && !h->in_method)
        rc = asq__local_schedules(h, agent, l.list);
    else
        rc = list_remote(h, agent, &l);
    asq_value_free(l.agents);
    if (rc < 0)
        asq_value_free(l.list);
    else
        *ret = l.list;
    return rc;
}
