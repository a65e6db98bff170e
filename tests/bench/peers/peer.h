/*
 * peer.h: code shared by the peers' programs: time, latencies, the command line. The measured span
 * begins after a while of the same load.
 */
#ifndef PEER_H
#define PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WINDOW = 1024, MAX_SAMPLES = 1 << 20 };

static inline double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* A measured span: begins WARM_S after span_start. */
#define WARM_S 0.25
struct span {
    double begin, end, seconds;
    unsigned long before;
};

static inline struct span span_start(double seconds)
{
    struct span s = { now_s() + WARM_S, 0, seconds, 0 };
    return s;
}

/* Returns whether to go on, with `done` calls done. */
static inline int span_on(struct span *s, unsigned long done)
{
    double now = now_s();
    if (s->end == 0 && now >= s->begin) {
        s->begin = now;
        s->end = now + s->seconds;
        s->before = done;
    }
    return s->end == 0 || now < s->end;
}

static inline void span_print(const struct span *s, unsigned long done)
{
    printf("%.1f\n", (double) (done - s->before) / (now_s() - s->begin));
    fflush(stdout);
}

static inline int compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static inline int print_latencies(double *us, size_t n)
{
    if (n == 0)
        return 1;
    qsort(us, n, sizeof *us, compare);
    printf("%.2f %.2f\n", us[n / 2], us[n - 1 - n / 100]);
    return 0;
}

/* Functions of each peer. `one` makes one call and waits for its answer. */
int peer_worker(const char *address, int one_at_a_time);
int peer_async(const char *address, double seconds, size_t bytes);
int peer_open(const char *address, size_t bytes, int one_at_a_time);
int peer_one(void);

static inline int peer_sync(const char *address, double seconds, size_t bytes)
{
    double *us = malloc(MAX_SAMPLES * sizeof *us), at, end;
    size_t n = 0;
    if (!us || peer_open(address, bytes, 1) < 0)
        return 1;
    for (end = now_s() + WARM_S; now_s() < end;)
        if (peer_one() < 0)
            return 1;
    for (at = now_s(), end = at + seconds; at < end && n < MAX_SAMPLES;) {
        if (peer_one() < 0)
            return 1;
        double now = now_s();
        us[n++] = (now - at) * 1e6;
        at = now;
    }
    return print_latencies(us, n);
}

#define PEER_MAIN                                                                                  \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        double seconds = argc > 3 ? atof(argv[3]) : 1;                                             \
        size_t bytes = argc > 4 ? (size_t) atol(argv[4]) : 100;                                    \
        if (argc < 3)                                                                              \
            return 2;                                                                              \
        if (strncmp(argv[1], "worker", 6) == 0)                                                    \
            return peer_worker(argv[2], argv[1][6] != '\0');                                       \
        if (strcmp(argv[1], "async") == 0)                                                         \
            return peer_async(argv[2], seconds, bytes);                                            \
        return peer_sync(argv[2], seconds, bytes);                                                 \
    }

#endif
