/*
 * value.h: internal interface of asq_value, for value/ and the layers above: its representation,
 * references to calls, and the wire encoding.
 */
#ifndef ASQ_VALUE_VALUE_H
#define ASQ_VALUE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"

struct asq__buf;

/* Id of a call: partition, batch, and index in the batch. As text "PARTITION-BATCH-INDEX": decimal,
 * 32 lower-case hex digits, decimal. A promise has an id of this form too, because it is awaited as
 * a call is: with an index that no call has, and as text "PARTITION-BATCH-promise". */
struct asq__call_id {
    uint8_t batch[16];
    uint32_t partition;
    uint32_t index;
};
#define ASQ__CALL_ID_TEXT 64 /* room for the text and its NUL */
void asq__call_id_format(const struct asq__call_id *id, char text[ASQ__CALL_ID_TEXT]);
#define ASQ__PROMISE_INDEX UINT32_MAX
static inline bool asq__call_id_is_promise(const struct asq__call_id *id)
{
    return id->index == ASQ__PROMISE_INDEX;
}
/* Parses a call id; ASQ_EPARSE. */
int asq__call_id_parse(const char *text, struct asq__call_id *ret);

struct asq__pair {
    char *key;
    asq_value *value;
};

/* A reference that a future may hold to its asq_result, so that the value of a done result can be
 * sent in its place. value/ does not know that type: it only counts references through these
 * functions. */
struct asq__future_object {
    void *object; /* NULL: id only, as decoded from the wire */
    void (*ref)(void *object);
    void (*unref)(void *object);
};

struct asq__map_index; /* container.c: finds keys in larger maps */

/* Null and the two bools are constants of the library, shared and never written. The data of
 * strings, bytes, agents and futures is behind the value, in the same allocation, unless it is
 * borrowed. */
struct asq_value {
    asq_type type;
    bool owned;        /* is in a container */
    uint8_t height;    /* lists, maps: upper bound of the levels of containers from here down */
    asq_value *parent; /* lists, maps: the container around it; NULL at the root */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            char *data; /* NUL-terminated beyond n, unless borrowed */
            size_t n;
        } str; /* ASQ_STRING, ASQ_BYTES */
        struct {
            asq_value **items;
            size_t n, cap;
        } list;
        struct {
            struct asq__pair *pairs;      /* in the order of insertion */
            struct asq__map_index *index; /* NULL while the map is small */
            uint32_t n, cap;
        } map;
        struct {
            char *id, *class_name;
        } agent;
        struct asq__future {
            char text[ASQ__CALL_ID_TEXT];
            struct asq__future_object live;
            bool unawaited; /* the call that has it as an argument does not wait for it */
        } * future;
    };
};

/* The first few items of a list are behind it, in the same allocation. */
enum { ASQ__FEW_ITEMS = 4 };
static inline asq_value **asq__list_inline(asq_value *list)
{
    return (asq_value **) (list + 1);
}

/* Reserve room in a container of known size. The container must not be put into another one before
 * it is complete. */
int asq__list_reserve(asq_value *list, size_t n);
int asq__map_reserve(asq_value *map, size_t n);
/* Adds a pair; takes key (from malloc, UTF-8) and item, also on failure: ASQ_EEXIST, ASQ_ELIMIT,
 * ASQ_ENOMEM. An item that is too deep, or in another container, is refused. */
int asq__map_add(asq_value *map, char *key, asq_value *item);
/* Makes a string or bytes value of n bytes, which the caller writes to str.data. */
asq_value *asq__value_new_bytes(asq_type type, size_t n);
/* Makes a value that borrows its data for its lifetime; no NUL follows the data. */
asq_value *asq__value_borrow_bytes(asq_type type, const void *data, size_t n);
/* As asq_vpack, but borrows strings and bytes, for a value that is freed before the public function
 * returns. */
int asq__vpack_borrowed(asq_value **ret, char *err, size_t errlen, const char *fmt, va_list ap);
/* As asq_vunpack, but refuses elements of the outermost list or map beyond the format: ASQ_EARGS
 * names one. Messages name an item of the outermost list by `params` ("a, b"; or NULL). */
