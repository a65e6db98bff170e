/*
 * modes.h: runs one body of tests in the three modes of asqueue: local:, child:, and independent,
 * which is a redis-server of the test program's own and workers forked from it with the classes of
 * classes.h.
 *
 *     START_TEST(a_call_returns_its_value)
 *     {
 *         asq_agent *a = counter(40);              // on the handle H
 *         ck_assert_int_eq(call_int(a, "add", "[i]", 2), 42);
 *         asq_agent_free(a);
 *     }
 *     ...
 *     int main(void) { return modes_main("calls", add_tests, NULL); }
 *
 * Each test gets a new handle H with the classes registered, which is closed after it. The tests of
 * a program share the independent deployment, so agents have random ids, or ids by own(). To run
 * one mode alone: CK_RUN_CASE=local (child, independent).
 */
#ifndef ASQ_TESTS_MODES_H
#define ASQ_TESTS_MODES_H

#include "asqueue.h"
#include "support/support.h"

#include <check.h>

enum mode { MODE_LOCAL, MODE_CHILD, MODE_INDEPENDENT };

extern enum mode mode;
extern asq *H;

/* Runs a suite. `add_all` adds the tests of every mode to a test case, `add_distributed` (or NULL)
 * the tests that need calls to run outside of the program. Returns main's status. */
int modes_main(const char *name, void (*add_all)(TCase *t), void (*add_distributed)(TCase *t));

/* Opens another handle on the deployment of H (in local mode, with agents of its own). */
asq *modes_open(void);
/* Opens `url` with the classes of classes.h registered. */
asq *modes_open_url(const char *url);
/* Forks workers that serve a namespace with these classes, ended by NULL. Stopping them checks that
 * they end in order. */
pid_t modes_fork_worker(const char *url, const char *ns, const asq_class *const *list);
/* Does the same with these options, except the URL. */
pid_t modes_fork_worker_with(const char *url, const asq_worker_options *own,
                             const asq_class *const *list);
void modes_stop_worker(pid_t pid);

/* Returns a unique id: "name-…". Lives until the test ends. */
const char *own(const char *name);

/* A file that signals an event, for methods that wait for it. */
void touch(const char *path);
bool exists(const char *path);

/* Agents of H. */
asq_agent *agent_new(const char *cls, const char *fmt, ...);
asq_agent *counter(int value);

/* Make a call that must succeed with an int; a call that must fail, whose code is returned. */
int64_t call_int(asq_agent *a, const char *method, const char *fmt, ...);
int call_code(asq_agent *a, const char *method, const char *fmt, ...);
/* Do the same for a result, which is freed. */
int64_t result_int(asq_result *r);
int result_code(asq_result *r);
/* Returns the code of a creation, from asq_create (local mode) or asq_ready. */
int create_code(const char *cls, const char *id, asq_value *args);

#define ok(expression)                                                                             \
    do {                                                                                           \
        int ok_ = (expression);                                                                    \
        ck_assert_msg(ok_ >= 0, "%s: %s: %s", #expression, asq_error_name(ok_), asq_errmsg(H));    \
    } while (0)
#define ck_assert_code(expression, code)                                                           \
    do {                                                                                           \
        int is_ = (expression);                                                                    \
        ck_assert_msg(is_ == (code), "%s is %d (%s: %s), not %s", #expression, is_,                \
                      is_ < 0 ? asq_strerror(is_) : "success", asq_errmsg(H), #code);              \
    } while (0)
#define ck_assert_contains(text, part)                                                             \
    ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in \"%s\"", part, text)
#define ck_assert_value(v, expected_json)                                                          \
    do {                                                                                           \
        char *json_ = NULL;                                                                        \
        ck_assert_int_eq(asq_to_json(v, 0, &json_), 0);                                            \
        ck_assert_str_eq(json_, expected_json);                                                    \
        free(json_);                                                                               \
    } while (0)

#endif
