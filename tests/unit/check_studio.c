/*
 * check_studio.c: addresses of requests are taken apart safely, as-studio's rules about who may do
 * what hold for each header, calls that wait for each other become the right graph, and rates are
 * the mean of some seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "studio/auth.h"
#include "studio/graph.h"
#include "studio/rates.h"
#include "studio/target.h"
#include "support/suite.h"
#include "support/support.h"

/* ---- addresses ------------------------------------------------------------------------------ */

static const struct {
    const char *uri, *path, *params; /* joined; path NULL: refused */
} targets[] = {
    { "/", "", "" },
    { "/api/agents/a%20b%2Fc", "api|agents|a b/c", "" },
    { "//api///x/", "api|||x", "" },
    { "/api?x=1&y=a+b%2B", "api", "x=1 y=a b+" },
    { "/api?x", "api", "x=" },
    { "/api?x=&&y==", "api", "x= y==" },
    { "/api?#x=1", "api", "" },
    { "/api#?x=1", "api", "" },
    { "/a+b", "a+b", "" },
    { "/%c3%a4", "\xc3\xa4", "" },
    { "/%e2%80%ae", "\xe2\x80\xae", "" },
    { "", NULL, NULL },
    { "api", NULL, NULL },
    { "http://host/api", NULL, NULL },
    { "/%", NULL, NULL },
    { "/%4", NULL, NULL },
    { "/%4g", NULL, NULL },
    { "/%00", NULL, NULL },
    { "/%ff", NULL, NULL },
    { "/%c3", NULL, NULL },
    { "/\x01", NULL, NULL },
    { "/a b", NULL, NULL },
    { "/x?a=1&a=2", NULL, NULL },
    { "/x?a=%0", NULL, NULL },
    { "/1/2/3/4/5/6/7/8", "1|2|3|4|5|6|7|8", "" },
    { "/1/2/3/4/5/6/7/8/9", NULL, NULL },
    { "/x?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", NULL, NULL },
};

START_TEST(addresses_are_taken_apart)
{
    char err[200] = "", path[300] = "", params[300] = "";
    struct as_target t;
    int rc = as_target_parse(targets[_i].uri, &t, err, sizeof err);
    if (!targets[_i].path) {
        ck_assert_int_eq(rc, ASQ_EINVAL);
        ck_assert_str_ne(err, "");
        return;
    }
    ck_assert_int_eq(rc, 0);
    for (size_t i = 0; i < t.n_segments; i++)
        snprintf(path + strlen(path), sizeof path - strlen(path), "%s%s", i ? "|" : "",
                 t.segments[i]);
    for (size_t i = 0; i < t.n_params; i++)
        snprintf(params + strlen(params), sizeof params - strlen(params), "%s%s=%s", i ? " " : "",
                 t.params[i].name, t.params[i].value);
    ck_assert_str_eq(path, targets[_i].path);
    ck_assert_str_eq(params, targets[_i].params);
    as_target_release(&t);
}
END_TEST

START_TEST(a_long_address_is_refused)
{
    char *uri = calloc(1, AS_TARGET_BYTES + 2), err[200];
    struct as_target t;
    memset(uri, 'a', AS_TARGET_BYTES + 1);
    uri[0] = '/';
    ck_assert_int_eq(as_target_parse(uri, &t, err, sizeof err), ASQ_ELIMIT);
    uri[AS_TARGET_BYTES] = '\0';
    ck_assert_int_eq(as_target_parse(uri, &t, err, sizeof err), 0);
    as_target_release(&t);
    free(uri);
}
END_TEST

/* Random bytes of the letters that mean something: nothing but an answer may come of them. */
START_TEST(random_addresses_do_no_harm)
{
    static const char letters[] = "/?&=%+#;0aAfF9.\xc3\xa4\x7f\x01 ";
    unsigned seed = 1;
    for (int n = 0; n < 200000; n++) {
        char uri[40], err[200];
        struct as_target t;
        size_t len = (size_t) rand_r(&seed) % (sizeof uri - 1);
        for (size_t i = 0; i < len; i++)
            uri[i] = letters[(size_t) rand_r(&seed) % (sizeof letters - 1)];
        uri[len] = '\0';
        if (as_target_parse(uri, &t, err, sizeof err) == 0)
            as_target_release(&t);
    }
}
END_TEST

