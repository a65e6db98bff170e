/*
 * model.c: see model.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/model.h"
#include "value/buf.h"
#include "value/error.h"

#define MAX_FILE ((size_t) 16 * 1024 * 1024)

static int read_file(const char *path, struct asq__buf *out, char *err, size_t errlen)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return asq__err(err, errlen, ASQ_ESYS, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fileno(f), &st) == 0 && (st.st_mode & S_IRWXO)) {
        fclose(f);
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "%s can be read by other users (mode %03o), and may contain API keys: chmod o= %s",
            path, (unsigned) (st.st_mode & 0777), path);
    }
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        asq__buf_put(out, chunk, n);
    int rc = ferror(f) ? asq__err(err, errlen, ASQ_ESYS, "%s: %s", path, strerror(errno)) : 0;
    fclose(f);
    if (rc == 0 && out->error)
        rc = asq__err(err, errlen, out->error, "%s: more than %zu bytes, or no memory for it", path,
                      MAX_FILE);
    return rc;
}

static int add(asq_value *models, const char *name, const asq_value *config, const char *path,
               char *err, size_t errlen)
{
    if (asq_value_type(config) != ASQ_MAP)
        return asq__err(err, errlen, ASQ_EINVAL, "%s: the configuration '%s' is not an object",
                        path, name);
    if (asq_map_get(models, name))
        return asq__err(err, errlen, ASQ_EINVAL, "%s: two configurations have the name '%s'", path,
                        name);
    int rc = asq_map_set(models, name, asq_value_copy(config));
    return rc < 0 ? asq__err(err, errlen, rc, "%s: %s", path, asq_strerror(rc)) : 0;
}

static int collect(asq_value *models, const asq_value *file, const char *path, char *err,
                   size_t errlen)
{
    int rc = 0;
    if (asq_value_type(file) == ASQ_MAP) {
        for (size_t i = 0; i < asq_map_size(file) && rc == 0; i++) {
            const char *name;
            const asq_value *config = asq_map_at(file, i, &name);
            rc = add(models, name, config, path, err, errlen);
        }
        return rc;
    }
    if (asq_value_type(file) != ASQ_LIST)
        return asq__err(
            err, errlen, ASQ_EINVAL,
            "%s: an array of objects with \"config_name\", or an object of objects, is needed",
            path);
    for (size_t i = 0; i < asq_list_size(file) && rc == 0; i++) {
        const asq_value *config = asq_list_get(file, i);
        const char *name;
        if (asq_value_get_string(asq_map_get(config, "config_name"), &name, NULL) < 0)
            rc = asq__err(err, errlen, ASQ_EINVAL, "%s: element %zu has no \"config_name\"", path,
                          i);
        else
            rc = add(models, name, config, path, err, errlen);
    }
    return rc;
}

static int load(const char *path, asq_value **ret, char *err, size_t errlen)
{
    struct asq__buf text;
    char why[300];
    asq_value *file = NULL, *models = NULL;
    asq__buf_init(&text, MAX_FILE);
    int rc = read_file(path, &text, err, errlen);
    if (rc == 0 &&
        (rc = asq_from_json((const char *) text.data, text.len, &file, why, sizeof why)) < 0)
        asq__err(err, errlen, rc, "%s: %s", path, why);
    if (rc == 0 && !(models = asq_value_map()))
        rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (rc == 0)
        rc = collect(models, file, path, err, errlen);
    asq__buf_release(&text);
    asq_value_free(file);
    if (rc < 0)
        asq_value_free(models);
    else
        *ret = models;
    return rc;
}

int asq__model_load(const char *path, asq_value **ret, char *err, size_t errlen)
{
    char why[600];
    int rc = load(path, ret, why, sizeof why);
    return rc < 0 ? asq__err(err, errlen, rc, "model configurations: %s", why) : 0;
}

int asq__model_find(const asq_value *models, const char *name, const asq_value **ret, char *err,
                    size_t errlen)
{
    if (!models)
        return asq__err(
            err, errlen, ASQ_ENOENT,
            "no model configuration was given; start the worker with --model-config-path");
    const asq_value *found = name ? asq_map_get(models, name) : models;
    if (found) {
        *ret = found;
        return 0;
    }
    struct asq__buf names;
    asq__buf_init(&names, 4096);
    for (size_t i = 0; i < asq_map_size(models); i++) {
        const char *one;
        asq_map_at(models, i, &one);
        asq__buf_printf(&names, "%s%s", i ? ", " : "", one);
    }
    asq__buf_putc(&names, '\0');
    int rc =
        asq__err(err, errlen, ASQ_ENOENT, "there is no model configuration '%s'; there are: %s",
                 name, names.error || names.len < 2 ? "none" : (const char *) names.data);
    asq__buf_release(&names);
    return rc;
}
