/*
 * graphs.c: random call graphs, each run in local: and on workers, and compared with the model. See
 * README.md.
 */
#include "graphs/graph.h"
#include "graphs/model.h"
#include "graphs/node.h"
#include "graphs/play.h"
#include "graphs/workers.h"
#include "support/cluster.h"
#include "support/sentinel.h"
#include "support/support.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { CLUSTER_MASTERS = 3 };
enum { HANG_MS = 240000, MAX_AT_ONCE = 1024, DURABLE_PERCENT = 50 };

struct options {
    uint64_t seed, graphs, again;
    int depth, at_once, durable;
    size_t workers;
    enum graph_shape shape;
    bool verbose, kill, keep_going, cluster, sentinels;
};

/* One graph under way. */
struct job {
    struct job *next;
    struct graph graph;
    struct play *play;
};

static const char usage[] =
    "usage: graphs [--seed N] [--graphs N] [--depth D] [--shape sequential|ordered|wild]\n"
    "              [--workers K] [--at-once N] [--kill] [--keep-going] [--verbose]\n"
    "              [--again N] [--durable PERCENT] [--cluster|--sentinels]\n";

static void give_up(const char *what)
{
    fprintf(stderr, "graphs: %s\n", what);
    exit(2);
}

static unsigned long long number(const char *text, unsigned long long least,
                                 unsigned long long most)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 0);

    if (*end || !*text || n < least || n > most)
        give_up("a number is missing or out of range");
    return n;
}

static struct options parse(int argc, char **argv)
{
    static const struct option names[] = {
        { "seed", required_argument, NULL, 's' },    { "graphs", required_argument, NULL, 'n' },
        { "depth", required_argument, NULL, 'd' },   { "shape", required_argument, NULL, 'p' },
        { "workers", required_argument, NULL, 'w' }, { "at-once", required_argument, NULL, 'a' },
        { "kill", no_argument, NULL, 'k' },          { "keep-going", no_argument, NULL, 'g' },
        { "verbose", no_argument, NULL, 'v' },       { "again", required_argument, NULL, 'r' },
        { "durable", required_argument, NULL, 'u' }, { "cluster", no_argument, NULL, 'c' },
        { "sentinels", no_argument, NULL, 'e' },     { NULL, 0, NULL, 0 }
    };
    struct options o = { .seed = 1,
                         .graphs = 150,
                         .again = 1,
                         .at_once = 32,
                         .workers = 2,
                         .shape = GRAPH_ANY_SHAPE,
                         .durable = DURABLE_PERCENT };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 's': o.seed = number(optarg, 0, UINT64_MAX); break;
        case 'n': o.graphs = number(optarg, 1, UINT64_MAX); break;
        case 'd': o.depth = (int) number(optarg, 1, GRAPH_MAX_DEPTH); break;
        case 'p':
            o.shape = optarg[0] == 's' ? GRAPH_SEQ : optarg[0] == 'o' ? GRAPH_ORDERED : GRAPH_WILD;
            break;
        case 'w': o.workers = (size_t) number(optarg, 1, MAX_WORKERS); break;
        case 'a': o.at_once = (int) number(optarg, 1, MAX_AT_ONCE); break;
        case 'k': o.kill = true; break;
        case 'g': o.keep_going = true; break;
        case 'r': o.again = number(optarg, 1, UINT64_MAX); break;
        case 'u': o.durable = (int) number(optarg, 0, 100); break;
        case 'v': o.verbose = true; break;
        case 'c': o.cluster = true; break;
        case 'e': o.sentinels = true; break;
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (optind < argc || (o.cluster && o.sentinels)) {
        fputs(usage, stderr);
        exit(2);
    }
    return o;
}

static asq *open_handle(const char *url)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512] = "";
    asq *h;

    options.connect_timeout_ms = sup_limit_ms();
    if (sup_acl_on()) { /* the client's user may not make the namespace */
        if (asq_open(sup_url_as(url, "worker"), &options, &h, err, sizeof err) < 0)
            sup_fail("%s", err);
        asq_close(h);
    }
    if (asq_open(url, &options, &h, err, sizeof err) < 0)
        give_up(err);
    if (asq_register(h, &node_class) < 0)
        give_up(asq_errmsg(h));
    return h;
}