static const struct {
    const char *value;
    int64_t expected; /* -1: refused */
} numbers[] = { { "1", 1 },    { "100", 100 }, { "007", 7 }, { "0", -1 },
                { "101", -1 }, { "", -1 },     { "-1", -1 }, { "+1", -1 },
                { "1.0", -1 }, { " 1", -1 },   { "1x", -1 }, { "99999999999999999999", -1 } };

START_TEST(numbers_are_checked)
{
    char uri[60], err[200];
    struct as_target t;
    int64_t n = -1;
    snprintf(uri, sizeof uri, "/x?n=%s", numbers[_i].value);
    for (char *at = uri; *at; at++)
        if (*at == ' ')
            *at = '+';
    ck_assert_int_eq(as_target_parse(uri, &t, err, sizeof err), 0);
    int rc = as_target_number(&t, "n", 1, 100, &n, err, sizeof err);
    ck_assert_int_eq(rc, numbers[_i].expected < 0 ? ASQ_EINVAL : 0);
    ck_assert_int_eq(n, numbers[_i].expected);
    ck_assert_int_eq(as_target_number(&t, "other", 1, 100, &n, err, sizeof err), 0);
    as_target_release(&t);
}
END_TEST

/* ---- who may -------------------------------------------------------------------------------- */

static const struct {
    const char *host;
    bool right;
} hosts[] = {
    { "localhost", true },
    { "LOCALHOST:80", true },
    { "127.0.0.1:9470", true },
    { "[::1]:9470", true },
    { "[::1]", true },
    { "localhost.evil.example", false },
    { "127.0.0.1.evil", false },
    { "127.0.0.2", true },
    { "127.255.255.254:9470", true },
    { "[::ffff:127.0.0.1]:9470", true },
    { "128.0.0.1", false },
    { "10.0.0.1:9470", false },
    { "127.0.0", false },
    { "127.0.0.1.", false },
    { "127.0.0.256", false },
    { "127.0.0.1:9470:1", false },
    { "[127.0.0.1]", false },
    { "::1", false },
    { "[::2]:9470", false },
    { "[::1", false },
    { "x::1]:80", false },
    { "[", false },
    { "[]", false },
    { ":9470", false },
    { "127.0.0.1@evil.example", false },
    { "evil.example", false },
    { "localhost:80x", false },
    { "", false },
    { NULL, false },
    { "[::1].evil", false },
    { "localhost@evil", false },
};

START_TEST(a_loopback_answers_under_its_names_alone)
{
    char err[200];
    struct as_auth auth;
    struct as_headers h = { .host = hosts[_i].host };
    ck_assert_int_eq(as_auth_init(&auth, NULL, true, err, sizeof err), 0);
    ck_assert_int_eq(as_auth_check_host(&auth, &h) == NULL, hosts[_i].right);
}
END_TEST

