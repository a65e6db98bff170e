/*
 * output.h: output of both programs: results and tables to stdout, failures to stderr, as JSON on
 * request. Outside data (ids, messages) cannot affect the terminal: control characters and the like
 * are escaped.
 */
#ifndef ASQ_SRC_OUTPUT_H
#define ASQ_SRC_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "asqueue.h"

enum { AS_EXIT_OK = 0, AS_EXIT_FAILED = 1, AS_EXIT_USAGE = 2 };

/* Name of the reporting program, and its output format. */
struct as_reporter {
    const char *program;
    bool json;
    bool quiet; /* prints no notes */
};

/* Reports a failure and returns AS_EXIT_FAILED. As text: "as-ctl: MESSAGE (CODE)" and a line about
 * its origin; as JSON: one object on one line with code, number, message, class, method, agent,
 * worker, call_id. */
int as_report(const struct as_reporter *who, const asq_error *error);
/* Reports a failure of the program's own; call_id may be NULL. */
int as_report_code(const struct as_reporter *who, int code, const char *call_id, const char *fmt,
                   ...) ASQ_PRINTF(4, 5);
/* Reports a mistake in the command line; as JSON, its code is "USAGE". Returns AS_EXIT_USAGE. */
int as_report_usage(const struct as_reporter *who, const char *message);
/* Returns the name of a code, "ASQ_EUSER(3)" included, perhaps in buf. */
const char *as_code_name(int code, char *buf, size_t n);
/* Prints a note that is not a failure to stderr; with --json, or if quiet, nothing. */
void as_note(const struct as_reporter *who, const char *fmt, ...) ASQ_PRINTF(2, 3);

/* Prints a value as JSON on stdout: one line, or indented for people. Returns an exit status. */
int as_print_json(const struct as_reporter *who, const asq_value *v, bool indented);
/* Prints and frees a value; NULL means that memory was short. */
int as_print_json_own(const struct as_reporter *who, asq_value *v);
/* Prints text, escaping everything that could affect a terminal (value/escape.h); line feeds stay
 * if `lines`. */
void as_print_text(FILE *to, const char *text, bool lines);
/* Prints JSON text, escaped within JSON so that its meaning stays. */
void as_print_json_text(FILE *to, const char *text);
/* Formats a duration for people, in the largest unit of which there are some: "42 s". */
void as_duration(int64_t ms, char text[32]);
/* Returns the number of characters that as_print_text prints for a line. */
size_t as_text_width(const char *text);
/* Flushes output at the end, which may fail. Returns status, or AS_EXIT_FAILED. */
int as_finish_output(const struct as_reporter *who, int status);

/* Returns the value of a key in a map, or in its map "counters"; NULL if there is none. */
const asq_value *as_field(const asq_value *map, const char *key);
/* Formats a value as a word for people: strings unchanged, lists with commas, "-" for nothing.
 * Freed with free(); NULL if memory is short. */
char *as_word(const asq_value *v);

/* A list whose rows are printed as they come, in constant memory: columns of fixed widths, or an
 * array in JSON, which is closed only if the list is complete. */
struct as_list {
    const struct as_reporter *who;
    size_t limit; /* of rows; 0: none */
    size_t n;     /* rows printed */
    bool cut;     /* the limit ended the list */
};
/* Begins a row, which with --json is v. 0: cells follow, unless it is JSON. Other values end a walk
 * of the library: 1 (the limit is reached), ASQ_ENOMEM, ASQ_ESYS (the reader of stdout is gone). */
int as_list_row(struct as_list *list, const asq_value *v);
/* Prints a cell that is not the last of its row, padded to width. */
void as_list_cell(const char *text, int width);
/* Ends the list after a walk that returned rc. Returns true if nothing failed: then the array is
 * closed, or a note tells that rows were left out. False: the walk failed, which is to be
 * reported. */
bool as_list_end(struct as_list *list, int rc);

/* A table for people: cells are added one by one, line by line; columns get the width that they
 * need. */
struct as_column {
    const char *title;
    bool right; /* numbers */
};
struct as_table;
struct as_table *as_table_new(const struct as_column *columns, size_t n);
/* Adds a cell and takes its text (malloc). NULL: memory was short, which printing reports. */
void as_table_add(struct as_table *t, char *text);
/* Prints and frees the table. Returns an exit status. */
int as_table_print(struct as_table *t, const struct as_reporter *who);

#endif
