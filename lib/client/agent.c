/*
 * agent.c: proxies, and jobs about an agent as a whole: creation, deletion, cloning, attributes.
 * Each is a job in the agent's stream like any call.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/handle.h"
#include "value/error.h"
#include "value/expiry.h"
#include "value/hash.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/random.h"
#include "value/sized_options.h"
#include "value/value.h"

/* ---- proxies ---- */

/* Makes a proxy in one piece of memory, because a program may have a million proxies and call them
 * in any order. */
static int proxy_new(asq *h, const char *id, const char *class_name, asq_agent **ret)
{
    size_t id_size = strlen(id) + 1, class_size = strlen(class_name ? class_name : "") + 1;
    asq_agent *a = malloc(sizeof *a + id_size + class_size);
    if (!a)
        return asq__fail_memory(h);
    a->creation = NULL;
    memcpy(a->id, id, id_size);
    a->class_name = memcpy(a->id + id_size, class_name ? class_name : "", class_size);
    a->learned_class = NULL;
    a->h = h;
    asq__handle_ref(h);
    *ret = a;
    return 0;
}

void asq_agent_free(asq_agent *a)
{
    if (!a)
        return;
    asq_result_free(a->creation);
    asq__handle_unref(a->h);
    free(a->learned_class);
    free(a);
}

const char *asq_agent_id(const asq_agent *a)
{
    if (!a)
        return "";
    return a->id;
}

const char *asq_agent_class(const asq_agent *a)
{
    if (!a)
        return "";
    return a->class_name;
}

asq *asq_agent_handle(const asq_agent *a)
{
    if (!a)
        return NULL;
    return a->h;
}

asq_value *asq_value_agent(const asq_agent *agent)
{
    return agent ? asq__value_agent_ref(agent->id, agent->class_name) : NULL;
}

int asq_attach(asq *h, const char *id, asq_agent **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_attach");
    char why[300];
    int rc = asq__check_id(id, why, sizeof why);
    return rc < 0 ? asq__fail(h, rc, "%s", why) : proxy_new(h, id, NULL, ret);
}

int asq_attach_value(asq *h, const asq_value *v, asq_agent **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_attach_value");
    const char *id, *class_name;
    int rc = asq_value_get_agent(v, &id, &class_name);
    if (rc < 0)
        return asq__fail(h, rc, "asq_attach_value: the value is of type %s, not agent",
                         asq_type_name(asq_value_type(v)));
    return proxy_new(h, id, class_name, ret);
}

int asq__agents_check(asq_agent *const *agents, size_t n, const char *function)
{
    if (!agents)
        return ASQ_EINVAL;
    for (size_t i = 0; i < n; i++)
        if (!agents[i])
            return asq__null(agents[0] ? agents[0]->h : NULL, function);
        else if (agents[i]->h != agents[0]->h)
            return asq__fail(agents[0]->h, ASQ_EINVAL, "%s: the agents belong to different handles",
                             function);
    return 0;
}

/* ---- creation ---- */

enum { RANDOM_ID = 22 };

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* Makes the id of an agent that a method creates: the same one when the call runs again, so that
 * the creation is found again, too. */
static void derive_id(asq *h, char out[RANDOM_ID])
{
    const Asqueue__Link *own = h->chain->links[h->chain->n_links - 1];
    char text[ASQ__CALL_ID_TEXT + 64];
    uint8_t hash[16];
    int n = snprintf(text, sizeof text, "agent %llu %u %s", (unsigned long long) ++h->ids,
                     h->retries, own->call);
    asq__siphash128(text, (size_t) n, hash);
    uint64_t bits = 0;
    size_t have = 0, at = 0;
    for (size_t i = 0; i < RANDOM_ID - 2; i++) {
        if (have < 5) {
            bits |= (uint64_t) hash[at++] << have;
            have += 8;
        }
        out[i] = digits[bits & 31];
        bits >>= 5;
        have -= 5;
    }
    out[RANDOM_ID - 2] = '\0';
}

