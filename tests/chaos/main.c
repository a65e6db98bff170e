/*
 * main.c: the chaos run: rounds of load and faults until the time is over, and the figures. Each
 * round depends on the seed and its number alone, so that one can be run again by itself (--round).
 */
#include "chaos.h"
#include "faults.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void usage(FILE *f)
{
    fprintf(f, "usage: run [--seconds S] [--seed N] [--workload W[,W]] [--fault F[,F]] [--rate N]\n"
               "           [--round N] [--round-seconds S] [--until-anomaly] [--keep] [--verbose]\n"
               "           [--sentinels|--cluster [--wait-replicas N]]\n"
               "workloads: all");
    for (int w = 0; w < WORKLOADS; w++)
        fprintf(f, " %s", workload_names[w]);
    fprintf(f, "\nfaults: all none");
    fflush(f);
    if (f == stdout)
        faults_print_names();
    fprintf(f, "\n");
}

static bool parse_workloads(struct plan *plan, const char *names)
{
    memset(plan->workloads, 0, sizeof plan->workloads);
    while (*names) {
        size_t n = strcspn(names, ",");
        bool found = false;
        for (int w = 0; w < WORKLOADS; w++)
            if ((n == 3 && strncmp(names, "all", 3) == 0) ||
                (strlen(workload_names[w]) == n && strncmp(names, workload_names[w], n) == 0))
                found = plan->workloads[w] = true;
        if (!found)
            return false;
        names += n + (names[n] == ',');
    }
    return true;
}

/* Waits for the end of all calls, that is until callers have ended and streams are empty. Prints
 * what is left if that takes too long. */
static bool is_quiet(struct deployment *d, int64_t limit_ms)
{
    int64_t end_ms = sup_now_ms() + limit_ms, left = 0;

    do {
        deployment_tick(d);
        left = 0;
        for (int p = 0; p < PARTITIONS; p++) {
            /* A timer that fires goes from the one to the other. */
            left += deployment_int(d, "ZCARD asq:{default.%d}:timers", p) != 0;
            left += deployment_int(d, "XLEN asq:{default.%d}:jobs", p) != 0;
        }
        if (left == 0 && deployment_callers_ended(d))
            return true;
        sup_sleep_ms(20);
    } while (sup_now_ms() < end_ms);
    for (int i = 0; i < d->n_callers; i++)
        if (d->callers[i].pid > 0)
            anomaly(d, "not quiet: a caller (%s) still waits",
                    workload_names[d->callers[i].workload]);
    for (int p = 0; p < PARTITIONS; p++) {
        int64_t n = deployment_int(d, "XLEN asq:{default.%d}:jobs", p);
        char *owner = deployment_str(d, "HGET asq:{default.%d}:lease owner", p);
        int64_t timers = deployment_int(d, "ZCARD asq:{default.%d}:timers", p);
        if (timers > 0)
            anomaly(d, "not quiet: %lld timers in partition %d, owner %s", (long long) timers, p,
                    owner);
        if (n != 0)
            anomaly(d, "not quiet: %lld batches in partition %d, owner %s", (long long) n, p,
                    owner);
        free(owner);
    }
    return false;
}

/* Checks that what was told and lost was reported. It can be only by who has acknowledged it, if
 * that lives on, and has the partition still. */
static void check_reports(struct deployment *d, const struct outcome *o)
{
    bool all_live = !faults_include(d->plan->faults, "kill-,pause-,join,leave");

    if (all_live && d->reported_claims == 0 && o->lost > d->reported_commits)
        anomaly(d, "%u effects that were told are lost, and workers report %llu commits as gone",
                o->lost, (unsigned long long) d->reported_commits);
    if (all_live && o->promises_lost > d->reported_outcomes)
        anomaly(d, "%u promises have lost an outcome that was told, and workers report %llu",
                o->promises_lost, (unsigned long long) d->reported_outcomes);
}

static unsigned run_round(const struct plan *of_run, int round, int64_t seconds,
                          struct outcome *sum)
{
    struct plan plan = *of_run;
    struct deployment d;
    struct outcome o = { 0 };
    int64_t start_ms = sup_now_ms(), end_ms, healed_ms;
    unsigned before = faults_total();
    bool quiet;

