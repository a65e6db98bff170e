/*
 * screen.h: as-ctl top in a terminal, by ncurses: paints pages, reads keys, follows the size of the
 * terminal, and leaves it as it was, also when a signal ends the program.
 */
#ifndef ASQ_SRC_TOP_SCREEN_H
#define ASQ_SRC_TOP_SCREEN_H

#include "output.h"
#include "top/live.h"
#include "top/view.h"

/* Shows the view until a key or a signal ends it; returns an exit status. *ret_signal: the signal;
 * 0: none. */
int as_top_screen_run(struct as_top_view *view, struct as_top_live *live,
                      const struct as_reporter *who, int *ret_signal);

#endif
