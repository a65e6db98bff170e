/*
 * check_wire.c: the hand-written encoding compared with protobuf-c's, both ways, and refused
 * inputs.
 */
#include "proto/asqueue.pb-c.h"
#include "unit/random_value.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/value.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Values as protobuf-c has them ----------------------------------------------------------- */

static char *text(const char *s)
{
    char *copy = strdup(s);
    ck_assert_ptr_nonnull(copy);
    return copy;
}

/* The macros ..._INIT of protobuf-c cast a const away; its functions do the same without a
 * warning. */
#define NEW(type, name)                                                                            \
    ({                                                                                             \
        type *new_ = malloc(sizeof *new_);                                                         \
        ck_assert_ptr_nonnull(new_);                                                               \
        asqueue__##name##__init(new_);                                                             \
        new_;                                                                                      \
    })

static Asqueue__Value *to_pb(const asq_value *v)
{
    Asqueue__Value *pb = NEW(Asqueue__Value, value);
    switch (v->type) {
    case ASQ_NULL:
        pb->kind_case = ASQUEUE__VALUE__KIND_NULL;
        pb->null = 1;
        break;
    case ASQ_BOOL:
        pb->kind_case = ASQUEUE__VALUE__KIND_BOOLEAN;
        pb->boolean = v->boolean;
        break;
    case ASQ_INT:
        pb->kind_case = ASQUEUE__VALUE__KIND_INTEGER;
        pb->integer = v->integer;
        break;
    case ASQ_DOUBLE:
        pb->kind_case = ASQUEUE__VALUE__KIND_NUMBER;
        pb->number = v->number;
        break;
    case ASQ_STRING:
        pb->kind_case =
            ASQUEUE__VALUE__KIND_TEXT; /* without the NULs that a C string cannot have */
        pb->text = text(v->str.data);
        break;
    case ASQ_BYTES:
        pb->kind_case = ASQUEUE__VALUE__KIND_DATA;
        pb->data.len = v->str.n;
        pb->data.data = malloc(v->str.n + 1);
        memcpy(pb->data.data, v->str.data, v->str.n);
        break;
    case ASQ_LIST:
        pb->kind_case = ASQUEUE__VALUE__KIND_LIST;
        pb->list = NEW(Asqueue__List, list);
        pb->list->n_items = asq_list_size(v);
        pb->list->items = calloc(asq_list_size(v) + 1, sizeof *pb->list->items);
        for (size_t i = 0; i < asq_list_size(v); i++)
            pb->list->items[i] = to_pb(asq_list_get(v, i));
        break;
    case ASQ_MAP:
        pb->kind_case = ASQUEUE__VALUE__KIND_MAP;
        pb->map = NEW(Asqueue__Map, map);
        pb->map->n_entries = asq_map_size(v);
        pb->map->entries = calloc(asq_map_size(v) + 1, sizeof *pb->map->entries);
        for (size_t i = 0; i < asq_map_size(v); i++) {
            const char *key;
            const asq_value *item = asq_map_at(v, i, &key);
            pb->map->entries[i] = NEW(Asqueue__Entry, entry);
            pb->map->entries[i]->key = text(key);
            pb->map->entries[i]->value = to_pb(item);
        }
        break;
    case ASQ_AGENT:
        pb->kind_case = ASQUEUE__VALUE__KIND_AGENT;
        pb->agent = NEW(Asqueue__AgentRef, agent_ref);
        pb->agent->id = text(v->agent.id);
        pb->agent->class_name = text(v->agent.class_name);
        break;
    case ASQ_FUTURE:
        pb->kind_case = ASQUEUE__VALUE__KIND_FUTURE;
        pb->future = text(v->future->text);
        pb->unawaited = v->future->unawaited;
        break;
    }
    return pb;
}

