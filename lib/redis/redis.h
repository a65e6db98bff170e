/*
 * redis.h: a deployment's Redis as the layers above see it: key names, a connection for commands, one
 * for pushes, the namespace's fixed facts (format, partitions). It alone knows how many servers there
 * are; the others ask for the connection of partition p. It reconnects by itself, and is "up" when
 * commands can be sent and pushes will be seen.
 */
#ifndef ASQ_REDIS_REDIS_H
#define ASQ_REDIS_REDIS_H

#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/limit.h"
#include "redis/redis_clock.h"
#include "redis/script.h"
#include "redis/url.h"

#define ASQ__FORMAT_VERSION     1
#define ASQ__DEFAULT_PARTITIONS 128u
#define ASQ__MAX_PARTITIONS     16384u

struct asq__redis;

/* Changes of the namespace since it was first seen. */
enum asq__namespace_event {
    ASQ__NAMESPACE_MADE_AGAIN, /* its meta hash was gone, and has been made with the same facts */
    ASQ__NAMESPACE_MENDED,     /* its meta hash said what cannot be, and says the same as before */
    ASQ__NAMESPACE_DOTTED,     /* its name has dots, as new ones may not */
    ASQ__NAMESPACE_OTHER       /* it has another number of partitions now */
};

struct asq__redis_config {
    struct ev_loop *loop;
    const struct asq__url *url; /* outlives it */
    const char *ns;
    const char *name;        /* for CLIENT SETNAME */
    uint32_t partitions;     /* of a namespace that is made now; 0: the default */
    const char *channels[2]; /* clients whose pushes are wanted (asq:{N}:c:…); NULL: none */
    int64_t connect_timeout_ms;
    bool serves; /* a worker: up only when no command that it needs is refused */
    bool once; /* do not try again before it was up once, unless the cause passes (ASQ_EBUSY) */
    void (*up)(struct asq__redis *r, void *user);
    /* As a connection's `down`; also ASQ_EVERSION, ASQ_EPROTO: of a namespace that is not understood. It is
     * tried again, whatever the code. */
    void (*down)(struct asq__redis *r, int code, const char *why, void *user);
    /* channel: the index in `channels`. */
    void (*push)(struct asq__redis *r, int channel, const void *payload, size_t n, void *user);
    /* before: the number of partitions that it had. OTHER comes before `up`. */
    void (*namespace_event)(struct asq__redis *r, enum asq__namespace_event what, uint32_t before,
                            void *user);
    /* TIME was answered, set_ms is by how far its clock was set since the last time; or NULL. */
    void (*time)(struct asq__redis *r, int64_t set_ms, void *user);
    void *user;
};

int asq__redis_new(const struct asq__redis_config *config, struct asq__redis **ret, char *err,
                   size_t errlen);
void asq__redis_free(struct asq__redis *r);
bool asq__redis_is_up(const struct asq__redis *r);
void asq__redis_set_loop(struct asq__redis *r, struct ev_loop *loop);
/* Makes it reconnect: the server said that it cannot serve writes (READONLY, …). */
void asq__redis_drop(struct asq__redis *r, const char *why);

/* The connection on which commands about partition p go, and its scripts. Never NULL; it may be down. */
struct asq__conn *asq__redis_conn(struct asq__redis *r, uint32_t partition);
struct asq__script_cache *asq__redis_scripts(struct asq__redis *r, uint32_t partition);
const struct asq__keys *asq__redis_keys(const struct asq__redis *r);
const struct asq__url *asq__redis_url(const struct asq__redis *r);
struct ev_loop *asq__redis_loop(const struct asq__redis *r);
/* Valid from the first `up` on. Read whenever a connection comes up, and by asq__redis_look_at_meta. */
uint32_t asq__redis_partitions(const struct asq__redis *r);
/* Reads the facts of the namespace again, when keys are gone or no worker answers: all may have been flushed, and the
 * namespace made anew. */
void asq__redis_look_at_meta(struct asq__redis *r);
/* Redis has forgotten a script: all are loaded again. */
void asq__redis_reload_scripts(struct asq__redis *r, uint32_t partition);
/* maxmemory-policy as it was when the connection came up, or was last asked for; "" when Redis does not
 * tell. */
const char *asq__redis_eviction_policy(const struct asq__redis *r);
void asq__redis_ask_policy(struct asq__redis *r); /* the answer comes later */
/* How long a string it takes as an argument: see limit.h. To be asked about again once a second or so. */
size_t asq__redis_max_string(const struct asq__redis *r);
void asq__redis_refused_string(struct asq__redis *r, size_t n);
void asq__redis_look_at_limit(struct asq__redis *r);

/* What it refuses to this worker, which serves without: flags of asq__lack, and names for people; "": nothing. As
 * of the last `up`. */
unsigned asq__redis_lack(const struct asq__redis *r, const char **ret_names);

/* The clock of Redis. It is known when the connection is up, unless an ACL forbids TIME, and asked for again at
 * each new connection. */
const struct asq__redis_clock *asq__redis_clock(const struct asq__redis *r);
void asq__redis_ask_time(struct asq__redis *r); /* the answer comes later */
/* Takes the answer to a caller's own TIME. */
void asq__redis_take_time(struct asq__redis *r, const redisReply *reply, int64_t asked_ms);

#endif
