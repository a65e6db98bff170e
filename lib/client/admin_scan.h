/*
 * admin_scan.h: reads the agents of many partitions, page by page, with pages of several partitions
 * under way at a time: while the caller looks at one, Redis makes the next.
 */
#ifndef ASQ_CLIENT_ADMIN_SCAN_H
#define ASQ_CLIENT_ADMIN_SCAN_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

struct asq__scan {
    uint32_t partitions; /* how many there are; a namespace that gets another number ends all */
    uint32_t next, end;  /* from `next` on, which moves on, up to `end` */
    unsigned at_once;    /* partitions; 1: one after the other */
    const char *pattern; /* of ids; "": all */
    char cursor[32];     /* at_once 1: where in `next` it is; "0": at its beginning */
    /* Takes an agent: its id and its snapshot, both strings. Its code ends all. */
    int (*take)(asq *h, uint32_t partition, const redisReply *id, const redisReply *bytes,
                void *user);
    bool (*is_enough)(const void *user); /* NULL: no; asked after each page */
    void *user;
};

/* Gives all agents that are there the whole time; an agent may come twice. The handle's timeout is
 * for each page, and deadline_ms for all. Between asq__admin_begin and asq__admin_end. Errors as of
 * asq__admin_ask, and those of `take`. */
int asq__admin_scan(asq *h, struct asq__scan *scan, int64_t deadline_ms);

#endif
