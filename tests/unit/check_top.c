/*
 * check_top.c: what as-ctl top shows of a frame, without Redis and terminal: text from outside is
 * harmless, each size of terminal has a page, what stands out does, and keys lead where they
 * should.
 */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "support/suite.h"
#include "oldest.h"
#include "top/died.h"
#include "top/remember.h"
#include "top/view.h"

enum { NOW_MS = 1000000 };

static struct as_top_view view;
static struct as_top_frame *frame;
static struct as_top_page page;
static struct as_top_status status;

static asq_value *json(const char *text)
{
    asq_value *v;
    char why[200];
    int rc = asq_from_json(text, strlen(text), &v, why, sizeof why);
    ck_assert_msg(rc == 0, "%s: %s", why, text);
    return v;
}

static void set_up(void)
{
    frame = calloc(1, sizeof *frame);
    ck_assert_ptr_nonnull(frame);
    frame->read_ms = frame->queued_ms = NOW_MS;
    frame->time_ms = INT64_C(1795451824000);
    frame->stats = json(
        "{\"now\": {\"processes\": 1, \"agents\": 12, \"agent_bytes\": 3400, \"round_trip_ms\": 0.25},"
        " \"total\": {\"calls\": 6300, \"rate\": 105, \"failed\": 300, \"run\": {\"p50_ms\": 1,"
        " \"p99_ms\": 900}, \"queue\": {\"p50_ms\": 0.1, \"p99_ms\": 2}, \"commit\": null},"
        " \"methods\": ["
        " {\"class\": \"Fast\", \"method\": \"go\", \"calls\": 6000, \"rate\": 100, \"failed\": 0,"
        "  \"failures\": {}, \"run\": {\"p50_ms\": 1, \"p99_ms\": 2}, \"queue\": null},"
        " {\"class\": \"Slow\", \"method\": \"crawl\", \"calls\": 10, \"rate\": 0.2, \"failed\": 0,"
        "  \"failures\": {}, \"run\": {\"p50_ms\": 700, \"p99_ms\": 900}, \"queue\": null},"
        " {\"class\": \"Bad\", \"method\": \"break\", \"calls\": 300, \"rate\": 5, \"failed\": 300,"
        "  \"failures\": {\"ASQ_EUSER(3)\": 300}, \"run\": null, \"queue\": null}]}");
    frame->workers =
        json("[{\"id\": \"one.0\", \"alive\": true, \"seen_ms\": 300, \"lease_time_ms\": 10000,"
             "  \"uptime_ms\": 90000, \"pid\": 7, \"running\": 2},"
             " {\"id\": \"two.0\", \"alive\": false, \"seen_ms\": 12000, \"pid\": 8}]");
    frame->calls = json(
        "[{\"id\": \"3-aa-0\", \"state\": \"parked\", \"age_ms\": 42000, \"agent\": \"stuck-agent\","
        "  \"class\": \"Slow\", \"method\": \"crawl\", \"why\": \"waits for a call to other\"},"
        " {\"id\": \"3-bb-0\", \"state\": \"running\", \"age_ms\": 20, \"agent\": \"quick\","
        "  \"class\": \"Fast\", \"method\": \"go\", \"why\": \"runs\"},"
        " {\"id\": \"3-cc-0\", \"state\": \"waiting\", \"age_ms\": 15000, \"agent\": \"later\","
        "  \"class\": \"Fast\", \"method\": \"go\"}]");
    frame->n_calls[0] = frame->n_calls[1] = frame->n_calls[2] = 1;
    frame->failures = json(
        "[{\"id\": \"1-1\", \"time_ms\": 1795451823000, \"class\": \"Bad\", \"method\": \"break\","
        "  \"code\": \"ASQ_EUSER(3)\", \"message\": \"it broke\", \"agent\": \"fragile\"}]");
    frame->letters =
        json("[{\"id\": \"5-1764000000000-0\", \"time_ms\": 1795451820000, \"call\": \"bomb.tick\","
             "  \"reason\": \"a process died of it\", \"attempts\": 3}]");
    as_top_view_init(&view, "default", 1000);
    status = (struct as_top_status){ .now_ms = NOW_MS, .answered_ms = NOW_MS, .error = "" };
}

static void tear_down(void)
{
    as_top_frame_free(frame);
    as_top_page_release(&page);
}

