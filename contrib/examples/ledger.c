/*
 * ledger.c: the class Ledger: an account that keeps its entries. It shows the features of a class:
 * checked arguments, methods that change state and methods that only read, a writable attribute
 * with a setter that checks, a private method, and errors of its own.
 *
 * State (held by the library, a map): {"owner": string, "balance": int, "entries": [int, ...]}
 */
#include "ledger.h"

#include <string.h>

#define MAX_ENTRIES 10000

static int ledger_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    asq_value *state;
    const char *owner;
    int rc;

    (void) ret_self;
    if ((rc = asq_args(ctx, args, "{s:s}", "owner", &owner)) < 0)
        return rc;
    state = asq_pack("{s:s, s:i, s:[]}", "owner", owner, "balance", 0, "entries");
    return state ? asq_ctx_set_state(ctx, state) : ASQ_ENOMEM;
}

/* Changes two values. If the second change fails, or the process dies between them, the library
 * restores the state at the beginning of the call: both changes happen, or neither. */
static int enter(asq_ctx *ctx, int64_t amount, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx), *entries = asq_map_find(state, "entries");
    int64_t balance;
    int rc;

    if (asq_list_size(entries) >= MAX_ENTRIES)
        return asq_fail(ctx, ASQ_ELIMIT, "the ledger is full (%d entries)", MAX_ENTRIES);
    if (__builtin_add_overflow(asq_map_int(state, "balance"), amount, &balance))
        return asq_fail(ctx, ASQ_ELIMIT, "nobody has that much money");
    if ((rc = asq_map_set_int(state, "balance", balance)) < 0)
        return rc;
    if ((rc = asq_list_append(entries, asq_value_int(amount))) < 0)
        return rc;
    *ret = asq_value_int(balance);
    return *ret ? 0 : ASQ_ENOMEM;
}

static int ledger_deposit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t amount;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &amount)) < 0)
        return rc;
    if (amount <= 0)
        return asq_fail(ctx, ASQ_EARGS, "amount is %lld, must be above 0", (long long) amount);
    return enter(ctx, amount, ret);
}

static int ledger_withdraw(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t amount, balance = asq_map_int(asq_ctx_state(ctx), "balance");
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &amount)) < 0)
        return rc;
    if (amount <= 0)
        return asq_fail(ctx, ASQ_EARGS, "amount is %lld, must be above 0", (long long) amount);
    if (amount > balance)
        return asq_fail(ctx, LEDGER_EFUNDS, "%lld wanted, %lld there", (long long) amount,
                        (long long) balance);
    return enter(ctx, -amount, ret);
}

/* Returns a basic result: one number. */
static int ledger_forecast(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    double percent, balance = (double) asq_map_int(asq_ctx_state(ctx), "balance");
    int64_t years;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[f, I]", &percent, &years)) < 0)
        return rc;
    if (years < 0 || years > 100)
        return asq_fail(ctx, ASQ_EARGS, "years is %lld, must be 0 to 100", (long long) years);
    while (years-- > 0)
        balance *= 1 + percent / 100;
    *ret = asq_value_double(balance);
    return *ret ? 0 : ASQ_ENOMEM;
}

/* Returns a composite result: a map with a list in it. */
static int ledger_statement(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *state = asq_ctx_state(ctx);
    int rc = asq_args(ctx, args, "[]");

    (void) self;
    if (rc < 0)
        return rc;
    *ret = asq_pack("{s:O, s:O, s:O}", "owner", asq_map_get(state, "owner"), "balance",
                    asq_map_get(state, "balance"), "entries", asq_map_get(state, "entries"));
    return *ret ? 0 : ASQ_ENOMEM;
}

/* Is private by the '_' in its name: callers from outside get ASQ_EPRIVATE. */
static int ledger_forge(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t amount;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &amount)) < 0)
        return rc;
    return enter(ctx, amount, ret);
}

static int ledger_set_owner(asq_ctx *ctx, void *self, const asq_value *value)
{
    const char *owner;

    (void) self;
    if (asq_value_get_string(value, &owner, NULL) < 0 || owner[0] == '\0' || strlen(owner) > 100)
        return asq_fail(ctx, ASQ_EARGS, "an owner has a name of 1 to 100 bytes");
    return asq_map_set(asq_ctx_state(ctx), "owner", asq_value_string(owner));
}

static const asq_method ledger_methods[] = {
    { "deposit", ledger_deposit, "amount", ASQ_NONBLOCKING, "Adds; gives the new balance." },
    { "withdraw", ledger_withdraw, "amount", ASQ_NONBLOCKING, "Takes; gives the new balance." },
    { "forecast", ledger_forecast, "percent, years", ASQ_READONLY | ASQ_NONBLOCKING,
      "The balance in so many years, at so much interest." },
    { "statement", ledger_statement, NULL, ASQ_READONLY | ASQ_NONBLOCKING,
      "{owner, balance, entries}" },
    { "_forge", ledger_forge, "amount", ASQ_NONBLOCKING, "Nothing for customers." },
    { NULL, NULL, NULL, 0, NULL }
};

static const asq_attribute ledger_attributes[] = {
    { "balance", NULL, NULL, 0, "What is there now." },
    { "owner", NULL, ledger_set_owner, ASQ_WRITABLE, "Whose it is." },
    { NULL, NULL, NULL, 0, NULL }
};

const asq_class ledger_class = {
    ASQ_CLASS_INIT,
    .name = "Ledger",
    .doc = "An account that keeps its entries.",
    .methods = ledger_methods,
    .attributes = ledger_attributes,
    .create = ledger_create,
    .version = 1,
};
