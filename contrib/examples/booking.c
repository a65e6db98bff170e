/*
 * booking.c: the class Trip: a saga. A trip is a flight, a hotel, a car and a payment, each booked
 * at a service of its own, which knows nothing of the others. Either all of them are booked in the
 * end, or none is: when one refuses, those before it are cancelled, in the opposite order.
 *
 * No transaction spans the services, so the saga is a method whose every request is a step:
 *
 * - A step that has its record in Redis is not made again, whatever dies. The next run gets what it
 *   gave, refusals included, and so takes the same path, back as well as forth.
 * - A worker may die when the service has booked and the record is not written. Then the request is
 *   made again, and its key (the call's id with the service's name) tells the service.
 * - A service that gives no answer may have booked. Its booking is cancelled like the others.
 * - To cancel is tried for longer than to book, because nothing undoes it. What cannot be
 *   cancelled is in the result and in the state, for a person.
 * - The method does not fail when the trip is cancelled, because a failure would put its state
 *   back.
 *
 * A saga is given no deadline, which would end it anywhere. Each request has its limit instead.
 *
 * State (held by the library, a map): {"desk": string, "status": string, "references": {...}}
 */
#include "booking.h"

#include <stdio.h>

booking_ask_fn booking_ask = booking_desk;

static const char *const services[] = { "flight", "hotel", "car", "payment" };
enum { SERVICES = sizeof services / sizeof *services };

/* ---- requests ---- */

struct request {
    const char *desk, *service, *verb, *who;
};

/* The function of a step: whatever it does is done outside of Redis. */
static int ask(asq_ctx *ctx, void *user, asq_value **ret)
{
    const struct request *q = user;
    char key[200], reference[BOOKING_REFERENCE];
    int rc;

    snprintf(key, sizeof key, "%s/%s", asq_ctx_call_id(ctx), q->service);
    if ((rc = booking_ask(ctx, q->desk, q->service, q->verb, key, q->who, reference)) < 0)
        return rc;
    *ret = asq_value_string(reference);
    return *ret ? 0 : ASQ_ENOMEM;
}

static int request(asq_ctx *ctx, struct request *q, uint32_t attempts, asq_value **ret)
{
    static const int away[] = { BOOKING_EAWAY, 0 };
    asq_step_options options = ASQ_STEP_OPTIONS_INIT;
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    char name[40];

    retry.attempts = attempts;
    retry.delay_ms = 50;
    retry.max_delay_ms = 10000;
    retry.codes = away;
    options.retry = &retry;
    snprintf(name, sizeof name, "%s %s", q->verb, q->service);
    return asq_step_with(ctx, name, &options, ask, q, ret);
}

/* Whether a step has failed by what its service has said. Any other failure is one of the run,
 * which ends with it. */
static bool is_answer(int rc)
{
    return rc == BOOKING_EREFUSED || rc == BOOKING_EAWAY;
}

/* ---- the saga ---- */

/* Books at one service after the other. *ret_n: those that may have booked. Returns the answer of
 * the first that has not. */
static int book_all(asq_ctx *ctx, struct request *q, asq_value *references, int *ret_n)
{
    int rc;

    for (*ret_n = 0; *ret_n < SERVICES; ++*ret_n) {
        asq_value *reference = NULL;
        q->service = services[*ret_n];
        q->verb = "book";
        if ((rc = request(ctx, q, 3, &reference)) < 0) {
            *ret_n += rc == BOOKING_EAWAY;
            return rc;
        }
        if ((rc = asq_map_set(references, q->service, reference)) < 0)
            return rc;
    }
    return 0;
}

/* Cancels at the first n services, the last one first. left: gets those that could not be
 * cancelled. */
static int cancel_all(asq_ctx *ctx, struct request *q, int n, asq_value *left)
{
    while (n-- > 0) {
        int rc;
        q->service = services[n];
        q->verb = "cancel";
        rc = request(ctx, q, 20, NULL);
        if (is_answer(rc))
            rc = asq_list_append(left, asq_value_string(q->service));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int note(asq_ctx *ctx, const char *status, const asq_value *references)
{
    asq_value *state = asq_ctx_state(ctx);
    int rc = asq_map_set(state, "status", asq_value_string(status));

    return rc < 0 ? rc : asq_map_set(state, "references", asq_value_copy(references));
}

/* Gives {status: "booked", references: {...}}, or {status: "cancelled", by: the service that has
 * not booked, left: [services that could not be cancelled]}. */
static int trip_book(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *references = asq_value_map(), *left = asq_value_list();
    const asq_value *state = asq_ctx_state(ctx);
    struct request q = { 0 };
    const char *by;
    int n = 0, rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s]", &q.who)) == 0)
        rc = asq_value_get_string(asq_map_get(state, "desk"), &q.desk, NULL);
    if (rc == 0 && (rc = book_all(ctx, &q, references, &n)) == 0) {
        *ret = asq_pack("{s:s, s:O}", "status", "booked", "references", references);
        rc = *ret ? note(ctx, "booked", references) : ASQ_ENOMEM;
    } else if (is_answer(rc)) {
        by = q.service;
        if ((rc = cancel_all(ctx, &q, n, left)) == 0) {
            *ret = asq_pack("{s:s, s:s, s:O}", "status", "cancelled", "by", by, "left", left);
            asq_value_free(references);
            references = asq_value_map();
            rc = *ret ? note(ctx, asq_list_size(left) ? "stuck" : "cancelled", references)
                      : ASQ_ENOMEM;
        }
    }
    asq_value_free(references);
    asq_value_free(left);
    return rc;
}

static int trip_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    asq_value *state;
    const char *desk;
    int rc;

    (void) ret_self;
    if ((rc = asq_args(ctx, args, "[s]", &desk)) < 0)
        return rc;
    state = asq_pack("{s:s, s:s, s:{}}", "desk", desk, "status", "new", "references");
    return state ? asq_ctx_set_state(ctx, state) : ASQ_ENOMEM;
}

static const asq_method trip_methods[] = {
    { "book", trip_book, "who", 0, "Books everything, or nothing." }, { NULL, NULL, NULL, 0, NULL }
};

static const asq_attribute trip_attributes[] = {
    { "status", NULL, NULL, 0, "new, booked, cancelled, or stuck: a person has to cancel." },
    { "references", NULL, NULL, 0, "What the services have booked, by their names." },
    { NULL, NULL, NULL, 0, NULL }
};

const asq_class trip_class = {
    ASQ_CLASS_INIT,
    .name = "Trip",
    .doc = "A trip, booked by a saga.",
    .methods = trip_methods,
    .attributes = trip_attributes,
    .create = trip_create,
    .version = 1,
};