static void draw_as(unsigned rows, unsigned cols)
{
    as_top_page_release(&page);
    ck_assert_int_eq(as_top_page_init(&page, rows, cols, true), 0);
    ck_assert_int_eq(as_top_draw(&view, frame, &status, &page), 0);
}

static void draw(void)
{
    draw_as(24, 120);
}

static void press(const char *keys)
{
    for (; *keys; keys++)
        ck_assert(as_top_view_key(&view, (unsigned char) *keys));
}

/* Returns the line that has the text; NULL: none. */
static const struct as_top_line *line_with(const char *text)
{
    for (unsigned i = 0; i < page.rows; i++)
        if (strstr(page.lines[i].text, text))
            return &page.lines[i];
    return NULL;
}

static void expect(const char *text)
{
    if (line_with(text))
        return;
    for (unsigned i = 0; i < page.rows; i++)
        fprintf(stderr, "|%s\n", page.lines[i].text);
    ck_abort_msg("the page does not have: %s", text);
}

/* Returns the style in which a text stands. */
static enum as_top_style style_of(const char *text)
{
    const struct as_top_line *line = line_with(text);
    ck_assert_msg(line != NULL, "the page does not have: %s", text);
    size_t at = (size_t) (strstr(line->text, text) - line->text), i = 0;
    while (i + 1 < line->n_spans && line->spans[i].end <= at)
        i++;
    return line->spans[i].style;
}

static const char *selected(void)
{
    for (unsigned i = 0; i < page.rows; i++)
        if (page.lines[i].selected)
            return page.lines[i].text;
    return "";
}

/* ---- Text ---- */

START_TEST(hostile_text_is_escaped_and_cut_to_whole_characters)
{
    static const char name[] = "a\x1b]0;x\x07\n\xe2\x80\xae\xff";
    ck_assert_int_eq(as_top_page_init(&page, 4, 40, true), 0);
    as_top_put(&page, 0, AS_TOP_PLAIN, name);
    ck_assert_str_eq(page.lines[0].text, "a\\x1b]0;x\\x07\\x0a\\u202e\\xff");
    as_top_put_cell(&page, 1, AS_TOP_PLAIN, name, 4, false);
    ck_assert_str_eq(page.lines[1].text, "a\xe2\x80\xa6  "); /* no part of an escape */
    as_top_put_cell(&page, 2, AS_TOP_PLAIN, "12", 4, true);
    ck_assert_str_eq(page.lines[2].text, "  12");
    page.utf8 = false;
    as_top_put_cell(&page, 3, AS_TOP_PLAIN, "gr\xc3\xbcn", 12, false);
    ck_assert_str_eq(page.lines[3].text, "gr\\u00fcn   ");
}
END_TEST

START_TEST(characters_take_the_columns_that_a_terminal_gives_them)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return;
    ck_assert_int_eq(as_top_page_init(&page, 3, 20, true), 0);
    as_top_put_cell(&page, 0, AS_TOP_PLAIN, "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 5, false);
    ck_assert_str_eq(page.lines[0].text, "\xe6\xbc\xa2\xe5\xad\x97\xe2\x80\xa6"); /* 2 + 2 + 1 */
    ck_assert_uint_eq(page.lines[0].used, 5);
    /* Marks without a width of their own do not pile up. */
    char pile[200] = "e";
    for (int i = 0; i < 60; i++)
        strcat(pile, "\xcc\x81");
    as_top_put(&page, 1, AS_TOP_PLAIN, pile);
    ck_assert_uint_le(page.lines[1].used, 20);
    ck_assert_ptr_nonnull(strstr(page.lines[1].text, "e\xcc\x81\xcc\x81\\u0301"));
    setlocale(LC_CTYPE, "C");
}
END_TEST

START_TEST(each_size_of_terminal_has_a_page_within_it)
{
    static const char *const keys[] = { "1", "2", "3", "4", "5", "2\n", "3\n", "5\n", "?", "1/x" };
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (unsigned rows = 0; rows < 70; rows += 1 + rows / 3)
            for (unsigned cols = 0; cols < 260; cols += 1 + cols / 5) {
                as_top_view_init(&view, "default", 1000);
                draw();
                press(keys[k]);
                draw_as(rows, cols);
                for (unsigned i = 0; i < page.rows; i++) {
                    ck_assert_uint_le(page.lines[i].used, cols);
                    ck_assert_uint_le(as_top_width(page.lines[i].text, 1000, true), cols);
                }
            }
}
END_TEST

