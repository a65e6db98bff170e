/*
 * start_log.c: see start_log.h.
 */
#include "worker/start_log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/class.h"
#include "redis/url.h"
#include "value/buf.h"
#include "worker/process.h"
#include "worker/supervisor_config.h"
#include "worker/supervisor_state.h"

enum { MAX_LINE = 700 }; /* bytes for the plugins; further ones are counted */

/* Returns whether two classes come from the same plugin, or both from the program. */
static bool are_together(const struct asq__class *a, const struct asq__class *b)
{
    return a->plugin && b->plugin ? strcmp(a->plugin, b->plugin) == 0 : a->plugin == b->plugin;
}

/* Appends "counter.so (Counter, Tally), …". */
static void put_classes(struct asq__buf *out, const struct asq__registry *registry)
{
    const struct asq__class *before = NULL;
    size_t left_out = 0;
    for (const struct asq__class *c = registry->first; c; before = c, c = c->next) {
        if (out->len > MAX_LINE) {
            left_out++;
            continue;
        }
        if (before && are_together(before, c))
            asq__buf_printf(out, ", %s", c->def.name);
        else
            asq__buf_printf(out, "%s%s (%s", before ? "), " : "",
                            c->plugin ? c->plugin : "the program's", c->def.name);
    }
    asq__buf_puts(out, ")");
    if (left_out)
        asq__buf_printf(out, " and %zu more", left_out);
    asq__buf_putc(out, '\0');
}

void asq__start_log(const struct asq__supervisor *s)
{
    const struct asq__process_config *p = &s->config->process;
    struct asq__buf classes;
    asq__buf_init(&classes, MAX_LINE + 1024);
    put_classes(&classes, p->registry);
    char *where = asq__url_format(p->url, true);
    asq__supervisor_log(s, ASQ_LOG_INFO,
                        "starting: asqueue " ASQ_VERSION
                        ", Redis %s, namespace '%s', %u process%s with %u threads each, classes %s",
                        where ? where : "?", p->ns, s->config->processes,
                        s->config->processes == 1 ? "" : "es", p->capacity,
                        classes.error ? "?" : (const char *) classes.data);
    free(where);
    asq__buf_release(&classes);
}
