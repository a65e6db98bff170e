/*
 * fd.h: descriptors that the library keeps. A program may have closed its standard streams; a
 * descriptor numbered 0 to 2 would then receive output of the program or of its libraries. Executed
 * programs must not inherit any.
 */
#ifndef ASQ_VALUE_FD_H
#define ASQ_VALUE_FD_H

/* Moves fd above 2, with close-on-exec, and returns the new descriptor. -1: fd is negative (errno
 * unchanged), or no number is free (with errno; fd is closed). */
int asq__fd_keep(int fd);

/* Occupies free numbers among 0 to 2 while code makes descriptors that cannot be moved later. */
struct asq__fd_fence {
    int fds[3];
    int n;
};
void asq__fd_fence_begin(struct asq__fd_fence *f);
void asq__fd_fence_end(struct asq__fd_fence *f);

/* Opens /dev/null in place of each closed descriptor among 0 to 2, in processes that the library
 * has forked. */
void asq__fd_fill_standard(void);

#endif
