/*
 * page_reader.c: the class PageReader: an agent that fetches one web page with libcurl and finds
 * the passages in it that match a query.
 *
 * curl_easy_perform blocks, which is allowed: a method without ASQ_NONBLOCKING runs on one of the
 * worker's threads (as-worker --capacity), and blocks that thread only. A fetch is limited in time,
 * in size and to kinds of text before any code reads the page.
 *
 * The state is a struct of the class itself here, with save and load. It holds the text of the
 * page, which stays in memory for the next search but is not saved, because it can be fetched
 * again. So searching changes no saved state, and the method is ASQ_READONLY.
 */
#include "page_reader.h"
#include "page_text.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_URL            2000
#define MAX_PAGE_SIZE      ((size_t) 2 * 1024 * 1024) /* bytes, after decompression */
#define MAX_PASSAGES       3
#define CONNECT_TIMEOUT_MS 5000L
#define FETCH_TIMEOUT_MS   15000L
#define MAX_REDIRECTS      5L

typedef struct reader {
    char *url;
    int64_t timeout_ms;
    char *text; /* of the page; NULL: not fetched yet */
} reader;

/* A fetch under way. */
typedef struct fetch {
    asq_ctx *ctx;
    CURL *curl;
    char *body; /* size + 1 bytes are allocated */
    size_t size;
    size_t allocated;
    bool checked; /* status and type have been checked */
    bool html;
    int rc; /* code with which on_body or on_progress ended the fetch; the call fails with it */
} fetch;

int page_reader_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : ASQ_ESYS;
}

/* ---- Fetching ---- */

static bool is_text(const char *type)
{
    return strncasecmp(type, "text/", 5) == 0 || strncasecmp(type, "application/json", 16) == 0 ||
           strncasecmp(type, "application/xml", 15) == 0 ||
           strncasecmp(type, "application/xhtml+xml", 21) == 0;
}

/* Checks the head of the answer before the first byte of its body is kept. */
static int check_head(fetch *f, const char *url)
{
    char *type = NULL;
    long status = 0;

    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(f->curl, CURLINFO_CONTENT_TYPE, &type);
    f->checked = true;
    if (status >= 400)
        return asq_fail(f->ctx, READER_ESTATUS, "%s: HTTP status %ld", url, status);
    if (!type || !is_text(type))
        return asq_fail(f->ctx, READER_ETYPE, "%s: is %s, not text", url,
                        type ? type : "of no type");
    f->html = strncasecmp(type, "text/html", 9) == 0 ||
              strncasecmp(type, "application/xhtml+xml", 21) == 0;
    return 0;
}

/* Appends a part of the page to f->body. Returns less than n to make libcurl end the transfer. */
static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    fetch *f = user;
    char *bigger, *url = NULL;
    size_t want;

    (void) one; /* always 1 */
    curl_easy_getinfo(f->curl, CURLINFO_EFFECTIVE_URL, &url);
    if (!f->checked && (f->rc = check_head(f, url ? url : "")) < 0)
        return 0;
    if (n > MAX_PAGE_SIZE - f->size) {
        f->rc = asq_fail(f->ctx, READER_ESIZE, "%s: larger than %zu bytes", url ? url : "",
                         MAX_PAGE_SIZE);
        return 0;
    }
    if (f->size + n >= f->allocated) {
        want = 2 * (f->size + n) + 4096;
        if (!(bigger = realloc(f->body, want))) {
            f->rc = ASQ_ENOMEM;
            return 0;
        }
        f->body = bigger;
        f->allocated = want;
    }
    memcpy(f->body + f->size, data, n);
    f->size += n;
    return n;
}

/* Stops the transfer when the call is cancelled. libcurl calls it about once a second. */
static int on_progress(void *user, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow)
{
    fetch *f = user;

    (void) dltotal;
    (void) dlnow;
    (void) ultotal;
    (void) ulnow;
    if (!asq_ctx_canceled(f->ctx))
        return 0;
    f->rc = ASQ_ECANCELED;
    return 1;
}

static long least_ms(int64_t a, int64_t b)
{
    return (long) (b < 0 || a < b ? a : b);
}

static void set_options(CURL *curl, fetch *f, const reader *r, char *errbuf)
{
    int64_t limit_ms = least_ms(r->timeout_ms, asq_ctx_remaining_ms(f->ctx)); /* -1: no deadline */

    curl_easy_setopt(curl, CURLOPT_URL, r->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https"); /* no file:, no gopher: */
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); /* other threads exist */
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) (limit_ms > 0 ? limit_ms : 1));
    /* all encodings that libcurl can decompress */
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "asqueue-web_search/" ASQ_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, errbuf);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, f);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

