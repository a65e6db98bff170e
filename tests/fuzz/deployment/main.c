/*
 * main.c: runs a Redis, two as-workers with two processes each, honest callers, and hostile bytes
 * until the time is over. README.md lists the failures.
 */
#include "honest.h"
#include "hostile.h"

#include "support/support.h"
#include "value/hash.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CALLERS = 3,
    WORKERS = 2,
    PARTITIONS = 16,
    PAUSE_MS = 2,
    MAX_WAITING = 2500,
    LOOK_EVERY = 4
};

struct plan {
    int64_t seconds, max_ms, often;
    uint64_t seed;
    unsigned kinds;
};

static void usage(FILE *f)
{
    fprintf(
        f,
        "usage: run [--seconds S] [--seed N] [--max-ms MS] [--often N] [--kind K[,K]]\nkinds: all");
    for (int i = 0; i < HOSTILE_KINDS_N; i++)
        fprintf(f, " %s", hostile_names[i]);
    fprintf(f, "\n");
}

static bool parse_kinds(struct plan *plan, char *names)
{
    plan->kinds = 0;
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        unsigned before = plan->kinds;
        for (int i = 0; i < HOSTILE_KINDS_N; i++)
            if (strcmp(name, "all") == 0 || strcmp(name, hostile_names[i]) == 0)
                plan->kinds |= 1u << i;
        if (plan->kinds == before)
            return false;
    }
    return plan->kinds != 0;
}

