/*
 * window.c: see window.h.
 */
#include "worker/core/window.h"

#include "value/assert.h"

/* The quickest answer counts for one to two such spans, because the way to a node may change. */
static const int64_t SPAN_NS = (int64_t) 10 * 1000000000;

/* The room is doubled while answers take less than twice as long as the quickest one, and halved
 * when they take more than four times as long. */
enum { FEW = 2, MANY = 4 };

static unsigned room_of(const struct asq__window *w)
{
    return w->room ? w->room : ASQ__WINDOW_LEAST;
}

bool asq__window_holds(struct asq__window *w)
{
    bool full = w->under_way >= room_of(w);
    w->held |= full;
    return full;
}

void asq__window_sent(struct asq__window *w)
{
    w->under_way++;
}

static void note(struct asq__window *w, int64_t took_ns, int64_t now_ns)
{
    if (now_ns - w->since_ns > SPAN_NS) {
        w->before_ns = w->least_ns;
        w->least_ns = 0;
        w->since_ns = now_ns;
    }
    if (!w->least_ns || took_ns < w->least_ns)
        w->least_ns = took_ns;
    w->sum_ns += took_ns;
    w->answers++;
}

static void adapt(struct asq__window *w)
{
    unsigned room = room_of(w);
    int64_t mean_ns = w->sum_ns / w->answers;
    int64_t least_ns = w->before_ns && w->before_ns < w->least_ns ? w->before_ns : w->least_ns;
    if (w->held && mean_ns < FEW * least_ns && room < ASQ__WINDOW_MOST)
        w->room = 2 * room;
    else if (mean_ns > MANY * least_ns && room > ASQ__WINDOW_LEAST)
        w->room = room / 2;
    w->held = false;
    w->answers = 0;
    w->sum_ns = 0;
}

void asq__window_answered(struct asq__window *w, int64_t sent_ns, int64_t now_ns)
{
    asq__assert(w->under_way);
    w->under_way--;
    if (!sent_ns)
        return;
    note(w, now_ns - sent_ns > 0 ? now_ns - sent_ns : 1, now_ns);
    if (w->answers >= room_of(w))
        adapt(w);
}
