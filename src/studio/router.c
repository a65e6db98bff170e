/*
 * router.c: decides what a request means, and whether it is allowed. Runs on the HTTP thread, and
 * never waits. The head alone decides how large a body is kept. Then, in this order:
 *
 *     the address; the Host; exports of traces; files of the page, which everybody may have
 *     below /api: the sender's site; session and login; whether the sender is logged in; the route;
 *     of writes: --allow-writes, the token against forged requests, the body
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "program.h"
#include "studio/assets.h"
#include "studio/exchange.h"
#include "studio/studio.h"

/* ---- files ---- */

static enum MHD_Result answer_file(struct as_exchange *x)
{
    char tag[24];
    const struct as_asset *asset =
        x->target.n_segments > 1 ? NULL
                                 : as_asset_find(x->target.n_segments ? x->target.segments[0] : "");
    if (!asset)
        return as_exchange_fail(x, 404, "NOT_FOUND", "there is no such page; the first one is /");
    if (x->is_post)
        return as_exchange_fail(x, 405, "METHOD_NOT_ALLOWED", "files can only be read");
    as_asset_tag(asset, tag);
    const char *known = as_exchange_header(x, MHD_HTTP_HEADER_IF_NONE_MATCH);
    bool same = known && strstr(known, tag);
    struct MHD_Response *r = MHD_create_response_from_buffer(
        same ? 0 : asset->size, (void *) (uintptr_t) asset->data, MHD_RESPMEM_PERSISTENT);
    if (r) {
        MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, tag);
        MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    }
    return as_exchange_queue(x, same ? 304 : 200, as_asset_type(asset), r);
}

/* ---- sessions ---- */

static enum MHD_Result answer_session(struct as_exchange *x, bool is_in)
{
    struct as_studio *s = x->studio;
    struct as_answer a = { 0, NULL };
    asq_value *v =
        is_in ? asq_pack("{s:s, s:b, s:b, s:s, s:s, s:b, s:b, s:s}", "version", asq_version(),
                         "login_needed", *s->auth.token != '\0', "logged_in", 1, "namespace", s->ns,
                         "redis", s->url, "allow_writes", s->allow_writes, "traces",
                         s->spans.ring != NULL, "csrf", s->auth.csrf)
              : asq_pack("{s:s, s:b, s:b}", "version", asq_version(), "login_needed", 1,
                         "logged_in", 0);
    as_answer_value(&a, 200, v);
    return as_exchange_json(x, &a, NULL);
}

/* Reads the body as a map. Answers and returns false otherwise. */
static bool read_body(struct as_exchange *x, asq_value **ret, enum MHD_Result *ret_answered)
{
    char why[200];
    const char *text = x->body_n ? x->body : "{}";
    if (x->too_big) {
        *ret_answered = as_exchange_too_large(x);
        return false;
    }
    int rc = asq_from_json(text, x->body_n ? x->body_n : 2, ret, why, sizeof why);
    if (rc == 0 && asq_value_type(*ret) == ASQ_MAP)
        return true;
    struct as_answer a = { 0, NULL };
    if (rc == 0) {
        asq_value_free(*ret);
        as_answer_fail(&a, 400, "BAD_REQUEST", "the body must be an object in JSON");
    } else {
        as_answer_fail(&a, 400, "BAD_REQUEST", "the body is not JSON: %s", why);
    }
    *ret_answered = as_exchange_json(x, &a, NULL);
    return false;
}

/* Writes the header that sets the session's cookie; id "": that removes it. */
static void make_cookie(const struct as_exchange *x, const char *id, char *text, size_t size)
{
    char name[AS_COOKIE_NAME];
    as_auth_cookie_name(&x->headers, name);
    snprintf(text, size, "%s=%s; Path=/; HttpOnly; SameSite=Strict%s", name, id,
             *id ? "" : "; Max-Age=0");
}

static enum MHD_Result answer_login(struct as_exchange *x)
{
    struct as_answer a = { 0, NULL };
    char id[AS_SECRET_TEXT] = "", cookie[200];
    asq_value *body;
    enum MHD_Result answered;
    const char *type = x->headers.content_type;
    if (!x->is_post)
        return as_exchange_fail(x, 405, "METHOD_NOT_ALLOWED", "login takes a POST");
    if (!type || strncasecmp(type, "application/json", 16) != 0)
        return as_exchange_fail(x, 403, "FORBIDDEN",
                                "the request needs Content-Type: application/json");
    if (!read_body(x, &body, &answered))
        return answered;
    int rc = *x->studio->auth.token ? as_auth_login(&x->studio->auth, asq_map_string(body, "token"),
                                                    as_program_now_ms(), id)
                                    : 0;
    asq_value_free(body);
    if (rc == ASQ_EBUSY)
        return as_exchange_fail(x, 429, "TOO_MANY",
                                "too many wrong tokens: wait a minute, then try again");
    if (rc < 0)
        return as_exchange_fail(x, 401, "UNAUTHORIZED",
                                "the token is wrong; it is in the file that as-studio was given "
                                "with --token-file");
    make_cookie(x, id, cookie, sizeof cookie);
    as_answer_value(&a, 200, asq_value_map());
    return as_exchange_json(x, &a, *id ? cookie : NULL);
}

