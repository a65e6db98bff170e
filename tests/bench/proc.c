/*
 * proc.c: the bench's processes: Redis servers on Unix sockets in a temporary directory, workers,
 * and their use of processor and memory. Each started process is noted, and ended by its id when
 * the bench ends, however that happens. The death of its parent ends it, too (PR_SET_PDEATHSIG).
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PROCESSES = 256, MAX_DEPLOYMENTS = 64 };

static pid_t processes[MAX_PROCESSES];
static int nprocesses;
static char dir[64];
static pid_t owner;
static struct deployment *floor_deployment, *library_deployment;

double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void pause_ms(int ms)
{
    struct timespec ts = { ms / 1000, (long) (ms % 1000) * 1000000 };
    nanosleep(&ts, NULL);
}

void die(const char *fmt, ...)
{
    va_list ap;
    fputs("bench: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (getpid() == owner)
        exit(1);
    _exit(1);
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    char sub[400];
    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(sub, sizeof sub, "%.100s/%s", path, e->d_name);
        if (unlink(sub) < 0)
            remove_tree(sub);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

void end_all(void)
{
    if (getpid() != owner)
        return;
    for (int i = nprocesses - 1; i >= 0; i--)
        kill(processes[i], SIGKILL);
    while (nprocesses)
        waitpid(processes[--nprocesses], NULL, 0);
    if (*dir)
        remove_tree(dir);
    *dir = '\0';
}

const char *run_dir(void)
{
    if (!*dir) {
        const char *tmp = getenv("TMPDIR");
        owner = getpid();
        snprintf(dir, sizeof dir, "%.30s/asq-bench-XXXXXX", tmp && strlen(tmp) < 30 ? tmp : "/tmp");
        if (!mkdtemp(dir))
            die("mkdtemp: %s", strerror(errno));
        atexit(end_all);
    }
    return dir;
}

static pid_t fork_noted(void)
{
    pid_t parent = getpid(), pid;
    if (nprocesses == MAX_PROCESSES)
        die("too many processes");
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        return 0;
    }
    processes[nprocesses++] = pid;
    return pid;
}

pid_t spawn(const char *log, char *const argv[])
{
    char path[160];
    pid_t pid;
    snprintf(path, sizeof path, "%s/%s.log", run_dir(), log);
    pid = fork_noted();
    if (pid == 0) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(null, 0);
        dup2(fd, 1);
        dup2(fd, 2);
        execvp(argv[0], argv);
        dprintf(2, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    return pid;
}

pid_t spawn_fn(int (*fn)(const void *arg), const void *arg)
{
    pid_t pid = fork_noted();
    if (pid == 0)
        _exit(fn(arg));
    return pid;
}

void end_process(pid_t pid)
{
    for (int i = 0; i < nprocesses; i++) {
        if (processes[i] != pid)
            continue;
        kill(pid, SIGTERM);
        for (int k = 0; k < 200 && waitpid(pid, NULL, WNOHANG) == 0; k++)
            pause_ms(10);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        processes[i] = processes[--nprocesses];
        return;
    }
}

bool wait_for_socket(const char *path, double limit_s)
{
    for (double end = now_s() + limit_s; now_s() < end; pause_ms(10)) {
        redisContext *c = redisConnectUnix(path);
        bool up = c && !c->err;
        if (c)
            redisFree(c);
        if (up)
            return true;
    }
    return false;
}

int free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &at, n) < 0 ||
        getsockname(fd, (struct sockaddr *) &at, &n) < 0)
        die("no port: %s", strerror(errno));
    close(fd);
    return ntohs(at.sin_port);
}

/* ---- deployments ---- */

redisReply *ask_server(const struct server *s, const char *command)
{
    redisContext *c = redisConnectUnix(s->socket);
    redisReply *reply = c && !c->err ? redisCommand(c, command) : NULL;
    if (c)
        redisFree(c);
    return reply;
}

static redisReply *ask(const struct deployment *d, const char *command)
{
    return ask_server(&d->servers[0], command);
}

