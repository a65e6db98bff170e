/*
 * fuzz_later.c: any bytes in the field `later` of an entry give the worker values within the batch
 * and within bounds. No call was made in the future, and each call waits for its time or is due.
 */
#include "value/arena.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/call_time.h"
#include "worker/core/entry.h"
#include "worker/delay.h"
#include "worker/entries.h"
#include "worker/later.h"
#include "worker/later_move.h"
#include "worker/partition.h"
#include "worker/process.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_JOBS = 4 };

static void require(int condition)
{
    if (!condition)
        abort();
}

static Asqueue__Batch *make_batch(Asqueue__Batch *batch, Asqueue__Job jobs[MOST_JOBS],
                                  Asqueue__Job *list[MOST_JOBS], uint8_t how)
{
    static uint8_t id[ASQ__BATCH_ID];
    static char reply[] = "0123456789abcdef";
    asqueue__batch__init(batch);
    batch->id = (ProtobufCBinaryData){ sizeof id, id };
    batch->reply = reply;
    batch->n_jobs = how % MOST_JOBS + 1u;
    batch->jobs = list;
    for (size_t i = 0; i < batch->n_jobs; i++) {
        asqueue__job__init(&jobs[i]);
        jobs[i].delay_ms = how & 8 ? UINT64_MAX >> (how >> 4) : i * 1000;
        list[i] = &jobs[i];
    }
    return batch;
}

static void check_call(struct asq__wcall *c)
{
    int64_t now_ms = asq__now_ms();
    (void) asq__wcall_due_ms(c);
    if (asq__later_begin(c)) { /* waits, until a time ahead */
        require(c->state == ASQ__CALL_DELAYED && c->delay && c->wake_ms >= now_ms);
        asq__delay_end(c);
        require(!c->delay);
    }
}

/* The first byte determines the batch, the second how far ahead the partition's clock is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct asq__process w;
    static struct asq__partition p;
    Asqueue__Batch batch;
    Asqueue__Job jobs[MOST_JOBS], *list[MOST_JOBS];

    if (size < 2)
        return 0;
    if (!w.loop)
        require((w.loop = ev_loop_new(EVFLAG_AUTO)) != NULL);
    p.w = &w;
    p.minus_mono_ms = (data[1] & 1 ? 1 : -1) * ((int64_t) 1 << data[1] / 2 % 53);
    make_batch(&batch, jobs, list, data[0]);
    struct asq__entry *e = calloc(1, sizeof *e + batch.n_jobs * sizeof e->calls[0]);
    require(e != NULL);
    e->part = &p;
    e->batch = &batch;
    asq__arena_init(&e->arena, 1);
    asq__list_init(&e->order);
    asq__list_init(&e->moved);
    p.held_calls = e->unfinished = batch.n_jobs;
    for (size_t i = 0; i < batch.n_jobs; i++) {
        e->calls[i].entry = e;
        e->calls[i].index = (uint32_t) i;
        asq__list_init(&e->calls[i].node);
    }
    int rc = asq__later_take(e, data + 2, size - 2);
    require(rc == 0 || rc == ASQ_EPROTO || rc == ASQ_ENOMEM);
    require(e->made_ms <= e->read_ms && e->nchannels <= ASQ__LATER_CHANNELS);
    for (size_t i = 0; i < e->nchannels; i++)
        require(*e->channels[i] && asq__is_client_id(e->channels[i]));
    for (size_t i = 0; rc == 0 && i < batch.n_jobs; i++)
        check_call(&e->calls[i]);
    asq__entry_free(e);
    require(p.held_calls == 0);
    return 0;
}
