/*
 * support_redis.c: redis-servers for tests, each in its own directory under sup_dir(), and commands
 * to them. Relies on support.c for the processes.
 */
#include "acl.h"
#include "support.h"
#include "support_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct sup_redis {
    struct sup_redis *next; /* list of all servers that this process has started */
    sup_proc *proc;
    char *dir;
    char *conf;
    char *socket;
    char *url;         /* as the client, with ASQ_TEST_ACL */
    char *url_default; /* as the default user */
    char *password;    /* or NULL */
    bool single_slot;  /* a node of a Cluster, with all of its slots */
    redisContext *conn;
    pid_t conn_pid; /* process that made conn; a forked child makes its own */
    pid_t owner;
};

static sup_redis *servers;

const char *sup__server_program(void)
{
    static const char *const names[] = { "redis-server", "valkey-server", NULL };
    static char found[4096];
    const char *given = getenv("ASQ_REDIS_SERVER"), *path = getenv("PATH");
    if (given && given[0])
        return given;
    for (size_t i = 0; names[i]; i++) {
        const char *p = path ? path : "/usr/local/bin:/usr/bin:/bin";
        while (*p) {
            size_t n = strcspn(p, ":");
            snprintf(found, sizeof found, "%.*s/%s", (int) n, p, names[i]);
            if (n > 0 && access(found, X_OK) == 0)
                return found;
            p += n + (p[n] == ':');
        }
    }
    return NULL;
}

bool sup_redis_available(void)
{
    return sup__server_program() != NULL;
}

static void disconnect(sup_redis *r)
{
    if (r->conn)
        redisFree(r->conn); /* in a forked child this closes its own copy of the descriptor alone */
    r->conn = NULL;
}

/* Returns NULL when the server cannot be reached now. */
static redisContext *try_connect(sup_redis *r)
{
    struct timeval limit = { 30, 0 };
    if (r->conn && (r->conn_pid != getpid() || r->conn->err))
        disconnect(r);
    if (r->conn)
        return r->conn;
    r->conn = redisConnectUnixWithTimeout(r->socket, limit);
    r->conn_pid = getpid();
    if (r->conn && r->conn->err)
        disconnect(r);
    if (!r->conn)
        return NULL;
    redisSetTimeout(r->conn, limit);
    if (r->password) {
        redisReply *reply = redisCommand(r->conn, "AUTH %s", r->password);
        freeReplyObject(reply);
    }
    return r->conn;
}

static bool answers(sup_redis *r)
{
    redisContext *c = try_connect(r);
    redisReply *reply = c ? redisCommand(c, "PING") : NULL;
    bool yes = reply && reply->type == REDIS_REPLY_STATUS;
    if (c && !reply)
        disconnect(r);
    freeReplyObject(reply);
    return yes;
}

/* Fails the test, with ASQ_TEST_ACL, when Redis has denied a command to a user of the rules, and
 * names it. A server that is stopped, has ended or takes no connection is not asked. */
static void check_denied(sup_redis *r)
{
    struct timeval limit = { 5, 0 };
    if (!sup_acl_on() || r->owner != getpid() || !r->proc || !sup_proc_alive(r->proc))
        return;
    char *path = sup_format("/proc/%d/stat", (int) sup_proc_pid(r->proc));
    char *stat = sup_read_file(path);
    const char *state;
    bool runs = (state = strrchr(stat, ')')) && strncmp(state, ") T", 3) != 0;
    free(path);
    free(stat);
    redisContext *c;
    if (!runs || !(c = try_connect(r)))
        return;
    redisSetTimeout(c, limit);
    char *denied = sup__acl_denied(c);
    if (denied) {
        fprintf(stderr, "Redis has denied to users of contrib/redis-cli/acl:%s\n", denied);
        fflush(NULL);
        _exit(1); /* may be at exit, where sup_fail cannot be called */
    }
}

