/*
 * fd.c: see fd.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "value/fd.h"

int asq__fd_keep(int fd)
{
    if (fd > 2) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
        return fd;
    }
    if (fd < 0)
        return -1;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int saved = errno;
    close(fd);
    errno = saved;
    return higher;
}

/* Occupies the lowest free number. "/" exists even without /dev; writes to it fail. */
static int open_placeholder(int flags)
{
    int fd = open("/dev/null", O_RDWR | flags);
    return fd >= 0 ? fd : open("/", O_RDONLY | O_DIRECTORY | flags);
}

void asq__fd_fence_begin(struct asq__fd_fence *f)
{
    int fd;
    f->n = 0;
    while ((fd = open_placeholder(O_CLOEXEC)) >= 0 && fd <= 2 && f->n < 3)
        f->fds[f->n++] = fd;
    if (fd > 2)
        close(fd);
}

void asq__fd_fence_end(struct asq__fd_fence *f)
{
    while (f->n > 0)
        close(f->fds[--f->n]);
}

void asq__fd_fill_standard(void)
{
    int fd;
    while ((fd = open_placeholder(0)) >= 0 && fd <= 2)
        ;
    if (fd > 2)
        close(fd);
}