/* Fetches the page into r->text. */
static int fetch_page(asq_ctx *ctx, reader *r)
{
    char errbuf[CURL_ERROR_SIZE] = "";
    fetch f = { .ctx = ctx };
    CURLcode code;

    if (!(f.curl = curl_easy_init()))
        return ASQ_ENOMEM;
    set_options(f.curl, &f, r, errbuf);
    asq_ctx_log(ctx, ASQ_LOG_DEBUG, "fetching %s", r->url);
    code = curl_easy_perform(f.curl);
    if (code == CURLE_OK && !f.checked)
        f.rc = check_head(&f, r->url); /* an answer without a body */
    if (code != CURLE_OK && f.rc == 0)
        f.rc = asq_fail(ctx, READER_EFETCH, "%s: %s", r->url,
                        errbuf[0] ? errbuf : curl_easy_strerror(code));
    if (f.rc == 0 && !f.body && !(f.body = calloc(1, 1)))
        f.rc = ASQ_ENOMEM;
    curl_easy_cleanup(f.curl);
    if (f.rc < 0) {
        free(f.body);
        return f.rc;
    }
    page_text(f.body, f.size, f.html);
    r->text = f.body;
    return 0;
}

/* ---- The class ---- */

static void reader_destroy(void *self)
{
    reader *r = self;

    if (!r)
        return;
    free(r->url);
    free(r->text);
    free(r);
}

static int reader_make(const char *url, int64_t timeout_ms, void **ret_self)
{
    reader *r = calloc(1, sizeof *r);

    if (!r || !(r->url = strdup(url))) {
        reader_destroy(r);
        return ASQ_ENOMEM;
    }
    r->timeout_ms = timeout_ms;
    *ret_self = r;
    return 0;
}

static int reader_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    int64_t timeout_ms = FETCH_TIMEOUT_MS;
    const char *url;
    int rc;

    if ((rc = asq_args(ctx, args, "{s:s, s?:I}", "url", &url, "timeout_ms", &timeout_ms)) < 0)
        return rc;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return asq_fail(ctx, ASQ_EARGS, "%.200s: neither http: nor https:", url);
    if (strlen(url) > MAX_URL)
        return asq_fail(ctx, ASQ_EARGS, "the URL is longer than %d bytes", MAX_URL);
    if (timeout_ms < 1 || timeout_ms > FETCH_TIMEOUT_MS)
        return asq_fail(ctx, ASQ_EARGS, "timeout_ms is %lld, must be 1 to %ld",
                        (long long) timeout_ms, FETCH_TIMEOUT_MS);
    return reader_make(url, timeout_ms, ret_self);
}

/* Saves what reader_load needs, which may run in another process. */
static int reader_save(const void *self, asq_value **ret_state)
{
    const reader *r = self;

    *ret_state = asq_pack("{s:s, s:I}", "url", r->url, "timeout_ms", r->timeout_ms);
    return *ret_state ? 0 : ASQ_ENOMEM;
}

static int reader_load(asq_ctx *ctx, const asq_value *state, void **ret_self)
{
    int64_t timeout_ms;
    const char *url;
    int rc = asq_args(ctx, state, "{s:s, s:I}", "url", &url, "timeout_ms", &timeout_ms);

    return rc < 0 ? rc : reader_make(url, timeout_ms, ret_self);
}

static int reader_search(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    char passages[MAX_PASSAGES][PASSAGE_SIZE];
    reader *r = self;
    asq_value *found;
    const char *query;
    size_t n, i;
    int rc;

    if ((rc = asq_args(ctx, args, "[s]", &query)) < 0)
        return rc;
    if (!r->text && (rc = fetch_page(ctx, r)) < 0)
        return rc;
    n = page_passages(r->text, query, passages, MAX_PASSAGES);
    found = asq_value_list();
    for (i = 0; i < n && found; i++)
        if (asq_list_append(found, asq_value_string(passages[i])) < 0) {
            asq_value_free(found);
            return ASQ_ENOMEM;
        }
    *ret = asq_pack("{s:s, s:I, s:o}", "url", r->url, "bytes", (int64_t) strlen(r->text),
                    "passages", found);
    return *ret ? 0 : ASQ_ENOMEM;
}

static const asq_method reader_methods[] = {
    { "search", reader_search, "query", ASQ_READONLY,
      "The passages that match: {url, bytes, passages: [string, ...]}" },
    { NULL, NULL, NULL, 0, NULL }
};

const asq_class page_reader_class = {
    ASQ_CLASS_INIT,
    .name = "PageReader",
    .doc = "Fetches a web page and finds passages in it.",
    .methods = reader_methods,
    .create = reader_create,
    .destroy = reader_destroy,
    .save = reader_save,
    .load = reader_load,
    .version = 1,
    .stack_size = (size_t) 512 * 1024, /* libcurl with name lookup and TLS needs more than usual */
};
