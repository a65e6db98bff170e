/*
 * fork_guard.h: keeps a worker's connections to Redis out of what its methods fork. Close-on-exec covers
 * programs that are started. A method may also fork and stay: the copy would hold the connections open
 * after the worker's death, and could speak on them.
 *
 * In such a child each connection's number stands for /dev/null: what is written there is gone, reads
 * end at once, and no other file can get the number.
 */
#ifndef ASQ_REDIS_FORK_GUARD_H
#define ASQ_REDIS_FORK_GUARD_H

/* From now on what this process forks loses the connections. Any thread; once or more often. Left alone: forks by
 * vfork, posix_spawn and the bare system call, which call no handlers. */
void asq__fork_guard_begin(void);

/* A socket to Redis was made, or is about to be closed. Numbers from 65,536 on are not guarded. */
void asq__fork_guard_add(int fd);
void asq__fork_guard_remove(int fd);

#endif
