/*
 * logged.c: see logged.h.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILES = 8 };

sup_redis *redis;
pid_t worker;
char *log_path;
static char *files[FILES];
static size_t nfiles;

const char *logged_file(const char *name)
{
    ck_assert_uint_lt(nfiles, FILES);
    files[nfiles] = sup_path(name);
    return files[nfiles++];
}

void logged_set_up(void)
{
    logged_set_up_with(NULL);
}

void logged_set_up_with(const char *const config[])
{
    redis = sup_redis_start(config);
    mode = MODE_INDEPENDENT;
    log_path = sup_path("log");
    worker = 0;
}

void logged_open(void)
{
    H = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
}

void logged_start_worker(const char *url, const asq_worker_options *options,
                         const asq_class *const *list)
{
    asq_worker_options all = *options;

    all.id = "w";
    all.log = sup_log_to_file;
    all.log_user = log_path;
    worker = modes_fork_worker_with(url ? url : sup_redis_url(redis), &all, list);
}

int logged_count(const char *text)
{
    return sup_file_count(log_path, text);
}

static void end_file(char *path)
{
    remove(path);
    free(path);
}

void logged_tear_down(void)
{
    asq_close(H);
    H = NULL;
    if (worker)
        modes_stop_worker(worker);
    end_file(log_path);
    while (nfiles)
        end_file(files[--nfiles]);
    sup_redis_free(redis);
}
