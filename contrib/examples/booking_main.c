/*
 * booking_main.c: books trips for two people. There is a hotel for the first one only, so the
 * flight of the second is cancelled.
 *
 *     cc -o booking booking_main.c booking.c booking_desk.c $(pkg-config --cflags --libs asqueue)
 *     booking [URL]
 *
 * URL: of a Redis that a worker with the class Trip serves, as dist_server on the same host; "local:";
 * none: a Redis of its own. booking.c says how a saga is written.
 */
#include "booking.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(asq *h, int rc)
{
    if (rc < 0) {
        fprintf(stderr, "booking: %s\n", asq_errmsg(h));
        exit(1);
    }
}

static void book(asq *h, const char *desk, const char *who)
{
    asq_agent *trip;
    asq_value *v, *status;
    const char *text;
    char *json;

    check(h, asq_create(h, "Trip", NULL, &trip, "[s]", desk));
    check(h, asq_call_wait(trip, "book", &v, "[s]", who));
    check(h, asq_to_json(v, 0, &json));
    check(h, asq_get(trip, "status", &status));
    check(h, asq_value_get_string(status, &text, NULL));
    printf("%s: %s: %s\n", who, text, json);
    free(json);
    asq_value_free(v);
    asq_value_free(status);
    check(h, asq_delete(trip, 60000));
    asq_agent_free(trip);
}

/* Prints what a service has booked and cancelled. */
static void print_desk(const char *desk, const char *service)
{
    char path[1024], line[1024], verb[16], who[100];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", desk, service);
    if (!(f = fopen(path, "r")))
        return;
    printf("%s:", service);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%15s %*s %99s", verb, who) == 2)
            printf(" %s %s", verb, who);
    printf("\n");
    fclose(f);
}

static void touch(const char *desk, const char *name)
{
    char path[1024];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", desk, name);
    if (!(f = fopen(path, "w"))) {
        perror(path);
        exit(1);
    }
    fclose(f);
}

static void remove_desk(const char *desk)
{
    static const char *const names[] = { "flight", "hotel", "hotel.full", "car", "payment" };
    char path[1024];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", desk, names[i]);
        unlink(path);
    }
    rmdir(desk);
}

int main(int argc, char **argv)
{
    char desk[] = "/tmp/booking.XXXXXX", err[1024];
    asq *h;

    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: booking [URL]\n");
        return 2;
    }
    if (!mkdtemp(desk)) {
        perror(desk);
        return 1;
    }
    if (asq_open(argc == 2 ? argv[1] : NULL, NULL, &h, err, sizeof err) < 0) {
        fprintf(stderr, "booking: %s\n", err);
        remove_desk(desk);
        return 1;
    }
    asq_set_timeout(h, 60000);
    check(h, asq_register(h, &trip_class));
    book(h, desk, "Ada");
    touch(desk, "hotel.full");
    book(h, desk, "Ben");
    print_desk(desk, "flight");
    print_desk(desk, "hotel");
    print_desk(desk, "car");
    print_desk(desk, "payment");
    asq_close(h);
    remove_desk(desk);
    return 0;
}