static asq_value *from_pb(const Asqueue__Value *pb)
{
    asq_value *v;
    switch (pb ? pb->kind_case : ASQUEUE__VALUE__KIND_NULL) {
    case ASQUEUE__VALUE__KIND_BOOLEAN: return asq_value_bool(pb->boolean);
    case ASQUEUE__VALUE__KIND_INTEGER: return asq_value_int(pb->integer);
    case ASQUEUE__VALUE__KIND_NUMBER: return asq_value_double(pb->number);
    case ASQUEUE__VALUE__KIND_TEXT: return asq_value_string(pb->text);
    case ASQUEUE__VALUE__KIND_DATA: return asq_value_bytes(pb->data.data, pb->data.len);
    case ASQUEUE__VALUE__KIND_LIST:
        v = asq_value_list();
        for (size_t i = 0; i < pb->list->n_items; i++)
            ck_assert_int_eq(asq_list_append(v, from_pb(pb->list->items[i])), 0);
        return v;
    case ASQUEUE__VALUE__KIND_MAP:
        v = asq_value_map();
        for (size_t i = 0; i < pb->map->n_entries; i++)
            ck_assert_int_eq(
                asq_map_set(v, pb->map->entries[i]->key, from_pb(pb->map->entries[i]->value)), 0);
        return v;
    case ASQUEUE__VALUE__KIND_AGENT:
        return asq__value_agent_ref(pb->agent->id, pb->agent->class_name);
    case ASQUEUE__VALUE__KIND_FUTURE:
        v = asq__value_future_ref(pb->future, NULL);
        v->future->unawaited = pb->unawaited;
        return v;
    default: return asq_value_null();
    }
}

/* Cuts strings at a NUL, as C strings are, to compare a value with protobuf-c's. */
static asq_value *cut_strings(asq_value *v)
{
    if (v->type == ASQ_STRING)
        v->str.n = strlen(v->str.data);
    for (size_t i = 0; i < asq_list_size(v); i++)
        cut_strings(asq_list_at(v, i));
    for (size_t i = 0; v->type == ASQ_MAP && i < v->map.n; i++)
        cut_strings(v->map.pairs[i].value);
    return v;
}

static void encode(const asq_value *v, struct asq__buf *out)
{
    asq__buf_init(out, 1 << 24);
    ck_assert_int_eq(asq__value_encode(v, out), 0);
    ck_assert_int_eq(asq_value_encoded_size(v), (int64_t) out->len);
}

/* Decodes exactly n bytes, so that the sanitizers see reads beyond them. */
static int decode(const void *data, size_t n, asq_value **ret, char *err, size_t errlen)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (n)
        memcpy(exact, data, n);
    int rc = asq__value_decode(exact, n, ret, err, errlen);
    free(exact);
    return rc;
}

START_TEST(both_encoders_write_the_same_bytes)
{
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t seed = i;
        asq_value *v = cut_strings(random_value(&seed, 6)), *back, *theirs_back;
        char err[200];
        struct asq__buf ours;
        encode(v, &ours);

        Asqueue__Value *pb = to_pb(v);
        size_t n = asqueue__value__get_packed_size(pb);
        uint8_t *theirs = malloc(n + 1);
        asqueue__value__pack(pb, theirs);
        asqueue__value__free_unpacked(pb, NULL);
        ck_assert_uint_eq(ours.len, n);
        ck_assert_mem_eq(ours.data, theirs, n);

        ck_assert_msg(decode(theirs, n, &back, err, sizeof err) == 0, "seed %d: %s", (int) i, err);
        ck_assert(asq_value_equal(v, back));
        pb = asqueue__value__unpack(NULL, ours.len, ours.data);
        ck_assert_ptr_nonnull(pb);
        theirs_back = from_pb(pb);
        ck_assert(asq_value_equal(v, theirs_back));
        asqueue__value__free_unpacked(pb, NULL);

        asq_value_free(v);
        asq_value_free(back);
        asq_value_free(theirs_back);
        asq__buf_release(&ours);
        free(theirs);
    }
}
END_TEST

/* A method does not see the mark, and futures that it passes on are awaited again. A waiter sees
 * the mark. */
START_TEST(the_mark_of_a_future_is_kept_for_who_asks_for_it)
{
    static const char id[] = "7-00112233445566778899aabbccddeeff-1";
    for (int marked = 0; marked < 2; marked++) {
        asq_value *v = asq__value_future_ref(id, NULL), *list = asq_value_list(), *back = NULL;
        struct asq__buf b;
        v->future->unawaited = marked;
        ck_assert_int_eq(asq_list_append(list, v), 0);
        ck_assert_int_eq(asq_list_append(list, asq__value_future_ref(id, NULL)), 0);
        encode(list, &b);
        ck_assert_int_eq(asq__value_decode_marked(b.data, b.len, &back, NULL, 0), 0);
        ck_assert_int_eq(asq_list_get(back, 0)->future->unawaited, marked);
        ck_assert(!asq_list_get(back, 1)->future->unawaited);
        asq_value_free(back);
        ck_assert_int_eq(asq__value_decode(b.data, b.len, &back, NULL, 0), 0);
        ck_assert(!asq_list_get(back, 0)->future->unawaited);
        asq_value_free(back);
        asq_value_free(list);
        asq__buf_release(&b);
    }
}
END_TEST

