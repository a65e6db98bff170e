/*
 * check_log_lines.c: foreign writes or deletions in all partitions at once do not fill the log of a
 * worker. Each kind of line is logged once a second, with a count of the others.
 */
#include "support/suite.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 128 };

/* Returns for how many partitions the log has a line with the text. A line that stands for others
 * has their number at its end. */
static size_t partitions_told(sup_proc *worker, const char *text, size_t *ret_lines)
{
    static const char more[] = "(and ";
    char *log = sup_proc_output(worker), *rest = NULL;
    size_t n = 0;

    *ret_lines = 0;
    for (char *line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!strstr(line, text))
            continue;
        const char *others = strstr(line, more);
        n += 1 + (others ? strtoul(others + strlen(more), NULL, 10) : 0);
        ++*ret_lines;
    }
    free(log);
    return n;
}

/* Starts a worker after the commands have run for each partition, and checks that few lines of its
 * log report all partitions. */
static void is_told_in_few_lines(const char *const commands[], const char *text)
{
    sup_redis *redis = sup_redis_start(NULL);
    size_t lines, seconds;

    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++)
        for (size_t i = 0; commands[i]; i++)
            sup_redis_do(redis, commands[i], p);
    int64_t begun_ms = sup_now_ms();
    sup_proc *worker = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(), NULL);
    sup_wait_until(partitions_told(worker, text, &lines) >= PARTITIONS);
    seconds = (size_t) (sup_now_ms() - begun_ms) / 1000 + 1;
    ck_assert_msg(lines <= 2 * seconds + 2, "%zu lines in %zu s", lines, seconds);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
}

START_TEST(batches_removed_from_later_jobs_of_all_partitions_are_told_in_few_lines)
{
    const char *const commands[] = { "ZADD asq:{default.%d}:later 1 gone", NULL };
    is_told_in_few_lines(commands, "due batches are gone");
}
END_TEST

START_TEST(batches_removed_from_later_of_all_partitions_are_told_in_few_lines)
{
    const char *const commands[] = { "HSET asq:{default.%d}:later:jobs found x", NULL };
    is_told_in_few_lines(commands, "waiting batches were removed");
}
END_TEST

START_TEST(streams_of_all_partitions_that_are_made_anew_are_told_in_few_lines)
{
    const char *const commands[] = {
        "XADD asq:{default.%d}:jobs 18446744073709551615-18446744073709551615 call x batch x", NULL
    };
    is_told_in_few_lines(commands, "the stream is made anew");
}
END_TEST

START_TEST(keys_of_a_wrong_type_in_all_partitions_are_told_in_few_lines)
{
    const char *const commands[] = { "SET asq:{default.%d}:attempts x", NULL };
    is_told_in_few_lines(commands, "had a wrong type");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log lines");
    TCase *t = tcase_create("log lines");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, batches_removed_from_later_jobs_of_all_partitions_are_told_in_few_lines);
    tcase_add_test(t, batches_removed_from_later_of_all_partitions_are_told_in_few_lines);
    tcase_add_test(t, streams_of_all_partitions_that_are_made_anew_are_told_in_few_lines);
    tcase_add_test(t, keys_of_a_wrong_type_in_all_partitions_are_told_in_few_lines);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
