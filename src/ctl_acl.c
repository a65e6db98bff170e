/*
 * ctl_acl.c: as-ctl acl: prints the rules of contrib/redis-cli/acl, which the build embeds, for one
 * namespace. Does not connect, because the rules are needed before users can connect.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl_gen.h"
#include "connect.h"
#include "ctl.h"
#include "output.h"
#include "program.h"
#include "secret.h"

/* Writes text[0..n) with the namespace in each place of @N@. */
static void write_rule(FILE *out, const char *text, size_t n, const char *ns, size_t ns_n)
{
    const char *end = text + n;
    const char *at;
    while ((at = memmem(text, (size_t) (end - text), "@N@", 3))) {
        fwrite(text, 1, (size_t) (at - text), out);
        fwrite(ns, 1, ns_n, out);
        text = at + 3;
    }
    fwrite(text, 1, (size_t) (end - text), out);
}

/* Adds a rule to a list, as text. False: no memory. */
static bool add_rule(asq_value *rules, const char *text, size_t n, const char *ns, size_t ns_n)
{
    char *rule = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&rule, &size);
    if (!out)
        return false;
    write_rule(out, text, n, ns, ns_n);
    bool ok = fclose(out) == 0 && asq_list_append(rules, asq_value_string(rule)) == 0;
    free(rule);
    return ok;
}

/* Finds the namespace without asking Redis: --namespace, else the URL's ns=, else "default". *ret
 * is borrowed text of *ret_n bytes. */
static void find_namespace(const struct as_ctl *ctl, const char **ret, size_t *ret_n)
{
    const char *url = ctl->settings.url ? ctl->settings.url : as_secret_url();
    const char *query = url ? strchr(url, '?') : NULL, *at = NULL;
    if (ctl->settings.ns) {
        *ret = ctl->settings.ns;
        *ret_n = strlen(*ret);
        return;
    }
    for (; query && *query && !at; query = strchr(query + 1, '&'))
        at = strncmp(query + 1, "ns=", 3) == 0 ? query + 4 : NULL;
    *ret = at ? at : "default";
    *ret_n = strcspn(*ret, "&#");
}

int as_ctl_acl(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    const char *role = argc > 0 ? argv[0] : NULL, *line = as_acl;
    bool found = false, json = ctl->base.who.json;
    size_t ns_n;
    const char *ns;
    find_namespace(ctl, &ns, &ns_n);
    /* No dot: a rule for "a.*" would match the namespace "a.b". */
    if (ns_n == 0 || ns_n > AS_NS_MAX || strspn(ns, AS_NS_BYTES) < ns_n)
        return as_program_usage(
            &ctl->base,
            "'%.*s' is not the name of a namespace: 1 to %d letters, digits, '_' and '-'",
            (int) (ns_n < 80 ? ns_n : 80), ns, AS_NS_MAX);
    asq_value *rules = json ? asq_value_list() : NULL;
    bool whole = !json || rules;
    while (*line) {
        const char *end = strchr(line, '\n');
        char user[32];

        if (sscanf(line, "user asq-@N@-%31[a-z]", user) == 1 &&
            (!role || strcmp(user, role) == 0)) {
            size_t n = (size_t) (end - line);
            found = true;
            if (json) {
                whole = whole && add_rule(rules, line, n, ns, ns_n);
            } else {
                write_rule(stdout, line, n, ns, ns_n);
                putchar('\n');
            }
        }
        line = end + 1;
    }
    if (found && whole && json)
        return as_print_json_own(&ctl->base.who, rules);
    asq_value_free(rules);
    if (found && json)
        return as_print_json_own(&ctl->base.who, NULL); /* out of memory */
    if (!found)
        return as_program_usage(&ctl->base,
                                "no role \"%s\"; there are client, worker, operator, observer"
                                " and mover",
                                role);
    return AS_EXIT_OK;
}
