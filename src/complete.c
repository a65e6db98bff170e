/*
 * complete.c: see complete.h.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "complete.h"
#include "secret.h"
#include "value/escape.h"
#include "workers.h"

#define TIMEOUT_MS 1000

/* Returns whether a name may be offered to a shell: it has no space, quote or other special
 * character of shells, and does not begin like an option. */
static bool is_plain(const char *word)
{
    size_t n = strlen(word);
    if (n == 0 || n > ASQ_MAX_ID || *word == '-')
        return false;
    char out[ASQ__ESCAPE_MAX];
    for (const char *at = word, *was; was = at, *at;)
        if (asq__escape_next(&at, ASQ__ESCAPE_LINE, out) != (size_t) (at - was) ||
            (!(*was & 0x80) && !isalnum((unsigned char) *was) &&
             !strchr("_.,:@%+/={}~^#![]-", *was)))
            return false;
    return true;
}

asq *as_complete_open(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    const char *url = as_secret_url();
    options.timeout_ms = TIMEOUT_MS;
    options.connect_timeout_ms = TIMEOUT_MS;
    options.close_timeout_ms = -1;
    /* The line's -u may be half typed, or lack a password that comes from elsewhere. */
    if (!url || !*url || strncmp(url, "child:", 6) == 0 || strncmp(url, "local:", 6) == 0)
        return NULL;
    asq *h;
    return asq_open(url, &options, &h, NULL, 0) == 0 ? h : NULL;
}

void as_complete_word(const char *word)
{
    if (is_plain(word))
        puts(word);
}

void as_complete_workers(asq *h)
{
    asq_value *list;
    if (asq_workers(h, &list) < 0)
        return;
    for (size_t i = 0; i < asq_list_size(list); i++)
        as_complete_word(as_worker_id(asq_list_get(list, i)));
    asq_value_free(list);
}
