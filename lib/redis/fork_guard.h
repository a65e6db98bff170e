/*
 * fork_guard.h: keeps a worker's connections to Redis out of processes that its methods fork.
 * Close-on-exec covers programs that are executed. A child that goes on without exec would hold the
 * connections open after the worker's death, and could send on them.
 *
 * In such a child each connection's descriptor is /dev/null: writes are lost, reads end at once,
 * and no other file can get the number.
 */
#ifndef ASQ_REDIS_FORK_GUARD_H
#define ASQ_REDIS_FORK_GUARD_H

/* Makes later forks of this process lose the connections. Any thread; once or more often. Forks by
 * vfork, posix_spawn and the bare system call are not covered, because they call no fork
 * handlers. */
void asq__fork_guard_begin(void);

/* Note a socket to Redis that was made, or is about to be closed. Descriptors from 65,536 on are
 * not guarded. */
void asq__fork_guard_add(int fd);
void asq__fork_guard_remove(int fd);

#endif