START_TEST(requests_of_other_sites_are_refused)
{
    static const struct {
        const char *site, *origin;
        bool right;
    } cases[] = {
        { NULL, NULL, true },
        { "same-origin", NULL, true },
        { "none", NULL, true },
        { "same-site", NULL, false },
        { "cross-site", NULL, false },
        { "", NULL, false },
        { NULL, "http://localhost:9470", true },
        { NULL, "http://localhost", false },
        { NULL, "http://localhost:9471", false },
        { NULL, "http://evil.example", false },
        { NULL, "null", false },
        { "same-origin", "http://evil.example", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct as_headers h = { .host = "localhost:9470",
                                .site = cases[i].site,
                                .origin = cases[i].origin };
        ck_assert_int_eq(as_auth_check_site(&h) == NULL, cases[i].right);
    }
}
END_TEST

static void make_token(struct as_auth *auth, const char *token)
{
    char err[1024], *path = sup_write_file("token", token);
    ck_assert_int_eq(as_auth_init(auth, path, false, err, sizeof err), 0);
    free(path);
}

START_TEST(a_session_needs_the_token_and_ends)
{
    static const char token[] = "0123456789abcdef";
    struct as_auth auth;
    char id[AS_SECRET_TEXT], cookie[200];
    make_token(&auth, "0123456789abcdef\n");
    struct as_headers h = { .host = "x" };
    ck_assert(!as_auth_is_in(&auth, &h, 1000));
    ck_assert_int_eq(as_auth_login(&auth, "", 1000, id), ASQ_EAUTH);
    ck_assert_int_eq(as_auth_login(&auth, "0123456789abcde", 1000, id), ASQ_EAUTH);
    ck_assert_int_eq(as_auth_login(&auth, "0123456789abcdef0", 1000, id), ASQ_EAUTH);
    ck_assert_int_eq(as_auth_login(&auth, "0123456789abcdef0123456789abcdef", 1000, id), ASQ_EAUTH);
    ck_assert_int_eq(as_auth_login(&auth, token, 1000, id), 0);
    snprintf(cookie, sizeof cookie, "a=b; asq_studio=%s; c=d", id);
    h.cookie = cookie;
    ck_assert(as_auth_is_in(&auth, &h, 1000));
    ck_assert(!as_auth_is_in(&auth, &h, 1000 + 12 * 3600 * 1000));
    h.cookie = "asq_studio=";
    ck_assert(!as_auth_is_in(&auth, &h, 1000));
    h.cookie = cookie;
    as_auth_logout(&auth, &h);
    ck_assert(!as_auth_is_in(&auth, &h, 1000));
    /* Its free places are no sessions. */
    memset(cookie, '0', sizeof cookie - 1);
    cookie[sizeof cookie - 1] = '\0';
    memcpy(cookie, "asq_studio=", 11);
    cookie[11 + AS_SECRET_TEXT - 1] = '\0';
    ck_assert(!as_auth_is_in(&auth, &h, 0));
}
END_TEST

/* Browsers give a host's cookies to each of its ports. */
START_TEST(sessions_of_two_ports_are_apart)
{
    static const struct {
        const char *host, *name;
    } names[] = {
        { "localhost:9470", "asq_studio_9470" },
        { "[::1]:80", "asq_studio_80" },
        { "[::1]", "asq_studio" },
        { "h", "asq_studio" },
        { "h:", "asq_studio" },
        { "h:1;a=b", "asq_studio" },
        { "h:123456", "asq_studio" },
    };
    struct as_auth one, other;
    char first[AS_SECRET_TEXT], second[AS_SECRET_TEXT], cookies[300], name[AS_COOKIE_NAME];
    make_token(&one, "0123456789abcdef\n");
    make_token(&other, "0123456789abcdef\n");
    ck_assert_int_eq(as_auth_login(&one, "0123456789abcdef", 1000, first), 0);
    ck_assert_int_eq(as_auth_login(&other, "0123456789abcdef", 1000, second), 0);
    snprintf(cookies, sizeof cookies, "asq_studio_9471=%s; asq_studio_9470=%s", second, first);
    struct as_headers h = { .host = "localhost:9470", .cookie = cookies };
    ck_assert(as_auth_is_in(&one, &h, 1000));
    ck_assert(!as_auth_is_in(&other, &h, 1000));
    h.host = "localhost:9471";
    ck_assert(as_auth_is_in(&other, &h, 1000));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        h.host = names[i].host;
        as_auth_cookie_name(&h, name);
        ck_assert_str_eq(name, names[i].name);
    }
}
END_TEST

START_TEST(wrong_tokens_are_slowed_down)
{
    struct as_auth auth;
    char id[AS_SECRET_TEXT];
    make_token(&auth, "0123456789abcdef\n");
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(as_auth_login(&auth, "wrong", 1000, id), ASQ_EAUTH);
    ck_assert_int_eq(as_auth_login(&auth, "0123456789abcdef", 1000, id), ASQ_EBUSY);
    ck_assert_int_eq(as_auth_login(&auth, "0123456789abcdef", 61000, id), 0);
}
END_TEST

START_TEST(many_sessions_take_the_place_of_the_oldest)
{
    struct as_auth auth;
    char id[AS_SESSIONS + 1][AS_SECRET_TEXT];
    make_token(&auth, "0123456789abcdef\n");
    for (int i = 0; i <= AS_SESSIONS; i++)
        ck_assert_int_eq(as_auth_login(&auth, "0123456789abcdef", 1000 + i, id[i]), 0);
    ck_assert(!as_auth_has_session(&auth, id[0], 2000));
    for (int i = 1; i <= AS_SESSIONS; i++)
        ck_assert(as_auth_has_session(&auth, id[i], 2000));
}
END_TEST