START_TEST(a_small_terminal_has_the_columns_that_matter)
{
    draw_as(15, 60);
    expect("METHOD");
    expect("Slow.crawl");
    expect("RUN p99");
    ck_assert_ptr_null(line_with("COMMIT p99"));
    press("2");
    draw_as(15, 60);
    expect("stuck-agent");
    expect("42.0 s");
    expect("waits for");
}
END_TEST

START_TEST(fields_of_any_form_are_shown_as_far_as_they_can_be)
{
    static const char *const forms[] = { "null",
                                         "[]",
                                         "{}",
                                         "[null, 1, \"x\", {}, []]",
                                         "[{\"id\": 3, \"age_ms\": \"x\", \"class\": {}}]",
                                         "{\"methods\": [7], \"total\": [], \"now\": 1}" };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        tear_down();
        set_up();
        asq_value **parts[] = { &frame->stats, &frame->workers, &frame->calls, &frame->failures,
                                &frame->letters };
        for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
            asq_value_free(*parts[p]);
            *parts[p] = json(forms[i]);
        }
        for (char table = '1'; table <= '5'; table++) {
            press((char[]){ table, '\0' });
            draw();
        }
    }
}
END_TEST

/* ---- What stands out ---- */

START_TEST(the_header_tells_what_is_wrong)
{
    draw();
    expect("calls 105/s  failed 300  run p50 1.00 ms p99 900 ms");
    ck_assert_int_eq(style_of("failed 300"), AS_TOP_BAD);
    expect("running 1  parked 1  waiting 1, the oldest for 15.0 s");
    ck_assert_int_eq(style_of("waiting 1,"), AS_TOP_WARN);
    expect("agents in memory 12, 3400B  Redis 0.25 ms");
    asq_map_set_int(asq_map_find(frame->stats, "now"), "processes", 0);
    draw();
    ck_assert_ptr_null(line_with("Redis 0.25 ms"));
    ck_assert_int_eq(style_of("1 dead"), AS_TOP_BAD);
    ck_assert_int_eq(style_of("dead letters 1"), AS_TOP_BAD);
    ck_assert_ptr_null(line_with("PAUSED"));
    frame->paused = json("[{\"class\": \"Slow\"}]");
    draw();
    expect("PAUSED: class Slow  workers 1 alive");
    asq_value_free(frame->paused);
    frame->paused = json("[{\"class\": null}, {\"class\": \"Slow\"}]");
    draw();
    expect("PAUSED: the namespace");
}
END_TEST

START_TEST(failing_methods_stuck_calls_and_dead_workers_stand_out)
{
    draw();
    ck_assert_int_eq(style_of("Bad.break"), AS_TOP_BAD);
    ck_assert_int_eq(style_of("Fast.go"), AS_TOP_PLAIN);
    expect("300 ASQ_EUSER(3)");
    press("2");
    draw();
    ck_assert_int_eq(style_of("waits for a call to other"), AS_TOP_WARN);
    ck_assert_str_eq(selected(), line_with("stuck-agent")->text); /* the oldest one is first */
    press("3");
    draw();
    ck_assert_int_eq(style_of("two.0"), AS_TOP_BAD);
    ck_assert_int_eq(style_of("one.0"), AS_TOP_PLAIN);
    press("4");
    draw();
    expect("it broke");
    press("5");
    draw();
    expect("a process died of it");
}
END_TEST

START_TEST(ages_go_on_while_nothing_is_read)
{
    press("2");
    status.now_ms += 60000;
    draw();
    expect("102 s");
    expect("These figures are 60.0 s old: Redis has not answered yet");
    status.error = "the connection to Redis is lost";
    draw();
    expect("These figures are 60.0 s old: the connection to Redis is lost");
    ck_assert_int_eq(style_of("These figures"), AS_TOP_BAD);
    status.answered_ms = status.now_ms;
    status.error = "";
    draw();
    ck_assert_ptr_null(line_with("These figures"));
}
END_TEST

