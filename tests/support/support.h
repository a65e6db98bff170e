/*
 * support.h: the base of integration tests: redis-servers, as-workers and other processes,
 * temporary files, waiting for conditions.
 *
 *     sup_redis *redis = sup_redis_start(NULL);
 *     sup_proc *worker = sup_worker_start(sup_redis_url(redis), "--agent-dir", dir, NULL);
 *     ...
 *     sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p) == 0);
 *     sup_redis_kill(redis);                  // kill -9
 *     sup_redis_restart(redis);               // the same directory, configuration and socket
 *
 * No cleaning up is needed: everything that a process has started ends with it, however it ends.
 * Children get SIGKILL by PR_SET_PDEATHSIG when it dies, an atexit handler ends them in an orderly
 * exit, and a small guard process removes the temporary directory when no other process could
 * (Check ends a failed test with _exit, a hanging one with SIGKILL). Forking is allowed: resources
 * from before a fork belong to the parent, and the child may use them (unchecked fixtures of
 * Check).
 *
 * Helpers do not return failures. They print the error on stderr, with the end of the log of the
 * process concerned, and end the process with status 1, which Check reports as a failed test; a
 * program with other needs sets sup_on_failure. Not for several threads at once.
 */
#ifndef ASQ_TESTS_SUPPORT_H
#define ASQ_TESTS_SUPPORT_H

#include "acl.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct sup_redis sup_redis;
typedef struct sup_proc sup_proc;

#define SUP_LIMIT_MS 120000 /* "generous": only a failing test ever waits that long */

/* Prints the reason, and returns the exit status that automake takes as skipped. */
int sup_skip(const char *why);

/* Prints the message and the ends of the outputs of all processes, and ends the process; or calls
 * the function in sup_on_failure. */
void sup_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void sup_on_failure(void (*fn)(const char *message));

/* Files. The directory is made at the first use, for this process alone, and is removed when the
 * process ends. sup_path returns "DIR/name", sup_write_file makes that file; the caller frees
 * both. */
const char *sup_dir(void);
char *sup_path(const char *name);
char *sup_write_file(const char *name, const char *text);
char *sup_read_file(const char *path); /* whole file; "" without one; the caller frees it */
/* Returns true under valgrind or the like (ASQ_TEST_WRAP), which would report the faults and leaks
 * that some tests make on purpose. Such tests are left out then. */
bool sup_is_wrapped(void);
char *sup_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Waits. The condition is tested every few milliseconds; after the limit (times ASQ_TEST_SLOW
 * from the environment, for valgrind and the like; twice that under a sanitizer) the test fails
 * with the condition's text. */
