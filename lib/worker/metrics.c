/*
 * metrics.c: see metrics.h.
 *
 * figures of process 0: gauges, counters │ series 0 │ class A: create, rest, methods │ class B …
 *     what Redis was told of them (stats.c): series 0 │ class A …
 * figures of process 1: …
 *
 * The pages of series that nobody uses are never touched, and take no memory.
 */
#include "worker/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "asqueue.h"
#include "client/class.h"
#include "value/clock.h"
#include "value/error.h"
#include "worker/core/metrics_text.h"
#include "worker/core/series.h"

enum { SILENT_MS = 5000 }; /* a process says its figures once a second */

struct asq__metrics {
    const char *worker, *ns;
    int64_t silent_ms;
    uint32_t processes;
    size_t nseries, size;
    void *memory;
    struct asq__series_name names[ASQ__SERIES_MAX];
    struct asq__figures *figures[];
};

static uint32_t add_series(struct asq__metrics *m, const char *class_name, const char *method)
{
    m->names[m->nseries] = (struct asq__series_name){ class_name, method };
    return (uint32_t) m->nseries++;
}

/* Gives the classes and their methods their series. Methods for which there is no place count under
 * their class, and classes for which there is none under the first series. */
static void lay_out(struct asq__metrics *m, struct asq__registry *registry)
{
    add_series(m, "(other)", "(other)");
    for (struct asq__class *c = registry->first; c; c = c->next) {
        bool fits = ASQ__SERIES_MAX - m->nseries >= ASQ__SERIES_METHODS;
        c->first_series = fits ? add_series(m, c->def.name, "(create)") : 0;
        uint32_t rest = fits ? add_series(m, c->def.name, "(other)") : 0;
        for (size_t i = 0; i < c->method_count; i++)
            c->methods[i].series = fits && m->nseries < ASQ__SERIES_MAX
                                       ? add_series(m, c->def.name, c->methods[i].def.name)
                                       : rest;
    }
}

int asq__metrics_new(struct asq__registry *registry, const char *worker, const char *ns,
                     uint32_t processes, int64_t lease_time_ms, struct asq__metrics **ret)
{
    struct asq__metrics *m = calloc(1, sizeof *m + processes * sizeof *m->figures);
    if (!m)
        return ASQ_ENOMEM;
    m->worker = worker;
    m->ns = ns;
    m->processes = processes;
    m->silent_ms = lease_time_ms > SILENT_MS ? lease_time_ms : SILENT_MS;
    lay_out(m, registry);
    size_t each = sizeof(struct asq__figures) + 2 * m->nseries * sizeof(struct asq__series);
    each = (each + 63) / 64 * 64;
    m->size = each * processes;
    m->memory = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->memory == MAP_FAILED) {
        free(m);
        return ASQ_ESYS;
    }
    for (uint32_t i = 0; i < processes; i++)
        m->figures[i] = (struct asq__figures *) (void *) ((char *) m->memory + i * each);
    *ret = m;
    return 0;
}

void asq__metrics_free(struct asq__metrics *m)
{
    if (!m)
        return;
    munmap(m->memory, m->size);
    free(m);
}

size_t asq__metrics_count(const struct asq__metrics *m)
{
    return m->nseries;
}

const struct asq__series_name *asq__metrics_name(const struct asq__metrics *m, size_t series)
{
    return &m->names[series];
}

struct asq__figures *asq__metrics_of(const struct asq__metrics *m, uint32_t process)
{
    return m ? m->figures[process] : NULL;
}

void asq__metrics_on_start(const struct asq__metrics *m, uint32_t process)
{
    if (!m)
        return;
    asq__gauges_reset(&m->figures[process]->gauges);
    asq__counter_add(&m->figures[process]->starts, 1);
}

void asq__metrics_on_end(const struct asq__metrics *m, uint32_t process, bool died)
{
    if (!m)
        return;
    asq__gauges_reset(&m->figures[process]->gauges);
    asq__counter_add(&m->figures[process]->deaths, died);
}

void asq__metrics_text(const struct asq__metrics *m, bool openmetrics, struct asq__buf *out)
{
    const struct asq__metrics_view view = { .worker = m->worker,
                                            .ns = m->ns,
                                            .version = ASQ_VERSION,
                                            .names = m->names,
                                            .nseries = m->nseries,
                                            .processes = m->figures,
                                            .n = m->processes,
                                            .now_ms = asq__now_ms() };
    asq__metrics_write(&view, openmetrics, out);
}

int asq__metrics_ready(const struct asq__metrics *m, char *why, size_t size)
{
    int64_t now_ms = asq__now_ms();
    unsigned up = 0, connected = 0;
    for (uint32_t i = 0; i < m->processes; i++) {
        struct asq__gauges *g = &m->figures[i]->gauges;
        int64_t updated_ms = atomic_load(&g->updated_ms);
        if (!updated_ms || now_ms - updated_ms > m->silent_ms || atomic_load(&g->stopping))
            continue;
        up++;
        if (!atomic_load(&g->redis_up))
            continue;
        connected++;
        if (atomic_load(&g->serves))
            return 0;
    }
    if (!up)
        return asq__err(why, size, ASQ_ESTATE, "no worker process runs");
    if (!connected)
        return asq__err(why, size, ASQ_ECONN, "Redis cannot be used");
    return asq__err(why, size, ASQ_ESTATE, "no worker process has all its partitions yet");
}
