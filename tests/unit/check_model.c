/*
 * check_model.c: model configurations: both forms of the file, and its errors.
 */
#include "client/model.h"
#include "support/suite.h"
#include "support/support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char why[400];

static int load(const char *text, asq_value **ret)
{
    char *path = sup_write_file("models.json", text);
    int rc = asq__model_load(path, ret, why, sizeof why);
    if (rc < 0)
        ck_assert_msg(strstr(why, path) != NULL, "the file is not named in \"%s\"", why);
    free(path);
    return rc;
}

static void good(const char *text)
{
    asq_value *models;
    const asq_value *one, *all;
    const char *s;
    ck_assert_msg(load(text, &models) == 0, "%s", why);
    ck_assert_uint_eq(asq_map_size(models), 2);
    ck_assert_int_eq(asq__model_find(models, "small", &one, why, sizeof why), 0);
    ck_assert_int_eq(asq_value_get_string(asq_map_get(one, "model"), &s, NULL), 0);
    ck_assert_str_eq(s, "m1");
    ck_assert_int_eq(asq__model_find(models, NULL, &all, why, sizeof why), 0);
    ck_assert_ptr_eq(all, models);
    ck_assert_int_eq(asq__model_find(models, "medium", &one, why, sizeof why), ASQ_ENOENT);
    ck_assert_msg(strstr(why, "medium") && strstr(why, "small") && strstr(why, "large"), "%s", why);
    asq_value_free(models);
}

START_TEST(a_list_or_an_object_of_configurations)
{
    good("[{\"config_name\": \"small\", \"model\": \"m1\"}, {\"config_name\": \"large\"}]");
    good("{\"small\": {\"model\": \"m1\"}, \"large\": {}}");
}
END_TEST

START_TEST(what_is_wrong_is_told_with_the_file)
{
    static const struct {
        const char *text, *reason;
        int code;
    } bad[] = {
        { "", "", ASQ_EPARSE },
        { "{\"a\": ", "", ASQ_EPARSE },
        { "5", "an array of objects", ASQ_EINVAL },
        { "[5]", "element 0 has no \"config_name\"", ASQ_EINVAL },
        { "[{\"config_name\": \"a\"}, {}]", "element 1 has no \"config_name\"", ASQ_EINVAL },
        { "[{\"config_name\": 5}]", "element 0", ASQ_EINVAL },
        { "[{\"config_name\": \"a\"}, {\"config_name\": \"a\"}]",
          "two configurations have the name 'a'", ASQ_EINVAL },
        { "{\"a\": 5}", "'a' is not an object", ASQ_EINVAL },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        asq_value *models = NULL;
        int rc = load(bad[i].text, &models);
        ck_assert_msg(rc == bad[i].code, "%zu: %s: %s", i, asq_error_name(rc), why);
        ck_assert_msg(strstr(why, bad[i].reason) != NULL, "%zu: %s", i, why);
        ck_assert_ptr_null(models);
    }
}
END_TEST

START_TEST(a_file_that_is_not_there_is_told)
{
    asq_value *models = NULL;
    const asq_value *none;
    ck_assert_int_eq(asq__model_load("/nowhere/models.json", &models, why, sizeof why), ASQ_ESYS);
    ck_assert_str_eq(why, "model configurations: /nowhere/models.json: No such file or directory");
    ck_assert_int_eq(asq__model_find(NULL, "x", &none, why, sizeof why), ASQ_ENOENT);
    ck_assert_ptr_nonnull(strstr(why, "--model-config-path"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("model");
    TCase *c = tcase_create("model");
    tcase_add_test(c, a_list_or_an_object_of_configurations);
    tcase_add_test(c, what_is_wrong_is_told_with_the_file);
    tcase_add_test(c, a_file_that_is_not_there_is_told);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