static enum MHD_Result answer_logout(struct as_exchange *x)
{
    struct as_answer a = { 0, NULL };
    char cookie[200];
    if (!x->is_post)
        return as_exchange_fail(x, 405, "METHOD_NOT_ALLOWED", "logout takes a POST");
    as_auth_logout(&x->studio->auth, &x->headers);
    as_answer_value(&a, 200, asq_value_map());
    make_cookie(x, "", cookie, sizeof cookie);
    return as_exchange_json(x, &a, cookie);
}

/* ---- traces ---- */

/* Takes an export of OTLP over HTTP. Browsers do not send such: a page could fill the memory with
 * spans of its own. */
static enum MHD_Result take_export(struct as_exchange *x)
{
    const struct as_headers *h = &x->headers;
    struct as_answer a = { 0, NULL };
    asq_value *export;
    enum MHD_Result answered;
    if (!x->studio->spans.ring)
        return as_exchange_fail(x, 404, "NOT_FOUND",
                                "this as-studio collects no traces; start it with "
                                "--collect-traces");
    if (!x->is_post)
        return as_exchange_fail(x, 405, "METHOD_NOT_ALLOWED", "traces are sent by POST");
    if (h->origin || h->site)
        return as_exchange_fail(x, 403, "FORBIDDEN", "a browser has sent the request");
    if (*x->studio->auth.token && !as_auth_is_bearer(&x->studio->auth, h))
        return as_exchange_fail(x, 401, "UNAUTHORIZED",
                                "send the token of as-studio: Authorization: Bearer TOKEN");
    if (!h->content_type || strncasecmp(h->content_type, "application/json", 16) != 0 ||
        as_exchange_header(x, MHD_HTTP_HEADER_CONTENT_ENCODING))
        return as_exchange_fail(x, 415, "BAD_REQUEST",
                                "spans are taken as JSON (application/json), not compressed");
    if (!read_body(x, &export, &answered))
        return answered;
    int rc = as_spans_add(&x->studio->spans, export);
    asq_value_free(export);
    if (rc < 0)
        return as_exchange_fail(x, 400, "BAD_REQUEST", "the body has no list resourceSpans");
    as_answer_value(&a, 200, asq_value_map());
    return as_exchange_json(x, &a, NULL);
}

/* ---- events ---- */

static ssize_t read_events(void *user, uint64_t pos, char *buf, size_t max)
{
    struct as_exchange *x = user;
    (void) pos;
    ssize_t n = as_feed_read(&x->studio->feed, x->listener, buf, max);
    return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static enum MHD_Result answer_events(struct as_exchange *x)
{
    enum { BLOCK = 8192 };
    const char *last = as_exchange_header(x, "Last-Event-ID");
    struct as_listener *l = calloc(1, sizeof *l);
    if (!l)
        return MHD_NO;
    l->connection = x->connection;
    if (*x->studio->auth.token && !as_auth_is_bearer(&x->studio->auth, &x->headers))
        as_auth_session(&x->headers, l->session);
    if (!as_feed_join(&x->studio->feed, l, last ? strtoull(last, NULL, 10) : UINT64_MAX)) {
        free(l);
        return as_exchange_fail(x, 503, "BUSY", "too many pages listen already: close some");
    }
    x->listener = l;
    return as_exchange_queue(
        x, 200, "text/event-stream; charset=utf-8",
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_events, x, NULL));
}

/* ---- the API ---- */

static enum MHD_Result answer_reading(struct as_exchange *x)
{
    const struct as_answer *a = &x->reading->answer;
    if (!a->text)
        return as_exchange_fail(x, 503, "ASQ_ENOMEM", "out of memory");
    return as_exchange_answer(x, a->status, "application/json; charset=utf-8", a->text,
                              strlen(a->text), false, NULL);
}

static enum MHD_Result ask(struct as_exchange *x, const struct as_route *route, const char *id,
                           asq_value *body)
{
    x->reading = as_askers_ask(&x->studio->askers, route, route->writes ? NULL : x->uri, id,
                               &x->target, body, &x->waiter);
    if (!x->reading)
        return as_exchange_fail(x, 503, "BUSY",
                                "too many requests wait for Redis already: try again soon");
    return x->waiter.waits ? MHD_YES : answer_reading(x);
}

