/*
 * read_budget.c: bounds reads of job streams in bytes. All reads under way share what is left of
 * --max-backlog-size. A blocking read has only a bound in entries, which follows from the sizes of
 * recent ones. Entries that may be large, or whose size is unknown, are read by read.lua, which
 * counts bytes. An entry counts with its decoded size if that is larger: one with a thousand small
 * calls is short, and keeps the loop busy for as long as a large one.
 */
#include "redis/reply.h"
#include "worker/process.h"
#include "worker/read_budget.h"

enum {
    LEAST = 64 * 1024,
    MOST = 4 * 1024 * 1024,
    BLOCKING_MOST = 8 * 1024 * 1024,
    ENTRIES_AT_MOST = 128,
    ENTRIES_AT_LEAST = 4, /* larger entries are read by read.lua */
    SHRINKS = 16
};

size_t asq__read_begin(struct asq__process *w)
{
    size_t held = atomic_load_explicit(&w->held_bytes, memory_order_relaxed) + w->reading_bytes;
    size_t left = w->config.max_backlog_size > held ? w->config.max_backlog_size - held : 0;
    size_t bytes = left < LEAST ? LEAST : left < MOST ? left : MOST;
    w->reading_bytes += bytes;
    return bytes;
}

void asq__read_end(struct asq__process *w, size_t bytes)
{
    w->reading_bytes -= bytes;
}

size_t asq__read_entries(const struct asq__process *w, size_t streams)
{
    size_t all = streams * w->entry_bytes, n = ENTRIES_AT_MOST;
    while (n >= ENTRIES_AT_LEAST && n * all > BLOCKING_MOST)
        n /= 2; /* few different numbers, so that the command seldom changes */
    return n >= ENTRIES_AT_LEAST ? n : 0;
}

size_t asq__read_entries_at_most(const struct asq__process *w, size_t most)
{
    size_t n = w->entry_bytes ? BLOCKING_MOST / w->entry_bytes : most;
    return n < 1 ? 1 : n < most ? n : most;
}

void asq__read_note(struct asq__process *w, size_t largest)
{
    size_t before = w->entry_bytes - w->entry_bytes / SHRINKS;
    w->entry_bytes = largest > before ? largest : before;
}

size_t asq__reply_entry_bytes(const redisReply *entry)
{
    size_t bytes = 0;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[1]->type != REDIS_REPLY_ARRAY)
        return 0;
    const redisReply *fields = entry->element[1];
    for (size_t i = 0; i < fields->elements; i++)
        if (fields->element[i]->type == REDIS_REPLY_STRING)
            bytes += (size_t) fields->element[i]->len;
    return bytes;
}
