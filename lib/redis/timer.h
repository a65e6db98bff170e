/*
 * timer.h: sets a timer of libev, whether it runs already or not.
 */
#ifndef ASQ_REDIS_TIMER_H
#define ASQ_REDIS_TIMER_H

#include <ev.h>

/* Makes the timer fire after `after_s` seconds, and then each `repeat_s`, if that is above 0. A
 * time that was set before is forgotten. Counts from the start of the loop's iteration, unless the
 * caller has called ev_now_update. */
static inline void asq__timer_restart(struct ev_loop *loop, ev_timer *timer, double after_s,
                                      double repeat_s)
{
    ev_timer_stop(loop, timer);
    ev_timer_set(timer, after_s, repeat_s);
    ev_timer_start(loop, timer);
}

#endif
