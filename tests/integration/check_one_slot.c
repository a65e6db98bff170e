/*
 * check_one_slot.c: against a node of a Redis Cluster, which refuses each command and script whose
 * keys are of two slots: calls and calls of methods go their way without one, pushes come on the
 * channels of partitions, and an earlier owner's batch is fenced where it arrives.
 */
#include "asqueue.h"
#include "load.h"
#include "redis/script.h"
#include "support/suite.h"
#include "support/support.h"
#include "value/hash.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 8, AGENTS = 24, CALLS = 40 };

static char err[1024];

START_TEST(a_database_of_a_cluster_is_refused_with_the_reason)
{
    sup_redis *redis = sup_redis_start_single_slot(NULL);
    char *url = sup_format("unix:%s?db=3", sup_redis_socket(redis));
    asq *h;
    ck_assert_int_eq(asq_open(url, NULL, &h, err, sizeof err), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "is a Cluster, which has database 0 only"), "%s", err);
    free(url);
    sup_redis_free(redis);
}
END_TEST

/* Returns how many names of a reply's list contain the text. */
static size_t names_with(sup_redis *redis, const char *command, const char *text)
{
    redisReply *list = sup_redis_reply(redis, command);
    size_t n = 0;
    ck_assert_int_eq(list->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i < list->elements; i++)
        n += strstr(list->element[i]->str, text) != NULL;
    freeReplyObject(list);
    return n;
}

static int64_t n_calls_of(sup_redis *redis, const char *command)
{
    char *line = sup_format("cmdstat_%s", command);
    int64_t n = sup_redis_stat(redis, "commandstats", line, "calls=");
    free(line);
    return n;
}

START_TEST(calls_and_those_of_methods_go_their_way_in_one_slot_each)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    sup_redis *redis = sup_redis_start_single_slot(NULL);
    asq_agent *relay, *counter;
    asq_result *r;
    int64_t sum = 0;
    uint32_t from = asq__partition_of("{one}relay", 10, PARTITIONS),
             to = asq__partition_of("{two}counter", 12, PARTITIONS);
    ck_assert_uint_ne(from, to);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    asq *h = load_open(sup_redis_url(redis));
    pid_t w = load_worker(sup_redis_url(redis), &options);
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    ck_assert_int_eq(asq_create(h, "Relay", "{one}relay", &relay, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "{two}counter", &counter, "{s:i}", "value", 0), 0);
    for (int i = 1; i <= CALLS; i++) {
        ck_assert_int_eq(asq_call(relay, "call", &r, "[a, s, [i]]", counter, "add", 1), 0);
        ck_assert_int_eq(asq_result_int(r, &sum), 0);
        ck_assert_int_eq(sum, i);
        asq_result_free(r);
    }
    load_check(l);

    ck_assert_int_eq(sup_redis_stat(redis, "errorstats", "errorstat_CROSSSLOT", ":count="), 0);
    ck_assert_int_gt(n_calls_of(redis, "spublish"), 0);
    ck_assert_uint_gt(names_with(redis, "PUBSUB SHARDCHANNELS", "}:c:"), 0);
    /* the called partition knows the epoch of the calling one */
    char *epoch = sup_redis_str(redis, "HGET asq:{default.%u}:lease epoch", from);
    char *fence = sup_redis_str(redis, "HGET asq:{default.%u}:fences %u", to, from);
    ck_assert_msg(fence && strcmp(epoch, fence) == 0, "epoch %s, fence %s", epoch,
                  fence ? fence : "none");
    ck_assert_int_gt(sup_redis_int(redis, "PTTL asq:{default.%u}:fences", to), 0);
    free(epoch);
    free(fence);
    asq_agent_free(relay);
    asq_agent_free(counter);
    asq_close(h);
    /* Records that were read go, though many partitions have some at once. Those of a method's
     * batch stay when the call that made it was in the stream before the worker was. */
    char *of_methods = sup_format("{default.%u}:r:", to);
    sup_wait_until(names_with(redis, "KEYS *", "}:r:") == names_with(redis, "KEYS *", of_methods));
    free(of_methods);
    load_worker_stop(w);
    sup_redis_free(redis);
}
END_TEST

