/*
 * emitted_last.c: the last value that a call has emitted, for those who look at it now and then.
 */
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/handle.h"
#include "client/pools.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/emissions.h"
#include "value/error.h"
#include "value/msg.h"
#include "value/value.h"

/* Reads the value that comes last in an entry. NULL: there is none. */
static int last_of(asq *h, const redisReply *entry, asq_value **ret)
{
    const redisReply *fields = entry->elements == 2 ? entry->element[1] : NULL;
    const redisReply *values = fields && fields->type == REDIS_REPLY_ARRAY && fields->elements == 2
                                   ? fields->element[1]
                                   : NULL;
    const uint8_t *value, *last = NULL;
    size_t at = 0, n, last_n = 0;
    char why[200];
    int rc = 0;
    if (!values || values->type != REDIS_REPLY_STRING)
        return 0;
    while ((rc = asq__emission_read((const uint8_t *) values->str, values->len, &at, &value, &n)) ==
           0) {
        last = value;
        last_n = n;
    }
    if (rc == ASQ_ENOENT && last)
        rc = asq__value_decode(last, last_n, ret, why, sizeof why);
    return rc == ASQ_ENOENT ? 0
           : rc < 0         ? asq__fail(h, rc, "the value that was emitted cannot be decoded")
                            : 0;
}

/* Takes the newest entry of the stream. */
static int take_newest(asq *h, const redisReply *reply, void *user)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list");
    return reply->elements && reply->element[0]->type == REDIS_REPLY_ARRAY
               ? last_of(h, reply->element[0], user)
               : 0;
}

int asq_emitted_last(asq *h, const char *call_id, asq_value **ret)
{
    struct asq__call_id id;
    char key[ASQ__KEY_MAX];
    asq_value *last = NULL;
    if (!h || !call_id || !ret)
        return asq__null(h, "asq_emitted_last");
    int rc = asq__admin_begin(h, "asq_emitted_last");
    if (rc < 0)
        return rc;
    if (asq__call_id_parse(call_id, &id) < 0 || !asq__partition_is_there(h, id.partition))
        return asq__admin_end(h, asq__fail(h, ASQ_EINVAL,
                                           "'%.100s' is not the id of a call of this namespace",
                                           call_id));
    asq__keys_emitted(asq__redis_keys(asq__remote_redis(h)), id.partition, call_id, key);
    rc = asq__admin_command(h, id.partition, take_newest, &last, 6,
                            (const char *[]){ "XREVRANGE", key, "+", "-", "COUNT", "1" });
    if (rc == 0 && !last)
        rc = asq__fail(h, ASQ_ENOENT, "no value is kept that call %s has emitted", call_id);
    if (rc == 0)
        *ret = last;
    else
        asq_value_free(last);
    return asq__admin_end(h, rc);
}
