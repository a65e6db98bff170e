/*
 * value.h: what the other files of value/ and the layers above know about asq_value beyond the
 * public interface: its representation, references to calls, and the wire encoding.
 */
#ifndef ASQ_VALUE_VALUE_H
#define ASQ_VALUE_VALUE_H

#include "asqueue.h"
#include "value/buf.h"

/* Names one call: which partition, which batch, which of its calls. As text
 * "PARTITION-BATCH-INDEX": decimal, 32 lower-case hex digits, decimal. */
struct asq__call_id {
    uint8_t batch[16];
    uint32_t partition;
    uint32_t index;
};
#define ASQ__CALL_ID_TEXT 64 /* room for the text and its NUL */
void asq__call_id_format(const struct asq__call_id *id, char text[ASQ__CALL_ID_TEXT]);
/* ASQ_EPARSE when text is no call id. */
int asq__call_id_parse(const char *text, struct asq__call_id *ret);

struct asq__pair {
    char *key;
    asq_value *value;
};

/* A future may hold a reference to the live asq_result, so that a value that is already there can
 * be sent instead. value/ does not know that type: it only counts through these. */
struct asq__future_object {
    void *object; /* NULL: id only, as decoded from the wire */
    void (*ref)(void *object);
    void (*unref)(void *object);
};

struct asq__map_index; /* container.c: finds keys in larger maps */

/* Null and the two bools are constants of the library, shared by all and never written. The data of
 * strings, bytes, agents and futures stands behind the value itself, in the same allocation, unless it
 * is borrowed. */
struct asq_value {
    asq_type type;
    bool owned;        /* stands in a container */
    uint8_t height;    /* lists, maps: levels of containers from here down, or more (never less) */
    asq_value *parent; /* lists, maps: the container it stands in; NULL at the root */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            char *data; /* NUL-terminated beyond n, but where it is borrowed */
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
            bool unawaited; /* handed on: the call that it is an argument of does not wait for it */
        } * future;
    };
};

/* The first few items of a list stand behind it, in the same allocation. */
enum { ASQ__FEW_ITEMS = 4 };
static inline asq_value **asq__list_inline(asq_value *list)
{
    return (asq_value **) (list + 1);
}

/* For those who build containers of a known size. A container takes no part in another one before
 * it is complete; what is too deep, or stands elsewhere already, is refused. */
int asq__list_reserve(asq_value *list, size_t n);
int asq__map_reserve(asq_value *map, size_t n);
/* Takes key (from malloc, UTF-8) and item, also on failure: ASQ_EEXIST, ASQ_ELIMIT, ASQ_ENOMEM. */
int asq__map_add(asq_value *map, char *key, asq_value *item);
/* Room for n bytes of text, to be written to str.data by the caller. */
asq_value *asq__value_new_bytes(asq_type type, size_t n);
/* Text that stays where it is, and is read there for as long as the value lives; no NUL follows it. */
asq_value *asq__value_borrow_bytes(asq_type type, const void *data, size_t n);
/* As asq_vpack, for a value that is encoded and freed before the call of the library returns: strings and
 * bytes are borrowed. */
int asq__vpack_borrowed(asq_value **ret, char *err, size_t errlen, const char *fmt, va_list ap);
/* As asq_vunpack, but the outermost list or map has nothing beyond the format: ASQ_EARGS names what. */
int asq__vunpack_args(const asq_value *args, char *err, size_t errlen, const char *fmt, va_list ap);
/* Within value/: frees what a container has beside its values; copies and searches the index. */
void asq__map_index_free(struct asq__map_index *index);
int asq__map_index_copy(asq_value *to, const asq_value *from);
/* Makes item (not NULL) part of container, without storing it. ASQ_EINVAL, ASQ_ELIMIT. */
int asq__value_adopt(asq_value *container, asq_value *item);

asq_value *asq__value_agent_ref(const char *id, const char *class_name);
/* Takes one reference of live (calls live->ref) when live is not NULL. */
asq_value *asq__value_future_ref(const char *call_id, const struct asq__future_object *live);
/* asq_value_agent and asq_value_future are defined in client/ on top of these two. asq_pack's `a`
 * and `r` call the public functions. */

/* Exchanges what two maps hold. False, and nothing done, when one is no map. */
bool asq__map_swap(asq_value *a, asq_value *b);

/* Wire: the protobuf message Value of proto/asqueue.proto. Written by hand, iteratively bounded in
 * depth: protobuf-c's unpacker recurses as deep as hostile bytes ask for. */
/* Appends. ASQ_ELIMIT, ASQ_ENOMEM; `out` is as before then, but for its error. */
int asq__value_encode(const asq_value *v, struct asq__buf *out);
/* The same in two steps, for those who write the length before it: its bytes, or ASQ_ELIMIT; then just as
 * many are appended. */
int64_t asq__value_size(const asq_value *v);
void asq__value_put(const asq_value *v, size_t n, struct asq__buf *out);
/* ASQ_EPROTO (err says which byte and what is wrong with it), ASQ_ENOMEM. A future that is marked as
 * unawaited loses the mark: it concerned one call, and the value may become an argument of the next. */
int asq__value_decode(const void *data, size_t n, asq_value **ret, char *err, size_t errlen);

/* The same with the marks, for who has to know which futures to wait for. */
int asq__value_decode_marked(const void *data, size_t n, asq_value **ret, char *err, size_t errlen);

/* futures.c: the futures among a call's arguments that the call waits for. A place stays valid while
 * nothing but futures of the tree is replaced. */
struct asq__future_place {
    const asq_value *future, *container; /* container NULL: the future is the root */
    const char *key;                     /* in a map */
    size_t at;                           /* in a list */
};
/* Visits each, in order; ends with the first code of fn that is not 0. fn may replace the visited one. */
typedef int (*asq__future_fn)(void *user, const struct asq__future_place *place);
int asq__value_each_future(const asq_value *root, asq__future_fn fn, void *user);
/* The same with those that are not awaited. */
int asq__value_every_future(const asq_value *root, asq__future_fn fn, void *user);
/* Puts value (taken) in the future's place. *root changes when it is the root. */
int asq__future_replace(asq_value **root, const struct asq__future_place *place, asq_value *value);

/* Brings named arguments into the order of `params` ("url, depth"): a list with null where one is
 * missing in the middle, shorter when the end is missing. ASQ_EARGS names what is unknown. */
int asq__value_by_params(const asq_value *map, const char *params, asq_value **ret, char *err,
                         size_t errlen);

bool asq__utf8_valid(const char *s, size_t n);
/* 0, or ASQ_EINVAL with a text: an agent id, a class/method/attribute name. */
int asq__check_id(const char *id, char *err, size_t errlen);
int asq__check_name(const char *what, const char *name, char *err, size_t errlen);

#endif
