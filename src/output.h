/*
 * output.h: how both programs print: results and tables to stdout, failures to stderr, all of it
 * as JSON when that was asked for. What comes from elsewhere (ids, messages) cannot play with
 * the terminal: control characters and the like are shown, not sent.
 */
#ifndef ASQ_SRC_OUTPUT_H
#define ASQ_SRC_OUTPUT_H

#include <stdio.h>

#include "asqueue.h"

enum { AS_EXIT_OK = 0, AS_EXIT_FAILED = 1, AS_EXIT_USAGE = 2 };

/* Who reports, and how. */
struct as_reporter {
    const char *program;
    bool json;
};

/* Reports a failure and gives AS_EXIT_FAILED. As text: "as-ctl: MESSAGE (CODE)" and a line that
 * says where it came from; as JSON: one object on one line with code, number, message, class,
 * method, agent, worker, call_id. */
int as_report(const struct as_reporter *who, const asq_error *error);
/* The same for a failure of the program's own; call_id may be NULL. */
int as_report_code(const struct as_reporter *who, int code, const char *call_id, const char *fmt,
                   ...) ASQ_PRINTF(4, 5);
/* A mistake in the command line: as JSON, its code is "USAGE". Gives AS_EXIT_USAGE. */
int as_report_usage(const struct as_reporter *who, const char *message);
/* Something worth knowing that is no failure, to stderr; nothing as JSON. */
void as_note(const struct as_reporter *who, const char *fmt, ...) ASQ_PRINTF(2, 3);

/* A value as JSON on stdout: one line, or indented for people. Gives an exit status. */
int as_print_json(const struct as_reporter *who, const asq_value *v, bool indented);
/* The same for a value that is taken; NULL means that memory was short. */
int as_print_json_own(const struct as_reporter *who, asq_value *v);
/* Text with what could play with a terminal shown (value/escape.h); line feeds are left when
 * `lines`. */
void as_print_text(FILE *to, const char *text, bool lines);
/* The same for a text that is JSON, which it stays, with the same meaning. */
void as_print_json_text(FILE *to, const char *text);
/* The characters that as_print_text makes of a line. */
size_t as_text_width(const char *text);
/* Last of all: what is still to be written may fail too. Gives status, or AS_EXIT_FAILED. */
int as_finish_output(const struct as_reporter *who, int status);

/* What stands under key in a map, or in its map "counters"; NULL when there is nothing. */
const asq_value *as_field(const asq_value *map, const char *key);
/* A value as a word for people: strings as they are, lists with commas, "-" for nothing. Freed with
 * free(); NULL when memory is short. */
char *as_word(const asq_value *v);

/* A table for people: cells are added one by one, line by line; columns get the width they need. */
struct as_column {
    const char *title;
    bool right; /* numbers */
};
struct as_table;
struct as_table *as_table_new(const struct as_column *columns, size_t n);
/* Takes text, which free() frees; NULL stands for memory that was short: print tells. */
void as_table_add(struct as_table *t, char *text);
/* Prints and frees it. Gives an exit status. */
int as_table_print(struct as_table *t, const struct as_reporter *who);

#endif
