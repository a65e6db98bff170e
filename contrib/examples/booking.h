/*
 * booking.h: the class Trip, whose agents book a trip by a saga. What does the booking outside of
 * asqueue is booking_ask, which the program sets before it registers the class.
 */
#ifndef BOOKING_H
#define BOOKING_H

#include <asqueue.h>

/* Failures of booking_ask. */
enum {
    BOOKING_EREFUSED = ASQ_EUSER(20), /* the service has said no: nothing was booked */
    BOOKING_EAWAY = ASQ_EUSER(21)     /* no answer: it may be booked or not */
};

enum { BOOKING_REFERENCE = 80 }; /* bytes, with the final NUL */

/* Asks a service, such as "hotel" of the services at `desk`, to book for `who` or to cancel. `key`
 * names the booking: a second request with the same key changes nothing, and gives the same
 * reference, and one to cancel what was never booked is granted, too. */
typedef int (*booking_ask_fn)(asq_ctx *ctx, const char *desk, const char *service, const char *verb,
                              const char *key, const char *who,
                              char ret_reference[BOOKING_REFERENCE]);
extern booking_ask_fn booking_ask;

/* Services that are files in the directory `desk`: a line for each booking and each cancellation.
 * One with a file SERVICE.full refuses. Processes of one host may ask at the same time. */
int booking_desk(asq_ctx *ctx, const char *desk, const char *service, const char *verb,
                 const char *key, const char *who, char ret_reference[BOOKING_REFERENCE]);

extern const asq_class trip_class;

#endif