START_TEST(a_tall_terminal_has_other_tables_below)
{
    draw_as(60, 120);
    expect("Slow.crawl");
    expect("stuck-agent");
    expect("two.0");
    draw_as(24, 120);
    ck_assert_ptr_null(line_with("stuck-agent"));
}
END_TEST

/* ---- Keys ---- */

START_TEST(rows_are_sorted_by_each_column_and_backwards)
{
    draw();
    ck_assert_ptr_nonnull(strstr(selected(), "Slow.crawl")); /* the slowest comes first */
    expect("RUN p99*");
    press("SSSg"); /* run p50, failed, rate */
    draw();
    ck_assert_ptr_nonnull(strstr(selected(), "Fast.go"));
    expect("CALLS/s*");
    press("sssrg"); /* run p99, backwards */
    draw();
    ck_assert_ptr_nonnull(strstr(selected(), "Fast.go"));
    press("G"); /* what has no figure is last either way */
    draw();
    ck_assert_ptr_nonnull(strstr(selected(), "Bad.break"));
}
END_TEST

START_TEST(the_selection_stays_with_its_row_when_the_order_changes)
{
    press("2");
    draw();
    ck_assert_ptr_nonnull(strstr(selected(), "stuck-agent"));
    press("r");
    draw();
    ck_assert_ptr_nonnull(strstr(selected(), "stuck-agent")); /* now the last one */
    asq_list_remove(frame->calls, 0);                         /* it has ended */
    draw();
    ck_assert_str_ne(selected(), "");
}
END_TEST

START_TEST(the_selected_row_is_always_shown)
{
    asq_value *calls = asq_value_list();
    for (int i = 0; i < 300; i++) {
        char id[20];
        snprintf(id, sizeof id, "1-%03d-0", i);
        asq_list_append(calls, asq_pack("{s:s, s:s, s:i, s:s}", "id", id, "state", "running",
                                        "age_ms", i, "agent", id));
    }
    asq_value_free(frame->calls);
    frame->calls = calls;
    press("2");
    draw();
    for (int i = 0; i < 320; i++) {
        press(i % 3 ? "j" : "jj");
        draw_as(20, 100);
        ck_assert_str_ne(selected(), "");
    }
    ck_assert_ptr_nonnull(strstr(selected(), "1-000-0")); /* the youngest is last */
    as_top_view_key(&view, AS_TOP_KEY_PAGE_UP);
    draw_as(20, 100);
    ck_assert_ptr_nonnull(strstr(selected(), "1-013-0")); /* one row is shown again */
    press("g");
    draw_as(20, 100);
    ck_assert_ptr_nonnull(strstr(selected(), "1-299-0"));
}
END_TEST

START_TEST(a_filter_shows_rows_with_its_text)
{
    press("2/STUCK");
    draw();
    expect("show rows with: STUCK_");
    expect("stuck-agent");
    ck_assert_ptr_null(line_with("quick"));
}
END_TEST

START_TEST(keys_of_a_filter_are_its_text)
{
    press("2/q\x7f\xc3\xbc\x7f");
    ck_assert_str_eq(view.tables[AS_TOP_CALLS].filter, ""); /* a whole character goes at once */
    for (int i = 0; i < 1000; i++)
        press("x");
    draw();
    expect("none of them has the filter's text");
    press("\n");
    ck_assert_int_eq(view.mode, AS_TOP_BROWSE);
    press("\x1b");
    draw();
    expect("stuck-agent");
    ck_assert(!as_top_view_key(&view, 'q'));
}
END_TEST

START_TEST(enter_leads_to_the_agent_and_escape_back)
{
    press("2");
    draw();
    press("\n");
    ck_assert_int_eq(as_top_view_wish(&view).subject, AS_TOP_AGENT);
    ck_assert_str_eq(as_top_view_wish(&view).id, "stuck-agent");
    draw();
    expect("reading ...");
    frame->subject = AS_TOP_AGENT;
    strcpy(frame->id, "stuck-agent");
    frame->record =
        json("{\"id\": \"stuck-agent\", \"class\": \"Slow\", \"state\": {\"n\": [1, 2]},"
             " \"text\": \"\\u001b[2J\"}");
    frame->its_calls = json("[{\"id\": \"3-aa-0\", \"state\": \"parked\", \"age_ms\": 42000,"
                            " \"agent\": \"stuck-agent\", \"class\": \"Slow\"}]");
    frame->its_failures = json("[]");
    draw();
    expect("agent stuck-agent");
    expect("calls: 1");
    expect("no failures are kept");
    expect("class: Slow");
    expect("\"n\": [");
    expect("text: \\x1b[2J");
    for (int i = 0; i < 50; i++)
        press("j");
    draw(); /* beyond the end of the text its last line stays */
    draw();
    expect("text: ");
    press("\x1b");
    draw();
    expect("quick");
}
END_TEST

