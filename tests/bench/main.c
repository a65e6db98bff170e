/*
 * main.c: the bench's program: choice of cases, duration, and form of output.
 *
 *     run [NAME...] [--quick] [--json] [--rounds N] [--span S] [--soak S] [--agents N] [--svg FILE]
 *         [--install]
 *
 * Without a name all cases are run but those that have to be named, in the order below. Status 0
 * also when a bar is missed, because a shared machine's figures are no test; 1 when a case failed.
 */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct settings settings = { .span_s = 2, .soak_s = 1800, .agents = 1000000 };

static const struct {
    const char *name;
    void (*run)(void);
    const char *what;
    bool asked; /* run only when it is named */
} cases[] = {
    { "floor", case_floor, "bare hiredis with the library's commands", false },
    { "async", case_async, "one call per entry, 1,024 in flight", false },
    { "sync", case_sync, "one call at a time", false },
    { "packed", case_packed, "64 calls to an entry, and CPU per call", false },
    { "cpu", case_packed, "the same", true },
    { "create", case_create, "agents created, acknowledgements gathered", false },
    { "round", case_round, "one call to each agent, all answers gathered", false },
    { "growth", case_growth, "cost per call with many agents against few", false },
    { "memory", case_memory, "per agent, waiting call and parked call", false },
    { "durable", case_durable, "steps, emitted values, promises, timers", false },
    { "asleep", case_asleep, "sleeping calls: memory, and a hand-over of all", true },
    { "start", case_start, "child mode: open, one agent, first answer", false },
    { "scale", case_scale, "clients, processes, partitions, size of state", false },
    { "watched", case_watched, "calls while others look; what figures cost", false },
    { "cluster", case_cluster, "1, 3 and 6 masters, with and without replicas", true },
    { "failover", case_failover, "a master of a Cluster dies", true },
    { "peers", case_peers, "gearmand, beanstalkd, NATS, … where installed", false },
    { "soak", case_soak, "memory under load for a long time", true },
};
enum { N_CASES = sizeof cases / sizeof *cases };

int rounds_of(int full, int quick)
{
    int n = settings.rounds ? settings.rounds : settings.quick ? quick : full;
    return n > MAX_ROUNDS ? MAX_ROUNDS : n;
}

static void usage(FILE *to)
{
    fputs(
        "usage: run [NAME...] [--quick] [--json] [--rounds N] [--span S] [--soak S] [--agents N]\n"
        "           [--svg FILE] [--install]\n\n"
        "  --quick     all in about two minutes, with fewer and smaller measurements\n"
        "  --json      one object a line: name, value, unit, yardstick, ratio, bar, met\n"
        "  --rounds N  rounds of each case (1 to 101)\n"
        "  --span S    seconds of one measurement (2; 0.5 with --quick)\n"
        "  --soak S    seconds of the case soak (1800; 20 with --quick)\n"
        "  --agents N  most agents of a case (1000000; 20000 with --quick)\n"
        "  --svg FILE  a chart of the rates\n"
        "  --install   the peers that npm has, BullMQ and Restate, are first installed into the build tree\n\n",
        to);
    for (int i = 0; i < N_CASES; i++)
        fprintf(to, "  %-8s %s%s\n", cases[i].name, cases[i].what,
                cases[i].asked ? " (only when named)" : "");
}

static double number(const char *option, const char *text, double least)
{
    char *end = NULL;
    double v = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || !(v >= least)) {
        fprintf(stderr, "run: %s needs a number, at least %g\n", option, least);
        exit(2);
    }
    return v;
}

/* Finds the build tree by the path of this program, unless the environment names it. */
static void find_programs(void)
{
    static char worker[1100], agents[1100], source[1100], node[1100];
    char exe[1000];
    const char *env;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 0)
        die("/proc/self/exe cannot be read");
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    *slash = '\0';
    if ((slash = strrchr(exe, '/')) && strcmp(slash, "/.libs") == 0)
        *slash = '\0';
    snprintf(worker, sizeof worker, "%s/../../src/as-worker", exe);
    snprintf(agents, sizeof agents, "%s/agents", exe);
    snprintf(node, sizeof node, "%s/node", exe);
    snprintf(source, sizeof source, "%s", BENCH_SOURCE_DIR);
    settings.as_worker = (env = getenv("AS_WORKER")) ? env : worker;
    settings.agent_dir = (env = getenv("BENCH_AGENT_DIR")) ? env : agents;
    settings.node_dir = node;
    settings.source_dir = (env = getenv("BENCH_SOURCE_DIR")) ? env : source;
    if (access(settings.as_worker, X_OK) < 0)
        die("%s: no such program (set AS_WORKER)", settings.as_worker);
}

static void on_signal(int number_)
{
    (void) number_;
    exit(130); /* by way of end_all */
}

int main(int argc, char **argv)
{
    bool chosen[N_CASES] = { false }, any = false, span = false, agents = false, soak = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        int k;
        if (strcmp(a, "--quick") == 0) {
            settings.quick = true;
        } else if (strcmp(a, "--json") == 0) {
            settings.json = true;
        } else if (strcmp(a, "--install") == 0) {
            settings.install = true;
        } else if (strcmp(a, "--rounds") == 0) {
            settings.rounds = (int) number(a, next, 1), i++;
        } else if (strcmp(a, "--span") == 0) {
            settings.span_s = number(a, next, 0.05), i++, span = true;
        } else if (strcmp(a, "--soak") == 0) {
            settings.soak_s = number(a, next, 5), i++, soak = true;
        } else if (strcmp(a, "--agents") == 0) {
            settings.agents = (uint64_t) number(a, next, 1000), i++, agents = true;
        } else if (strcmp(a, "--svg") == 0 && next) {
            settings.svg = argv[++i];
        } else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            usage(stdout);
            return 0;
        } else {
            for (k = 0; k < N_CASES && strcmp(a, cases[k].name) != 0; k++)
                ;
            if (k == N_CASES) {
                fprintf(stderr, "run: no case or option '%s'\n", a);
                usage(stderr);
                return 2;
            }
            chosen[k] = any = true;
        }
    }
    if (settings.quick) {
        settings.span_s = span ? settings.span_s : 0.4;
        settings.soak_s = soak ? settings.soak_s : 20;
        settings.agents = agents ? settings.agents : 20000;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    run_dir();
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    find_programs();
    for (int i = 0; i < N_CASES; i++)
        if (any ? chosen[i] : !cases[i].asked)
            cases[i].run();
    table_end();
    if (settings.svg && table_svg(settings.svg) < 0)
        die("%s cannot be written", settings.svg);
    return 0;
}
