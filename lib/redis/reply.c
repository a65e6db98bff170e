/*
 * reply.c: see reply.h. hiredis takes a NULL from here as "out of memory" and gives the reader up.
 */
#include <string.h>

#include "redis/reply.h"
#include "value/arena.h"

/* hiredis 1.0 counts elements as size_t, and knows more types. */
#ifdef HAVE_HIREDIS_1
typedef size_t count_t;
#else
typedef int count_t;
#endif

enum { MAX_ELEMENTS = 16 * 1024 * 1024 };

static redisReply *reply_new(const redisReadTask *task)
{
    redisReply *r = asq__arena_alloc(task->privdata, sizeof *r);
    if (!r)
        return NULL;
    memset(r, 0, sizeof *r);
    r->type = task->type;
    if (task->parent)
        ((redisReply *) task->parent->obj)->element[task->idx] = r;
    return r;
}

static void *create_string(const redisReadTask *task, char *str, size_t n)
{
    redisReply *r = reply_new(task);
    char *copy = r ? asq__arena_alloc(task->privdata, n + 1) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, str, n);
    copy[n] = '\0';
    r->str = copy;
    r->len = n;
    return r;
}

static void *create_array(const redisReadTask *task, count_t n)
{
    redisReply *r = reply_new(task);
    if (!r || (size_t) n > MAX_ELEMENTS)
        return NULL; /* no expected reply has so many elements; only their number was read */
    r->elements = (size_t) n;
    if (n > 0) {
        r->element = asq__arena_alloc(task->privdata, (size_t) n * sizeof(redisReply *));
        if (!r->element)
            return NULL;
        memset(r->element, 0, (size_t) n * sizeof(redisReply *));
    }
    return r;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    redisReply *r = reply_new(task);
    if (r)
        r->integer = value;
    return r;
}

static void *create_nil(const redisReadTask *task)
{
    redisReply *r = reply_new(task);
    if (r)
        r->type = REDIS_REPLY_NIL; /* the task has the type of the missing element */
    return r;
}

#ifdef HAVE_HIREDIS_1
static void *create_double(const redisReadTask *task, double value, char *str, size_t n)
{
    redisReply *r = create_string(task, str, n);
    if (r)
        r->dval = value;
    return r;
}

static void *create_bool(const redisReadTask *task, int value)
{
    return create_integer(task, value);
}
#endif

static void free_object(void *reply)
{
    (void) reply; /* freed with the arena */
}

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
#ifdef HAVE_HIREDIS_1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
    .createNil = create_nil,
    .freeObject = free_object,
};

void asq__reply_in_arena(redisReader *reader, struct asq__arena *arena)
{
    reader->fn = &functions;
    reader->privdata = arena;
}