START_TEST(a_method_leads_to_its_calls_and_failures_and_a_letter_to_its_cause)
{
    draw();
    press("\n"); /* the slowest comes first */
    ck_assert(as_top_view_wish(&view).failures);
    draw();
    expect("method Slow.crawl");
    expect("calls: 1");
    expect("stuck-agent");
    ck_assert_ptr_null(line_with("quick"));
    expect("no failures are kept");
    expect("\"p50_ms\": 700");
    press("\x1b");
    draw();
    press("G");
    draw();
    press("\n");
    draw();
    expect("method Bad.break");
    expect("no calls");
    expect("failures: 1");
    expect("\"ASQ_EUSER(3)\": 300");
    press("5");
    draw();
    press("\n");
    ck_assert_int_eq(as_top_view_wish(&view).subject, AS_TOP_LETTER);
    ck_assert_str_eq(as_top_view_wish(&view).id, "5-1764000000000-0");
    press("3");
    draw();
    press("j");
    draw();
    press("\n");
    draw();
    expect("worker two.0");
    expect("seen_ms: 12000");
}
END_TEST

START_TEST(a_failure_is_opened_with_its_whole_message_and_leads_to_its_agent)
{
    char text[3000], message[1200];
    memset(message, 'x', sizeof message);
    message[sizeof message - 1] = '\0';
    snprintf(
        text, sizeof text,
        "[{\"id\": \"1-1\", \"time_ms\": 1795451823000, \"class\": \"Bad\", \"method\": \"break\","
        " \"code\": \"ASQ_EUSER(3)\", \"message\": \"%sEND\", \"agent\": \"fragile\"}]",
        message);
    asq_value_free(frame->failures);
    frame->failures = json(text);
    press("4");
    draw();
    ck_assert_ptr_null(line_with("xEND"));
    press("\n");
    ck_assert_int_eq(as_top_view_wish(&view).subject, AS_TOP_FAILURE);
    draw();
    expect("failure 1-1");
    expect("xEND");
    expect("code: ASQ_EUSER(3)");
    expect("Enter its agent");
    /* It has left the list, and stays for who reads it. */
    frame->record = asq_value_copy(asq_list_get(frame->failures, 0));
    frame->subject = AS_TOP_FAILURE;
    strcpy(frame->id, "1-1");
    asq_list_remove(frame->failures, 0);
    draw();
    expect("xEND");
    press("\n");
    ck_assert_int_eq(as_top_view_wish(&view).subject, AS_TOP_AGENT);
    ck_assert_str_eq(as_top_view_wish(&view).id, "fragile");
}
END_TEST

START_TEST(a_running_call_is_compared_with_what_is_usual)
{
    press("2");
    draw_as(24, 160);
    expect("running for 20.0 ms, median 1.00 ms");
    asq_value_free(frame->calls);
    frame->calls = json("[{\"id\": \"3-dd-0\", \"state\": \"running\", \"age_ms\": 999000,"
                        "  \"run_ms\": 600000, \"agent\": \"a\", \"class\": \"New\","
                        "  \"method\": \"one\"}]");
    draw_as(24, 160);
    expect("running for 10 min");
    ck_assert_ptr_null(line_with("median"));
}
END_TEST

START_TEST(how_far_a_call_is_is_shown)
{
    press("2");
    frame->progress = json("{\"3-aa-0\": {\"emitted\": 3, \"value\": 0.5},"
                           " \"3-bb-0\": {\"emitted\": 9, \"value\": \"p\\u001b[31m. 12\"}}");
    draw_as(24, 160);
    expect("[#####-----]  50 %; waits for a call to other");
    expect("emits \"p\\u001b[31m. 12\"; running for 20.0 ms");
    asq_value_free(frame->progress);
    frame->progress = json("{\"3-aa-0\": {\"emitted\": 3, \"value\": 2.5},"
                           " \"3-bb-0\": {\"emitted\": 9, \"value\":"
                           " \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\u00e4\u00e4\u00e4bbb\"}}");
    draw_as(24, 160);
    expect("emits 2.5; waits for a call to other");
    expect(
        "emits \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\u00e4\u2026; running"); /* whole characters */
}
END_TEST

