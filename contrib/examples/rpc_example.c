/*
 * rpc_example.c: the ways to use an agent, one after the other: a method called and waited for,
 * methods called with the result read later (a basic one and a composite one), attributes, an
 * error, and a private method that is refused.
 *
 *     cc -o rpc_example rpc_example.c ledger.c $(pkg-config --cflags --libs asqueue)
 *     rpc_example [URL]
 *
 * Without URL: ASQUEUE_URL, else a private Redis and workers of this program's own. "local:" works
 * too. With the URL of a Redis, dist_server must run there.
 */
#include "ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the example on an error; a real program would tell its user what it was doing. */
static void check(asq *h, int rc)
{
    if (rc < 0) {
        fprintf(stderr, "rpc_example: %s (%s)\n", asq_errmsg(h), asq_error_name(rc));
        asq_close(h);
        exit(1);
    }
}

/* Calls synchronously: asq_call_wait returns when the method has run and its effects are safe in
 * Redis. */
static void call_and_wait(asq *h, asq_agent *ledger)
{
    asq_value *balance;
    int64_t n;

    check(h, asq_call_wait(ledger, "deposit", NULL, "[i]", 100));
    check(h, asq_call_wait(ledger, "deposit", &balance, "{s:i}", "amount", 50)); /* by name */
    check(h, asq_value_get_int(balance, &n));
    printf("deposit 100, deposit 50: balance %" PRId64 "\n", n);
    asq_value_free(balance);
}

/* Calls asynchronously: asq_call returns at once with a placeholder for the result. Both calls are
 * under way before the first getter waits. Calls from one handle to one agent run in order. */
static void call_and_read_later(asq *h, asq_agent *ledger)
{
    asq_result *forecast, *statement;
    const asq_value *entries;
    const char *owner;
    int64_t balance;
    double later;

    check(h, asq_call(ledger, "forecast", &forecast, "[f, i]", 3.0, 10));
    check(h, asq_call(ledger, "statement", &statement, NULL));

    check(h, asq_result_double(forecast, &later)); /* waits */
    printf("forecast: %.2f in ten years\n", later);

    /* A field of a composite result waits by itself; so does reading all of it with a format. */
    check(h, asq_result_field(statement, "entries", &entries));
    check(h, asq_result_unpack(statement, "{s:s, s:I}", "owner", &owner, "balance", &balance));
    printf("statement: %s has %" PRId64 " from %zu entries\n", owner, balance,
           asq_list_size(entries)); /* entries and owner are borrowed from the result */
    asq_result_free(forecast);
    asq_result_free(statement);
}

static void use_attributes(asq *h, asq_agent *ledger)
{
    asq_value *v;
    const char *owner;

    check(h, asq_set(ledger, "owner", asq_value_string("Grace")));
    check(h, asq_get(ledger, "owner", &v));
    check(h, asq_value_get_string(v, &owner, NULL));
    printf("attribute owner: %s\n", owner);
    asq_value_free(v);
    if (asq_set(ledger, "balance", asq_value_int(1000000)) < 0) /* not writable */
        printf("attribute balance: refused: %s\n", asq_errmsg(h));
}

/* Shows a method's failure, which has code, message, class, method, agent and worker. */
static void fail_with_an_error(asq *h, asq_agent *ledger)
{
    if (asq_call_wait(ledger, "withdraw", NULL, "[i]", 1000) == LEDGER_EFUNDS) {
        const asq_error *e = asq_last_error(h);
        printf("withdraw 1000: error %d from %s.%s: %s\n", e->code, e->class_name, e->method,
               e->message);
    }
}

static void call_what_is_private(asq *h, asq_agent *ledger)
{
    int rc = asq_call_wait(ledger, "_forge", NULL, "[i]", 1000);

    if (rc == ASQ_EPRIVATE)
        printf("_forge: refused: %s\n", asq_errmsg(h));
    else
        printf("_forge: %s\n", rc < 0 ? asq_errmsg(h) : "was called!");
}

int main(int argc, char **argv)
{
    asq *h;
    asq_agent *ledger;
    char err[1024];

    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: rpc_example [URL]\n");
        return 2;
    }
    if (asq_open(argc == 2 ? argv[1] : NULL, NULL, &h, err, sizeof err) < 0) {
        fprintf(stderr, "rpc_example: %s\n", err);
        return 1;
    }
    asq_set_timeout(h, 60000); /* for all waits below, which have no limit by default */
    check(h, asq_register(h, &ledger_class));
    check(h, asq_create(h, "Ledger", NULL, &ledger, "{s:s}", "owner", "Ada"));

    call_and_wait(h, ledger);
    call_and_read_later(h, ledger);
    use_attributes(h, ledger);
    fail_with_an_error(h, ledger);
    call_what_is_private(h, ledger);

    check(h, asq_delete(ledger, 60000));
    asq_agent_free(ledger);
    asq_close(h);
    return 0;
}