/* Gives a node of a Cluster all slots, unless it has them from before a restart. */
static void take_slots(sup_redis *r)
{
    if (sup_redis_stat(r, "cluster", "cluster_enabled", ":") != 1)
        sup_fail("this redis-server has no Cluster");
    redisReply *reply = sup_redis_reply(r, "CLUSTER ADDSLOTSRANGE 0 16383");
    if (reply->type == REDIS_REPLY_ERROR && !strstr(reply->str, "is already busy"))
        sup_fail("CLUSTER ADDSLOTSRANGE: %s", reply->str);
    freeReplyObject(reply);
    for (bool ok = false; !ok;) {
        char *info = sup_redis_str(r, "CLUSTER INFO");
        ok = info && strstr(info, "cluster_state:ok");
        free(info);
        if (!ok)
            sup_sleep_ms(2);
    }
}

static void check_all_denied(void)
{
    for (sup_redis *r = servers; r; r = r->next)
        check_denied(r);
}

static void launch(sup_redis *r)
{
    const char *argv[] = { sup__server_program(), r->conf, NULL };
    int64_t end_ms = sup_now_ms() + sup_limit_ms();
    if (!argv[0])
        sup_fail("no redis-server or valkey-server on the PATH");
    disconnect(r);
    sup_proc_free(r->proc);
    unlink(r->socket);
    r->proc = sup_spawn(argv);
    while (!answers(r)) {
        if (!sup_proc_alive(r->proc) || sup_now_ms() > end_ms)
            sup_fail("%s does not come up:\n%s", argv[0], sup_proc_output(r->proc));
        sup_sleep_ms(2);
    }
    if (r->single_slot)
        take_slots(r);
}

static sup_redis *start(const char *const config[], bool single_slot)
{
    static unsigned n;
    static bool is_checked;
    sup_redis *r = sup__alloc(sizeof *r);
    r->dir = sup_format("%s/redis%u", sup_dir(), ++n);
    if (mkdir(r->dir, 0700) < 0)
        sup_fail("%s: %s", r->dir, strerror(errno));
    r->socket = sup_format("%s/redis%u.sock", sup_dir(), n);
    r->url = sup_format("unix:%s%s", r->socket, sup__acl_query());
    r->url_default = sup_format("unix:%s", r->socket);
    r->owner = getpid();
    r->single_slot = single_slot;
    r->conf = sup_format("%s/redis.conf", r->dir);
    FILE *f = fopen(r->conf, "w");
    if (!f)
        sup_fail("%s: %s", r->conf, strerror(errno));
    fprintf(f,
            "bind 127.0.0.1\nport 0\nunixsocket %s\nunixsocketperm 700\ndir %s\nsave \"\"\n"
            "appendonly no\ndaemonize no\n",
            r->socket, r->dir);
    if (single_slot) /* the bus listens, though there is no other node */
        fprintf(f, "cluster-enabled yes\ncluster-port %d\n", sup_free_port());
    for (size_t i = 0; config && config[i]; i++) {
        fprintf(f, "%s\n", config[i]);
        if (strncmp(config[i], "requirepass ", 12) == 0) {
            free(r->password);
            r->password = sup_format("%s", config[i] + 12);
        }
    }
    sup__acl_write(f);
    if (fclose(f) != 0)
        sup_fail("%s: %s", r->conf, strerror(errno));
    launch(r);
    r->next = servers;
    servers = r;
    /* registered after sup_dir's handler, which ends the servers, so this one is called earlier */
    if (!is_checked)
        atexit(check_all_denied);
    is_checked = true;
    return r;
}

sup_redis *sup__redis_start(const char *const config[])
{
    return start(config, false);
}

sup_redis *sup_redis_start(const char *const config[])
{
    const char *kind = getenv("ASQ_TEST_REDIS");
    bool sentinel = kind && strcmp(kind, "sentinel") == 0;
    if (kind && !sentinel && strcmp(kind, "cluster-node") != 0 && strcmp(kind, "cluster") != 0)
        sup_fail("ASQ_TEST_REDIS=%s: only cluster-node, cluster and sentinel are known", kind);
    return start(config, kind && !sentinel);
}

sup_redis *sup_redis_start_single_slot(const char *const config[])
{
    return start(config, true);
}

bool sup_redis_is_cluster(const sup_redis *r)
{
    return r->single_slot;
}

const char *sup_redis_url(const sup_redis *r)
{
    return r->url;
}