static enum MHD_Result answer_route(struct as_exchange *x)
{
    struct as_answer a = { 0, NULL };
    const char *id, *why;
    bool known;
    asq_value *body = NULL;
    enum MHD_Result answered;
    const struct as_route *route = as_api_find(&x->target, x->is_post, &id, &known);
    if (!route && known)
        return as_exchange_fail(x, 405, "METHOD_NOT_ALLOWED",
                                x->is_post ? "this can only be read" : "this takes a POST");
    if (!route)
        return as_exchange_fail(x, 404, "NOT_FOUND", "the API has no such path");
    if (route->writes && !x->studio->allow_writes)
        return as_exchange_fail(x, 403, "READ_ONLY",
                                "this as-studio only reads; start it with --allow-writes to change "
                                "something");
    if (route->writes && (why = as_auth_check_write(&x->studio->auth, &x->headers)))
        return as_exchange_fail(x, 403, "FORBIDDEN", why);
    if (route->writes && !read_body(x, &body, &answered))
        return answered;
    if (as_api_check(route, &x->target, body, &a))
        return ask(x, route, id, body);
    asq_value_free(body);
    return as_exchange_json(x, &a, NULL);
}

static enum MHD_Result answer_api(struct as_exchange *x)
{
    const char *name = x->target.n_segments == 2 ? x->target.segments[1] : "";
    const char *why = as_auth_check_site(&x->headers);
    if (why)
        return as_exchange_fail(x, 403, "FORBIDDEN", why);
    bool is_in = as_auth_is_in(&x->studio->auth, &x->headers, as_program_now_ms());
    if (strcmp(name, "session") == 0 && !x->is_post)
        return answer_session(x, is_in);
    if (strcmp(name, "login") == 0)
        return answer_login(x);
    if (!is_in)
        return as_exchange_fail(x, 401, "UNAUTHORIZED",
                                "log in first: the token is in the file that as-studio was given "
                                "with --token-file");
    if (strcmp(name, "logout") == 0)
        return answer_logout(x);
    if (strcmp(name, "events") == 0 && !x->is_post)
        return answer_events(x);
    return answer_route(x);
}

static bool is_api(const struct as_exchange *x)
{
    return x->target.n_segments && strcmp(x->target.segments[0], "api") == 0;
}

static size_t body_max(const struct as_exchange *x)
{
    const struct as_auth *auth = &x->studio->auth;
    if (as_auth_check_host(auth, &x->headers))
        return 0;
    if (strcmp(x->uri, AS_EXPORT_PATH) == 0)
        return x->studio->spans.ring && (!*auth->token || as_auth_is_bearer(auth, &x->headers))
                   ? AS_EXPORT_MAX
                   : 0;
    if (!is_api(x) || as_auth_check_site(&x->headers))
        return 0;
    if (x->target.n_segments == 2 && strcmp(x->target.segments[1], "login") == 0)
        return AS_LOGIN_MAX;
    return x->studio->allow_writes && as_auth_is_in(auth, &x->headers, as_program_now_ms())
               ? AS_BODY_MAX
               : 0;
}

enum MHD_Result as_route_head(struct as_exchange *x)
{
    char why[200];
    x->headers = (struct as_headers){
        .host = as_exchange_header(x, MHD_HTTP_HEADER_HOST),
        .origin = as_exchange_header(x, MHD_HTTP_HEADER_ORIGIN),
        .site = as_exchange_header(x, "Sec-Fetch-Site"),
        .cookie = as_exchange_header(x, MHD_HTTP_HEADER_COOKIE),
        .authorization = as_exchange_header(x, MHD_HTTP_HEADER_AUTHORIZATION),
        .csrf = as_exchange_header(x, "X-CSRF-Token"),
        .content_type = as_exchange_header(x, MHD_HTTP_HEADER_CONTENT_TYPE),
    };
    int rc = as_target_parse(x->uri, &x->target, why, sizeof why);
    if (rc < 0)
        return as_exchange_fail(x, rc == ASQ_ELIMIT ? 414 : 400, "BAD_REQUEST", why);
    x->body_max = body_max(x);
    return MHD_YES;
}

enum MHD_Result as_route_request(struct as_exchange *x)
{
    if (x->reading) /* resumed */
        return as_askers_is_done(&x->studio->askers, x->reading) ? answer_reading(x) : MHD_YES;
    const char *wrong = as_auth_check_host(&x->studio->auth, &x->headers);
    if (wrong)
        return as_exchange_fail(x, 403, "FORBIDDEN", wrong);
    if (is_api(x))
        return answer_api(x);
    if (strcmp(x->uri, AS_EXPORT_PATH) == 0)
        return take_export(x);
    return answer_file(x);
}
