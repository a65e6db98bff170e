/*
 * window.h: how many script calls with commits may be under way at one node of a Redis Cluster. A
 * call commits for one partition there. As long as others keep Redis busy, a commit had better
 * wait: it takes up what is done meanwhile, and one that commits five calls costs little more than
 * one that commits one. A node that is far away is kept busy by more of them, so the room grows
 * while calls under way hardly make each other wait.
 */
#ifndef ASQ_WORKER_CORE_WINDOW_H
#define ASQ_WORKER_CORE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum { ASQ__WINDOW_LEAST = 8, ASQ__WINDOW_MOST = 512 };

/* All zero: nothing was sent yet. */
struct asq__window {
    unsigned under_way;
    unsigned room;     /* 0: the least */
    bool held;         /* since the last change of `room` something had to wait */
    unsigned answers;  /* since then; together they took so long: */
    int64_t sum_ns;    /* from sending to the answer */
    int64_t least_ns;  /* the quickest answer in this span of time; 0: none */
    int64_t before_ns; /* that in the span before */
    int64_t since_ns;  /* begin of the span */
};

/* Returns whether nothing more may leave, and notes that something wants to. */
bool asq__window_holds(struct asq__window *w);
void asq__window_sent(struct asq__window *w);
/* A call was answered. `sent_ns`: when it was sent; 0: the connection was lost. */
void asq__window_answered(struct asq__window *w, int64_t sent_ns, int64_t now_ns);

#endif
