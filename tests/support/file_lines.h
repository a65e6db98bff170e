/*
 * file_lines.h: files to which processes of a test add lines: logs, and notes about runs.
 */
#ifndef ASQ_TESTS_FILE_LINES_H
#define ASQ_TESTS_FILE_LINES_H

#include "asqueue.h"

/* Adds a line by one write, because several processes may add lines. Makes the file if it is
 * missing. */
void sup_file_add(const char *path, const char *line);
/* Returns how often `text` occurs; 0 without the file. */
int sup_file_count(const char *path, const char *text);
/* Adds "LEVEL MESSAGE". A function for `log` of options, with the path as `log_user`. */
void sup_log_to_file(void *path, asq_log_level level, const char *message);

#endif
