/*
 * head.h: the beginning of an encoded Value as text, for people, in bounded time and memory,
 * however large the value is and whatever bytes somebody has written in its place.
 */
#ifndef ASQ_VALUE_HEAD_H
#define ASQ_VALUE_HEAD_H

#include <stddef.h>

/* Writes the value of data[0..n) like JSON, as far as `size` bytes with the NUL allow; text that
 * was cut ends in "…". Bytes are shown as their number, values that lie deep as "…". What does not
 * decode is shown up to the fault, then "?". The text is valid UTF-8. Returns its length.
 * size: at least 8. */
size_t asq__value_head(const void *data, size_t n, char *out, size_t size);

#endif
