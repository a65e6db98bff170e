/* page_text.h: conversion of a page's bytes to readable text, and search for the passages that
 * match a query. */
#ifndef PAGE_TEXT_H
#define PAGE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define PASSAGE_SIZE 320 /* bytes of a passage, NUL included */

/* Makes text of n bytes of a page in place, at most as many bytes: tags, scripts, styles and
 * comments are left out, common entities are replaced, runs of white space become one space, and
 * blocks (paragraphs, list items, headings…) become lines. html false: only the white space.
 * Invalid UTF-8 becomes '?'. Returns the number of bytes; text[n] must be writable and is set to
 * NUL. */
size_t page_text(char *text, size_t n, bool html);

/* Writes up to max passages of text (lines, shortened around the first word that matches), those
 * with most of the query's words first; returns their number. A word matches anywhere in a line,
 * and ASCII letters match in both cases. text is changed and restored meanwhile. */
size_t page_passages(char *text, const char *query, char (*passages)[PASSAGE_SIZE], size_t max);

#endif
