/*
 * script.h: the scripts (*.lua, embedded by the build) and how they are run: by EVALSHA once a
 * connection has loaded them, by EVAL before. A script that Redis has forgotten (SCRIPT FLUSH) answers
 * NOSCRIPT and changes nothing; the next run carries its text again, until all are loaded once more.
 */
#ifndef ASQ_REDIS_SCRIPT_H
#define ASQ_REDIS_SCRIPT_H

#include "redis/conn.h"
#include "value/buf.h"

enum asq__script {
    ASQ__SCRIPT_COMMIT,
    ASQ__SCRIPT_CLAIM,
    ASQ__SCRIPT_RELEASE,
    ASQ__SCRIPT_LATER,
    ASQ__SCRIPT_READ,
    ASQ__SCRIPT_FETCH,
    ASQ__SCRIPTS
};

/* Scripts that people cause to be run, now and then: always by EVAL, and never loaded. */
extern const char *const asq__script_dead_list, *const asq__script_dead_retry;
/* By a supervisor, for a process that has died. */
extern const char *const asq__script_died;
/* By a process that ends, or by its supervisor. */
extern const char *const asq__script_leave;
/* What keeps an order must not be refused as NOSCRIPT between others: by EVAL too. */
extern const char *const asq__script_send;
/* Run after a lost connection. */
/* Run when a worker connects; see permit.h. */
extern const char *const asq__script_permit;
extern const char *const asq__script_taken, *const asq__script_there;
/* Run when somebody has died, or is asked to stop. */
extern const char *const asq__script_bury, *const asq__script_own, *const asq__script_stop;

/* What one connection knows; zeroed when it comes up. */
struct asq__script_cache {
    char sha[ASQ__SCRIPTS][41]; /* "" while unknown */
};

const char *asq__script_text(enum asq__script script);

/* Asks Redis to load all scripts, filling the cache as the answers come. The cache must outlive the
 * connection or be kept until its callbacks are through. */
int asq__scripts_load(struct asq__conn *c, struct asq__script_cache *cache);

/* Begins a command that runs a script: what is put next are its nkeys keys, then its arguments. */
void asq__script_begin(struct asq__cmd *cmd, const struct asq__script_cache *cache,
                       enum asq__script script, size_t nkeys);
/* The same by EVAL, of a script that is never loaded. */
void asq__script_eval(struct asq__cmd *cmd, const char *text, size_t nkeys);
/* Runs a script whose keys and arguments are strings: nkeys + nargs of them. */
int asq__script_run(struct asq__conn *c, const struct asq__script_cache *cache,
                    enum asq__script script, asq__reply_fn fn, void *user, size_t nkeys,
                    size_t nargs, const char *const *argv);

#endif
