/*
 * plugin.c: see plugin.h. A plugin is never unloaded, because class tables, and code that may be on
 * a fiber's stack, are in it.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/plugin.h"
#include "client/trusted_path.h"
#include "value/error.h"

struct asq_plugin {
    struct asq__registry *registry;
    const char *file;
    size_t classes;
    int code;
    char why[500];
};

int asq_plugin_register(asq_plugin *plugin, const asq_class *cls)
{
    char why[400];
    if (!plugin)
        return ASQ_EINVAL;
    int rc = asq__registry_add(plugin->registry, cls, why, sizeof why);
    if (rc == 0) {
        plugin->classes++;
    } else if (!plugin->code) {
        plugin->code = rc;
        snprintf(plugin->why, sizeof plugin->why, "%s", why);
    }
    return rc;
}

/* Loads the plugin at `given`, by the checked path that asq__trusted_open has returned. */
static int load(struct asq__registry *registry, const char *given, char *err, size_t errlen)
{
    char path[PATH_MAX];
    int rc, fd = asq__trusted_open(given, ASQ__TRUSTED_FILE, path, err, errlen);
    if (fd < 0)
        return fd;
    close(fd);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return asq__err(err, errlen, ASQ_EPLUGIN, "the plugin cannot be loaded: %s", dlerror());
    const asq_plugin_entry *entry = dlsym(handle, ASQ_PLUGIN_SYMBOL);
    if (!entry || !entry->init) {
        dlclose(handle);
        return asq__err(err, errlen, ASQ_EPLUGIN,
                        "%s: not an asqueue plugin: it does not export '" ASQ_PLUGIN_SYMBOL
                        "' (see ASQ_PLUGIN in asqueue.h)",
                        path);
    }
    if (entry->abi_version != ASQ_ABI_VERSION) {
        rc = asq__err(
            err, errlen, ASQ_EPLUGIN,
            "%s: built with asqueue %s, plugin ABI %u; this is asqueue %s with ABI %d: build it "
            "again",
            path, entry->built_with ? entry->built_with : "?", entry->abi_version, ASQ_VERSION,
            ASQ_ABI_VERSION);
        dlclose(handle);
        return rc;
    }
    struct asq_plugin plugin = { .registry = registry, .file = path };
    rc = entry->init(&plugin);
    if (plugin.code)
        return asq__err(err, errlen, plugin.code, "%s: %s", path, plugin.why);
    if (rc < 0)
        return asq__err(err, errlen, ASQ_EPLUGIN, "%s: its init failed: %s", path,
                        asq_strerror(rc));
    if (!plugin.classes)
        return asq__err(err, errlen, ASQ_EPLUGIN, "%s: it registers no class", path);
    return 0;
}

static int is_plugin(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 3 && e->d_name[0] != '.' && strcmp(e->d_name + n - 3, ".so") == 0;
}

int asq__plugins_load(struct asq__registry *registry, const char *dir, size_t *ret_count, char *err,
                      size_t errlen)
{
    struct dirent **names = NULL;
    char real[PATH_MAX], why[PATH_MAX + 300];
    int rc = 0, fd = asq__trusted_open(dir, ASQ__TRUSTED_FOLDER, real, why, sizeof why);
    if (fd < 0)
        return asq__err(err, errlen, fd, "the folder of plugins: %s", why);
    close(fd);
    int n = scandir(real, &names, is_plugin, alphasort);
    if (n < 0)
        return asq__err(err, errlen, ASQ_EPLUGIN, "%s: %s", dir, strerror(errno));
    if (n == 0)
        rc =
            asq__err(err, errlen, ASQ_EPLUGIN, "%s: there is no plugin (*.so) in this folder", dir);
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX + 1 + NAME_MAX];
        snprintf(path, sizeof path, "%s/%s", real, names[i]->d_name);
        struct asq__class **added = registry->last;
        if (rc == 0)
            rc = load(registry, path, err, errlen);
        for (struct asq__class *c = *added; c; c = c->next)
            c->plugin = strdup(names[i]->d_name); /* for the log; without memory it is not told */
        free(names[i]);
    }
    free(names);
    if (rc == 0 && ret_count)
        *ret_count = (size_t) n;
    return rc;
}
