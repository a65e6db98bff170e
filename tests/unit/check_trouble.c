/*
 * check_trouble.c: the times at which a repeated failure is logged, with the test's own clock.
 */
#include "redis/trouble.h"
#include "redis/refusal.h"

#include <string.h>

#include "support/suite.h"

static char text[ASQ__TROUBLE_TEXT];

START_TEST(each_cause_is_told_at_once_and_then_once_a_minute)
{
    struct asq__trouble t = { 0 };
    int n_logged = 0;
    for (int64_t now = 1000; now < 181000; now += 500) {
        bool other = now / 500 % 2;
        if (asq__trouble_note(&t, other ? "full" : "refused", now, text)) {
            n_logged++;
            ck_assert(strstr(text, other ? "full" : "refused") == text);
            if (now > 60000)
                ck_assert_msg(strstr(text, "tries"), "%s", text);
        }
    }
    ck_assert_int_eq(n_logged, 6);
}
END_TEST

START_TEST(that_it_is_over_is_told_once_and_only_if_it_was_told_before)
{
    struct asq__trouble t = { 0 };
    ck_assert(!asq__trouble_over(&t, 500, text));
    ck_assert(asq__trouble_note(&t, "lost", 1000, text));
    ck_assert(asq__trouble_over(&t, 3500, text));
    ck_assert_str_eq(text, " after 2500 ms and 1 failed try");
    ck_assert(!asq__trouble_over(&t, 3600, text));
    /* The trouble comes and goes, and there is still one line a minute. */
    for (int64_t now = 4000; now < 60000; now += 100) {
        ck_assert(!asq__trouble_note(&t, "lost", now, text));
        ck_assert(!asq__trouble_over(&t, now + 50, text));
    }
    ck_assert(asq__trouble_note(&t, "lost", 61000, text));
    ck_assert(asq__trouble_over(&t, 61050, text));
}
END_TEST

/* The same cause comes again within the minute, but lasts this time, and the log says why nothing
 * goes on. */
START_TEST(one_that_comes_back_and_stays_is_told)
{
    struct asq__trouble t = { 0 };
    int n_logged = 0;
    ck_assert(asq__trouble_note(&t, "lost", 1000, text));
    ck_assert(asq__trouble_over(&t, 1500, text));
    for (int64_t now = 10000; now < 20000; now += 100)
        if (asq__trouble_note(&t, "lost", now, text)) {
            n_logged++;
            ck_assert_str_eq(text, "lost (since 2 s; 21 tries)");
        }
    ck_assert_int_eq(n_logged, 1);
    ck_assert(asq__trouble_over(&t, 20000, text));
    ck_assert_str_eq(text, " after 10000 ms and 100 failed tries");
}
END_TEST

START_TEST(many_causes_have_room)
{
    struct asq__trouble t = { 0 };
    char why[2] = "a";
    for (int i = 0; i < 26; i++, why[0]++)
        ck_assert(asq__trouble_note(&t, why, 1000 + i, text));
}
END_TEST

static const struct {
    const char *text;
    enum asq__refusal kind;
} answers[] = {
    { "ERR max number of clients reached", ASQ__REFUSED_FOR_NOW },
    { "ERR max number of clients + cluster connections reached", ASQ__REFUSED_FOR_NOW },
    { "LOADING Redis is loading the dataset in memory", ASQ__REFUSED_FOR_NOW },
    { "BUSY Redis is busy running a script.", ASQ__REFUSED_FOR_NOW },
    { "BUSYKEY Target key name already exists.", ASQ__REFUSED_COMMAND },
    { "MASTERDOWN Link with MASTER is down", ASQ__REFUSED_FOR_NOW },
    { "READONLY You can't write against a read only replica.", ASQ__REFUSED_FOR_NOW },
    { "CLUSTERDOWN The cluster is down", ASQ__REFUSED_FOR_NOW },
    { "TRYAGAIN Multiple keys request during rehashing of slot", ASQ__REFUSED_SLOT },
    { "MOVED 3999 127.0.0.1:6381", ASQ__REFUSED_FOR_NOW },
    { "ASK 3999 127.0.0.1:6381", ASQ__REFUSED_SLOT },
    { "CROSSSLOT Keys in request don't hash to the same slot", ASQ__REFUSED_FOR_NOW },
    { "ERR Script attempted to access a non local key in a cluster node script: f_1",
      ASQ__REFUSED_FOR_NOW },
    { "ERR Script attempted to execute a write command while the cluster is down and readonly",
      ASQ__REFUSED_FOR_NOW },
    { "ERR Script attempted to access keys that do not hash to the same slot script: f_1",
      ASQ__REFUSED_FOR_NOW },
    { "NOREPLICAS Not enough good replicas to write.", ASQ__REFUSED_FOR_NOW },
    { "MISCONF Errors writing to the AOF file: No space left on device", ASQ__REFUSED_FOR_NOW },
    { "OOM command not allowed when used memory > 'maxmemory'.", ASQ__REFUSED_MEMORY },
    { "ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed",
      ASQ__REFUSED_MEMORY },
    { "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write",
      ASQ__REFUSED_FOR_NOW },
    { "WRONGPASS invalid username-password pair or user is disabled.", ASQ__REFUSED_LOGIN },
    { "NOAUTH Authentication required.", ASQ__REFUSED_LOGIN },
    { "ERR AUTH <password> called without any password configured for the default user.",
      ASQ__REFUSED_LOGIN },
    { "NOPERM this user has no permissions to run the 'get' command", ASQ__REFUSED_ACCESS },
    { "NOPERM User key has no permissions to run the 'get' command", ASQ__REFUSED_ACCESS },
    { "NOPERM this user has no permissions to access one of the keys used as arguments",
      ASQ__REFUSED_KEY },
    { "NOPERM No permissions to access a key", ASQ__REFUSED_KEY },
    { "NOPERM this user has no permissions to access one of the channels used as arguments",
      ASQ__REFUSED_ACCESS },
    { "NOPERM No permissions to access a channel", ASQ__REFUSED_ACCESS },
    { "ERR unknown command 'EVAL', with args beginning with: 'No permissions to access a key'",
      ASQ__REFUSED_COMMAND },
    { "WRONGTYPE Operation against a key", ASQ__REFUSED_TYPE },
    { "ERR unknown command", ASQ__REFUSED_COMMAND },
};