const char *sup_redis_url_default(const sup_redis *r)
{
    return r->url_default;
}

const char *sup_redis_socket(const sup_redis *r)
{
    return r->socket;
}

const char *sup_redis_dir(const sup_redis *r)
{
    return r->dir;
}

static char *append_only_files(const sup_redis *r)
{
    char *files = sup_format("%s/appendonlydir", sup_redis_dir(r));
    if (access(files, F_OK) == 0)
        return files;
    free(files); /* for Redis before 7.0 */
    return sup_format("%s/appendonly.aof", sup_redis_dir(r));
}

static void copy_files(const char *from, const char *to)
{
    const char *gone[] = { "rm", "-rf", to, NULL }, *argv[] = { "cp", "-r", from, to, NULL };
    if (sup_run(gone, NULL, NULL) != 0 || sup_run(argv, NULL, NULL) != 0)
        sup_fail("%s cannot be copied to %s", from, to);
}

char *sup_redis_keep(const sup_redis *r)
{
    char *files = append_only_files(r), *kept = sup_path("kept");
    copy_files(files, kept);
    free(files);
    return kept;
}

void sup_redis_go_back(const sup_redis *r, const char *kept)
{
    char *files = append_only_files(r);
    copy_files(kept, files);
    free(files);
}

sup_proc *sup_redis_proc(sup_redis *r)
{
    return r->proc;
}

void sup_redis_kill(sup_redis *r)
{
    check_denied(r);
    disconnect(r);
    sup_proc_kill(r->proc);
}

void sup_redis_stop(sup_redis *r)
{
    check_denied(r);
    disconnect(r);
    sup_proc_stop(r->proc);
}

void sup_redis_restart(sup_redis *r)
{
    sup_redis_kill(r);
    launch(r);
}

void sup_redis_free(sup_redis *r)
{
    if (!r)
        return;
    check_denied(r);
    sup_redis **at;
    for (at = &servers; *at && *at != r; at = &(*at)->next)
        ;
    if (*at)
        *at = r->next;
    disconnect(r);
    sup_proc_free(r->proc);
    unlink(r->socket);
    free(r->dir);
    free(r->conf);
    free(r->socket);
    free(r->url);
    free(r->url_default);
    free(r->password);
    free(r);
}

/* ---- Commands ---- */

/* Tries once more if the connection was lost. A server that is down fails the test. */
static redisReply *command(sup_redis *r, const char *fmt, va_list ap)
{
    redisReply *reply = NULL;
    for (int tries = 0; !reply && tries < 2; tries++) {
        redisContext *c = try_connect(r);
        if (!c)
            break;
        va_list again;
        va_copy(again, ap);
        reply = redisvCommand(c, fmt, again);
        va_end(again);
        if (!reply)
            disconnect(r);
    }
    if (!reply)
        sup_fail("redis (%s) does not answer to: %s", r->socket, fmt);
    return reply;
}

redisReply *sup_redis_reply(sup_redis *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    redisReply *reply = command(r, fmt, ap);
    va_end(ap);
    return reply;
}

static void refuse_error(const redisReply *reply, const char *fmt)
{
    if (reply->type == REDIS_REPLY_ERROR)
        sup_fail("%s: %s", fmt, reply->str);
}

void sup_redis_do(sup_redis *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    redisReply *reply = command(r, fmt, ap);
    va_end(ap);
    refuse_error(reply, fmt);
    freeReplyObject(reply);
}

int64_t sup_redis_int(sup_redis *r, const char *fmt, ...)
{
    int64_t n = 0;
    va_list ap;
    va_start(ap, fmt);
    redisReply *reply = command(r, fmt, ap);
    va_end(ap);
    refuse_error(reply, fmt);
    if (reply->type == REDIS_REPLY_INTEGER)
        n = reply->integer;
    else if (reply->type == REDIS_REPLY_STRING)
        n = strtoll(reply->str, NULL, 10);
    else if (reply->type != REDIS_REPLY_NIL)
        sup_fail("%s: an integer was expected", fmt);
    freeReplyObject(reply);
    return n;
}