START_TEST(a_write_needs_json_and_the_token_against_forgery)
{
    struct as_auth auth;
    make_token(&auth, "0123456789abcdef\n");
    struct as_headers h = { .host = "x", .content_type = "application/json; charset=utf-8" };
    ck_assert_ptr_nonnull(as_auth_check_write(&auth, &h));
    h.csrf = "";
    ck_assert_ptr_nonnull(as_auth_check_write(&auth, &h));
    h.csrf = auth.csrf;
    ck_assert_ptr_null(as_auth_check_write(&auth, &h));
    h.content_type = "application/jsonp";
    ck_assert_ptr_nonnull(as_auth_check_write(&auth, &h));
    h.content_type = NULL;
    ck_assert_ptr_nonnull(as_auth_check_write(&auth, &h));
    h = (struct as_headers){ .host = "x",
                             .content_type = "application/json",
                             .authorization = "Bearer 0123456789abcdef" };
    ck_assert_ptr_null(as_auth_check_write(&auth, &h));
    h.origin = "http://x"; /* a browser has sent it, which has a cookie and no such header */
    ck_assert_ptr_nonnull(as_auth_check_write(&auth, &h));
}
END_TEST

/* ---- waits ---------------------------------------------------------------------------------- */

/* "ID AGENT STATE WAITS_FOR AWAITED CALLER", "-" for nothing. WAITS_FOR may be several, with
 * commas. */
static void add_line(struct as_graph *g, const char *line)
{
    char id[40], agent[40], state[40], waits_for[40], caller[40];
    unsigned awaited;
    ck_assert_int_eq(
        sscanf(line, "%39s %39s %39s %39s %u %39s", id, agent, state, waits_for, &awaited, caller),
        6);
    for (char *comma = waits_for; (comma = strchr(comma, ','));)
        *comma = ' ';
    ck_assert_int_eq(as_graph_add(g, id, agent, strcmp(state, "begun") == 0,
                                  *waits_for == '-' ? "" : waits_for, awaited,
                                  *caller == '-' ? "" : caller, "{}"),
                     0);
}

static const struct {
    const char *lines[8];
    const char *rings; /* ids of each, in order; by semicolons */
    const char *edges; /* sorted by the waiting call */
} graphs[] = {
    { { NULL }, "", "" },
    { { "a x begun - 0 -" }, "", "" },
    { { "a x begun b 1 -", "b y begun - 0 a" }, "", "a>b " },
    { { "a x begun b 1 -", "b y begun a 1 a" }, "a b;", "a>b b>a " },
    { { "a x begun a 1 -" }, "a;", "a>a " },
    /* A call waits for what its agent is busy with, */
    { { "a x begun - 0 -", "b x - - 0 -" }, "", "b>a " },
    /* unless it was made by that, */
    { { "a x begun c 1 -", "c y begun b 1 a", "b x - - 0 c" }, "", "a>c c>b " },
    /* so two chains that cross are a ring, in which each waits for the other's agent. */
    { { "a x begun b 1 -", "b y - - 0 a", "c y begun d 1 -", "d x - - 0 c" },
      "a b c d;",
      "a>b b>c c>d d>a " },
    /* One that waits for several waits for what it has made. */
    { { "a x begun b 3 -", "b y begun - 0 a", "c z begun - 0 a", "d w begun - 0 -" },
      "",
      "a>b a>c " },
    { { "a x begun b 2 -", "b y begun - 0 a", "c z begun a 1 a" }, "a c;", "a>b a>c c>a " },
    /* Those that are named are no others. */
    { { "a x begun b,d 2 -", "b y begun - 0 a", "c z begun - 0 a", "d w begun - 0 -" },
      "",
      "a>b a>d " },
    { { "a x begun d,gone,b 4 -", "b y begun - 0 a", "c z begun - 0 a", "d w begun a 1 -" },
      "a d;",
      "a>d a>b a>c d>a " },
    { { "a x begun gone 1 gone", "b y begun a 1 -" }, "", "b>a " },
    { { "a x begun b 1 -", "b y begun c 1 -", "c z begun b 1 -", "e v begun e 1 -" },
      "b c;e;",
      "a>b b>c c>b e>e " },
    /* A call that comes twice is one; callers of others' making may be a circle. */
    { { "a x - - 0 b", "a x begun b 1 b", "b y begun - 0 a" }, "", "a>b " },
};

