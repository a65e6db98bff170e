/*
 * pauses.c: see pauses.h.
 */
#include "redis/pauses.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "value/decimal.h"
#include "value/value.h"

static int64_t time_of(const redisReply *value)
{
    uint64_t ms;
    if (value->type != REDIS_REPLY_STRING)
        return 0;
    const char *at = value->str;
    return asq__decimal_read(&at, &ms) && !*at && ms <= INT64_MAX ? (int64_t) ms : 0;
}

int asq__pauses_take(const redisReply *reply, struct asq__pause **ret_list, size_t *ret_n)
{
    struct asq__pause *list = NULL;
    size_t n = 0, classes = 0;
    bool has_all = false;
    if (reply->type != REDIS_REPLY_ARRAY)
        return ASQ_EPROTO;
    size_t room =
        reply->elements / 2 < ASQ__PAUSES_MAX + 1 ? reply->elements / 2 : ASQ__PAUSES_MAX + 1;
    if (room && !(list = malloc(room * sizeof *list)))
        return ASQ_ENOMEM;
    for (size_t i = 0; i + 1 < reply->elements && n < room; i += 2) {
        const redisReply *name = reply->element[i];
        char why[8];
        if (name->type != REDIS_REPLY_STRING || strlen(name->str) != name->len)
            continue;
        bool all = strcmp(name->str, ASQ__PAUSE_ALL) == 0;
        if (all ? has_all
                : classes == ASQ__PAUSES_MAX ||
                      asq__check_name("class", name->str, why, sizeof why) < 0)
            continue;
        has_all |= all;
        classes += !all;
        memcpy(list[n].class_name, name->str, name->len + 1);
        list[n++].since_ms = time_of(reply->element[i + 1]);
    }
    *ret_list = list;
    *ret_n = n;
    return 0;
}
