/*
 * class.h: the classes that a process knows. A registry has a checked copy of every table that a
 * program or a plugin registers, in the layout of this library, whatever layout the table was built
 * with; names, documentation and functions remain the user's. Runs of methods (object.h) look names
 * and access rights up here.
 *
 * One thread adds classes, before or between uses. All other functions only read, so any number of
 * threads may call them. A class does not move until the registry is released.
 */
#ifndef ASQ_CLIENT_CLASS_H
#define ASQ_CLIENT_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/table.h"

/* A table with more members lacks its end. */
#define ASQ__MAX_MEMBERS 4096

struct asq__method {
    asq_method def;
    size_t nparams;         /* in def.params */
    const asq_retry *retry; /* or NULL */
    uint32_t series;        /* of the worker's metrics; set by worker/metrics.c */
    struct asq__node node;
};

struct asq__attribute {
    asq_attribute def;
    struct asq__node node;
};

struct asq__class {
    asq_class def;               /* def.methods and def.attributes are NULL; see below */
    struct asq__method *methods; /* in the table's order */
    struct asq__attribute *attributes;
    size_t method_count, attribute_count;
    size_t live_count; /* attributes that are ASQ_LIVE */
    struct asq__table by_method, by_attribute;
    uint32_t first_series; /* of the worker's metrics; 0: none. Set by worker/metrics.c */
    char *plugin;          /* name of the file that it comes from; NULL: the program */
    struct asq__node node;
    struct asq__class *next;
};

struct asq__registry {
    struct asq__table by_name;
    struct asq__class *first, **last; /* in the order of registration */
};

int asq__registry_init(struct asq__registry *r);
/* Releases a registry; fine for a zeroed one, and after a failed init. */
void asq__registry_release(struct asq__registry *r);
/* Checks and copies a table. Errors: ASQ_EINVAL, ASQ_EEXIST, ASQ_EVERSION, ASQ_ENOMEM. */
int asq__registry_add(struct asq__registry *r, const asq_class *cls, char *err, size_t errlen);
/* Notes a class of which the table's name and pool matter alone, for a handle whose classes run
 * elsewhere. Again: no error. Errors: ASQ_EINVAL, ASQ_EEXIST (with another pool), ASQ_EVERSION,
 * ASQ_ENOMEM. */
int asq__registry_note(struct asq__registry *r, const asq_class *cls, char *err, size_t errlen);
size_t asq__registry_count(const struct asq__registry *r);
/* Returns NULL if the class is unknown. */
const struct asq__class *asq__registry_find(const struct asq__registry *r, const char *name);
/* Writes that there is no such class, and lists the known ones; returns ASQ_ENOCLASS. */
int asq__registry_unknown(const struct asq__registry *r, const char *name, char *err,
                          size_t errlen);
/* Returns a map as asq_classes does, without "workers" and private members. Absent texts are null,
 * flags a list of "readonly", "nonblocking", "writable", "concurrent" and "live". NULL if memory is short. */
asq_value *asq__registry_describe(const struct asq__registry *r);

/* Return NULL if the name is unknown. */
const struct asq__method *asq__class_method(const struct asq__class *cls, const char *name);
const struct asq__attribute *asq__class_attribute(const struct asq__class *cls, const char *name);
/* Checks that a method may be called. is_own: by the agent itself. ASQ_ENOMETHOD,
 * ASQ_EPRIVATE. */
int asq__class_check_call(const struct asq__class *cls, const char *name, bool is_own,
                          const struct asq__method **ret, char *err, size_t errlen);
/* Checks that an attribute may be read, or for_set: written. ASQ_ENOATTR, ASQ_EPRIVATE;
 * ASQ_ENOTSUP: the agent itself cannot set it either. */
int asq__class_check_attribute(const struct asq__class *cls, const char *name, bool for_set,
                               bool is_own, const struct asq__attribute **ret, char *err,
                               size_t errlen);

/* class_table.c: checks and copies a user's table, without a registry. */
int asq__class_take(const asq_class *table, struct asq__class **ret, char *err, size_t errlen);
/* Copies name and pool alone. */
int asq__class_take_pool(const asq_class *table, struct asq__class **ret, char *err, size_t errlen);
void asq__class_free(struct asq__class *c);

#endif
