/*
 * model.h: model configurations, which methods read with asq_ctx_model. The JSON file is an array
 * of objects with "config_name", or an object of objects.
 */
#ifndef ASQ_CLIENT_MODEL_H
#define ASQ_CLIENT_MODEL_H

#include <stddef.h>

#include "asqueue.h"

/* Reads and checks the file; *ret is a map, name → configuration, owned by the caller. Errors name
 * file and place: ASQ_ESYS, ASQ_EPARSE, ASQ_EINVAL, ASQ_ELIMIT. */
int asq__model_load(const char *path, asq_value **ret, char *err, size_t errlen);
/* Finds the configuration `name`, or all for NULL; borrowed. models NULL: none were given. The text
 * of ASQ_ENOENT lists the names. */
int asq__model_find(const asq_value *models, const char *name, const asq_value **ret, char *err,
                    size_t errlen);

#endif