static const struct {
    const char *text;
    enum asq__refusal kind;
} texts_with_keys[] = {
    { "ERR asq:{OOM.1}:jobs: WRONGTYPE Operation against a key", ASQ__REFUSED_TYPE },
    { "ERR asq:{OOM.1}:jobs: ERR something else", ASQ__REFUSED_COMMAND },
    { "ERR asq:{a.1}:agents: OOM command not allowed", ASQ__REFUSED_MEMORY },
    { "ERR Error running script (call to f_1): @user_script:5: -OOM command not allowed",
      ASQ__REFUSED_MEMORY },
};

START_TEST(a_namespace_that_is_called_like_an_error_is_none)
{
    ck_assert_int_eq(asq__text_refusal(texts_with_keys[_i].text), texts_with_keys[_i].kind);
}
END_TEST

START_TEST(a_key_of_a_wrong_type_is_known_within_scripts_too)
{
    static const char *const yes[] = {
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "WRONGTYPE Operation against a key script: f_1, on @user_script:1.",
        "ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key"
    };
    redisReply reply = { .type = REDIS_REPLY_ERROR };
    char copy[200];
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        strcpy(copy, yes[i]);
        reply.str = copy;
        ck_assert_msg(asq__reply_is_wrong_type(&reply), "%s", yes[i]);
    }
    strcpy(copy, "OOM command not allowed");
    ck_assert(!asq__reply_is_wrong_type(&reply));
    ck_assert(!asq__reply_is_wrong_type(NULL));
}
END_TEST

START_TEST(an_error_reply_is_of_one_kind)
{
    char copy[200];
    strcpy(copy, answers[_i].text);
    redisReply reply = { .type = REDIS_REPLY_ERROR, .str = copy, .len = strlen(copy) };
    ck_assert_int_eq(asq__reply_refusal(&reply), answers[_i].kind);
    ck_assert_int_eq(asq__reply_is_transient(&reply), answers[_i].kind == ASQ__REFUSED_FOR_NOW ||
                                                          answers[_i].kind == ASQ__REFUSED_SLOT);
    reply.type = REDIS_REPLY_STRING;
    ck_assert_int_eq(asq__reply_refusal(&reply), ASQ__REFUSED_NOT);
    ck_assert_int_eq(asq__reply_refusal(NULL), ASQ__REFUSED_NOT);
}
END_TEST

/* A section's answer has the key and the text of the command within the script: none of a Cluster's
 * is a fault of the calls in the commit. */
START_TEST(a_script_that_meets_another_slot_is_refused_for_now)
{
    static const char *const texts[] = {
        "ERR asq:{n.1}:agents: ERR Script attempted to access a non local key in a cluster node",
        "ERR asq:{n.1}:agents: ERR Script attempted to access keys that do not hash to the same slot",
        "ERR asq:{n.1}:r:00: CROSSSLOT Keys in request don't hash to the same slot",
        "ERR asq:{n.1}:r:00: MOVED 3999 127.0.0.1:6381",
        "ERR asq:{n.1}:r:00: ASK 3999 127.0.0.1:6381",
        "ERR asq:{n.1}:r:00: CLUSTERDOWN The cluster is down",
        "ERR asq:{n.1}:r:00: TRYAGAIN Multiple keys request during rehashing of slot",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        enum asq__refusal kind = asq__text_refusal(texts[i]);
        ck_assert_msg(kind == ASQ__REFUSED_FOR_NOW || kind == ASQ__REFUSED_SLOT, "%s", texts[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("trouble");
    TCase *t = tcase_create("trouble");

    tcase_add_test(t, each_cause_is_told_at_once_and_then_once_a_minute);
    tcase_add_test(t, that_it_is_over_is_told_once_and_only_if_it_was_told_before);
    tcase_add_test(t, one_that_comes_back_and_stays_is_told);
    tcase_add_test(t, many_causes_have_room);
    tcase_add_loop_test(t, a_namespace_that_is_called_like_an_error_is_none, 0,
                        (int) (sizeof texts_with_keys / sizeof *texts_with_keys));
    tcase_add_test(t, a_key_of_a_wrong_type_is_known_within_scripts_too);
    tcase_add_loop_test(t, an_error_reply_is_of_one_kind, 0, sizeof answers / sizeof *answers);
    tcase_add_test(t, a_script_that_meets_another_slot_is_refused_for_now);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