/* Finds the worker's process and its descendants. */
static void find_processes(struct deployment *d)
{
    d->npids = 0;
    d->pids[d->npids++] = d->worker;
    for (int i = 0; i < d->npids; i++) {
        DIR *proc = opendir("/proc");
        struct dirent *e;
        while (proc && (e = readdir(proc)) && d->npids < MAX_PIDS) {
            char path[300], line[512];
            int pid = atoi(e->d_name), ppid = 0;
            if (pid <= 0)
                continue;
            snprintf(path, sizeof path, "/proc/%d/stat", pid);
            FILE *f = fopen(path, "r");
            if (!f)
                continue;
            char *end = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
            fclose(f);
            if (end && sscanf(end + 1, " %*c %d", &ppid) == 1 && ppid == d->pids[i])
                d->pids[d->npids++] = pid;
        }
        if (proc)
            closedir(proc);
    }
}

static int64_t sum_at(const struct deployment *d, const struct server *s, const char *command)
{
    redisContext *c = redisConnectUnix(s->socket);
    int64_t sum = 0;
    for (uint32_t p = 0; p < d->partitions && c && !c->err; p++) {
        redisReply *reply = redisCommand(c, command, p);
        if (reply && reply->type == REDIS_REPLY_INTEGER)
            sum += reply->integer;
        if (reply)
            freeReplyObject(reply);
    }
    if (c)
        redisFree(c);
    return sum;
}

/* Returns what a command gives for all partitions together; it has a place for the number of one.
 * Each master is asked, and answers MOVED for what it has not. */
static int64_t sum_of(const struct deployment *d, const char *command)
{
    int64_t sum = 0;
    for (int i = 0; i < d->masters; i++)
        sum += sum_at(d, &d->servers[i], command);
    return sum;
}

int64_t attempts_of(const struct deployment *d)
{
    return sum_of(d, "HLEN asq:{default.%u}:attempts");
}

int64_t due_or_running(const struct deployment *d)
{
    return sum_of(d, "ZCARD asq:{default.%u}:timers") + sum_of(d, "XLEN asq:{default.%u}:jobs");
}

int64_t commands_of(const struct deployment *d, const char *command)
{
    char name[64];
    snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    redisReply *reply = ask(d, "INFO commandstats");
    const char *at = reply && reply->type == REDIS_REPLY_STRING ? strstr(reply->str, name) : NULL;
    int64_t n = at ? strtoll(at + strlen(name), NULL, 10) : 0;
    if (reply)
        freeReplyObject(reply);
    return n;
}

/* Returns how many worker processes there are. */
static int64_t listed_of(const struct deployment *d)
{
    struct deployment one = *d;
    one.partitions = 1;
    return sum_of(&one, "SCARD asq:{default}:workers");
}

/* Returns whether all partitions have an owner. */
static bool is_owned(const struct deployment *d)
{
    return sum_of(d, "HEXISTS asq:{default.%u}:lease token") == (int64_t) d->partitions;
}

static void start_worker(struct deployment *d, const struct deployment_options *o)
{
    char partitions[16], count[16], url[128];
    snprintf(partitions, sizeof partitions, "%u", d->partitions);
    snprintf(count, sizeof count, "%d", o->processes ? o->processes : 1);
    snprintf(url, sizeof url, "%s", d->url);
    char worker[] = "--redis-url", dirs[] = "--agent-dir", parts[] = "--partitions",
         procs[] = "--processes", level[] = "--log-level", warning[] = "warning",
         no_stats[] = "--no-stats", metrics[] = "--metrics", address[32],
         wait[] = "--wait-replicas", replicas[16];
    char *as_worker = strdup(settings.as_worker), *agent_dir = strdup(settings.agent_dir);
    char *argv[18] = { as_worker, worker, url,       parts, partitions, procs,
                       count,     dirs,   agent_dir, level, warning };
    int n = 11;
    snprintf(address, sizeof address, "%s", o->metrics ? o->metrics : "");
    if (o->no_stats)
        argv[n++] = no_stats;
    if (o->metrics) {
        argv[n++] = metrics;
        argv[n++] = address;
    }
    d->wait_replicas = o->wait_replicas;
    snprintf(replicas, sizeof replicas, "%u", o->wait_replicas);
    if (o->wait_replicas) {
        argv[n++] = wait;
        argv[n++] = replicas;
    }
    d->worker = spawn(d->name, argv);
    free(as_worker);
    free(agent_dir);
    for (double end = now_s() + 30; !is_owned(d); pause_ms(20))
        if (now_s() > end || waitpid(d->worker, NULL, WNOHANG) != 0) {
            char path[200], line[200];
            snprintf(path, sizeof path, "%s/%s.log", run_dir(), d->name);
            FILE *f = fopen(path, "r");
            while (f && fgets(line, sizeof line, f))
                fputs(line, stderr);
            die("as-worker did not take all partitions (%s)", settings.as_worker);
        }
    find_processes(d);
}

