/*
 * fuzz_url.c: any text is a URL or is refused with a text. A parsed URL is written as text that
 * parses to the same, with its password hidden on request.
 */
#include "redis/url.h"

#include <asqueue.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void same_text(const char *a, const char *b)
{
    require((!a && !b) || (a && b && strcmp(a, b) == 0));
}

static void same_hosts(const struct asq__hosts *a, const struct asq__hosts *b)
{
    require(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        require(asq__host_is_same(&a->list[i], &b->list[i]));
        same_text(a->list[i].name, b->list[i].name);
    }
}

static void same(const struct asq__url *a, const struct asq__url *b)
{
    require(a->scheme == b->scheme && a->tls == b->tls && a->tls_verify == b->tls_verify);
    require(a->servers == b->servers);
    same_hosts(&a->others, &b->others);
    same_hosts(&a->nat.announced, &b->nat.announced);
    same_hosts(&a->nat.reached, &b->nat.reached);
    require(a->port == b->port && a->db == b->db);
    require(a->processes == b->processes && a->capacity == b->capacity);
    same_text(a->host, b->host);
    same_text(a->path, b->path);
    same_text(a->user, b->user);
    same_text(a->password, b->password);
    same_text(a->ns, b->ns);
    same_text(a->tls_ca, b->tls_ca);
    same_text(a->tls_cert, b->tls_cert);
    same_text(a->tls_key, b->tls_key);
    same_text(a->tls_sni, b->tls_sni);
    same_text(a->master, b->master);
    same_text(a->sentinel_user, b->sentinel_user);
    same_text(a->sentinel_password, b->sentinel_password);
    same_text(a->sentinel_password_file, b->sentinel_password_file);
    require((a->sentinels != NULL) == (b->servers == ASQ__URL_SENTINEL));
}

/* Checks the text of a URL that asq_open shows. No other text is shown. */
static void check_hidden(const struct asq__url *url)
{
    struct asq__url other = *url;
    char *hidden = asq__url_format(url, true), *shown;

    require(hidden != NULL);
    if (url->password || url->sentinel_password) {
        char changed[] = "quite another one";
        other.password = url->password ? changed : NULL;
        other.sentinel_password = url->sentinel_password ? changed : NULL;
        shown = asq__url_format(&other, true);
        require(shown && strcmp(shown, hidden) == 0);
        free(shown);
    }
    free(hidden);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asq__url url, again;
    char err[400] = "", *text = malloc(size + 1), *formatted;

    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    int rc = asq__url_parse(text, &url, err, sizeof err);
    if (rc < 0) {
        require((rc == ASQ_EINVAL || rc == ASQ_ENOTSUP || rc == ASQ_ESYS) && *err);
    } else {
        formatted = asq__url_format(&url, false);
        require(formatted != NULL);
        require(asq__url_parse(formatted, &again, err, sizeof err) == 0);
        same(&url, &again);
        asq__url_release(&again);
        check_hidden(&url);
        free(formatted);
        require(asq__url_copy(&again, &url) == 0);
        asq__url_release(&url);
        asq__url_release(&again);
    }
    free(text);
    return 0;
}
