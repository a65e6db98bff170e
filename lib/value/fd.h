/*
 * fd.h: descriptors that the library keeps. A program may have closed its standard streams: a descriptor
 * numbered 0 to 2 would then receive what the program, or a library it uses, prints. And a program that is
 * started by exec must not inherit any.
 */
#ifndef ASQ_VALUE_FD_H
#define ASQ_VALUE_FD_H

/* Gives a descriptor above 2 with close-on-exec in place of fd, which is closed if it was another. -1: fd is
 * none (errno is left alone), or there is no free number (errno says so; fd is closed). */
int asq__fd_keep(int fd);

/* Occupies the free numbers among 0 to 2 while something makes descriptors that cannot be moved afterwards. */
struct asq__fd_fence {
    int fds[3];
    int n;
};
void asq__fd_fence_begin(struct asq__fd_fence *f);
void asq__fd_fence_end(struct asq__fd_fence *f);

/* Opens /dev/null as each of 0 to 2 that is closed, for good: in processes that the library has forked. */
void asq__fd_fill_standard(void);

#endif