/* Runs the graph on its own handle, without waits. */
static struct play *play_locally(const struct graph *g, asq **ret_h, enum play_state *ret_state)
{
    asq *h = open_handle("local:");
    struct play *p = play_new(g, h, CHECK_LOCAL, 0);

    if (!p)
        give_up("out of memory");
    *ret_state = play_go_on(p);
    *ret_h = h;
    return p;
}

/* Prints the error of a graph, with everything that may explain it. */
static void report(const struct options *o, const struct job *j, const char *what)
{
    enum play_state state;
    asq *h;
    struct play *local = play_locally(&j->graph, &h, &state);

    printf("# FAILED: %s\n", what);
    graph_print(&j->graph, stdout);
    play_print(local, "local:", stdout);
    if (state != PLAY_ENDED)
        printf("  local: %s\n", play_why(local));
    if (j->play) {
        play_print(j->play, "workers", stdout);
        if (*play_why(j->play))
            printf("  workers: %s\n", play_why(j->play));
    }
    printf("# again: graphs --seed %llu --graphs 1%s", (unsigned long long) j->graph.seed,
           o->kill ? " --kill" : "");
    if (o->cluster || o->sentinels)
        printf(o->cluster ? " --cluster" : " --sentinels");
    if (o->depth)
        printf(" --depth %d", o->depth);
    if (o->durable != DURABLE_PERCENT)
        printf(" --durable %d", o->durable);
    if (o->shape != GRAPH_ANY_SHAPE)
        printf(" --shape %s", o->shape == GRAPH_SEQ       ? "sequential"
                              : o->shape == GRAPH_ORDERED ? "ordered"
                                                          : "wild");
    printf(" --workers %zu\n", o->workers);
    fflush(stdout);
    play_free(local);
    asq_close(h);
}

/* Begins a graph. False: local mode already gives a wrong outcome. */
static bool begin(const struct options *o, struct job *j, uint64_t index, asq *h)
{
    enum play_state state;
    asq *local_h;
    struct play *local;

    graph_make(&j->graph, o->seed + index / o->again, o->depth, o->shape, o->durable);
    snprintf(j->graph.prefix, sizeof j->graph.prefix, "g%llx-%llx",
             (unsigned long long) j->graph.seed, (unsigned long long) (index % o->again));
    j->graph.waits_for_agents = o->cluster;
    if (o->verbose)
        graph_print(&j->graph, stdout);
    local = play_locally(&j->graph, &local_h, &state);
    if (state != PLAY_ENDED)
        report(o, j, state == PLAY_FAILED ? play_why(local) : "it does not end in local mode");
    play_free(local);
    asq_close(local_h);
    if (state == PLAY_ENDED &&
        !(j->play =
              play_new(&j->graph, h, o->kill ? CHECK_KILLED : CHECK_WORKERS, o->kill ? 3000 : 500)))
        give_up("out of memory");
    return state == PLAY_ENDED;
}

static int64_t hang_ms(const struct options *o)
{
    return (o->kill ? 2 : 1) * HANG_MS * (sup_limit_ms() / SUP_LIMIT_MS);
}

struct run {
    struct options o;
    asq *h;
    sup_redis *redis; /* the keys of the namespace are there */
    sup_cluster *cluster;
    sup_sentinels *sentinels;
    char *url;
    struct workers *workers;
    struct job *jobs;
    int busy; /* jobs that do not rest */
    uint64_t begun;
    struct dice dice;
    int64_t next_kill_ms;
    struct figures figures;
};

/* Prints the lines of the workers' logs about calls that have been under way for long. */
static void report_stuck(struct run *r)
{
    redisReply *keys = sup_redis_reply(r->redis, "KEYS asq:{default}:worker:*");

    for (size_t i = 0; i < keys->elements; i++) {
        char *stuck = sup_redis_str(r->redis, "HGET %s stuck", keys->element[i]->str);
        printf("%s says:\n%s", keys->element[i]->str, stuck ? stuck : "nothing\n");
        free(stuck);
    }
    freeReplyObject(keys);
    fflush(stdout);
}

