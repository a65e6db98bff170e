/*
 * fuzz_value_wire.c: any bytes are decoded or refused. A decoded value can be encoded; its encoding
 * is read back as the same value, and encodes the same from then on. The value can be copied,
 * compared, and written as JSON.
 */
#include "value/buf.h"
#include "value/value.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    asq_value *v = NULL, *back = NULL, *from_json = NULL;
    char err[100] = "", *json = NULL;
    int rc = asq__value_decode(data, size, &v, err, sizeof err);
    if (rc < 0) {
        require(rc == ASQ_EPROTO && !v && strncmp(err, "byte ", 5) == 0);
        return 0;
    }
    struct asq__buf first, second;
    asq__buf_init(&first, 1 << 26);
    asq__buf_init(&second, 1 << 26);
    require(asq__value_encode(v, &first) == 0);
    require(asq__value_decode(first.data, first.len, &back, err, sizeof err) == 0);
    require(asq_value_equal(v, back) && asq_value_compare(v, back) == 0);
    require(asq__value_encode(back, &second) == 0);
    require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);

    asq_value *copy = asq_value_copy(v);
    require(copy && asq_value_equal(copy, v));
    require(asq_to_json(v, 0, &json) == 0);
    require(asq_from_json(json, strlen(json), &from_json, err, sizeof err) == 0);
    require(asq_value_equal(v, from_json));

    free(json);
    asq_value_free(from_json);
    asq_value_free(copy);
    asq_value_free(back);
    asq_value_free(v);
    asq__buf_release(&first);
    asq__buf_release(&second);
    return 0;
}
