/*
 * guess_two_thirds.c: a simulation: N people guess a number from 0 to 100, and the guess closest to
 * two thirds of the average of all guesses wins. Each person is an agent, and a round is one call
 * to each of them. All are told the winning number, guess again, and get nearer to 0 from round to
 * round.
 *
 *     cc -o guess_two_thirds guess_two_thirds.c $(pkg-config --cflags --libs asqueue) -lm
 *     guess_two_thirds [-n N] [-r ROUNDS] [--think MS] [URL]
 *
 * N: 1000 unless given, up to a million. --think: time for which each person thinks, all at the
 * same time. Thinking is waiting, and a waiting agent costs memory only. Without URL: ASQUEUE_URL,
 * else a private Redis with workers of its own. On a deployment: start workers with
 *
 *     guess_two_thirds --worker [URL]
 */
#include <asqueue.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_AGENTS 1000000
#define PIECE      8192 /* calls in one statement, so that progress can be shown */

/* ---- A person ---- */

/* Makes a person, who thinks a number of steps ahead. The number comes from the agent's id, so that
 * people differ. */
static int create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    unsigned hash = 2166136261u;
    const char *p;

    (void) args, (void) ret_self; /* the library keeps the state, as a map */
    for (p = asq_ctx_agent_id(ctx); *p; p++)
        hash = (hash ^ (unsigned char) *p) * 16777619u;
    hash ^= hash >> 15;
    return asq_map_set_int(asq_ctx_state(ctx), "seed", hash % 100000);
}

/* Makes a guess from the number that won before (50 at the start). */
static int guess(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    int64_t seed = asq_map_int(state, "seed"), think_ms;
    double won, mine;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[f, I]", &won, &think_ms)) < 0)
        return rc;
    if (think_ms > 0 && (rc = asq_ctx_sleep(ctx, think_ms)) < 0)
        return rc; /* cancelled, for instance */
    /* 0 to 3 steps ahead, plus a small offset of each person. */
    mine = won * pow(2.0 / 3.0, (double) (seed % 4)) + (double) (seed / 4 % 2001 - 1000) / 100.0;
    mine = mine < 0 ? 0 : mine > 100 ? 100 : mine;
    if ((rc = asq_map_set_int(state, "rounds", asq_map_int(state, "rounds") + 1)) < 0)
        return rc;
    *ret = asq_value_double(mine);
    return 0;
}

static const asq_method person_methods[] = {
    { .name = "guess",
      .fn = guess,
      .params = "won, think_ms",
      .flags = ASQ_NONBLOCKING, /* the method's sleep parks the call; no wait blocks the thread */
      .doc = "A guess, from the number that won the round before." },
    { .name = NULL },
};

static const asq_class person = {
    ASQ_CLASS_INIT,
    .name = "Person",
    .doc = "Guesses two thirds of the average.",
    .methods = person_methods,
    .create = create,
    .version = 1,
};

/* ---- Output ---- */

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* Prints only on a terminal, and only changed figures. */
static void progress(const char *what, size_t done, size_t n)
{
    static const char full[] = "########################################";
    static int last = -1;
    int percent = (int) (done * 100 / n);

    if (!isatty(STDERR_FILENO) || percent == last)
        return;
    last = percent;
    fprintf(stderr, "\r%-12s [%-40.*s] %3d%%%s", what, percent * 40 / 100, full, percent,
            done == n ? "\n" : "");
}

static void histogram(const double *guesses, size_t n)
{
    size_t bins[20] = { 0 }, most = 1, i;
    static const char full[] = "##################################################";

    for (i = 0; i < n; i++) {
        size_t bin = (size_t) (guesses[i] / 5);
        bins[bin < 20 ? bin : 19]++;
    }
    for (i = 0; i < 20; i++)
        most = bins[i] > most ? bins[i] : most;
    for (i = 0; i < 20; i++)
        printf("  %3zu to %3zu %8zu %.*s\n", i * 5, i * 5 + 5, bins[i],
               (int) ((bins[i] * 50 + most - 1) / most), full);
}

/* ---- The game ---- */

static int fail(asq *h, const char *what)
{
    fprintf(stderr, "guess_two_thirds: %s: %s\n", what, asq_errmsg(h));
    return 1;
}

static int create_all(asq *h, asq_agent **people, size_t n)
{
    size_t at, i;

    for (at = 0; at < n; at += PIECE) {
        size_t count = n - at < PIECE ? n - at : PIECE;
        if (asq_create_many(h, "Person", count, NULL, NULL, people + at) < 0)
            return -1;
    }
    for (i = 0; i < n; i++) {
        if (asq_ready(people[i], ASQ_FOREVER) < 0)
            return -1;
        progress("creating", i + 1, n);
    }
    return 0;
}

