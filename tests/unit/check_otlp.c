/*
 * check_otlp.c: spans are written as OTLP has them, whatever texts and times they have.
 */
#include "support/otlp_schema.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/otlp.h"
#include "value/span.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t root[ASQ__TRACE_ID] = { 0xab, [15] = 1 }, id[ASQ__SPAN_ID] = { 0xcd, [7] = 2 };
static const struct asq__otlp_resource resource = { "a \"service\"", "w.0", "host", 42 };

enum { UNIX_NS = 1700000000, BEGIN_NS = 1000 };

static struct asq__span *span(const char *class_name, const char *method, const char *agent,
                              const Asqueue__Trace *trace)
{
    struct asq__span_about about = { class_name, method, agent, "1-00-0", 1, 1 };
    struct asq__span *s = asq__span_new(ASQ__SPAN_SERVER, &about, trace, root, id, BEGIN_NS);
    ck_assert_ptr_nonnull(s);
    s->end_ns = BEGIN_NS + 1000;
    return s;
}

/* Writes a span, frees it, and returns the list of spans; the caller drops the request. */
static json_t *written(struct asq__span *s, json_t **ret_request)
{
    struct asq__buf out;
    struct asq__list spans;
    json_error_t error;
    char why[300];
    asq__list_init(&spans);
    asq__list_add(&spans, &s->node);
    asq__buf_init(&out, 1 << 20);
    asq__otlp_write(&resource, &spans, (int64_t) UNIX_NS * 1000000000, &out);
    ck_assert_int_eq(out.error, 0);
    *ret_request = json_loadb((const char *) out.data, out.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(*ret_request != NULL, "%s", error.text);
    ck_assert_msg(sup_otlp_check(*ret_request, why, sizeof why), "%s", why);
    asq__buf_release(&out);
    asq__list_del(&s->node);
    asq__span_free(s);
    json_t *r = json_array_get(json_object_get(*ret_request, "resourceSpans"), 0);
    return json_object_get(json_array_get(json_object_get(r, "scopeSpans"), 0), "spans");
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

START_TEST(a_root_has_no_parent_and_the_calls_below_it_do)
{
    json_t *request;
    struct asq__span *s = span("C", "m", "a", NULL), *below = span("C", "m", "a", &s->trace);
    json_t *list = written(below, &request);
    ck_assert_str_eq(text(json_array_get(list, 0), "parentSpanId"), "cd00000000000002");
    ck_assert_str_eq(text(json_array_get(list, 0), "traceId"), "ab000000000000000000000000000001");
    json_decref(request);
    list = written(s, &request);
    ck_assert_ptr_null(json_object_get(json_array_get(list, 0), "parentSpanId"));
    ck_assert_str_eq(text(json_array_get(list, 0), "name"), "C.m");
    ck_assert_str_eq(text(json_array_get(list, 0), "startTimeUnixNano"), "1700000000000001000");
    json_decref(request);
}
END_TEST

START_TEST(hostile_texts_are_harmless)
{
    json_t *request;
    struct asq__span *s = span("</script>\"\\", "\x01\n", "\xe2\x80\xae{{", NULL);
    char longest[3000];
    memset(longest, 'x', sizeof longest);
    longest[998] = '\xe2'; /* a character that is cut, and one that is none */
    longest[999] = '\x82';
    longest[1000] = '\xac';
    longest[5] = '\xff';
    longest[2999] = '\0';
    asq__span_fail(s, -12345, longest);
    json_t *list = written(s, &request), *first = json_array_get(list, 0);
    ck_assert_str_eq(text(first, "name"), "</script>\"\\.\x01\n");
    const char *message = text(json_object_get(first, "status"), "message");
    ck_assert_uint_eq(strlen(message), 998);
    ck_assert_int_eq(message[5], '?');
    json_decref(request);
}
END_TEST

START_TEST(phases_follow_each_other_and_are_bounded)
{
    json_t *request;
    struct asq__span *s = span("C", "m", "a", NULL);
    asq__span_enter(s, ASQ__PHASE_QUEUE, BEGIN_NS);
    for (int i = 0; i < 1000; i++)
        asq__span_enter(s, i % 2 ? ASQ__PHASE_PARKED : ASQ__PHASE_RUN, BEGIN_NS + i);
    asq__span_enter(s, ASQ__PHASE_COMMIT, BEGIN_NS + 999);
    json_t *list = written(s, &request);
    size_t n = json_array_size(list);
    ck_assert_uint_eq(n, 1 + ASQ__SPAN_PHASES);
    ck_assert_str_eq(text(json_array_get(list, 1), "name"), "queue");
    ck_assert_str_eq(text(json_array_get(list, n - 1), "name"), "commit");
    for (size_t i = 1; i + 1 < n; i++)
        ck_assert_str_eq(text(json_array_get(list, i), "endTimeUnixNano"),
                         text(json_array_get(list, i + 1), "startTimeUnixNano"));
    char *all = json_dumps(request, 0);
    ck_assert_ptr_nonnull(strstr(all, "asqueue.phases_cut"));
    free(all);
    json_decref(request);
}
END_TEST

static const struct {
    const char *answer, *why; /* NULL: nothing is rejected */
    bool cut;
} answers[] = {
    { "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"too old\"}}",
      "it rejects spans: too old", false },
    { "{\"partialSuccess\":{\"rejectedSpans\":3}}", "it rejects spans: without a reason", false },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"0\",\"errorMessage\":\"use gzip\"}}", NULL, false },
    { "{\"partialSuccess\":{\"errorMessage\":\"use gzip\"}}", NULL, false },
    { "{\"partialSuccess\":{\"rejectedSpans\":[3],\"errorMessage\":3}}", NULL, false },
    { "{\"partialSuccess\":3}", NULL, false },
    { "{\"partialSuccess\":null}", NULL, false },
    { "{}", NULL, false },
    { "[]", NULL, false },
    { "3", NULL, false },
    { "", NULL, false },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"3\"", NULL, false },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"3\"", "it rejects spans: without a reason", true },
    { "{\"partialSuccess\": {\"rejectedSpans\" : 3", "it rejects spans: without a reason", true },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"0\",\"errorMessage\":\"", NULL, true },
    { "{\"partialSuccess\":{\"rejectedSpans\"", NULL, true },
    { "{\"partialSuccess\":{\"errorMessage\":\"", NULL, true },
};

START_TEST(an_answer_tells_whether_spans_are_rejected)
{
    char why[100] = "";
    const char *expected = answers[_i].why;
    uint64_t rejected = asq__otlp_rejects(answers[_i].answer, strlen(answers[_i].answer),
                                          !answers[_i].cut, why, sizeof why);
    ck_assert_uint_eq(rejected, expected ? 3 : 0);
    ck_assert_str_eq(why, expected ? expected : "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("otlp");
    TCase *c = tcase_create("all");
    tcase_add_test(c, a_root_has_no_parent_and_the_calls_below_it_do);
    tcase_add_test(c, hostile_texts_are_harmless);
    tcase_add_test(c, phases_follow_each_other_and_are_bounded);
    tcase_add_loop_test(c, an_answer_tells_whether_spans_are_rejected, 0,
                        sizeof answers / sizeof *answers);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
