/*
 * fuzz_value_json.c: any text is read or refused. A value that is read is written as text that is
 * read as the same value, compact or indented, and survives the wire.
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
    asq_value *v = NULL, *back = NULL, *from_wire = NULL;
    char err[200] = "", *json = NULL;
    int rc = asq_from_json((const char *) data, size, &v, err, sizeof err);
    if (rc < 0) {
        require((rc == ASQ_EPARSE || rc == ASQ_ELIMIT) && !v && *err);
        require(asq__utf8_valid(err, strlen(err)));
        return 0;
    }
    require(asq_to_json(v, size % 3, &json) == 0);
    require(asq_from_json(json, strlen(json), &back, err, sizeof err) == 0);
    require(asq_value_equal(v, back));

    struct asq__buf b;
    asq__buf_init(&b, 1 << 26);
    require(asq__value_encode(v, &b) == 0);
    require(asq__value_decode(b.data, b.len, &from_wire, err, sizeof err) == 0);
    require(asq_value_equal(v, from_wire));

    asq__buf_release(&b);
    free(json);
    asq_value_free(from_wire);
    asq_value_free(back);
    asq_value_free(v);
    return 0;
}