char *sup_redis_str(sup_redis *r, const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    redisReply *reply = command(r, fmt, ap);
    va_end(ap);
    refuse_error(reply, fmt);
    if (reply->type == REDIS_REPLY_INTEGER)
        s = sup_format("%lld", reply->integer);
    else if (reply->type != REDIS_REPLY_NIL && reply->str)
        s = sup_format("%s", reply->str);
    freeReplyObject(reply);
    return s;
}

int64_t sup_redis_stat(sup_redis *r, const char *section, const char *line, const char *label)
{
    char *info = sup_redis_str(r, "INFO %s", section), *begin = sup_format("\n%s", line);
    const char *at = info ? strstr(info, begin) : NULL, *end = at ? strchr(at + 1, '\n') : NULL;
    const char *number = at ? strstr(at, label) : NULL;
    int64_t n = 0;
    if (number && (!end || number < end))
        n = strtoll(number + strlen(label), NULL, 10);
    free(begin);
    free(info);
    return n;
}

static void show_text(const char *text, size_t n)
{
    enum { MOST = 300 };
    fputc(' ', stderr);
    for (size_t i = 0; i < n && i < MOST; i++)
        fputc(text[i] > ' ' && text[i] < 127 ? text[i] : '.', stderr);
    if (n > MOST)
        fprintf(stderr, "... (%zu bytes)", n);
}

static void show_reply(const redisReply *reply)
{
    enum { MOST = 40 };
    if (reply->type == REDIS_REPLY_INTEGER)
        fprintf(stderr, " %lld", reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < reply->elements && i < MOST; i++)
            show_reply(reply->element[i]);
    else if (reply->str)
        show_text(reply->str, (size_t) reply->len);
}

static redisReply *read_key(sup_redis *r, const char *type, const char *key)
{
    if (strcmp(type, "string") == 0)
        return sup_redis_reply(r, "GET %s", key);
    if (strcmp(type, "hash") == 0)
        return sup_redis_reply(r, "HGETALL %s", key);
    if (strcmp(type, "set") == 0)
        return sup_redis_reply(r, "SMEMBERS %s", key);
    if (strcmp(type, "zset") == 0)
        return sup_redis_reply(r, "ZRANGE %s 0 40 WITHSCORES", key);
    if (strcmp(type, "stream") == 0)
        return sup_redis_reply(r, "XRANGE %s - + COUNT 40", key);
    return sup_redis_reply(r, "TYPE %s", key);
}

void sup_redis_show(sup_redis *r)
{
    redisReply *keys = sup_redis_reply(r, "KEYS asq:*");
    for (size_t i = 0; keys->type == REDIS_REPLY_ARRAY && i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        char *type = sup_redis_str(r, "TYPE %s", key);
        redisReply *reply = read_key(r, type, key);
        fprintf(stderr, "---- %s:", key);
        show_reply(reply);
        fputc('\n', stderr);
        freeReplyObject(reply);
        free(type);
    }
    freeReplyObject(keys);
}

int sup_redis_workers(sup_redis *r, const char *ns)
{
    redisReply *ids = sup_redis_reply(r, "SMEMBERS asq:{%s}:workers", ns);
    int n = 0;
    refuse_error(ids, "SMEMBERS workers");
    for (size_t i = 0; i < ids->elements; i++)
        n += sup_redis_int(r, "EXISTS asq:{%s}:worker:%s", ns, ids->element[i]->str) == 1;
    freeReplyObject(ids);
    return n;
}

pid_t sup_redis_worker_pid(sup_redis *r, const char *process)
{
    pid_t pid = 0;
    sup_wait_until((pid = (pid_t) sup_redis_int(r, "HGET asq:{default}:worker:%s pid", process)) >
                   1);
    return pid;
}

int64_t sup_redis_worker_peak_kb(sup_redis *r, const char *process)
{
    char *pid = sup_redis_str(r, "HGET asq:{default}:worker:%s pid", process);
    char *path = sup_format("/proc/%s/status", pid ? pid : "0");
    char *text = sup_read_file(path);
    const char *line = strstr(text, "VmHWM:");
    int64_t kb = line ? strtoll(line + 6, NULL, 10) : 0;
    free(pid);
    free(path);
    free(text);
    return kb;
}
