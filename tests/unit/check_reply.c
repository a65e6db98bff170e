/*
 * check_reply.c: replies in an arena equal those of hiredis, however they arrive.
 */
#include "redis/reply.h"
#include "support/suite.h"
#include "value/arena.h"

#include <string.h>

static struct asq__arena arena;
static redisReader *reader;

static void set_up(void)
{
    asq__arena_init(&arena, 1 << 24);
    reader = redisReaderCreate();
    ck_assert_ptr_nonnull(reader);
    asq__reply_in_arena(reader, &arena);
}

static void tear_down(void)
{
    redisReaderFree(reader);
    asq__arena_release(&arena);
}

static const redisReply *next(void)
{
    void *reply = NULL;
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    return reply;
}

static const redisReply *parse(const char *text)
{
    ck_assert_int_eq(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    const redisReply *reply = next();
    ck_assert_ptr_nonnull(reply);
    return reply;
}

START_TEST(every_type_is_there)
{
    const redisReply *r = parse("+OK\r\n");
    ck_assert_int_eq(r->type, REDIS_REPLY_STATUS);
    ck_assert_str_eq(r->str, "OK");
    r = parse("-OOM too much\r\n");
    ck_assert_int_eq(r->type, REDIS_REPLY_ERROR);
    ck_assert_str_eq(r->str, "OOM too much");
    r = parse(":-42\r\n");
    ck_assert_int_eq(r->type, REDIS_REPLY_INTEGER);
    ck_assert_int_eq(r->integer, -42);
    ck_assert_int_eq(parse("$-1\r\n")->type, REDIS_REPLY_NIL);
    ck_assert_int_eq(parse("*-1\r\n")->type, REDIS_REPLY_NIL);
    r = parse("*0\r\n");
    ck_assert_int_eq(r->type, REDIS_REPLY_ARRAY);
    ck_assert_uint_eq(r->elements, 0);
    r = parse("$0\r\n\r\n");
    ck_assert_int_eq(r->type, REDIS_REPLY_STRING);
    ck_assert_str_eq(r->str, "");
}
END_TEST

/* Sends the shape of an XREAD reply, byte by byte: an array in an array in an array, with a nil. */
START_TEST(arrays_may_come_in_pieces)
{
    static const char text[] =
        "*1\r\n*2\r\n$4\r\njobs\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n"
        "$3\r\n1\0\x02\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n:7\r\n";
    const redisReply *r = NULL;
    for (size_t i = 0; i + 1 < sizeof text && !r; i++) {
        ck_assert_int_eq(redisReaderFeed(reader, text + i, 1), REDIS_OK);
        r = next();
    }
    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->elements, 1);
    r = r->element[0];
    ck_assert_str_eq(r->element[0]->str, "jobs");
    r = r->element[1];
    ck_assert_uint_eq(r->elements, 2);
    ck_assert_int_eq(r->element[0]->element[1]->element[1]->len, 3);
    ck_assert_mem_eq(r->element[0]->element[1]->element[1]->str, "1\0\x02", 4);
    ck_assert_str_eq(r->element[1]->element[0]->str, "1-1");
    ck_assert_int_eq(r->element[1]->element[1]->type, REDIS_REPLY_NIL);
}
END_TEST

START_TEST(many_replies_take_the_memory_of_one)
{
    static char big[300000];
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(parse("*2\r\n$5\r\nhello\r\n:1\r\n")->element[1]->integer, 1);
        asq__arena_reset(&arena);
    }
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(redisReaderFeed(reader, "$300000\r\n", 9), REDIS_OK);
        ck_assert_int_eq(redisReaderFeed(reader, big, sizeof big), REDIS_OK);
        ck_assert_int_eq(parse("\r\n")->len, sizeof big);
        asq__arena_reset(&arena);
    }
}
END_TEST

START_TEST(more_than_the_arena_may_hold_is_an_error)
{
    static char big[1 << 20];
    void *reply = NULL;
    int rc = REDIS_OK;
    memset(big, 'x', sizeof big);
    ck_assert_int_eq(redisReaderFeed(reader, "$20000000\r\n", 11), REDIS_OK);
    for (int i = 0; i < 19; i++)
        ck_assert_int_eq(redisReaderFeed(reader, big, sizeof big), REDIS_OK);
    ck_assert_int_eq(redisReaderFeed(reader, big, 20000000 - 19 * sizeof big), REDIS_OK);
    ck_assert_int_eq(redisReaderFeed(reader, "\r\n", 2), REDIS_OK);
    rc = redisReaderGetReply(reader, &reply);
    ck_assert_int_eq(rc, REDIS_ERR);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reply");
    TCase *t = tcase_create("reply");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, every_type_is_there);
    tcase_add_test(t, arrays_may_come_in_pieces);
    tcase_add_test(t, many_replies_take_the_memory_of_one);
    tcase_add_test(t, more_than_the_arena_may_hold_is_an_error);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
