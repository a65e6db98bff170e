/*
 * params.c: orders named arguments by a method's parameters; names of parameters.
 */
#include <stdbool.h>
#include <string.h>

#include "asqueue.h"
#include "value/error.h"
#include "value/value.h"

static const char separators[] = ", \t\n";

/* Finds the next name of a list like "url, depth"; returns its length, 0 at the end. */
static size_t next_name(const char **at)
{
    *at += strspn(*at, separators);
    return strcspn(*at, separators);
}

const char *asq__param_at(const char *params, size_t i, size_t *ret_n)
{
    size_t n;
    for (const char *p = params; p && (n = next_name(&p)) != 0; p += n)
        if (i-- == 0) {
            *ret_n = n;
            return p;
        }
    return NULL;
}

static bool is_param(const char *params, const char *name)
{
    size_t n, name_n = strlen(name);
    for (const char *p = params; (n = next_name(&p)) != 0; p += n)
        if (n == name_n && memcmp(p, name, n) == 0)
            return true;
    return false;
}

/* Reports the key that is not a parameter. */
static int unknown(const asq_value *map, const char *params, char *err, size_t errlen)
{
    const char *key = "";
    for (size_t i = 0; i < map->map.n; i++) {
        key = map->map.pairs[i].key;
        if (!is_param(params, key))
            break;
    }
    return asq__err(err, errlen, ASQ_EARGS, "unknown argument \"%.*s\"; the parameters are: %s",
                    ASQ_MAX_NAME, key, *params ? params : "(none)");
}

int asq__value_by_params(const asq_value *map, const char *params, asq_value **ret, char *err,
                         size_t errlen)
{
    if (asq_value_type(map) != ASQ_MAP)
        return asq__err(err, errlen, ASQ_EARGS, "a map of named arguments expected, %s found",
                        asq_type_name(asq_value_type(map)));
    asq_value *list = asq_value_list();
    size_t n, found = 0, used = 0;
    int rc = list ? 0 : ASQ_ENOMEM;
    for (const char *p = params; rc == 0 && (n = next_name(&p)) != 0; p += n) {
        char name[ASQ_MAX_NAME + 1];
        if (n >= sizeof name) {
            rc = asq__err(err, errlen, ASQ_EINVAL,
                          "a parameter's name has %zu bytes; %d are allowed", n, ASQ_MAX_NAME);
            break;
        }
        memcpy(name, p, n);
        name[n] = '\0';
        const asq_value *item = asq_map_get(map, name);
        rc = asq_list_append(list, item ? asq_value_copy(item) : asq_value_null());
        if (rc == 0 && item) {
            found++;
            used = asq_list_size(list);
        }
    }
    if (rc == 0 && found < asq_map_size(map))
        rc = unknown(map, params, err, errlen);
    else if (rc == ASQ_ENOMEM)
        asq__err(err, errlen, rc, "out of memory");
    if (rc < 0) {
        asq_value_free(list);
        return rc;
    }
    while (asq_list_size(list) > used)
        asq_list_remove(list, asq_list_size(list) - 1);
    *ret = list;
    return 0;
}