    plan.faults = faults_of_round(&plan, round);
    deployment_start(&d, &plan, rng_mix(plan.seed, (uint64_t) round), round);
    end_ms = sup_now_ms() + seconds * 1000;
    faults_begin(&d);
    while (sup_now_ms() < end_ms) {
        faults_tick(&d);
        deployment_tick(&d);
        sup_sleep_ms(5);
    }
    faults_heal(&d);
    deployment_stop_callers(&d);
    healed_ms = sup_now_ms();
    quiet = is_quiet(&d, QUIET_LIMIT_MS);
    healed_ms = sup_now_ms() - healed_ms;
    if (quiet)
        check_round(&d, &o);
    if (quiet)
        deployment_stop_workers(&d);
    if (quiet && d.lossy)
        check_reports(&d, &o);
    printf(
        "round %d: %.1f s, %u calls, %u ok, %u failed, %u unknown, %u runs thrown away, %u faults, "
        "quiet after %.1f s, ",
        round, (double) (sup_now_ms() - start_ms) / 1000, o.calls, o.ok, o.failed, o.unknown,
        o.reruns, faults_total() - before, (double) healed_ms / 1000);
    if (d.lossy)
        printf("%u effects told and lost, %u reads taken back, %llu commits reported, ", o.lost,
               o.taken_back, (unsigned long long) d.reported_commits);
    printf("%u anomalies\n", d.anomalies);
    fflush(stdout);
    sum->calls += o.calls;
    sum->ok += o.ok;
    sum->failed += o.failed;
    sum->unknown += o.unknown;
    sum->reruns += o.reruns;
    sum->lost += o.lost;
    deployment_stop(&d, d.anomalies && plan.keep);
    return d.anomalies;
}

static int caller_main(char **argv)
{
    caller_run(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), strtoull(argv[6], NULL, 10),
               atoi(argv[7]), atoi(argv[8]));
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "seconds", required_argument, NULL, 's' },
                                             { "seed", required_argument, NULL, 'n' },
                                             { "workload", required_argument, NULL, 'w' },
                                             { "fault", required_argument, NULL, 'f' },
                                             { "rate", required_argument, NULL, 'r' },
                                             { "round", required_argument, NULL, 'o' },
                                             { "round-seconds", required_argument, NULL, 't' },
                                             { "until-anomaly", no_argument, NULL, 'u' },
                                             { "keep", no_argument, NULL, 'k' },
                                             { "verbose", no_argument, NULL, 'v' },
                                             { "sentinels", no_argument, NULL, 'S' },
                                             { "cluster", no_argument, NULL, 'C' },
                                             { "wait-replicas", required_argument, NULL, 'R' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    struct plan plan = { .seconds = 60, .rate = 30 };
    struct outcome sum = { 0 };
    unsigned anomalies = 0;
    bool until_anomaly = false;
    int round = 0, only = -1, c;
    int64_t start_ms = sup_now_ms(), left;

    if (argc == 9 && strcmp(argv[1], "caller") == 0)
        return caller_main(argv);
    plan.seed = (uint64_t) time(NULL);
    plan.faults = faults_parse("all");
    parse_workloads(&plan, "all");
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's': plan.seconds = atoll(optarg); break;
        case 'n': plan.seed = strtoull(optarg, NULL, 10); break;
        case 'r': plan.rate = atoi(optarg); break;
        case 'o': only = atoi(optarg); break;
        case 't': plan.round_seconds = atoll(optarg); break;
        case 'u': until_anomaly = true; break;
        case 'k': plan.keep = true; break;
        case 'v': plan.verbose = true; break;
        case 'S': plan.sentinels = true; break;
        case 'C': plan.cluster = true; break;
        case 'R': plan.wait_replicas = atoi(optarg); break;
        case 'h': usage(stdout); return 0;
        case 'w':
            if (parse_workloads(&plan, optarg))
                break;
            usage(stderr);
            return 2;
        case 'f':
            plan.faults = strcmp(optarg, "none") == 0 ? 0 : faults_parse(optarg);
            if (plan.faults || strcmp(optarg, "none") == 0)
                break;
            usage(stderr);
            return 2;
        default: usage(stderr); return 2;
        }
    }
    if (!plan.round_seconds)
        plan.round_seconds = plan.cluster ? 40 : 20; /* faults of a Cluster last longer */
    if (optind < argc || plan.rate < 1 || plan.rate > 1000 || plan.round_seconds < 1 ||
        plan.wait_replicas < 0 || (plan.sentinels && plan.cluster) ||
        (plan.wait_replicas && !plan.sentinels && !plan.cluster)) {
        usage(stderr);
        return 2;
    }
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    if (plan.cluster && !sup_cluster_available())
        return sup_skip("no redis-server with a Cluster of sharded channels");
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    printf("seed %llu\n", (unsigned long long) plan.seed);
    do {
        left = plan.seconds - (sup_now_ms() - start_ms) / 1000;
        left = left < plan.round_seconds ? left : plan.round_seconds;
        anomalies += run_round(&plan, only >= 0 ? only : round, left > 1 ? left : 1, &sum);
        round++;
    } while (only < 0 && !(until_anomaly && anomalies) &&
             sup_now_ms() - start_ms < plan.seconds * 1000 - 3000);
    printf(
        "seed=%llu seconds=%lld rounds=%d calls=%u ok=%u failed=%u unknown=%u reruns=%u faults=%u",
        (unsigned long long) plan.seed, (long long) (sup_now_ms() - start_ms) / 1000, round,
        sum.calls, sum.ok, sum.failed, sum.unknown, sum.reruns, faults_total());
    faults_print_counts();
    printf(" lost=%u anomalies=%u\n", sum.lost, anomalies);
    if (sum.ok * 2 < sum.calls || sum.calls == 0) {
        printf("too little succeeded\n");
        return 1;
    }
    return anomalies ? 1 : 0;
}
