/*
 * check_plugin.c: classes from shared objects, which the tests build with the compiler of the
 * build: a good one, and the errors of others.
 */
#include "client/class.h"
#include "client/plugin.h"
#include "support/suite.h"
#include "support/support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct asq__registry registry;
static char dir[300], why[600];

static void set_up(void)
{
    ck_assert_int_eq(asq__registry_init(&registry), 0);
    snprintf(dir, sizeof dir, "%s/agents", sup_dir());
    ck_assert_int_eq(mkdir(dir, 0755), 0);
}

static void tear_down(void)
{
    asq__registry_release(&registry);
}

/* Compiles `body` to agents/NAME.so. */
static void build(const char *name, const char *body)
{
    const char *srcdir = getenv("abs_top_srcdir"), *cc = getenv("CC"), *san = getenv("SAN_CFLAGS");
    char *text = sup_format("#include <asqueue.h>\n%s\n", body);
    char *source = sup_write_file("plugin.c", text);
    char *command =
        sup_format("%s %s -w -shared -fPIC -I'%s/lib' -o '%s/%s.so' '%s'", cc && *cc ? cc : "cc",
                   san ? san : "", srcdir ? srcdir : ".", dir, name, source);
    const char *argv[] = { "sh", "-c", command, NULL };
    char *err, *path = sup_format("%s/%s.so", dir, name);
    ck_assert_msg(sup_run(argv, NULL, &err) == 0, "%s: %s", command, err);
    chmod(path, 0755);
    free(path);
    free(err);
    free(command);
    free(source);
    free(text);
}

static void drop(const char *name)
{
    char *path = sup_format("%s/%s.so", dir, name);
    ck_assert_int_eq(unlink(path), 0);
    free(path);
}

static int load(void)
{
    *why = '\0';
    return asq__plugins_load(&registry, dir, NULL, why, sizeof why);
}

static void refused(const char *reason)
{
    int rc = load();
    ck_assert_msg(rc < 0, "it was loaded");
    ck_assert_msg(strstr(why, reason) != NULL, "\"%s\" is not in \"%s\"", reason, why);
}

#define GOOD(class_name)                                                                           \
    "static int run(asq_ctx *c, void *s, const asq_value *a, asq_value **r) { return 0; }\n"       \
    "static const asq_method m[] = { { \"run\", run }, { 0 } };\n"                                 \
    "static const asq_class cls = { ASQ_CLASS_INIT, .name = \"" class_name "\", .methods = m };\n"