START_TEST(waits_become_a_graph)
{
    struct as_graph g = { .calls = NULL };
    char rings[200] = "", edges[200] = "";
    for (size_t i = 0; graphs[_i].lines[i]; i++)
        add_line(&g, graphs[_i].lines[i]);
    ck_assert_int_eq(as_graph_build(&g), 0);
    for (uint32_t ring = 1; ring <= g.n_rings; ring++) {
        uint32_t at[8];
        size_t n = as_graph_ring(&g, ring, at, 8);
        for (size_t i = 0; i < n; i++)
            snprintf(rings + strlen(rings), sizeof rings - strlen(rings), "%s%s", i ? " " : "",
                     g.calls[at[i]].id);
        strcat(rings, ";");
    }
    for (size_t i = 0; i < g.n; i++)
        for (uint32_t k = 0; k < g.calls[i].n_edges; k++)
            snprintf(edges + strlen(edges), sizeof edges - strlen(edges), "%s>%s ", g.calls[i].id,
                     g.calls[g.edges[g.calls[i].edge + k]].id);
    ck_assert_str_eq(edges, graphs[_i].edges);
    ck_assert_str_eq(rings, graphs[_i].rings);
    as_graph_release(&g);
}
END_TEST

START_TEST(roots_count_all_who_hang_on_them)
{
    static const char *const lines[] = { "a x begun b 1 -", "b y begun c 1 -", "c z begun - 0 -",
                                         "d w begun b 1 -", "e z - - 0 -",     "f v begun - 0 -" };
    static const size_t expected[] = { 0, 2, 4, 0, 0, 0 };
    struct as_graph g = { .calls = NULL };
    uint32_t *first, *back, seen[6] = { 0 }, list[6];
    size_t left = 1000;
    for (size_t i = 0; i < 6; i++)
        add_line(&g, lines[i]);
    ck_assert_int_eq(as_graph_build(&g), 0);
    ck_assert_uint_eq(g.calls[2].behind, 1);
    ck_assert_int_eq(as_graph_turn(&g, &first, &back), 0);
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_uint_eq(as_graph_waiters(i, first, back, seen, i + 1, list, &left), expected[i]);
    ck_assert_uint_gt(left, 0);
    left = 2;
    ck_assert_uint_eq(as_graph_waiters(2, first, back, seen, 7, list, &left), 2);
    ck_assert_uint_eq(left, 0);
    free(first);
    free(back);
    as_graph_release(&g);
}
END_TEST

/* However many calls there are, and whatever their texts are like, memory is bounded. */
START_TEST(a_graph_that_is_full_says_so)
{
    enum { LONG = 100000 };
    struct as_graph g = { .calls = NULL };
    char *row = malloc(LONG + 1), id[24];
    size_t n = 0;
    ck_assert_ptr_nonnull(row);
    memset(row, 'x', LONG);
    row[LONG] = '\0';
    int rc = 0;
    while (rc == 0 && n <= AS_GRAPH_BYTES / LONG) {
        snprintf(id, sizeof id, "c%zu", n++);
        rc = as_graph_add(&g, id, "x", true, "", 0, "", row);
    }
    ck_assert_int_eq(rc, 1);
    ck_assert(g.more);
    ck_assert_uint_le(g.bytes, AS_GRAPH_BYTES);
    ck_assert_uint_gt(g.n, AS_GRAPH_BYTES / LONG / 2);
    ck_assert_int_eq(as_graph_build(&g), 0);
    as_graph_release(&g);
    ck_assert_uint_eq(g.bytes, 0);
    ck_assert_int_eq(as_graph_add(&g, "a", "x", true, "", 0, "", row), 0);
    as_graph_release(&g);
    free(row);
}
END_TEST

