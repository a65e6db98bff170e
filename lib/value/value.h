/*
 * value.h: what the other files of value/ and the layers above know about asq_value beyond the public
 * interface: its representation, references to calls, and the wire encoding.
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

/* A future may hold a reference to the live asq_result, so that a value that is already there can be
 * sent instead. value/ does not know that type: it only counts through these. */
struct asq__future_object {
    void *object; /* NULL: id only, as decoded from the wire */
    void (*ref)(void *object);
    void (*unref)(void *object);
};

struct asq_value {
    asq_type type;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            char *data; /* NUL-terminated beyond n */
            size_t n;
        } str; /* ASQ_STRING, ASQ_BYTES */
        struct {
            asq_value **items;
            size_t n, cap;
        } list;
        struct {
            struct asq__pair *pairs;
            size_t n, cap;
        } map;
        struct {
            char *id, *class_name;
        } agent;
        struct {
            char text[ASQ__CALL_ID_TEXT];
            struct asq__future_object live;
        } *future;
    };
};

asq_value *asq__value_agent_ref(const char *id, const char *class_name);
/* Takes one reference of live (calls live->ref) when live is not NULL. */
asq_value *asq__value_future_ref(const char *call_id, const struct asq__future_object *live);
/* asq_value_agent and asq_value_future are defined in client/ on top of these two. asq_pack's `a` and
 * `r` call the public functions. */

/* Wire: the protobuf message Value of proto/asqueue.proto. Written by hand, iteratively bounded in
 * depth: protobuf-c's unpacker recurses as deep as hostile bytes ask for. */
int asq__value_encode(const asq_value *v, struct asq__buf *out); /* appends; ASQ_ELIMIT beyond depth */
int asq__value_decode(const void *data, size_t n, asq_value **ret, char *err, size_t errlen);

/* Brings named arguments into the order of `params` ("url, depth"): a list with null where one is
 * missing in the middle, shorter when the end is missing. ASQ_EARGS names what is unknown. */
int asq__value_by_params(const asq_value *map, const char *params, asq_value **ret, char *err, size_t errlen);

/* Like asq_unpack/asq_vunpack, see pack.c. */
bool asq__utf8_valid(const char *s, size_t n);
/* 0, or ASQ_EINVAL with a text: an agent id, a class/method/attribute name. */
int asq__check_id(const char *id, char *err, size_t errlen);
int asq__check_name(const char *what, const char *name, char *err, size_t errlen);

#endif
