/* acl.c: see acl.h. */
#include "acl.h"
#include "support.h"
#include "support_internal.h"

#include <stdlib.h>
#include <string.h>

#include "acl_gen.h"

#define PASSWORD    "of-a-test"
#define USER_PREFIX "asq-default-"

/* The namespaces that tests use. A user may use the keys of all of them, as if its rules were
 * repeated for each. */
static const char *const namespaces[] = { "default", "prod.eu", NULL };

static const char *expected; /* or NULL */

void sup_acl_expect(const char *command)
{
    expected = command;
}

bool sup_acl_on(void)
{
    const char *on = getenv("ASQ_TEST_ACL");
    return on && *on && strcmp(on, "0") != 0;
}

const char *sup__acl_query(void)
{
    return sup_acl_on() ? "?user=" USER_PREFIX "client&password=" PASSWORD : "";
}

const char *sup__acl_userinfo(void)
{
    return sup_acl_on() ? USER_PREFIX "client:" PASSWORD "@" : "";
}

/* Writes text[0..n) with the namespace in each place of @N@. */
static void write_for(FILE *f, const char *text, size_t n, const char *ns)
{
    const char *end = text + n;
    const char *at;
    while ((at = memmem(text, (size_t) (end - text), "@N@", 3))) {
        fwrite(text, 1, (size_t) (at - text), f);
        fputs(ns, f);
        text = at + 3;
    }
    fwrite(text, 1, (size_t) (end - text), f);
}

/* Adds the keys and channels of another namespace to the rule line..end: those of the user itself,
 * and each selector once more. */
static void write_more(FILE *conf, const char *line, const char *end, const char *ns)
{
    bool in_selector = false;
    for (const char *word = line; word < end; word += strcspn(word, " \n") + 1) {
        size_t n = strcspn(word, " \n");
        in_selector |= *word == '(';
        if (in_selector || strchr("~%&", *word)) {
            fputc(' ', conf);
            write_for(conf, word, n, ns);
        }
        in_selector &= word[n - 1] != ')';
    }
}

void sup__acl_write(FILE *conf)
{
    const char *end, *line;
    for (line = as_acl; sup_acl_on() && (end = strchr(line, '\n')); line = end + 1) {
        if (strncmp(line, "user ", 5) != 0)
            continue;
        write_for(conf, line, (size_t) (end - line), namespaces[0]);
        fputs(" on >" PASSWORD, conf);
        for (size_t i = 1; namespaces[i]; i++)
            write_more(conf, line, end, namespaces[i]);
        fputc('\n', conf);
    }
}

const char *sup__acl_role(const char *program)
{
    const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
    return strcmp(name, "as-worker") == 0 ? "worker"
           : strcmp(name, "as-ctl") == 0  ? "operator"
                                          : NULL;
}

const char *sup_url_as(const char *url, const char *role)
{
    /* URLs are kept, because callers pass them on without owning them. */
    static struct kept {
        struct kept *next;
        char *url;
    } * all;
    const char *at = url ? strstr(url, USER_PREFIX) : NULL;
    struct kept *k;
    char *made;

    if (!at)
        return url;
    at += strlen(USER_PREFIX);
    made = sup_format("%.*s%s%s", (int) (at - url), url, role, at + strcspn(at, "&:"));
    for (k = all; k; k = k->next)
        if (strcmp(k->url, made) == 0) {
            free(made);
            return k->url;
        }
    k = sup__alloc(sizeof *k);
    k->url = made;
    k->next = all;
    all = k;
    return made;
}

/* Returns a field of an entry of ACL LOG; "" without one. */
static const char *field(const redisReply *entry, const char *name)
{
    for (size_t i = 0; i + 1 < entry->elements; i += 2)
        if (entry->element[i]->str && strcmp(entry->element[i]->str, name) == 0)
            return entry->element[i + 1]->str ? entry->element[i + 1]->str : "";
    return "";
}

char *sup__acl_denied(redisContext *c)
{
    redisReply *log = redisCommand(c, "ACL LOG 128");
    char *text = NULL;
    for (size_t i = 0; log && log->type == REDIS_REPLY_ARRAY && i < log->elements; i++) {
        const redisReply *entry = log->element[i];
        const char *user = field(entry, "username"), *info = field(entry, "client-info");
        const char *cmd = strstr(info, " cmd=");
        char *longer;

        if (strncmp(user, "asq-", 4) != 0 ||
            (expected && strcmp(field(entry, "object"), expected) == 0))
            continue;
        longer = sup_format("%s\n    %s: %s \"%s\" (%s), in%.*s", text ? text : "", user,
                            field(entry, "reason"), field(entry, "object"), field(entry, "context"),
                            (int) (cmd ? strcspn(cmd + 1, " ") + 1 : 0), cmd ? cmd : "");
        free(text);
        text = longer;
    }
    freeReplyObject(log);
    return text;
}
