/*
 * otlp_schema.h: the form that OTLP 1 gives to traces in JSON, for tests.
 */
#ifndef ASQ_TESTS_OTLP_SCHEMA_H
#define ASQ_TESTS_OTLP_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Returns whether it is an ExportTraceServiceRequest, with nothing that OTLP does not know and
 * with what asqueue has to say of each span; if not, why. */
bool sup_otlp_check(const json_t *body, char *why, size_t n);

#endif