/* Advances all jobs. Returns how many have changed. */
static int go_on(struct run *r)
{
    int64_t now = sup_now_ms();
    int changed = 0;

    r->busy = 0;
    for (struct job **at = &r->jobs; *at;) {
        struct job *j = *at;
        enum play_state state = play_go_on(j->play);
        bool hangs = state == PLAY_GOES_ON && !play_is_resting(j->play) &&
                     now - play_since_ms(j->play) > hang_ms(&r->o);
        if (state == PLAY_GOES_ON && !hangs) {
            r->busy += !play_is_resting(j->play);
            at = &j->next;
            continue;
        }
        changed++;
        r->figures.graphs++;
        play_count(j->play, &r->figures);
        if (hangs || state == PLAY_FAILED) {
            r->figures.mismatches++;
            report(&r->o, j, hangs ? "it hangs" : play_why(j->play));
            if (hangs)
                report_stuck(r);
        }
        *at = j->next;
        if (hangs)
            continue; /* not freed, because its results may still come */
        play_free(j->play);
        free(j);
    }
    return changed;
}

static void run_all(struct run *r)
{
    const struct options *o = &r->o;

    uint64_t graphs = o->graphs * o->again;

    while (r->begun < graphs || r->jobs) {
        if (r->figures.mismatches && !o->keep_going)
            return;
        while (r->begun < graphs && r->busy < o->at_once) {
            struct job *j = calloc(1, sizeof *j);
            if (!j)
                give_up("out of memory");
            if (!begin(o, j, r->begun++, r->h)) {
                r->figures.mismatches++;
                free(j);
                break;
            }
            j->next = r->jobs;
            r->jobs = j;
            r->busy++;
            play_go_on(j->play);
        }
        if (o->kill && sup_now_ms() >= r->next_kill_ms) {
            if (r->next_kill_ms)
                workers_kill(r->workers, dice_next(&r->dice), o->verbose);
            r->next_kill_ms = sup_now_ms() + 500 + dice_below(&r->dice, 2500);
        }
        int rc = asq_poll(r->h, go_on(r) ? 0 : 10);
        if (rc < 0)
            give_up(asq_errmsg(r->h));
    }
}

static void start_servers(struct run *r)
{
    if (r->o.cluster) {
        r->cluster = sup_cluster_start(CLUSTER_MASTERS, CLUSTER_MASTERS);
        r->url = sup_cluster_url(r->cluster, 0);
        r->redis = sup_cluster_node_of(r->cluster, "asq:{default}:meta");
    } else if (r->o.sentinels) {
        r->sentinels = sup_sentinels_start(NULL);
        r->url = sup_format("%s", sup_sentinels_url(r->sentinels));
        r->redis = sup_sentinels_server(r->sentinels, sup_sentinels_master(r->sentinels));
    } else {
        r->redis = sup_redis_start(NULL);
        r->url = sup_format("%s", sup_redis_url(r->redis));
    }
}

static void stop_servers(struct run *r)
{
    sup_cluster_free(r->cluster);
    sup_sentinels_free(r->sentinels);
    if (!r->cluster && !r->sentinels)
        sup_redis_free(r->redis);
    free(r->url);
}

int main(int argc, char **argv)
{
    struct run r = { .o = parse(argc, argv) };
    int64_t begun_ms;

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    if (r.o.cluster && !sup_cluster_available())
        return sup_skip("no redis-server with a Cluster of sharded channels");
    setvbuf(stdout, NULL, _IOLBF, 0);
    start_servers(&r);
    r.dice.state = r.o.seed;
    r.workers = workers_start(r.url, r.o.workers, r.o.kill, dice_next(&r.dice));
    r.h = open_handle(r.url);
    begun_ms = sup_now_ms();
    run_all(&r);
    printf(
        "%llu graphs from seed %llu, %llu calls in %.1f s; %llu deadlocks, %llu deadlines, "
        "%llu cancels, %llu interrupts, %llu promises, %llu signals, %llu emits, %llu begun again; "
        "%llu mismatches\n",
        r.figures.graphs, (unsigned long long) r.o.seed, r.figures.calls,
        (double) (sup_now_ms() - begun_ms) / 1000, r.figures.deadlocks, r.figures.deadlines,
        r.figures.cancels, r.figures.interrupts, r.figures.promises, r.figures.signals,
        r.figures.emits, r.figures.agains, r.figures.mismatches);
    asq_close(r.h);
    if (!workers_stop(r.workers) && !r.figures.mismatches) {
        puts("# FAILED: a worker did not end in order");
        r.figures.mismatches++;
    }
    stop_servers(&r);
    return r.figures.mismatches ? 1 : 0;
}