/* Makes one call to each; then gathers all answers. */
static int play(asq_agent **people, size_t n, double won, int64_t think_ms, asq_result **results,
                double *guesses)
{
    size_t at, i;

    for (at = 0; at < n; at += PIECE) {
        size_t count = n - at < PIECE ? n - at : PIECE;
        if (asq_broadcast(people + at, count, "guess", asq_pack("[f, I]", won, think_ms),
                          results + at) < 0)
            return -1;
    }
    for (i = 0; i < n; i++) {
        int rc = asq_result_double(results[i], &guesses[i]);
        asq_result_free(results[i]);
        results[i] = NULL;
        if (rc < 0)
            return -1;
        progress("guessing", i + 1, n);
    }
    return 0;
}

static int game(asq *h, size_t n, int rounds, int64_t think_ms)
{
    asq_agent **people = calloc(n, sizeof *people);
    asq_result **results = calloc(n, sizeof *results);
    double *guesses = calloc(n, sizeof *guesses), won = 50, at = now_s();
    size_t i;
    int round, status = 1;

    if (!people || !results || !guesses) {
        fprintf(stderr, "guess_two_thirds: out of memory\n");
        goto out;
    }
    if (create_all(h, people, n) < 0) {
        fail(h, "creating the agents");
        goto out;
    }
    printf("%zu agents created in %.2f s\n", n, now_s() - at);
    for (round = 1; round <= rounds; round++) {
        double sum = 0, before = won;
        at = now_s();
        if (play(people, n, before, think_ms, results, guesses) < 0) {
            fail(h, "a round");
            goto out;
        }
        for (i = 0; i < n; i++)
            sum += guesses[i];
        won = sum / (double) n * 2 / 3;
        printf("round %d: %zu guesses in %.2f s, average %.2f, two thirds of it %.2f\n", round, n,
               now_s() - at, sum / (double) n, won);
        histogram(guesses, n);
    }
    status = 0;

out:
    for (i = 0; people && i < n; i++)
        asq_agent_free(people[i]);
    for (i = 0; results && i < n; i++)
        asq_result_free(results[i]);
    free(people);
    free(results);
    free(guesses);
    return status;
}

static int work(const char *url)
{
    asq_worker_options o = ASQ_WORKER_OPTIONS_INIT;
    asq_worker *w;
    char err[1024];
    int rc;

    o.url = url;
    o.processes = 2;
    if (asq_worker_new(&o, &w, err, sizeof err) < 0) {
        fprintf(stderr, "guess_two_thirds: %s\n", err);
        return 1;
    }
    if ((rc = asq_worker_register(w, &person)) == 0)
        rc = asq_worker_run(w); /* until SIGTERM or Ctrl-C */
    if (rc < 0)
        fprintf(stderr, "guess_two_thirds: %s\n", asq_worker_errmsg(w));
    asq_worker_free(w);
    return rc < 0 ? 1 : 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: guess_two_thirds [-n N] [-r ROUNDS] [--think MS] [URL]\n"
                    "       guess_two_thirds --worker [URL]\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *url = NULL;
    long n = 1000, rounds = 3, think_ms = 0;
    int i, status, worker = 0;
    char err[1024];
    asq *h;

    for (i = 1; i < argc; i++) {
        long *number = strcmp(argv[i], "-n") == 0        ? &n
                       : strcmp(argv[i], "-r") == 0      ? &rounds
                       : strcmp(argv[i], "--think") == 0 ? &think_ms
                                                         : NULL;
        if (number && i + 1 < argc)
            *number = atol(argv[++i]);
        else if (strcmp(argv[i], "--worker") == 0)
            worker = 1;
        else if (argv[i][0] != '-' && !url)
            url = argv[i];
        else
            return usage();
    }
    if (n < 1 || n > MAX_AGENTS || rounds < 1 || think_ms < 0)
        return usage();
    if (worker)
        return work(url);
    if (asq_open(url, NULL, &h, err, sizeof err) < 0) {
        fprintf(stderr, "guess_two_thirds: %s\n", err);
        return 1;
    }
    status = asq_register(h, &person) < 0 ? fail(h, "the class")
                                          : game(h, (size_t) n, (int) rounds, think_ms);
    asq_close(h);
    return status;
}
