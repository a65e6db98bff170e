/*
 * list.h: an intrusive, circular, doubly linked list. After asq__list_init or asq__list_del a node
 * points at itself, so deleting twice is harmless.
 */
#ifndef ASQ_VALUE_LIST_H
#define ASQ_VALUE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__list {
    struct asq__list *prev, *next;
};

/* Returns the struct that contains a member; also from a pointer to const, as for keys of
 * tables. */
#define ASQ__CONTAINER(ptr, type, member) ((type *) ((uintptr_t) (ptr) -offsetof(type, member)))

static inline void asq__list_init(struct asq__list *l)
{
    l->prev = l->next = l;
}

static inline bool asq__list_empty(const struct asq__list *l)
{
    return l->next == l;
}

/* Inserts n before `at`: at the end if `at` is the head. */
static inline void asq__list_add(struct asq__list *at, struct asq__list *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void asq__list_add_first(struct asq__list *head, struct asq__list *n)
{
    asq__list_add(head->next, n);
}

static inline void asq__list_del(struct asq__list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    asq__list_init(n);
}

/* Removes and returns the first node; NULL if empty. */
static inline struct asq__list *asq__list_pop(struct asq__list *head)
{
    struct asq__list *n = head->next;
    if (n == head)
        return NULL;
    asq__list_del(n);
    return n;
}

/* Moves all of `from` to the end of `to`. */
static inline void asq__list_splice(struct asq__list *to, struct asq__list *from)
{
    if (asq__list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    asq__list_init(from);
}

/* Visits all nodes; the body may delete `it`. */
#define ASQ__LIST_EACH(it, head)                                                                   \
    for (struct asq__list *it = (head)->next, *it##_next = it->next; it != (head);                 \
         it = it##_next, it##_next = it->next)

#endif