int asq__vunpack_args(const asq_value *args, const char *params, char *err, size_t errlen,
                      const char *fmt, va_list ap);
/* Returns the name of parameter i of "a, b" and its length, not terminated; NULL: it has no
 * name. */
const char *asq__param_at(const char *params, size_t i, size_t *ret_n);
/* Within value/: free, and copy, the index of a map. */
void asq__map_index_free(struct asq__map_index *index);
int asq__map_index_copy(asq_value *to, const asq_value *from);
/* Marks item (not NULL) as part of container, without storing it. ASQ_EINVAL, ASQ_ELIMIT. */
int asq__value_adopt(asq_value *container, asq_value *item);

asq_value *asq__value_agent_ref(const char *id, const char *class_name);
/* Makes a future; holds one reference to live (live->ref) if live is not NULL. */
asq_value *asq__value_future_ref(const char *call_id, const struct asq__future_object *live);
/* client/ defines asq_value_agent and asq_value_future with these two. asq_pack's `a` and `r` call
 * the public functions. */

/* Swaps the contents of two maps. False, without effect, if one is not a map. */
bool asq__map_swap(asq_value *a, asq_value *b);

/* Appends a UTF-8 text as JSON, in quotes. */
void asq__json_put_text(struct asq__buf *out, const char *s, size_t n);

/* Wire format: the protobuf message Value of proto/asqueue.proto. Decoded by hand, with bounded
 * depth, because protobuf-c's unpacker recurses as deep as hostile bytes ask for. */
/* Appends an encoded value. ASQ_ELIMIT, ASQ_ENOMEM; `out` is then unchanged but for its error. */
int asq__value_encode(const asq_value *v, struct asq__buf *out);
/* Encode in two steps, for callers that write the length first: return the size, or ASQ_ELIMIT;
 * then append exactly n bytes. */
int64_t asq__value_size(const asq_value *v);
void asq__value_put(const asq_value *v, size_t n, struct asq__buf *out);
/* Decodes a value. ASQ_EPROTO (err names the byte and its fault), ASQ_ENOMEM. Unawaited futures
 * lose their mark, which concerned one call: the value may become an argument of another. */
int asq__value_decode(const void *data, size_t n, asq_value **ret, char *err, size_t errlen);

/* Decodes with the marks, to know which futures to wait for. */
int asq__value_decode_marked(const void *data, size_t n, asq_value **ret, char *err, size_t errlen);

/* futures.c: the place of a future in a tree of arguments. Replacing futures leaves other places
 * valid; other changes to the tree do not. */
struct asq__future_place {
    const asq_value *future, *container; /* container NULL: the future is the root */
    const char *key;                     /* in a map */
    size_t at;                           /* in a list */
};
/* Visits each awaited future, in order; ends with the first code of fn that is not 0. fn may
 * replace the visited future. */
typedef int (*asq__future_fn)(void *user, const struct asq__future_place *place);
int asq__value_each_future(const asq_value *root, asq__future_fn fn, void *user);
/* Visits unawaited futures, too. */
int asq__value_every_future(const asq_value *root, asq__future_fn fn, void *user);
/* Visits the agents in a tree until is_meant returns true. Returns whether it has. root may be
 * NULL. */
bool asq__value_has_agent(const asq_value *root, bool (*is_meant)(void *user, const char *id),
                          void *user);
/* Replaces a future by value (taken). *root changes if the future is the root. */
int asq__future_replace(asq_value **root, const struct asq__future_place *place, asq_value *value);

/* Orders named arguments by `params` ("url, depth"): a list with null for each missing one in the
 * middle, and without missing ones at the end. ASQ_EARGS names an unknown one. */
int asq__value_by_params(const asq_value *map, const char *params, asq_value **ret, char *err,
                         size_t errlen);

bool asq__utf8_valid(const char *s, size_t n);
/* Check an agent id; a class, method or attribute name. ASQ_EINVAL, with a text. */
int asq__check_id(const char *id, char *err, size_t errlen);
int asq__check_name(const char *what, const char *name, char *err, size_t errlen);

#endif