/* Bytes that protobuf-c refuses are refused; accepted bytes mean the same to both. */
START_TEST(damaged_bytes_mean_the_same_or_are_refused)
{
    unsigned accepted = 0, refused = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t seed = i;
        asq_value *v = cut_strings(random_value(&seed, 4)), *ours = NULL;
        struct asq__buf b;
        char err[200] = "";
        encode(v, &b);
        asq_value_free(v);
        for (size_t left = 1 + random_below(&seed, 3); left && b.len; left--) {
            size_t at = random_below(&seed, b.len);
            switch (random_below(&seed, 4)) {
            case 0: b.data[at] ^= (uint8_t) (1 << random_below(&seed, 8)); break;
            case 1: b.data[at] = (uint8_t) random_u64(&seed); break;
            case 2: b.len = at; break;
            default:
                asq__buf_put(&b, b.data + at, 0);
                memmove(b.data + at, b.data + at + 1, b.len - at - 1);
                b.len--;
                break;
            }
        }
        int rc = decode(b.data, b.len, &ours, err, sizeof err);
        Asqueue__Value *pb = asqueue__value__unpack(NULL, b.len, b.data);
        if (rc == 0) {
            ck_assert_msg(pb != NULL, "seed %d: accepted by us alone", (int) i);
            /* C strings end at a NUL, so values with a NUL are skipped. */
            asq_value *theirs = from_pb(pb);
            ck_assert_msg(theirs && asq_value_equal(cut_strings(ours), theirs), "seed %d", (int) i);
            asq_value_free(theirs);
            accepted++;
        } else {
            ck_assert_int_eq(rc, ASQ_EPROTO);
            ck_assert_ptr_null(ours);
            ck_assert_msg(strncmp(err, "byte ", 5) == 0, "%s", err);
            refused++;
        }
        asq_value_free(ours);
        if (pb)
            asqueue__value__free_unpacked(pb, NULL);
        asq__buf_release(&b);
    }
    ck_assert_uint_gt(accepted, 1000);
    ck_assert_uint_gt(refused, 1000);
}
END_TEST

START_TEST(strings_with_nul_survive)
{
    asq_value *v = asq_pack("[s#,y#]", "a\0b", (size_t) 3, "\0", (size_t) 1), *back;
    struct asq__buf b;
    encode(v, &b);
    ck_assert_int_eq(decode(b.data, b.len, &back, NULL, 0), 0);
    ck_assert(asq_value_equal(v, back));
    asq_value_free(v);
    asq_value_free(back);
    asq__buf_release(&b);
}
END_TEST

#define BYTES(literal) literal, sizeof(literal) - 1

START_TEST(protobufs_freedoms_are_understood)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *json;
    } list[] = {
        { BYTES(""), "null" },
        { BYTES("\x08\x00"), "null" },
        { BYTES("\x10\x05"), "true" },
        { BYTES("\x10\x80\x80\x00"), "false" },  /* a longer varint */
        { BYTES("\x18\x01\x2a\x01x"), "\"x\"" }, /* the last one counts */
        { BYTES("\x2a\x01x\x18\x01"), "-1" },
        { BYTES("\x3a\x02\x0a\x00\x18\x02"), "1" },
        { BYTES("\x18\x02\x3a\x02\x0a\x00"), "[null]" },
        { BYTES("\x3a\x02\x0a\x00\x3a\x00"), "[]" }, /* replaced, not merged */
        { BYTES("\x3a\x04\x0a\x02\x18\x02\x42\x00"), "{}" },
        { BYTES("\xf8\x07\x01\x18\x02"), "1" }, /* unknown fields of each kind */
        { BYTES("\xfa\x07\x03xyz\x18\x02"), "1" },
        { BYTES("\x18\x02\xf9\x07"
                "12345678"),
          "1" },
        { BYTES("\x18\x02\xfd\x07"
                "1234"),
          "1" },
        { BYTES("\x3a\x07\x10\x01\x0a\x00\x12\x01x"), "[null]" },
        { BYTES("\x42\x0b\x0a\x09\x12\x02\x18\x02\x0a\x01k\x18\x07"),
          "{\"k\":1}" }, /* value first */
        { BYTES("\x42\x04\x0a\x02\x12\x00"), "{\"\":null}" },
        { BYTES("\x42\x05\x0a\x03\x0a\x01k"), "{\"k\":null}" },
        { BYTES("\x42\x08\x0a\x06\x0a\x01k\x0a\x01l"), "{\"l\":null}" },
        { BYTES("\x4a\x03\x0a\x01"
                "a"),
          "{\"$agent\":\"a\"}" },
        { BYTES("\x4a\x09\x0a\x01"
                "a\x0a\x01"
                "b\x12\x01"
                "C"),
          "{\"$agent\":\"b\",\"class\":\"C\"}" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        asq_value *v;
        char err[200], *json;
        ck_assert_msg(decode(list[i].bytes, list[i].n, &v, err, sizeof err) == 0, "%zu: %s", i,
                      err);
        ck_assert_int_eq(asq_to_json(v, 0, &json), 0);
        ck_assert_str_eq(json, list[i].json);
        free(json);
        asq_value_free(v);
    }
}
END_TEST

