/*
 * web_search.c: searches web pages, each by an agent of its own, all at the same time.
 *
 *     cc -o web_search web_search.c page_reader.c page_text.c $(pkg-config --cflags --libs asqueue libcurl)
 *     web_search [-u URL] [-t TIMEOUT_MS] QUERY PAGE...
 *
 *     web_search "hash slot" https://redis.io/docs/latest/operate/oss_and_stack/management/scaling/
 *
 * Results are shown as they come, so a slow page delays no other; a page that is missing, too slow
 * (-t), too large or not text is one line on stderr. Exit status as grep's: 0 with results, 1
 * without results, 2 when asqueue could not be used.
 *
 * -u: the deployment (else ASQUEUE_URL, else a private one). With the URL of a Redis, dist_server
 * must run there, and its hosts fetch the pages.
 */
#include "page_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PAGES 1000

static void show(const asq_value *answer, size_t *hits)
{
    const asq_value *passages;
    const char *url, *text;
    size_t i;

    if (asq_unpack(answer, "{s:s, s:o}", "url", &url, "passages", &passages) < 0)
        return;
    for (i = 0; i < asq_list_size(passages); i++) {
        if (asq_value_get_string(asq_list_get(passages, i), &text, NULL) < 0)
            continue;
        if (i == 0)
            printf("%s\n", url);
        printf("    %s\n", text);
        ++*hits;
    }
    fflush(stdout);
}

/* Creates one agent for each page; the calls are sent at once, without waiting until the agents
 * exist. */
static int search_all(asq *h, const char *query, char **pages, size_t n, int64_t timeout_ms,
                      asq_agent **agents, asq_result **results)
{
    asq_group *group;
    asq_result *r;
    const asq_value *answer;
    size_t i, hits = 0, failed = 0;
    int rc;

    asq_cork(h); /* gathers later calls, to send them in few pieces */
    for (i = 0; i < n; i++) {
        rc = asq_create(h, "PageReader", NULL, &agents[i], "{s:s, s:I}", "url", pages[i],
                        "timeout_ms", timeout_ms);
        if (rc == 0)
            rc = asq_call(agents[i], "search", &results[i], "[s]", query);
        if (rc < 0)
            return rc;
    }
    if ((rc = asq_uncork(h)) < 0 || (rc = asq_group_new(h, &group)) < 0)
        return rc;
    for (i = 0; i < n && rc == 0; i++)
        rc = asq_group_add(group, results[i]);
    while (rc == 0 && (rc = asq_group_next(group, ASQ_FOREVER, &r)) == 0) {
        if (asq_result_value(r, &answer) == 0) {
            show(answer, &hits);
        } else { /* only this page failed: go on */
            fprintf(stderr, "web_search: %s\n", asq_result_error(r)->message);
            failed++;
        }
    }
    asq_group_free(group);
    if (rc != ASQ_ENOENT) /* ASQ_ENOENT: all results were returned, the regular end */
        return rc;
    printf("%zu passages from %zu pages, %zu pages failed\n", hits, n - failed, failed);
    return hits > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *url = NULL;
    int64_t timeout_ms = 15000;
    asq_agent **agents;
    asq_result **results;
    char err[1024];
    size_t n, i;
    asq *h;
    int at, status;

    for (at = 1; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (strcmp(argv[at], "-u") == 0)
            url = argv[at + 1];
        else if (strcmp(argv[at], "-t") == 0)
            timeout_ms = atoll(argv[at + 1]);
        else
            break;
    }
    if (argc - at < 2 || argc - at - 1 > MAX_PAGES || argv[at][0] == '-') {
        fprintf(stderr, "usage: web_search [-u URL] [-t TIMEOUT_MS] QUERY PAGE...\n");
        return 2;
    }
    n = (size_t) (argc - at - 1);
    agents = calloc(n, sizeof *agents);
    results = calloc(n, sizeof *results);
    if (!agents || !results || page_reader_init() < 0) { /* before asq_open: see page_reader.h */
        fprintf(stderr, "web_search: out of memory\n");
        return 2;
    }
    if (asq_open(url, NULL, &h, err, sizeof err) < 0) {
        fprintf(stderr, "web_search: %s\n", err);
        return 2;
    }
    status = asq_register(h, &page_reader_class);
    if (status == 0)
        status = search_all(h, argv[at], argv + at + 1, n, timeout_ms, agents, results);
    if (status < 0)
        fprintf(stderr, "web_search: %s\n", asq_errmsg(h));
    for (i = 0; i < n; i++) {
        asq_result_free(results[i]);
        if (agents[i] && status >= 0)
            (void) asq_delete(agents[i], 5000);
        asq_agent_free(agents[i]);
    }
    asq_close(h);
    free(results);
    free(agents);
    return status < 0 ? 2 : status;
}
