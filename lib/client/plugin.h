/*
 * plugin.h: loads agent classes from shared objects. A plugin runs with the worker's rights, so
 * files and folders that others may write are refused.
 */
#ifndef ASQ_CLIENT_PLUGIN_H
#define ASQ_CLIENT_PLUGIN_H

#include <stddef.h>

struct asq__registry;

/* Loads every *.so of a directory, in the order of their names, and registers their classes.
 * ret_count (may be NULL) gets the number of plugins. ASQ_EPLUGIN with a text that names the file,
 * and what to do. */
int asq__plugins_load(struct asq__registry *registry, const char *dir, size_t *ret_count, char *err,
                      size_t errlen);

#endif