START_TEST(what_is_malformed_is_named)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *err;
    } list[] = {
        { BYTES("\x18"), "byte 1 of the value: the end is in the middle of a varint" },
        { BYTES("\x18\x80\x80"), "byte 1 of the value: the end is in the middle of a varint" },
        { BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
          "byte 1 of the value: a varint of more than 64 bits" },
        { BYTES("\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
          "byte 1 of the value: a varint of more than 64 bits" },
        { BYTES("\x00\x00"), "byte 0 of the value: no valid field number" },
        { BYTES("\x80\x80\x80\x80\x80\x01\x00"), "byte 0 of the value: no valid field number" },
        { BYTES("\x1b"), "byte 0 of the value: field 3 has unknown wire type 3" },
        { BYTES("\x21"
                "1234"),
          "byte 0 of the value: field 4 is cut off" },
        { BYTES("\xfd\x07"
                "123"),
          "byte 0 of the value: field 127 is cut off" },
        { BYTES("\x2a\x05"
                "abcd"),
          "byte 0 of the value: field 5 has 5 bytes, but only 4 are left" },
        { BYTES("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                "a"),
          "byte 0 of the value: field 5 has 18446744073709551615 bytes, but only 1 are left" },
        { BYTES("\x1a\x00"),
          "byte 0 of the value: integer (field 3) has wire type 2 instead of 0" },
        { BYTES("\x20\x00"), "byte 0 of the value: number (field 4) has wire type 0 instead of 1" },
        { BYTES("\x38\x00"), "byte 0 of the value: list (field 7) has wire type 0 instead of 2" },
        { BYTES("\x3a\x02\x08\x01"),
          "byte 2 of the value: an item (field 1) has wire type 0 instead of 2" },
        { BYTES("\x42\x02\x08\x01"),
          "byte 2 of the value: an entry (field 1) has wire type 0 instead of 2" },
        { BYTES("\x2a\x02\xc3("), "byte 0 of the value: text is not UTF-8" },
        { BYTES("\x3a\x05\x0a\x03\x2a\x01\xff"), "byte 4 of the value: text is not UTF-8" },
        { BYTES("\x2a\x01\xff\x18\x02"), "byte 0 of the value: text is not UTF-8" },
        { BYTES("\x42\x05\x0a\x03\x0a\x01\xff"), "byte 4 of the value: a key is not UTF-8" },
        { BYTES("\x42\x05\x0a\x03\x0a\x01\x00"), "byte 4 of the value: a key contains a NUL" },
        { BYTES("\x42\x06\x0a\x04\x12\x00\x12\x00"),
          "byte 6 of the value: a second value under one key" },
        { BYTES("\x42\x04\x0a\x00\x0a\x00"),
          "byte 6 of the value: two entries of a map have the same key" },
        { BYTES("\x4a\x00"), "byte 0 of the value: the agent id is empty" },
        { BYTES("\x4a\x03\x0a\x01 "),
          "byte 0 of the value: the agent id contains a space at byte 0" },
        { BYTES("\x4a\x06\x0a\x01"
                "a\x12\x01\x00"),
          "byte 5 of the value: the agent's class contains a NUL" },
        { BYTES("\x52\x03"
                "1-2"),
          "byte 0 of the value: a future whose text is not a call id" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        asq_value *v = NULL;
        char err[200] = "";
        ck_assert_msg(decode(list[i].bytes, list[i].n, &v, err, sizeof err) == ASQ_EPROTO, "%zu",
                      i);
        ck_assert_str_eq(err, list[i].err);
        ck_assert_ptr_null(v);
        ck_assert_int_eq(decode(list[i].bytes, list[i].n, &v, NULL, 0), ASQ_EPROTO);
    }
}
END_TEST

/* Puts bytes into `levels` lists, as a hostile encoder would. */
static void wrap(struct asq__buf *b, unsigned levels)
{
    for (unsigned i = 0; i < levels; i++) {
        struct asq__buf around;
        asq__buf_init(&around, 1 << 24);
        struct asq__buf item;
        asq__buf_init(&item, 1 << 24);
        asq__buf_putc(&item, 0x0a);
        asq__buf_varint(&item, b->len);
        asq__buf_put(&item, b->data, b->len);
        asq__buf_putc(&around, 0x3a);
        asq__buf_varint(&around, item.len);
        asq__buf_put(&around, item.data, item.len);
        ck_assert_int_eq(around.error, 0);
        asq__buf_release(&item);
        asq__buf_release(b);
        *b = around;
    }
}

START_TEST(depth_is_bounded)
{
    static const unsigned levels[] = { ASQ_MAX_DEPTH, ASQ_MAX_DEPTH + 1, 2000 };
    for (size_t i = 0; i < 3; i++) {
        struct asq__buf b, again;
        char err[200] = "";
        asq_value *v = NULL;
        asq__buf_init(&b, 100);
        asq__buf_puts(&b, "\x18\x02");
        wrap(&b, levels[i]);
        int rc = decode(b.data, b.len, &v, err, sizeof err);
        ck_assert_int_eq(rc, i ? ASQ_EPROTO : 0);
        if (i) {
            ck_assert_ptr_nonnull(strstr(err, "lists and maps are nested deeper than 64"));
        } else {
            encode(v, &again);
            ck_assert_uint_eq(again.len, b.len);
            ck_assert_mem_eq(again.data, b.data, b.len);
            asq__buf_release(&again);
        }
        asq_value_free(v);
        asq__buf_release(&b);
    }
}
END_TEST

START_TEST(encoding_appends_and_respects_the_buffers_bound)
{
    asq_value *v = asq_pack("[s]", "0123456789");
    struct asq__buf b;
    asq__buf_init(&b, 20);
    asq__buf_puts(&b, "head");
    ck_assert_int_eq(asq__value_encode(v, &b), 0);
    ck_assert_uint_eq(b.len, 4 + 16);
    ck_assert_mem_eq(b.data, "head\x3a\x0e\x0a\x0c\x2a\x0a", 10);
    ck_assert_int_eq(asq__value_encode(v, &b), ASQ_ELIMIT);
    ck_assert_uint_eq(b.len, 4 + 16);
    asq__buf_release(&b);
    asq__buf_init(&b, 20);
    ck_assert_int_eq(asq__value_encode(NULL, &b), 0);
    ck_assert_uint_eq(b.len, 2);
    ck_assert_int_eq(asq_value_encoded_size(NULL), 2);
    asq__buf_release(&b);
    asq_value_free(v);
}
END_TEST

START_TEST(maps_of_100000_keys_are_read_at_once)
{
    asq_value *map = asq_value_map(), *back;
    struct asq__buf b;
    char key[24];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        ck_assert_int_eq(asq_map_set_int(map, key, i), 0);
    }
    encode(map, &b);
    ck_assert_int_eq(decode(b.data, b.len, &back, NULL, 0), 0);
    ck_assert(asq_value_equal(map, back));
    asq__buf_release(&b);
    asq_value_free(map);
    asq_value_free(back);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wire");
    TCase *c = tcase_create("wire");
    tcase_add_test(c, both_encoders_write_the_same_bytes);
    tcase_add_test(c, the_mark_of_a_future_is_kept_for_who_asks_for_it);
    tcase_add_test(c, damaged_bytes_mean_the_same_or_are_refused);
    tcase_add_test(c, strings_with_nul_survive);
    tcase_add_test(c, protobufs_freedoms_are_understood);
    tcase_add_test(c, what_is_malformed_is_named);
    tcase_add_test(c, depth_is_bounded);
    tcase_add_test(c, encoding_appends_and_respects_the_buffers_bound);
    tcase_add_test(c, maps_of_100000_keys_are_read_at_once);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
