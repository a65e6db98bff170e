/*
 * remains.h: checks which processes and temporary files a program leaves behind. For tests of child
 * mode, each in its own process (Check's fork mode).
 */
#ifndef ASQ_TESTS_REMAINS_H
#define ASQ_TESTS_REMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Makes every orphan among the descendants a child of this process from here on, and TMPDIR a
 * new, empty directory with this name, which is returned. */
const char *remains_watch(const char *name);
/* Waits until this process has no child and that directory is empty. After the limit the test fails
 * and lists what is left. */
void remains_nothing(void);
/* Returns whether that directory is empty. */
bool remains_no_file(void);

/* Lists the processes that descend from `root`, without itself; returns their number. */
size_t remains_descendants(pid_t root, pid_t *pids, size_t room);
pid_t remains_parent(pid_t pid);                       /* -1: no such process */
void remains_name(pid_t pid, char *name, size_t size); /* comm, or "" */
pid_t remains_named(pid_t root, const char *name);     /* a descendant of root; -1: none */

#endif