/* The rings of random graphs are those calls that can reach themselves. */
START_TEST(rings_are_what_comes_back_to_itself)
{
    unsigned seed = 1;
    for (int n = 0; n < 3000; n++) {
        enum { CALLS = 8 };
        struct as_graph g = { .calls = NULL };
        bool way[CALLS][CALLS] = { { false } };
        for (int i = 0; i < CALLS; i++) {
            char line[80];
            int to = rand_r(&seed) % (CALLS + 4);
            snprintf(line, sizeof line, "c%d a%d begun c%d 1 -", i, i, to);
            add_line(&g, line);
        }
        ck_assert_int_eq(as_graph_build(&g), 0);
        for (int i = 0; i < CALLS; i++)
            for (uint32_t k = 0; k < g.calls[i].n_edges; k++)
                way[i][g.edges[g.calls[i].edge + k]] = true;
        for (int k = 0; k < CALLS; k++)
            for (int i = 0; i < CALLS; i++)
                for (int j = 0; j < CALLS; j++)
                    way[i][j] |= way[i][k] && way[k][j];
        for (int i = 0; i < CALLS; i++)
            for (int j = 0; j < CALLS; j++)
                ck_assert_int_eq(g.calls[i].ring && g.calls[i].ring == g.calls[j].ring,
                                 way[i][j] && way[j][i]);
        as_graph_release(&g);
    }
}
END_TEST

/* ---- rates ---------------------------------------------------------------------------------- */

/* Makes what asq_stats gives of `n` seconds: 300 calls and 3 failures in each third one. */
static asq_value *bursts(size_t n, int64_t step_ms, int64_t processes)
{
    asq_value *points = asq_value_list();
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(asq_list_append(points, asq_pack("{s:i, s:i}", "calls", i % 3 ? 0 : 300,
                                                          "failed", i % 3 ? 0 : 3)),
                         0);
    return asq_pack("{s:I, s:o, s:{s:I}}", "step_ms", step_ms, "points", points, "now", "processes",
                    processes);
}

START_TEST(rates_are_the_mean_of_some_seconds)
{
    struct as_rates rates = { -1, -1 };
    for (size_t n = 30; n < 33; n++) {
        asq_value *stats = bursts(n, 1000, 1);
        ck_assert(as_rates_of(stats, &rates));
        ck_assert_double_ge(rates.calls, 90); /* 3 or 4 bursts in 10 s */
        ck_assert_double_le(rates.calls, 120);
        ck_assert_double_eq_tol(rates.failures, rates.calls / 100, 1e-9);
        asq_value_free(stats);
    }
    asq_value *few = bursts(2, 1000, 1);
    ck_assert(as_rates_of(few, &rates));
    ck_assert_double_eq_tol(rates.calls, 150, 1e-9);
    asq_value_free(few);
}
END_TEST

START_TEST(there_are_no_rates_without_seconds)
{
    struct as_rates rates;
    asq_value *none[] = { bursts(0, 1000, 1), bursts(3, 60000, 1), bursts(3, 1000, 0),
                          asq_value_null(), asq_value_map() };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        ck_assert(!as_rates_of(none[i], &rates));
        asq_value_free(none[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("studio");
    TCase *tc = tcase_create("studio");
    tcase_add_loop_test(tc, addresses_are_taken_apart, 0, sizeof targets / sizeof targets[0]);
    tcase_add_test(tc, a_long_address_is_refused);
    tcase_add_test(tc, random_addresses_do_no_harm);
    tcase_add_loop_test(tc, numbers_are_checked, 0, sizeof numbers / sizeof numbers[0]);
    tcase_add_loop_test(tc, a_loopback_answers_under_its_names_alone, 0,
                        sizeof hosts / sizeof hosts[0]);
    tcase_add_test(tc, requests_of_other_sites_are_refused);
    tcase_add_test(tc, a_session_needs_the_token_and_ends);
    tcase_add_test(tc, sessions_of_two_ports_are_apart);
    tcase_add_test(tc, wrong_tokens_are_slowed_down);
    tcase_add_test(tc, many_sessions_take_the_place_of_the_oldest);
    tcase_add_test(tc, a_write_needs_json_and_the_token_against_forgery);
    tcase_add_loop_test(tc, waits_become_a_graph, 0, sizeof graphs / sizeof graphs[0]);
    tcase_add_test(tc, roots_count_all_who_hang_on_them);
    tcase_add_test(tc, a_graph_that_is_full_says_so);
    tcase_add_test(tc, rings_are_what_comes_back_to_itself);
    tcase_add_test(tc, rates_are_the_mean_of_some_seconds);
    tcase_add_test(tc, there_are_no_rates_without_seconds);
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