START_TEST(an_agent_can_be_named)
{
    press("axyz\n");
    ck_assert_int_eq(as_top_view_wish(&view).subject, AS_TOP_AGENT);
    ck_assert_str_eq(as_top_view_wish(&view).id, "xyz");
    press("\x1b"
          "a\n"); /* no name: nothing */
    ck_assert_int_eq(as_top_view_wish(&view).subject, AS_TOP_NOTHING);
}
END_TEST

START_TEST(any_keys_do_no_harm)
{
    unsigned seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        int key = (int) (seed >> 16) % 300;
        key = key < 256 ? key : AS_TOP_KEY_UP + key % 10;
        if (key != 'q')
            as_top_view_key(&view, key);
        if (i % 7 == 0)
            draw_as(10 + (seed >> 8) % 40, 20 + (seed >> 4) % 150);
    }
}
END_TEST

/* ---- Workers that go, many calls ---- */

static asq_value *listed(struct as_top_memory *memory, const char *text, int64_t now_ms)
{
    asq_value *list = json(text);
    ck_assert_int_eq(as_top_remember(memory, list, now_ms), 0);
    return list;
}

static void expect_became(asq_value *list, size_t i, const char *became)
{
    ck_assert_uint_gt(asq_list_size(list), i);
    ck_assert_str_eq(asq_map_string(asq_list_get(list, i), "became"), became);
    asq_value_free(list);
}

START_TEST(workers_that_are_gone_are_told_apart)
{
    static const char one[] = "[{\"id\": \"a\", \"alive\": true, \"seen_ms\": 100, \"pid\": 5,"
                              " \"lease_time_ms\": 10000, \"uptime_ms\": 5000, \"running\": 1}]";
    static const char late[] = "[{\"id\": \"a\", \"alive\": true, \"seen_ms\": 9500, \"pid\": 5,"
                               " \"lease_time_ms\": 10000}]";
    static const char anew[] = "[{\"id\": \"a\", \"alive\": true, \"seen_ms\": 10, \"pid\": 5,"
                               " \"lease_time_ms\": 10000, \"uptime_ms\": 20}]";
    struct as_top_memory memory = { .n = 0 };
    expect_became(listed(&memory, one, 0), 0, "");
    expect_became(listed(&memory, late, 9400), 0, "");
    expect_became(listed(&memory, "[]", 10400), 0, "died");
    expect_became(listed(&memory, anew, 20000), 0, "restarted");
    expect_became(listed(&memory, "[]", 21000), 0, "left"); /* soon after a heartbeat */
    asq_value *list = listed(&memory, "[]", 22000);
    ck_assert_int_eq(asq_map_int(asq_list_get(list, 0), "seen_ms"), 2010);
    ck_assert_ptr_null(asq_map_get(asq_list_get(list, 0), "running"));
    asq_value_free(list);
    list = listed(&memory, "[]", 22000 + AS_TOP_REMEMBER_MS);
    ck_assert_uint_eq(asq_list_size(list), 0);
    asq_value_free(list);
    as_top_forget(&memory);
}
END_TEST

