/*
 * dist_main.c: the same program without and with distribution.
 *
 *     cc -o dist_main dist_main.c web_agent.c $(pkg-config --cflags --libs asqueue)
 *     dist_main [--seconds S] [URL]
 *
 * Five web agents get the same question; each crawls for S seconds (5). ask_all() below is run
 * twice. First with a handle on "local:": the agents live in this process, calls run one after the
 * other, and the five answers take 25 s. Then with a handle on a deployment: the calls run side by
 * side on workers, and the five answers take 5 s. Only the URL differs; the function is the same.
 *
 * Without URL (and without ASQUEUE_URL in the environment) the deployment is a private one: the
 * library starts a Redis and worker processes for this program alone, and they end with it. With a
 * URL, workers that know the class must run there. Try it on one machine or on several:
 *
 *     redis-server &
 *     dist_server redis://127.0.0.1:6379 &
 *     dist_main redis://127.0.0.1:6379
 */
#include "web_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_AGENTS 5

static const char *const names[N_AGENTS] = { "Ada", "Ben", "Cleo", "Dan", "Eva" };
static const char *const sites[N_AGENTS] = { "news.example", "wiki.example", "shop.example",
                                             "maps.example", "blog.example" };

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* Creates the agents and waits until each of them is there. asq_create returns at once, so all are
 * made at the same time. */
static int create_all(asq *h, int64_t crawl_ms, asq_agent *agents[N_AGENTS])
{
    int i, rc;

    for (i = 0; i < N_AGENTS; i++) {
        rc = asq_create(h, "WebAgent", NULL, &agents[i], "{s:s, s:s, s:I}", "name", names[i],
                        "site", sites[i], "crawl_ms", crawl_ms);
        if (rc < 0)
            return rc;
    }
    for (i = 0; i < N_AGENTS; i++)
        if ((rc = asq_ready(agents[i], ASQ_FOREVER)) < 0)
            return rc;
    return 0;
}

/* Asks all agents, then reads the answers. asq_call returns at once; the getter waits. */
static int ask_all(asq_agent *agents[N_AGENTS], asq_result *results[N_AGENTS])
{
    const char *name, *site, *question;
    int i, rc;

    for (i = 0; i < N_AGENTS; i++)
        if ((rc = asq_call(agents[i], "answer", &results[i], "[s]", "what is new?")) < 0)
            return rc;
    for (i = 0; i < N_AGENTS; i++) {
        rc = asq_result_unpack(results[i], "{s:s, s:s, s:s}", "name", &name, "site", &site,
                               "question", &question);
        if (rc < 0)
            return rc;
        printf("  %-4s  \"%s\" %s has the answer\n", name, question, site);
        fflush(stdout);
    }
    return 0;
}

/* The program that is run twice. Returns the exit status. */
static int run(const char *title, const char *url, int64_t crawl_ms)
{
    asq_agent *agents[N_AGENTS] = { NULL };
    asq_result *results[N_AGENTS] = { NULL };
    char err[1024];
    double opened_s = now_s(), ready_s, end_s;
    asq *h;
    int i, rc;

    if (asq_open(url, NULL, &h, err, sizeof err) < 0) {
        fprintf(stderr, "dist_main: %s\n", err);
        return 1;
    }
    /* The class must be registered where the agents live: here for local: and child:. For the URL
     * of a Redis it is not needed here, but no error. */
    rc = asq_register(h, &web_agent_class);
    if (rc == 0)
        rc = create_all(h, crawl_ms, agents);
    ready_s = now_s();
    if (rc == 0) {
        printf("%s\n", title);
        rc = ask_all(agents, results);
    }
    end_s = now_s();
    if (rc == 0)
        printf("  start-up %.0f ms, %d answers in %.2f s\n\n", (ready_s - opened_s) * 1e3, N_AGENTS,
               end_s - ready_s);
    else
        fprintf(stderr, "dist_main: %s\n", asq_errmsg(h)); /* the failure, its place, a remedy */

    for (i = 0; i < N_AGENTS; i++) {
        asq_result_free(results[i]);
        if (agents[i] && rc == 0)
            (void) asq_delete(agents[i], 5000); /* leaves a shared Redis as it was */
        asq_agent_free(agents[i]);
    }
    asq_close(h);
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *url = NULL, *env = getenv("ASQ_EXAMPLE_SLEEP_MS");
    double seconds = env ? atof(env) / 1000 : 5;
    int i, status;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            seconds = atof(argv[++i]);
        } else if (argv[i][0] != '-' && !url) {
            url = argv[i];
        } else {
            fprintf(stderr, "usage: dist_main [--seconds S] [URL]\n");
            return 2;
        }
    }
    status = run("without distribution (local:)", "local:", (int64_t) (seconds * 1000));
    if (status == 0)
        status = run("with distribution", url, (int64_t) (seconds * 1000));
    return status;
}