/* Makes an id of 100 random bits in 20 letters and digits. */
static int random_id(asq *h, char out[RANDOM_ID])
{
    uint8_t random[20];
    if (h->in_method) {
        derive_id(h, out);
        return 0;
    }
    if (asq__random(random, sizeof random) < 0)
        return asq__fail(h, ASQ_ESYS, "getrandom: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        out[i] = digits[random[i] & 31];
    out[sizeof random] = '\0';
    return 0;
}

/* The rest of a creation, besides class, ids and arguments. */
struct making {
    Asqueue__JobKind kind;
    const struct asq__expiry *expiry; /* NULL: the agents do not end by themselves */
    const char *pool;                 /* NULL: that of the class */
};

/* Checks the id of a new agent, makes one if it is NULL, and puts it into the pool. */
static int new_id(asq *h, const char *id, const char *pool, char out[ASQ_MAX_ID + 1])
{
    char why[500], random[RANDOM_ID];
    int rc = id ? asq__check_id(id, why, sizeof why) : random_id(h, random);
    if (!id && rc < 0)
        return rc;
    if (rc == 0)
        rc = asq__pool_into_id(pool, id ? id : random, out, why, sizeof why);
    return rc < 0 ? asq__fail(h, rc, "%s", why) : 0;
}

static const char *pool_of_class(const asq *h, const char *class_name)
{
    const struct asq__class *cls = h->registry ? asq__registry_find(h->registry, class_name) : NULL;
    return cls ? cls->def.pool : NULL;
}

static int create_many(asq *h, const struct making *making, const char *class_name, size_t n,
                       const char *const *ids, asq_value *args, asq_agent **ret)
{
    char why[300];
    const char *pool = making->pool;
    struct asq__job *jobs = calloc(n, sizeof *jobs);
    asq_agent **agents = calloc(n, sizeof(asq_agent *));
    asq_result **results = calloc(n, sizeof(asq_result *));
    int rc = asq__check_name("class", class_name, why, sizeof why);
    if (!jobs || !agents || !results)
        rc = asq__fail_memory(h);
    else if (rc < 0)
        asq__fail(h, rc, "%s", why);
    else if (args && asq_value_type(args) != ASQ_LIST && asq_value_type(args) != ASQ_MAP)
        rc = asq__fail(h, ASQ_EINVAL,
                       "the creation arguments of %s are a value of type %s; a list "
                       "(positional) or a map (named) is needed",
                       class_name, asq_type_name(asq_value_type(args)));
    if (rc == 0 && !pool)
        pool = pool_of_class(h, class_name);
    for (size_t i = 0; i < n && rc == 0; i++) {
        char id[ASQ_MAX_ID + 1];
        rc = new_id(h, ids ? ids[i] : NULL, pool, id);
        if (rc == 0)
            rc = proxy_new(h, id, class_name, &agents[i]);
        if (rc == 0)
            jobs[i] = (struct asq__job){ .kind = making->kind,
                                         .agent = agents[i]->id,
                                         .class_name = class_name,
                                         .args = args,
                                         .expiry = making->expiry };
    }
    if (rc == 0) {
        if (n > 1)
            h->corked++;
        rc = asq__call_jobs(h, jobs, n, results);
        if (n > 1) {
            int flushed = asq_uncork(h);
            if (rc == 0)
                rc = flushed;
        }
    }
    for (size_t i = 0; agents && i < n; i++) {
        if (rc == 0) {
            agents[i]->creation = results[i];
            ret[i] = agents[i];
        } else {
            if (results)
                asq_result_free(results[i]);
            asq_agent_free(agents[i]);
        }
    }
    asq_value_free(args);
    free(jobs);
    free(agents);
    free(results);
    return rc;
}

int asq_createv(asq *h, const char *class_name, const char *id, asq_value *args, asq_agent **ret)
{
    if (!h || !ret) {
        asq_value_free(args);
        return asq__null(h, "asq_createv");
    }
    struct making making = { .kind = ASQUEUE__JOB_KIND__CREATE };
    return create_many(h, &making, class_name, 1, &id, args, ret);
}

int asq_create(asq *h, const char *class_name, const char *id, asq_agent **ret, const char *fmt,
               ...)
{
    if (!h || !ret)
        return asq__null(h, "asq_create");
    char why[200];
    asq_value *args = NULL;
    va_list ap;
    int rc = 0;
    if (fmt) {
        va_start(ap, fmt);
        rc = asq_vpack(&args, why, sizeof why, fmt, ap);
        va_end(ap);
    }
    if (rc < 0)
        return asq__fail(h, rc, "the arguments \"%s\": %s", fmt, why);
    return asq_createv(h, class_name, id, args, ret);
}

int asq_get_or_create(asq *h, const char *class_name, const char *id, asq_value *args,
                      asq_agent **ret)
{
    if (!h || !ret) {
        asq_value_free(args);
        return asq__null(h, "asq_get_or_create");
    }
    struct making making = { .kind = ASQUEUE__JOB_KIND__GET_OR_CREATE };
    return create_many(h, &making, class_name, 1, &id, args, ret);
}

int asq_create_many(asq *h, const char *class_name, size_t n, const char *const *ids,
                    asq_value *args, asq_agent **ret)
{
    if (!h || (n && !ret)) {
        asq_value_free(args);
        return asq__null(h, "asq_create_many");
    }
    if (n == 0) {
        asq_value_free(args);
        return 0;
    }
    struct making making = { .kind = ASQUEUE__JOB_KIND__CREATE };
    return create_many(h, &making, class_name, n, ids, args, ret);
}

int asq_create_with(asq *h, const char *class_name, const asq_create_options *given,
                    asq_value *args, asq_agent **ret)
{
    asq_create_options o = ASQ_CREATE_OPTIONS_INIT;
    char why[200];
    if (!h || !ret) {
        asq_value_free(args);
        return asq__null(h, "asq_create_with");
    }
    int rc =
        asq__sized_options_take(&o, sizeof o, given, "ASQ_CREATE_OPTIONS_INIT", why, sizeof why);
    if (rc == 0)
        rc = asq__expiry_check(o.ttl_ms, o.expires_ms, why, sizeof why);
    if (rc == 0 && o.pool)
        rc = asq__pool_check(o.pool, strlen(o.pool), why, sizeof why);
    if (rc == 0 && o.with_handle && h->in_method)
        rc = asq__err(why, sizeof why, ASQ_EINVAL,
                      "with_handle is for the handles of programs: that of a method ends with its "
                      "call. Set ttl_ms, or delete the agent");
    if (rc < 0) {
        asq_value_free(args);
        return asq__fail(h, rc, "asq_create_with: %s", why);
    }
    struct asq__expiry expiry = { .ttl_ms = o.ttl_ms, .end_ms = o.expires_ms };
    if (o.with_handle && h->mode->keep_key && (rc = h->mode->keep_key(h, &expiry.handle)) < 0) {
        asq_value_free(args);
        return rc;
    }
    struct making making = { .kind = o.or_get ? ASQUEUE__JOB_KIND__GET_OR_CREATE
                                              : ASQUEUE__JOB_KIND__CREATE,
                             .expiry = o.ttl_ms || o.expires_ms || expiry.handle ? &expiry : NULL,
                             .pool = o.pool };
    return create_many(h, &making, class_name, 1, &o.id, args, ret);
}

/* Submits one job about the agent itself. */
static int ask(asq_agent *a, Asqueue__JobKind kind, const char *name, const asq_value *args,
               asq_result **ret)
{
    struct asq__job job = {
        .kind = kind, .agent = a->id, .class_name = a->class_name, .method = name, .args = args
    };
    return asq__call_job(a->h, &job, ret);
}

static int ask_and_wait(asq_agent *a, Asqueue__JobKind kind, int64_t timeout_ms, asq_value **ret)
{
    asq_result *r;
    int rc = ask(a, kind, NULL, NULL, &r);
    if (rc < 0)
        return rc;
    rc = asq_result_wait(r, timeout_ms);
    if (rc == 0 && ret)
        rc = asq_result_take(r, ret);
    asq_result_free(r);
    return rc;
}

int asq_ready(asq_agent *a, int64_t timeout_ms)
{
    if (!a)
        return ASQ_EINVAL;
    asq_value *class_name = NULL;
    const char *name;
    if (a->creation) {
        int rc = asq_result_wait(a->creation, timeout_ms);
        if (rc == 0) {
            asq_result_free(a->creation);
            a->creation = NULL;
        }
        return rc;
    }
    int rc = ask_and_wait(a, ASQUEUE__JOB_KIND__EXISTS, timeout_ms, &class_name);
    if (rc == 0 && !*a->class_name && asq_value_get_string(class_name, &name, NULL) == 0 &&
        (a->learned_class = strdup(name)))
        a->class_name = a->learned_class;
    asq_value_free(class_name);
    return rc;
}

int asq_delete(asq_agent *a, int64_t timeout_ms)
{
    if (!a)
        return ASQ_EINVAL;
    return ask_and_wait(a, ASQUEUE__JOB_KIND__DELETE, timeout_ms, NULL);
}

int asq_delete_async(asq_agent *a, asq_result **ret)
{
    if (!a || !ret)
        return asq__null(a ? a->h : NULL, "asq_delete_async");
    return ask(a, ASQUEUE__JOB_KIND__DELETE, NULL, NULL, ret);
}

/* Creates on h an agent `id` with the class and creation arguments of `a`, in its pool. */
static int create_alike(asq_agent *a, asq *h, const char *id, asq_agent **ret)
{
    char pool[ASQ_MAX_POOL + 1];
    struct making making = { .kind = ASQUEUE__JOB_KIND__CREATE };
    if (asq__pool_in_id(a->id)) {
        snprintf(pool, sizeof pool, "%.*s", (int) asq__pool_in_id(a->id), a->id);
        making.pool = pool;
    }
    asq_value *about = NULL;
    const char *class_name;
    int rc = ask_and_wait(a, ASQUEUE__JOB_KIND__DESCRIBE, a->h->timeout_ms, &about);
    if (rc < 0)
        return h == a->h ? rc : asq__fail_from(h, asq_last_error(a->h));
    rc = asq_value_get_string(asq_map_get(about, "class"), &class_name, NULL);
    if (rc < 0) {
        rc = asq__fail(h, ASQ_EPROTO, "agent '%s' was described without a class", a->id);
    } else {
        const asq_value *given = asq_map_get(about, "args");
        asq_value *args = NULL;
        if (asq_value_type(given) != ASQ_NULL && !(args = asq_value_copy(given)))
            rc = asq__fail_memory(h);
        else
            rc = create_many(h, &making, class_name, 1, &id, args, ret);
    }
    asq_value_free(about);
    return rc;
}

int asq_clone(asq_agent *a, const char *id, asq_agent **ret)
{
    if (!a || !ret)
        return asq__null(a ? a->h : NULL, "asq_clone");
    return create_alike(a, a->h, id, ret);
}

int asq_to_dist(asq_agent *local, asq *h, asq_agent **ret)
{
    if (!local || !h || !ret)
        return asq__null(h, "asq_to_dist");
    return create_alike(local, h, local->id, ret);
}

/* ---- attributes ---- */

static int check_attribute(asq *h, const char *attribute)
{
    char why[300];
    int rc = asq__check_name("attribute", attribute, why, sizeof why);
    return rc < 0 ? asq__fail(h, rc, "%s", why) : 0;
}

int asq_get_async(asq_agent *a, const char *attribute, asq_result **ret)
{
    if (!a || !ret)
        return asq__null(a ? a->h : NULL, "asq_get_async");
    int rc = check_attribute(a->h, attribute);
    return rc < 0 ? rc : ask(a, ASQUEUE__JOB_KIND__GET, attribute, NULL, ret);
}

int asq_set_async(asq_agent *a, const char *attribute, asq_value *value, asq_result **ret)
{
    if (!a || !ret) {
        asq_value_free(value);
        return asq__null(a ? a->h : NULL, "asq_set_async");
    }
    int rc = check_attribute(a->h, attribute);
    if (rc == 0 && !value)
        rc = asq__fail(a->h, ASQ_EINVAL, "setting attribute '%s': the value is NULL", attribute);
    if (rc == 0)
        rc = ask(a, ASQUEUE__JOB_KIND__SET, attribute, value, ret);
    asq_value_free(value);
    return rc;
}

int asq_get(asq_agent *a, const char *attribute, asq_value **ret)
{
    if (!a || !ret)
        return asq__null(a ? a->h : NULL, "asq_get");
    asq_result *r;
    int rc = asq_get_async(a, attribute, &r);
    if (rc < 0)
        return rc;
    rc = asq_result_take(r, ret);
    asq_result_free(r);
    return rc;
}

int asq_set(asq_agent *a, const char *attribute, asq_value *value)
{
    if (!a) {
        asq_value_free(value);
        return ASQ_EINVAL;
    }
    asq_result *r;
    int rc = asq_set_async(a, attribute, value, &r);
    if (rc < 0)
        return rc;
    rc = asq_result_wait(r, a->h->timeout_ms);
    asq_result_free(r);
    return rc;
}