static bool parse(struct plan *plan, int argc, char **argv)
{
    static const struct option options[] = { { "seconds", 1, NULL, 's' }, { "seed", 1, NULL, 'r' },
                                             { "max-ms", 1, NULL, 'm' },  { "kind", 1, NULL, 'k' },
                                             { "often", 1, NULL, 'o' },   { "help", 0, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    int c;

    *plan = (struct plan){
        .seconds = 60, .max_ms = 1000, .often = 1, .kinds = (1u << HOSTILE_KINDS_N) - 1
    };
    plan->seed = (uint64_t) time(NULL);
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        switch (c) {
        case 's': plan->seconds = strtoll(optarg, &end, 10); break;
        case 'r': plan->seed = strtoull(optarg, &end, 10); break;
        case 'm': plan->max_ms = strtoll(optarg, &end, 10); break;
        case 'o': plan->often = strtoll(optarg, &end, 10); break;
        case 'k':
            if (!parse_kinds(plan, optarg))
                return false;
            break;
        case 'h': usage(stdout); exit(0);
        default: return false;
        }
        if (end && (*end || end == optarg))
            return false;
    }
    return optind == argc && plan->seconds > 0 && plan->max_ms > 0 && plan->often > 0 &&
           plan->often <= 1000000;
}

static sup_proc *start_worker(const char *url, int i)
{
    char id[16];
    char *agents = getenv("ASQ_FUZZ_AGENT_DIR");

    if (!agents)
        sup_fail("ASQ_FUZZ_AGENT_DIR is not set: run it by make fuzz-deployment");
    snprintf(id, sizeof id, "w%d", i);
    return sup_worker_start(url, "--agent-dir", agents, "--id", id, "--partitions", "16",
                            "--processes", "2", "--lease-time", "500ms", "--max-waiting", "3000",
                            "--max-agent-memory", "16M", NULL);
}

/* Returns the partitions in which honest agents live, a bit for each. */
static uint32_t honest_partitions(void)
{
    uint32_t bits = 0;
    char id[64];

    for (int i = 0; i < CALLERS; i++)
        for (int k = 0; k < HONEST_AGENTS; k++)
            bits |= 1u << asq__partition_of(id, honest_agent_id(i, k, id), PARTITIONS);
    return bits;
}

/* Returns the number of waiting entries. The attacker slows down by it, so that honest calls are
 * not behind millions of others. */
static int64_t most_waiting(sup_redis *redis)
{
    int64_t most = 0;

    for (int p = 0; p < PARTITIONS; p++) {
        redisReply *r = sup_redis_reply(redis, "XLEN asq:{default.%d}:jobs", p);
        if (r->type == REDIS_REPLY_INTEGER && r->integer > most)
            most = r->integer;
        freeReplyObject(r);
    }
    return most;
}

static void tell_log(sup_proc *worker, const char *what)
{
    char *log = sup_proc_output(worker), *at = log;
    size_t n = strlen(log);

    if (strstr(log, "ERROR: AddressSanitizer"))
        at = strstr(log, "ERROR: AddressSanitizer");
    else if (n > 6000)
        at = log + n - 6000;
    printf("---- %s\n%.12000s\n", what, at);
    free(log);
}

int main(int argc, char **argv)
{
    static const char *const config[] = { "maxmemory 1gb", "maxmemory-policy noeviction", NULL };
    struct plan plan;
    struct hostile attacker;
    sup_proc *workers[WORKERS];
    pid_t callers[CALLERS];
    unsigned failures = 0;

    if (!parse(&plan, argc, argv)) {
        usage(stderr);
        return 2;
    }
    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    struct honest *shared = mmap(NULL, CALLERS * sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        sup_fail("mmap: %s", strerror(errno));
    sup_redis *redis = sup_redis_start(config);
    printf("seed %llu, %lld s\n", (unsigned long long) plan.seed, (long long) plan.seconds);
    fflush(stdout);
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start_worker(sup_redis_url(redis), i);
    /* Workers start first, because a caller without them would make a namespace of another size. */
    sup_wait_until(sup_redis_workers(redis, "default") >= WORKERS);
    if (sup_redis_int(redis, "HGET asq:{default}:meta partitions") != PARTITIONS)
        sup_fail("the namespace has another number of partitions");
    for (int i = 0; i < CALLERS; i++)
        callers[i] = honest_start(sup_redis_url(redis), i, plan.max_ms, &shared[i]);
    for (int i = 0; i < CALLERS; i++) /* every agent is there before the attack */
        sup_wait_until(atomic_load(&shared[i].calls) > 0 || atomic_load(&shared[i].wrong));
    if (!hostile_open(&attacker, sup_redis_socket(redis), plan.seed, plan.kinds, PARTITIONS,
                      honest_partitions(), (uint32_t) plan.often))
        return 1;

    int64_t end_ms = sup_now_ms() + plan.seconds * 1000, waiting = 0;
    unsigned steps = 0;
    while (sup_now_ms() < end_ms && failures == 0) {
        if (steps++ % LOOK_EVERY == 0 || waiting >= MAX_WAITING)
            waiting = most_waiting(redis);
        if (waiting < MAX_WAITING && !hostile_step(&attacker))
            failures++;
        for (int i = 0; i < WORKERS; i++)
            failures += !sup_proc_alive(workers[i]);
        for (int i = 0; i < CALLERS; i++)
            failures += atomic_load(&shared[i].wrong) || kill(callers[i], 0) < 0;
        sup_sleep_ms(PAUSE_MS);
    }

    unsigned long long calls = 0, slow = 0, worst = 0;
    for (int i = 0; i < CALLERS; i++)
        atomic_store(&shared[i].stop, true);
    for (int i = 0; i < CALLERS; i++) {
        int status = 0;
        waitpid(callers[i], &status, 0);
        calls += atomic_load(&shared[i].calls);
        slow += atomic_load(&shared[i].slow);
        if (atomic_load(&shared[i].worst_ms) > worst)
            worst = atomic_load(&shared[i].worst_ms);
        if (status != 0 || atomic_load(&shared[i].wrong)) {
            printf("FAILED caller %d: %s (status %d)\n", i,
                   *shared[i].what ? shared[i].what : "it ended", status);
            failures++;
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        char *log = sup_proc_output(workers[i]);
        bool died =
            strstr(log, "ended by") || strstr(log, "Sanitizer") || strstr(log, "runtime error");
        free(log);
        if (died || !sup_proc_alive(workers[i])) {
            tell_log(workers[i], "a worker process died");
            failures++;
        } else if (sup_proc_stop(workers[i]) != 0) {
            tell_log(workers[i], "a worker did not end in order");
            failures++;
        }
    }
    if (slow > 0) {
        printf("FAILED: %llu of %llu calls took longer than %lld ms\n", slow, calls,
               (long long) plan.max_ms);
        failures++;
    }
    printf("%llu hostile commands, %llu honest calls, the slowest %llu ms, %u failures\n",
           (unsigned long long) attacker.sent, calls, worst, failures);
    for (int i = 0; i < HOSTILE_KINDS_N; i++)
        printf("%s%s %llu", i ? ", " : "  of them ", hostile_names[i],
               (unsigned long long) attacker.of_kind[i]);
    printf("\n");
    hostile_close(&attacker);
    for (int i = 0; i < WORKERS; i++)
        sup_proc_free(workers[i]);
    sup_redis_free(redis);
    return failures ? 1 : 0;
}