START_TEST(workers_of_before_are_told_by_their_number)
{
    static const struct {
        const char *points;
        size_t most;
        int64_t time_ms;
    } cases[] = {
        { "[]", 0, 0 },
        { "[{\"time_ms\": 1}, {\"time_ms\": 2, \"processes\": null}]", 0, 0 },
        { "[{\"time_ms\": 1, \"processes\": 3}, {\"time_ms\": 2, \"processes\": 3},"
          " {\"time_ms\": 3, \"processes\": 2}, {\"time_ms\": 4}]",
          3, 2 },
        { "[{\"time_ms\": 1, \"processes\": 1e300}, {\"time_ms\": 2, \"processes\": 1}]", 1, 2 },
        { "[{\"time_ms\": 1, \"processes\": -1}, 7]", 0, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        asq_value *points = json(cases[i].points);
        int64_t time_ms = 0;
        ck_assert_uint_eq(as_history_most_workers(points, &time_ms), cases[i].most);
        ck_assert_int_eq(time_ms, cases[i].time_ms);
        asq_value_free(points);
    }
    frame->history.most_workers = 1;
    frame->history.most_ms = frame->time_ms;
    draw();
    ck_assert_ptr_null(line_with("until"));
    frame->history.most_workers = 3;
    draw();
    expect("workers 1 alive  there were 3 until ");
    ck_assert_int_eq(style_of("there were 3 until "), AS_TOP_WARN);
}
END_TEST

/* Deaths as asq_workers_dead lists them: `age` ms before the frame. */
static void died(const char *id, int pid, int64_t age, const char *more)
{
    char text[600];
    snprintf(
        text, sizeof text,
        "{\"id\": \"%s\", \"time_ms\": %lld, \"how\": \"SIGSEGV\", \"host\": \"h\", \"pid\": %d,"
        " \"heirs\": {\"one.0\": 1, \"three.0\": 4}%s}",
        id, (long long) (frame->time_ms - age), pid, more);
    if (!frame->deaths)
        frame->deaths = asq_value_list();
    ck_assert_int_eq(asq_list_append(frame->deaths, json(text)), 0);
}

static size_t rows_with(const char *text)
{
    size_t n = 0;
    for (unsigned i = 0; i < page.rows; i++)
        n += strstr(page.lines[i].text, text) != NULL;
    return n;
}

START_TEST(deaths_of_before_are_told_with_who_took_over)
{
    died("four.0", 9, 5000, "");
    died("two.0", 8, 60000, "");
    died("one.0", 6, 120000, "");
    died("one.0", 7, 130000, ", \"heard_ms\": 1");
    died("old.0", 5, AS_TOP_DEAD_MS + 1, "");
    ck_assert_int_eq(as_top_add_dead(frame->workers, frame->deaths, frame->time_ms), 0);
    press("3");
    draw_as(24, 200);
    expect("four.0 died 5000 ms ago: SIGSEGV  its partitions went to three.0 4, one.0 1"
           "  4 more in 24 h: as-ctl workers --dead");
    ck_assert_int_eq(style_of("four.0 died"), AS_TOP_BAD);
    /* Two of them are new; two.0 is listed, and one.0 lives in place of a process that has died. */
    ck_assert_uint_eq(asq_list_size(frame->workers), 4);
    ck_assert_uint_eq(rows_with("SIGSEGV; heirs: three.0 4, one.0 1"), 3);
    ck_assert_ptr_nonnull(line_with("restarted  "));
    ck_assert_uint_eq(rows_with("old.0"), 0);
    expect("1 restarted");
    press("r"); /* the last ones by the alphabet come first */
    as_top_view_key(&view, AS_TOP_KEY_HOME);
    draw_as(24, 200);
    as_top_view_key(&view, AS_TOP_KEY_ENTER);
    draw_as(24, 200);
    expect("worker two.0 8");
    expect("heirs: three.0 4, one.0 1");
}
END_TEST

START_TEST(a_dead_worker_has_no_partitions_and_runs_nothing)
{
    asq_value_free(frame->workers);
    frame->workers = json("[{\"id\": \"gone.0\", \"alive\": false, \"seen_ms\": 12000, \"pid\": 8,"
                          " \"partitions\": 4321, \"running\": 4322, \"parked\": 4323,"
                          " \"uptime_ms\": 5}]");
    press("3");
    draw_as(24, 200);
    expect("gone.0");
    ck_assert_ptr_null(line_with("432"));
    ck_assert_ptr_null(line_with("5.00 ms"));
}
END_TEST

START_TEST(the_oldest_of_many_calls_are_kept)
{
    enum { LIMIT = 500 };
    struct as_oldest oldest = { .limit = LIMIT };
    for (int i = 0; i < 20000; i++) {
        asq_value *call = asq_pack("{s:s, s:i}", "state", i % 2 ? "waiting" : "delayed", "age_ms",
                                   i * 7919 % 20000);
        ck_assert_int_eq(as_oldest_add(&oldest, call), 0);
        asq_value_free(call);
        ck_assert_uint_lt(oldest.n, (size_t) 2 * LIMIT);
    }
    asq_value *list;
    ck_assert_int_eq(as_oldest_list(&oldest, &list), 0);
    ck_assert_uint_eq(asq_list_size(list), LIMIT);
    for (size_t i = 0; i < LIMIT; i++)
        ck_assert_int_eq(asq_map_int(asq_list_get(list, i), "age_ms"), 19999 - (int64_t) i);
    ck_assert_uint_eq(oldest.seen, 20000);
    asq_value_free(list);
}
END_TEST

START_TEST(a_frame_is_written_as_one_map)
{
    asq_value *map = as_top_frame_value(frame);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(asq_list_size(asq_map_get(map, "workers")), 2);
    ck_assert_uint_eq(asq_list_size(asq_map_get(map, "calls")), 3);
    ck_assert_int_eq(asq_map_int(asq_map_get(map, "call_counts"), "parked"), 1);
    asq_value_free(map);
}
END_TEST

START_TEST(numbers_are_short)
{
    static const struct {
        double number;
        const char *as_ms, *as_number;
    } cases[] = { { 0, "0.00 ms", "0" },        { 0.125, "0.12 ms", "0.12" },
                  { 42, "42.0 ms", "42" },      { 9999, "9999 ms", "9999" },
                  { 15000, "15.0 s", "15000" }, { 250000, "4 min", "250k" },
                  { 6e6, "100 min", "6000k" },  { 4e9, "46 d", "4000M" } };
    char text[32];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_str_eq(as_top_short_ms(cases[i].number, text), cases[i].as_ms);
        ck_assert_str_eq(as_top_short_number(cases[i].number, text), cases[i].as_number);
    }
    ck_assert_str_eq(as_top_short_ms(NAN, text), "-");
    ck_assert_str_eq(as_top_short_number(NAN, text), "-");
    ck_assert_uint_le(strlen(as_top_short_ms(1e300, text)), 8);
    ck_assert_uint_le(strlen(as_top_short_number(1e300, text)), 8);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("top");
    TCase *tc = tcase_create("top");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, hostile_text_is_escaped_and_cut_to_whole_characters);
    tcase_add_test(tc, characters_take_the_columns_that_a_terminal_gives_them);
    tcase_add_test(tc, each_size_of_terminal_has_a_page_within_it);
    tcase_add_test(tc, a_small_terminal_has_the_columns_that_matter);
    tcase_add_test(tc, fields_of_any_form_are_shown_as_far_as_they_can_be);
    tcase_add_test(tc, the_header_tells_what_is_wrong);
    tcase_add_test(tc, failing_methods_stuck_calls_and_dead_workers_stand_out);
    tcase_add_test(tc, ages_go_on_while_nothing_is_read);
    tcase_add_test(tc, a_tall_terminal_has_other_tables_below);
    tcase_add_test(tc, rows_are_sorted_by_each_column_and_backwards);
    tcase_add_test(tc, the_selection_stays_with_its_row_when_the_order_changes);
    tcase_add_test(tc, the_selected_row_is_always_shown);
    tcase_add_test(tc, a_filter_shows_rows_with_its_text);
    tcase_add_test(tc, keys_of_a_filter_are_its_text);
    tcase_add_test(tc, enter_leads_to_the_agent_and_escape_back);
    tcase_add_test(tc, a_method_leads_to_its_calls_and_failures_and_a_letter_to_its_cause);
    tcase_add_test(tc, a_failure_is_opened_with_its_whole_message_and_leads_to_its_agent);
    tcase_add_test(tc, a_running_call_is_compared_with_what_is_usual);
    tcase_add_test(tc, how_far_a_call_is_is_shown);
    tcase_add_test(tc, an_agent_can_be_named);
    tcase_add_test(tc, any_keys_do_no_harm);
    tcase_add_test(tc, workers_that_are_gone_are_told_apart);
    tcase_add_test(tc, workers_of_before_are_told_by_their_number);
    tcase_add_test(tc, deaths_of_before_are_told_with_who_took_over);
    tcase_add_test(tc, a_dead_worker_has_no_partitions_and_runs_nothing);
    tcase_add_test(tc, the_oldest_of_many_calls_are_kept);
    tcase_add_test(tc, a_frame_is_written_as_one_map);
    tcase_add_test(tc, numbers_are_short);
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