/* Returns the number of connections that read a stream. */
static int n_readers(sup_redis *redis)
{
    char *list = sup_redis_str(redis, "CLIENT LIST");
    int n = sup_count(list, "name=asqueue-reader ");
    free(list);
    return n;
}

START_TEST(a_partition_that_is_handed_over_takes_its_connection_along)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    sup_redis *redis = sup_redis_start_single_slot(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    asq *h = load_open(sup_redis_url(redis));
    options.id = "a";
    pid_t a = load_worker(sup_redis_url(redis), &options);
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:a.0 partitions") == PARTITIONS &&
                   n_readers(redis) == PARTITIONS);
    options.id = "b"; /* no call comes, so all reads block meanwhile */
    pid_t b = load_worker(sup_redis_url(redis), &options);
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:b.0 partitions") > 0 &&
                   sup_redis_int(redis, "HGET asq:{default}:worker:a.0 partitions") +
                           sup_redis_int(redis, "HGET asq:{default}:worker:b.0 partitions") ==
                       PARTITIONS);
    sup_wait_until(n_readers(redis) == PARTITIONS);
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    load_check(l);
    asq_close(h);
    load_worker_stop(a);
    load_worker_stop(b);
    sup_redis_free(redis);
}
END_TEST

/* Runs the script that appends a method's batch to partition 1; returns its error, or NULL. */
static char *send_as(sup_redis *redis, unsigned partition, const char *epoch)
{
    redisReply *reply =
        sup_redis_reply(redis, "EVAL %s 2 asq:{n.1}:jobs asq:{n.1}:fences %u %s 60000 label bytes",
                        asq__script_send_fenced, partition, epoch);
    char *text = reply->type == REDIS_REPLY_ERROR ? sup_format("%s", reply->str) : NULL;
    ck_assert(text || reply->type == REDIS_REPLY_STRING);
    freeReplyObject(reply);
    return text;
}

START_TEST(a_batch_of_an_earlier_owner_is_fenced_where_it_arrives)
{
    sup_redis *redis = sup_redis_start_single_slot(NULL);
    char *text;
    ck_assert_ptr_null(send_as(redis, 0, "1795451824709"));
    ck_assert_ptr_null(send_as(redis, 0, "1795451824709"));
    ck_assert_ptr_null(send_as(redis, 0, "1795451824710"));
    text = send_as(redis, 0, "1795451824709");
    ck_assert_msg(text && strncmp(text, "FENCED", 6) == 0, "%s", text ? text : "taken");
    free(text);
    /* another partition has epochs of its own */
    ck_assert_ptr_null(send_as(redis, 2, "5"));
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{n.1}:jobs"), 4);
    ck_assert_int_gt(sup_redis_int(redis, "PTTL asq:{n.1}:fences"), 0);
    /* a key of another type is set aside */
    sup_redis_do(redis, "SET asq:{n.1}:fences nonsense");
    ck_assert_ptr_null(send_as(redis, 2, "5"));
    ck_assert_int_eq(sup_redis_int(redis, "HGET asq:{n.1}:fences 2"), 5);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{n.1}:fences:aside"), 1);
    sup_redis_free(redis);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("one_slot");
    TCase *t = tcase_create("one_slot");
    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, a_database_of_a_cluster_is_refused_with_the_reason);
    tcase_add_test(t, calls_and_those_of_methods_go_their_way_in_one_slot_each);
    tcase_add_test(t, a_partition_that_is_handed_over_takes_its_connection_along);
    tcase_add_test(t, a_batch_of_an_earlier_owner_is_fenced_where_it_arrives);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
