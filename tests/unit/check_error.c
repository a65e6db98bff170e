/*
 * check_error.c: codes have one name and one text each; error objects own the strings that they
 * show.
 */
#include "value/error.h"
#include "value/value.h"
#include "support/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const int codes[] = {
#define CODE(name, number, text) name,
    ASQ_ERRORS(CODE)
#undef CODE
};
enum { CODES = sizeof codes / sizeof *codes };

START_TEST(every_code_has_a_name_and_a_text)
{
    for (size_t i = 0; i < CODES; i++) {
        const char *name = asq_error_name(codes[i]);
        ck_assert_ptr_nonnull(name);
        ck_assert(strncmp(name, "ASQ_E", 5) == 0);
        ck_assert_int_eq(asq_error_number(name), codes[i]);
        ck_assert_int_lt(codes[i], 0);
        ck_assert_int_gt(codes[i], ASQ_EUSER(0));
        for (size_t k = 0; k < i; k++) {
            ck_assert_int_ne(codes[i], codes[k]);
            ck_assert_str_ne(asq_strerror(codes[i]), asq_strerror(codes[k]));
        }
    }
    ck_assert_str_eq(asq_strerror(ASQ_ENOMEM), "out of memory");
    ck_assert_str_eq(asq_error_name(ASQ_ENOMEM), "ASQ_ENOMEM");
    ck_assert_str_eq(asq_strerror(0), "success");
    ck_assert_str_eq(asq_error_name(0), "ASQ_OK");
}
END_TEST

START_TEST(unknown_codes_have_a_text_and_no_name)
{
    ck_assert_ptr_null(asq_error_name(-999));
    ck_assert_ptr_null(asq_error_name(1));
    ck_assert_ptr_null(asq_error_name(ASQ_EUSER(5)));
    ck_assert_str_eq(asq_strerror(-999), "unknown error");
    ck_assert_str_eq(asq_strerror(ASQ_EUSER(5)), "error of the application");
    ck_assert_int_eq(asq_error_number("ENOMEM"), 0);
    ck_assert_int_eq(asq_error_number(NULL), 0);
}
END_TEST

START_TEST(numbers_never_change)
{
    ck_assert_int_eq(ASQ_EINVAL, -1);
    ck_assert_int_eq(ASQ_ESTATE, -9);
    ck_assert_int_eq(ASQ_ECONN, -20);
    ck_assert_int_eq(ASQ_ETIMEOUT, -30);
    ck_assert_int_eq(ASQ_ENOAGENT, -40);
    ck_assert_int_eq(ASQ_EFAILED, -49);
    ck_assert_int_eq(ASQ_EDIVERGED, -50);
    ck_assert_int_eq(ASQ_EUNLOADED, -52);
    ck_assert_int_eq(ASQ_EUSER(3), -1003);
}
END_TEST

START_TEST(an_error_owns_its_strings)
{
    struct asq__error e;
    char agent[] = "agent-1", method[] = "add";
    asq__error_init(&e);
    ck_assert_int_eq(e.pub.code, 0);
    ck_assert_str_eq(e.pub.message, "");
    ck_assert_str_eq(e.pub.call_id, "");
    ck_assert_int_eq(asq__error_set(&e, ASQ_EFAILED, "%s failed %d times", "add", 3), ASQ_EFAILED);
    asq__error_where(&e, "Counter", method, agent, NULL, NULL);
    memset(agent, 'x', sizeof agent - 1);
    memset(method, 'x', sizeof method - 1);
    ck_assert_str_eq(e.pub.message, "add failed 3 times");
    ck_assert_str_eq(e.pub.class_name, "Counter");
    ck_assert_str_eq(e.pub.method, "add");
    ck_assert_str_eq(e.pub.agent_id, "agent-1");
    ck_assert_str_eq(e.pub.worker, "");
    asq__error_where(&e, NULL, NULL, NULL, "w1", "1-2");
    ck_assert_str_eq(e.pub.method, "add");
    ck_assert_str_eq(e.pub.worker, "w1");

    struct asq__error copy;
    asq__error_init(&copy);
    asq__error_copy(&copy, &e.pub);
    /* A message may be made from the previous one. */
    asq__error_set(&e, ASQ_EDEADLINE, "late: %s", e.pub.message);
    ck_assert_str_eq(e.pub.message, "late: add failed 3 times");
    ck_assert_str_eq(e.pub.method, "");
    ck_assert_int_eq(copy.pub.code, ASQ_EFAILED);
    ck_assert_str_eq(copy.pub.message, "add failed 3 times");
    ck_assert_str_eq(copy.pub.worker, "w1");
    asq__error_copy(&copy, &copy.pub);
    ck_assert_str_eq(copy.pub.worker, "w1");
    asq__error_clear(&copy);
    ck_assert_int_eq(copy.pub.code, 0);
    ck_assert_str_eq(copy.pub.message, "");
    asq__error_clear(&e);
}
END_TEST

START_TEST(missing_strings_are_empty)
{
    asq_error from = { .code = ASQ_EINVAL };
    struct asq__error e;
    asq__error_init(&e);
    asq__error_copy(&e, &from);
    ck_assert_str_eq(e.pub.message, "");
    ck_assert_str_eq(e.pub.worker, "");
    asq__error_clear(&e);
}
END_TEST

