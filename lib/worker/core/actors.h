/*
 * actors.h: the agents in memory of one process: which are kept awake, which sleep, and which leave
 * memory, longest idle first.
 *
 *     add ──▶ ASLEEP ─activate─▶ BUSY ─passivate─▶ AWAKE ──too many, or too long──▶ ASLEEP or GONE
 *               │               │ ▲              └─activate─▶ BUSY
 *               │               │ └──wake── GONE
 *               │               └─passivate─▶ ASLEEP, or GONE (there is no such agent)
 *               ├─ evict; also from GONE and AWAKE ─▶ REMOVED
 *               └─ orphan; also from BUSY, AWAKE, GONE ─▶ ORPHAN ──last run ends──▶ REMOVED
 *
 * No I/O and no clock: the time is an argument, and what depends on an agent's object or partition
 * is asked of a table of hooks. Belongs to the event loop; other threads read the two counts.
 */
#ifndef ASQ_WORKER_CORE_ACTORS_H
#define ASQ_WORKER_CORE_ACTORS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/list.h"
#include "value/table.h"

struct asq__actor;

struct asq__actors_limits {
    size_t bytes;    /* of all agents; above that idle ones leave however recently they were used */
    int64_t idle_ms; /* an agent that is idle for so long leaves */
    int64_t gone_ms; /* likewise, of one that does not exist */
    size_t awake;    /* idle agents kept awake */
    int64_t awake_ms;  /* time that an idle agent is kept awake at most */
    int64_t moment_ms; /* an agent used twice within it is kept awake although many are */
};

struct asq__actors_hooks {
    /* Drops what only an awake agent needs. False: there is no such agent. */
    bool (*fall_asleep)(struct asq__actor *a);
    /* Returns whether the effects of its calls are committed. Before that, its snapshot in Redis is
     * an older one than that in memory. */
    bool (*is_saved)(const struct asq__actor *a);
    /* Frees an idle agent; calls asq__actors_remove(). */
    void (*evict)(struct asq__actor *a);
};

struct asq__actors {
    struct asq__actors_limits limits;
    const struct asq__actors_hooks *hooks;
    /* Idle agents, in the order in which they came into the list. */
    struct asq__list awake, asleep, gone;
    size_t n_awake;
    struct asq__list resuming; /* agents that may go on at the end of the iteration */
    /* Agents, and the bytes counted for them; other threads read both. */
    atomic_ullong n, bytes;
};

/* The agents of one partition. */
struct asq__actor_set {
    struct asq__table by_id;
    struct asq__list busy;
};

void asq__actors_init(struct asq__actors *all, const struct asq__actors_limits *limits,
                      const struct asq__actors_hooks *hooks);
int asq__actor_set_init(struct asq__actor_set *set); /* ASQ_ENOMEM */
/* Frees the table; the agents are gone before. */
void asq__actor_set_release(struct asq__actor_set *set);

/* Returns the agent; NULL: it is not in memory. */
struct asq__actor *asq__actors_find(const struct asq__actor_set *set, const char *id, size_t n);
/* Takes in an agent, of which id, id_n and part are set, and all else is 0. It sleeps. */
void asq__actors_add(struct asq__actors *all, struct asq__actor_set *set, struct asq__actor *a);
/* Makes it BUSY for a call, with `calls`. False: no memory. */
bool asq__actors_activate(struct asq__actors *all, struct asq__actor_set *set,
                          struct asq__actor *a);
/* Notes that no call concerns an agent that is BUSY or AWAKE any more. It stays awake if it is live
 * (a call needs no more than is in memory), and few others are or it was used a moment ago. */
void asq__actors_passivate(struct asq__actors *all, struct asq__actor *a, bool live,
                           int64_t now_ms);
/* Has the end of the iteration resume or start what it can. `calls` exists. */
void asq__actors_resume_later(struct asq__actors *all, struct asq__actor *a);
/* Takes the next agent that was left for the end of the iteration; NULL: there is none. */
struct asq__actor *asq__actors_next_to_resume(struct asq__actors *all);
/* Counts an agent with so many bytes from now on. */
void asq__actors_count(struct asq__actors *all, struct asq__actor *a, size_t bytes);

bool asq__actors_are_crowded(const struct asq__actors *all); /* more bytes than the limit */
/* Has agents leave that were idle for long; above the limit of bytes, more of them. */
void asq__actors_evict(struct asq__actors *all, int64_t now_ms);
/* Puts agents to sleep that have been awake for long without a call. */
void asq__actors_put_to_sleep(struct asq__actors *all, int64_t now_ms);
/* Takes an agent of a lost partition out of its set. True: no run of it is active, so the caller
 * frees it now; otherwise it does so when the last one ends. */
bool asq__actors_orphan(struct asq__actors *all, struct asq__actor_set *set, struct asq__actor *a);
/* Takes an agent that no call concerns, or an orphan, out of everything before it is freed. */
void asq__actors_remove(struct asq__actors *all, struct asq__actor_set *set, struct asq__actor *a);

#endif