struct deployment *deployment_start(const struct deployment_options *o)
{
    static int number;
    struct deployment *d = calloc(1, sizeof *d);
    if (!d)
        die("out of memory");
    number++;
    d->partitions = o->partitions ? o->partitions : 128;
    snprintf(d->name, sizeof d->name, "%.16s-%d", o->name, number);
    snprintf(d->dir, sizeof d->dir, "%.60s", run_dir());
    servers_start(d, o);
    if (o->floor) {
        floor_prepare(d, o);
        d->worker = spawn_fn(floor_worker, d);
        find_processes(d);
    } else if (!o->alone) {
        start_worker(d, o);
    }
    return d;
}

void deployment_restart_worker(struct deployment *d, const struct deployment_options *o)
{
    end_process(d->worker);
    start_worker(d, o);
}

double deployment_replace_worker(const struct deployment *d)
{
    struct deployment second = *d;
    struct deployment_options o = { .name = "second" };
    snprintf(second.name, sizeof second.name, "%.20s-second", d->name);
    start_worker(&second, &o);
    double end = now_s() + 60;
    while (listed_of(d) < 2 && now_s() < end)
        pause_ms(20);
    double at = now_s();
    kill(d->worker, SIGTERM);
    while (rss_bytes(d->worker) && now_s() < at + 600)
        pause_ms(5);
    return now_s() - at;
}

void deployment_stop(struct deployment *d)
{
    if (!d)
        return;
    end_process(d->worker);
    for (int i = 0; i < d->nservers; i++) {
        end_process(d->servers[i].pid);
        unlink(d->servers[i].socket);
        remove_tree(d->servers[i].dir);
    }
    if (d == floor_deployment)
        floor_deployment = NULL;
    if (d == library_deployment)
        library_deployment = NULL;
    free(d);
}

struct deployment *the_floor(void)
{
    struct deployment_options o = { .name = "floor", .floor = true, .partitions = 1 };
    if (!floor_deployment)
        floor_deployment = deployment_start(&o);
    return floor_deployment;
}

struct deployment *the_library(void)
{
    struct deployment_options o = { .name = "library" };
    if (!library_deployment)
        library_deployment = deployment_start(&o);
    return library_deployment;
}

static void pin_process(pid_t pid, const cpu_set_t *set)
{
    char path[64];
    struct dirent *e;
    snprintf(path, sizeof path, "/proc/%d/task", (int) pid);
    DIR *tasks = opendir(path);
    while (tasks && (e = readdir(tasks)))
        if (atoi(e->d_name) > 0)
            sched_setaffinity(atoi(e->d_name), sizeof *set, set);
    if (tasks)
        closedir(tasks);
}

void deployment_pin(const struct deployment *d, int cpu)
{
    cpu_set_t set;
    long n = sysconf(_SC_NPROCESSORS_CONF);
    CPU_ZERO(&set);
    for (int i = 0; i < n && i < CPU_SETSIZE; i++)
        if (cpu < 0 || i == cpu)
            CPU_SET((size_t) i, &set);
    if (d) {
        for (int i = 0; i < d->nservers; i++)
            pin_process(d->servers[i].pid, &set);
        for (int i = 0; i < d->npids; i++)
            pin_process(d->pids[i], &set);
    }
    pin_process(getpid(), &set);
}

/* ---- usage of processor and memory ---- */

double cpu_s(pid_t pid)
{
    clockid_t clock;
    struct timespec ts;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
        return 0;
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

double worker_cpu_s(const struct deployment *d)
{
    double sum = 0;
    for (int i = 0; i < d->npids; i++)
        sum += cpu_s(d->pids[i]);
    return sum;
}

int64_t rss_bytes(pid_t pid)
{
    char path[64];
    long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int) pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%*d %lld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

int64_t worker_rss(const struct deployment *d)
{
    int64_t sum = 0;
    for (int i = 0; i < d->npids; i++)
        sum += rss_bytes(d->pids[i]);
    return sum;
}

int64_t redis_memory(const struct deployment *d)
{
    redisReply *reply = ask(d, "INFO memory");
    const char *at =
        reply && reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "used_memory:") : NULL;
    int64_t n = at ? strtoll(at + 12, NULL, 10) : 0;
    if (reply)
        freeReplyObject(reply);
    return n;
}