START_TEST(a_message_is_always_utf8)
{
    asq_error from = { .code = ASQ_EFAILED, .message = "caf\xe9 \xc3\xa9 \xed\xa0\x80 \xf0\x9f" };
    struct asq__error e, copy;
    asq__error_init(&e);
    asq__error_init(&copy);
    asq__error_set(&e, ASQ_EFAILED, "%s", from.message);
    asq__error_copy(&copy, &from);
    ck_assert_str_eq(e.pub.message, "caf? \xc3\xa9 ??? ??");
    ck_assert_str_eq(copy.pub.message, e.pub.message);
    asq__error_clear(&e);
    asq__error_clear(&copy);
}
END_TEST

START_TEST(a_message_is_cut_between_characters)
{
    char err[16];
    ck_assert_int_eq(asq__err(err, sizeof err, ASQ_EINVAL, "%s", "12345678901234567"), ASQ_EINVAL);
    ck_assert_str_eq(err, "123456789012345");
    asq__err(err, sizeof err, 0, "%s", "1234567890123\xc3\xa9+");
    ck_assert_str_eq(err, "1234567890123\xc3\xa9");
    asq__err(err, sizeof err, 0, "%s", "12345678901234\xc3\xa9+");
    ck_assert_str_eq(err, "12345678901234");
    asq__err(err, sizeof err, 0, "%s", "123456789012\xf0\x9f\x98\x80+");
    ck_assert_str_eq(err, "123456789012");
    asq__err(err, 1, 0, "%s", "text");
    ck_assert_str_eq(err, "");
    ck_assert_int_eq(asq__err(NULL, 0, ASQ_EPROTO, "%s", "text"), ASQ_EPROTO);

    size_t n = 200000;
    char *large = malloc(n + 2);
    memset(large, 'x', n);
    memcpy(large, "1", 1);
    for (size_t i = 1; i + 1 < n; i += 2)
        memcpy(large + i, "\xc3\xa9", 2);
    large[n - 1] = '\0';
    struct asq__error e, copy;
    asq__error_init(&e);
    asq__error_init(&copy);
    asq__error_set(&e, ASQ_EFAILED, "%s", large);
    ck_assert_uint_gt(strlen(e.pub.message), 60000);
    ck_assert_uint_lt(strlen(e.pub.message), 70000);
    ck_assert(asq__utf8_valid(e.pub.message, strlen(e.pub.message)));
    asq_error from = e.pub;
    from.message = large;
    asq__error_copy(&copy, &from);
    ck_assert_uint_lt(strlen(copy.pub.message), 70000);
    ck_assert(asq__utf8_valid(copy.pub.message, strlen(copy.pub.message)));
    asq__error_clear(&e);
    asq__error_clear(&copy);
    free(large);
}
END_TEST

START_TEST(a_call_without_its_input_names_what_failed)
{
    static const asq_error method = {
        ASQ_EUSER(7), "no luck", "Chat", "boom", "zed", "w1", "1-a-0"
    };
    static const asq_error bare = { ASQ_EEXPIRED, "it has expired", "", "", "", "", "" };
    struct asq__error first, second;
    asq__error_init(&first);
    asq__error_init(&second);
    ck_assert_int_eq(asq__error_input(&first, "1-a-0", &method), ASQ_EINPUT);
    ck_assert_str_eq(
        first.pub.message,
        "it was not run: it needs the result of call 1-a-0 (Chat.boom of agent 'zed'), "
        "which failed with ASQ_EUSER(7): no luck");
    /* The next call in the chain has the same cause, not that of its own input. */
    ck_assert_int_eq(asq__error_input(&second, "2-b-0", &first.pub), ASQ_EINPUT);
    ck_assert_str_eq(second.pub.message, first.pub.message);
    /* A method may fail with this code by itself. */
    asq__error_set(&first, ASQ_EINPUT, "mine");
    asq__error_input(&second, "3-c-0", &first.pub);
    ck_assert_str_eq(second.pub.message, "it was not run: it needs the result of call 3-c-0, which "
                                         "failed with ASQ_EINPUT: mine");
    asq__error_input(&second, "4-d-0", &bare);
    ck_assert_str_eq(second.pub.message, "it was not run: it needs the result of call 4-d-0, which "
                                         "failed with ASQ_EEXPIRED: it has expired");
    asq__error_clear(&first);
    asq__error_clear(&second);
}
END_TEST

START_TEST(the_version_is_that_of_the_header)
{
    ck_assert_str_eq(asq_version(), ASQ_VERSION);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("error");
    TCase *c = tcase_create("error");
    tcase_add_test(c, every_code_has_a_name_and_a_text);
    tcase_add_test(c, unknown_codes_have_a_text_and_no_name);
    tcase_add_test(c, numbers_never_change);
    tcase_add_test(c, an_error_owns_its_strings);
    tcase_add_test(c, missing_strings_are_empty);
    tcase_add_test(c, a_message_is_always_utf8);
    tcase_add_test(c, a_message_is_cut_between_characters);
    tcase_add_test(c, a_call_without_its_input_names_what_failed);
    tcase_add_test(c, the_version_is_that_of_the_header);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
