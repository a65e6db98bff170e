/*
 * fuzz_url.c: any text is an URL or refused with a text; a parsed one is written as text that
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

static void same(const struct asq__url *a, const struct asq__url *b)
{
    require(a->scheme == b->scheme && a->tls == b->tls && a->tls_verify == b->tls_verify);
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
}

/* Checks the text that asq_open shows of an URL: only this text is ever shown. */
static void check_hidden(const struct asq__url *url)
{
    struct asq__url other = *url;
    char *hidden = asq__url_format(url, true), *shown;

    require(hidden != NULL);
    if (url->password) {
        char changed[] = "quite another one";
        other.password = changed;
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
