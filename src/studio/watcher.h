/*
 * watcher.h: the thread that reads the deployment for the feed (feed.h): once a second while
 * somebody listens, and at once when something was written.
 */
#ifndef ASQ_SRC_STUDIO_WATCHER_H
#define ASQ_SRC_STUDIO_WATCHER_H

#include "studio/feed.h"

/* Starts the thread of a feed. 0, or an errno. */
int as_watch_start(struct as_feed *feed);
/* Waits for its end, after as_feed_close. */
void as_watch_join(struct as_feed *feed);

#endif