int64_t sup_now_ms(void); /* monotonic */
void sup_sleep_ms(int64_t ms);
int64_t sup_limit_ms(void);
#define sup_wait_until(condition)                                                                  \
    do {                                                                                           \
        int64_t sup_end_ = sup_now_ms() + sup_limit_ms();                                          \
        while (!(condition)) {                                                                     \
            if (sup_now_ms() > sup_end_)                                                           \
                sup_fail("%s:%d: not within %lld ms: %s", __FILE__, __LINE__,                      \
                         (long long) sup_limit_ms(), #condition);                                  \
            sup_sleep_ms(5);                                                                       \
        }                                                                                          \
    } while (0)

/* Processes. argv ends with NULL; argv[0] is looked up on the PATH when it has no slash. Output
 * (stdout and stderr) goes to a file in the temporary directory. stop sends SIGTERM, waits for the
 * end (fails if there is none), and returns the status like sup_proc_wait. kill sends SIGKILL, and
 * waits. Both may be called when the process has ended. sup_proc_free also kills. */
sup_proc *sup_spawn(const char *const argv[]);
pid_t sup_proc_pid(const sup_proc *p);
bool sup_proc_alive(sup_proc *p);
void sup_proc_signal(sup_proc *p, int sig);
int sup_proc_wait(sup_proc *p); /* exit status, or 128 + signal */
int sup_proc_stop(sup_proc *p);
void sup_proc_kill(sup_proc *p);
char *sup_proc_output(sup_proc *p);               /* so far; the caller frees it */
int sup_proc_said(sup_proc *p, const char *text); /* how often, so far */
int sup_count(const char *all, const char *text); /* how often `text` occurs in `all` */
void sup_proc_free(sup_proc *p);
/* Returns whether a process of this id exists and has not ended. A zombie has ended. */
bool sup_pid_running(pid_t pid);
/* Runs a program to its end; returns its exit status (128 + signal). ret_out and ret_err may be
 * NULL. */
int sup_run(const char *const argv[], char **ret_out, char **ret_err);

/* Returns the path of a program of this build ("as-worker", "as-ctl",
 * "contrib/examples/dist_main"): AS_WORKER or AS_CTL from the environment, else in
 * ASQ_TEST_BUILDDIR, else in the build tree of the test itself, so that tests can be run by hand.
 * Libtool's wrapper scripts may be used, because they exec. sup_agent_dir: the directory with the
 * example plugins, counter.so and echo.so. The strings live until the next call. */
const char *sup_program(const char *name);
const char *sup_agent_dir(void);
/* Starts as-worker with --redis-url URL and further arguments up to NULL. */
sup_proc *sup_worker_start(const char *url, ...) __attribute__((sentinel));

/* Redis servers, without persistence, on a Unix socket only. config (or NULL) is a list of further
 * lines for redis.conf, ended by NULL ("appendonly yes", "appendfsync always", "maxmemory 2mb",
 * "port 7001", "requirepass x"): they override the defaults. start and restart return once the
 * server answers PING. */
bool sup_redis_available(void); /* tells whether there is a redis-server or valkey-server */
sup_redis *sup_redis_start(const char *const config[]);
/* Starts a node of a Redis Cluster that has all slots. It refuses each command with keys of two
 * slots, and never sends elsewhere. With ASQ_TEST_REDIS=cluster-node in the environment,
 * sup_redis_start does this too; with ASQ_TEST_REDIS=cluster likewise, and the deployment of
 * modes.h is a Cluster of three masters with a replica each. With ASQ_TEST_REDIS=sentinel only that
 * is another: a master, two replicas and three Sentinels. */
sup_redis *sup_redis_start_single_slot(const char *const config[]);
bool sup_redis_is_cluster(const sup_redis *r);
const char *sup_redis_url(const sup_redis *r); /* unix:/path; with ASQ_TEST_ACL, ?user=… as well */
/* Returns the URL of the user "default", for tests that make users of their own, or change the
 * path. */
const char *sup_redis_url_default(const sup_redis *r);
const char *sup_redis_socket(const sup_redis *r);
const char *sup_redis_dir(const sup_redis *r);
sup_proc *sup_redis_proc(sup_redis *r); /* for SIGSTOP and the like */
void sup_redis_kill(sup_redis *r);      /* kill -9; the files stay */
void sup_redis_stop(sup_redis *r);      /* SIGTERM; the files stay */
void sup_redis_restart(sup_redis *r);   /* after kill or stop; or a running one, after kill -9 */
void sup_redis_free(sup_redis *r);      /* kill -9, and the object is gone */
/* Of a server with "appendonly yes": copies its append-only files as they are now, and returns where
 * to, which the caller frees; and brings a stopped server back to that. */
char *sup_redis_keep(const sup_redis *r);
void sup_redis_go_back(const sup_redis *r, const char *kept);
/* Returns a TCP port of 127.0.0.1 that nobody listens on and that no other test gets while this
 * process runs. */
int sup_free_port(void);
void sup_release_port(int port); /* for a process that starts many servers */

/* Commands, as redisCommand formats them, on a connection that is kept and made again when it
 * was lost. An error reply fails the test, except with sup_redis_reply, which returns it. The
 * caller frees replies and strings; str gives NULL for nil. */
redisReply *sup_redis_reply(sup_redis *r, const char *fmt, ...);
void sup_redis_do(sup_redis *r, const char *fmt, ...);
int64_t sup_redis_int(sup_redis *r, const char *fmt, ...);
char *sup_redis_str(sup_redis *r, const char *fmt, ...);
/* Returns the number behind `label` in the first line of INFO `section` that begins with `line`;
 * 0 without one. */
int64_t sup_redis_stat(sup_redis *r, const char *section, const char *line, const char *label);
/* Prints the keys of asqueue in a server with the beginning of what they hold, on stderr. */
void sup_redis_show(sup_redis *r);
/* Waits as sup_wait_until does, for a state of a server, and shows its keys if it does not come. */
#define sup_redis_wait_until(r, condition)                                                         \
    do {                                                                                           \
        int64_t shown_at_ = sup_now_ms() + sup_limit_ms() - 1000;                                  \
        bool shown_ = false;                                                                       \
        sup_wait_until((condition) || (!shown_ && sup_now_ms() > shown_at_ &&                      \
                                       (shown_ = true, sup_redis_show(r), false)));                \
    } while (0)
/* Counts the workers of a namespace whose hash exists, that is, which have sent a heartbeat
 * within their lease. */
int sup_redis_workers(sup_redis *r, const char *ns);
/* Returns the pid of a worker process ("w.0") of the namespace "default". Waits for it, because its
 * hash may not be there yet, or may have expired before a late heartbeat. Never 0, which for kill()
 * means the group of the test. */
pid_t sup_redis_worker_pid(sup_redis *r, const char *process);
/* Returns the most memory that a worker process ("w.0") has used, in kB; 0: it has no heartbeat. */
int64_t sup_redis_worker_peak_kb(sup_redis *r, const char *process);

/* Tells whether the tests run under a sanitizer, which makes them slow and keeps freed memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SUP_SANITIZED = 1 };
#else
enum { SUP_SANITIZED = 0 };
#endif

#endif