START_TEST(a_plugin_brings_its_classes)
{
    size_t n = 0;
    build("good", GOOD("Good") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    build("other", GOOD("Other") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    ck_assert_msg(asq__plugins_load(&registry, dir, &n, why, sizeof why) == 0, "%s", why);
    ck_assert_uint_eq(n, 2);
    ck_assert_ptr_nonnull(asq__registry_find(&registry, "Good"));
    ck_assert_ptr_nonnull(asq__registry_find(&registry, "Other"));
}
END_TEST

START_TEST(folders_without_plugins_are_told)
{
    refused("there is no plugin");
    rmdir(dir);
    refused("No such file");
    refused("the folder of plugins: "); /* a path alone may be that of any setting */
}
END_TEST

START_TEST(what_is_no_plugin_is_told)
{
    build("strange", "int nothing;");
    refused("does not export 'asqueue_plugin'");
    char *path = sup_format("%s/strange.so", dir);
    FILE *f = fopen(path, "w");
    fputs("not a shared object", f);
    fclose(f);
    refused("strange.so");
    free(path);
}
END_TEST

START_TEST(another_abi_is_refused_with_both_versions)
{
    build("old", "static int init(asq_plugin *p) { return 0; }\n"
                 "__attribute__((visibility(\"default\")))\n"
                 "const asq_plugin_entry asqueue_plugin = { 999, \"0.0.1\", init };");
    refused("built with asqueue 0.0.1, plugin ABI 999");
}
END_TEST

START_TEST(an_init_that_fails_is_told)
{
    build("fails", "ASQ_PLUGIN { return ASQ_ENOMEM; }");
    refused("its init failed");
    drop("fails");
    build("none", "ASQ_PLUGIN { return 0; }");
    refused("registers no class");
    drop("none");
    build("bad", "static const asq_class cls = { ASQ_CLASS_INIT, .name = \"1x\" };\n"
                 "ASQ_PLUGIN { asq_plugin_register(plugin, &cls); return 0; }");
    refused("1x");
}
END_TEST

START_TEST(a_class_that_is_there_already_is_told)
{
    build("a", GOOD("Same") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    build("b", GOOD("Same") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    refused("b.so");
    ck_assert_ptr_nonnull(strstr(why, "Same"));
}
END_TEST

START_TEST(what_others_can_write_is_not_run)
{
    build("open", GOOD("Open") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    char *path = sup_format("%s/open.so", dir);
    chmod(path, 0777);
    refused("chmod go-w");
    chmod(path, 0755);
    chmod(dir, 0775);
    refused("chmod go-w");
    chmod(dir, 0755);
    ck_assert_msg(load() == 0, "%s", why);
    free(path);
}
END_TEST

/* Moves the folder with one good plugin to PARENT/agents, and makes that `dir`. */
static char *put_below(const char *parent)
{
    char *above = sup_format("%s/%s", sup_dir(), parent), *to = sup_format("%s/agents", above);
    build("good", GOOD("Good") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    ck_assert_int_eq(mkdir(above, 0755), 0);
    ck_assert_int_eq(rename(dir, to), 0);
    snprintf(dir, sizeof dir, "%s", to);
    free(to);
    return above;
}

START_TEST(folders_above_that_others_can_write_are_refused)
{
    char *above = put_below("above");
    chmod(above, 0757);
    refused("above: the folder has mode 0757");
    ck_assert_ptr_nonnull(strstr(why, "chmod go-w"));
    chmod(above, 01777); /* other users may add names, but cannot change these */
    ck_assert_msg(load() == 0, "%s", why);
    free(above);
}
END_TEST

START_TEST(a_sticky_folder_of_plugins_is_refused)
{
    build("good", GOOD("Good") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    chmod(dir, 01777);
    refused("the folder has mode 1777");
}
END_TEST

START_TEST(another_users_folder_above_is_refused)
{
    char *above = put_below("his");
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(above, 65534, 65534), 0);
        refused("his: the folder belongs to user 65534");
        ck_assert_int_eq(chown(above, 0, 0), 0);
        ck_assert_int_eq(chown(dir, 65534, 0), 0);
        refused("agents: the folder belongs to user 65534");
    }
    free(above);
}
END_TEST

START_TEST(links_are_followed_where_nobody_else_can_change_them)
{
    char *path = sup_format("%s/good.so", dir), *safe = sup_format("%s/safe", sup_dir()),
         *file = sup_format("%s/good-1.so", safe), *link_dir = sup_format("%s/current", sup_dir());
    build("good", GOOD("Good") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    ck_assert_int_eq(mkdir(safe, 0755), 0);
    ck_assert_int_eq(rename(path, file), 0);
    ck_assert_int_eq(symlink("../safe/good-1.so", path), 0);
    ck_assert_int_eq(symlink("agents", link_dir), 0);
    snprintf(dir, sizeof dir, "%s", link_dir);
    chmod(safe, 0777);
    refused("safe: the folder has mode 0777");
    chmod(safe, 01777);
    refused("safe: the folder has mode 1777");
    chmod(safe, 0755);
    if (geteuid() == 0) {
        ck_assert_int_eq(lchown(link_dir, 65534, 65534), 0);
        refused("current: the symbolic link belongs to user 65534");
        ck_assert_int_eq(lchown(link_dir, 0, 0), 0);
        ck_assert_int_eq(lchown(path, 65534, 65534), 0);
        refused("good.so: the symbolic link belongs to user 65534");
        ck_assert_int_eq(lchown(path, 0, 0), 0);
    }
    ck_assert_msg(load() == 0, "%s", why);
    free(path);
    free(safe);
    free(file);
    free(link_dir);
}
END_TEST

START_TEST(a_cycle_of_links_ends)
{
    char *a = sup_format("%s/a", sup_dir());
    ck_assert_int_eq(symlink("a/b", a), 0);
    snprintf(dir, sizeof dir, "%s", a);
    refused("symbolic links");
    free(a);
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
    char *path = sup_format("%s/x.so", dir);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    refused("x.so: it is not a regular file");
    rmdir(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused("x.so: it is not a regular file");
    free(path);
}
END_TEST

START_TEST(a_relative_path_is_checked_from_the_root_on)
{
    char *above = put_below("above"), from[300];
    ck_assert_ptr_nonnull(getcwd(from, sizeof from));
    ck_assert_int_eq(chdir(dir), 0);
    snprintf(dir, sizeof dir, "../agents/.");
    chmod(above, 0777);
    refused("above: the folder has mode 0777");
    chmod(above, 0755);
    ck_assert_msg(load() == 0, "%s", why);
    ck_assert_int_eq(chdir(from), 0);
    free(above);
}
END_TEST

static int next_descriptor(void)
{
    int fd = dup(0);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return fd;
}

START_TEST(no_descriptor_stays_open)
{
    char *path = sup_format("%s/good.so", dir);
    int before = next_descriptor();
    build("good", GOOD("Good") "ASQ_PLUGIN { return asq_plugin_register(plugin, &cls); }");
    ck_assert_msg(load() == 0, "%s", why);
    chmod(path, 0777);
    refused("mode 0777");
    chmod(dir, 0777);
    refused("mode 0777");
    ck_assert_int_eq(next_descriptor(), before);
    free(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plugin");
    TCase *c = tcase_create("plugin");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_plugin_brings_its_classes);
    tcase_add_test(c, folders_without_plugins_are_told);
    tcase_add_test(c, what_is_no_plugin_is_told);
    tcase_add_test(c, another_abi_is_refused_with_both_versions);
    tcase_add_test(c, an_init_that_fails_is_told);
    tcase_add_test(c, a_class_that_is_there_already_is_told);
    tcase_add_test(c, what_others_can_write_is_not_run);
    tcase_add_test(c, folders_above_that_others_can_write_are_refused);
    tcase_add_test(c, a_sticky_folder_of_plugins_is_refused);
    tcase_add_test(c, another_users_folder_above_is_refused);
    tcase_add_test(c, links_are_followed_where_nobody_else_can_change_them);
    tcase_add_test(c, a_cycle_of_links_ends);
    tcase_add_test(c, what_is_no_regular_file_is_refused);
    tcase_add_test(c, a_relative_path_is_checked_from_the_root_on);
    tcase_add_test(c, no_descriptor_stays_open);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
