/* page_text.h: conversion of a page's bytes to readable text, and search for the passages that
 * match a query. */
#ifndef PAGE_TEXT_H
#define PAGE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define PASSAGE_SIZE 320 /* bytes of a passage, NUL included */

/* Makes text of the n bytes of a page, in place. Tags, scripts, styles and comments are left out,
 * common entities are replaced, runs of white space become one space, and blocks (paragraphs, list
 * items, headings…) become lines. html false: only white space is replaced. Invalid UTF-8 becomes
 * '?'. Returns the number of bytes of the text, at most n, and ends the text with a NUL: text[n]
 * must be writable. */
size_t page_text(char *text, size_t n, bool html);

/* Writes up to max passages of text: lines, shortened around the first word that matches, and lines
 * with more of the query's words first. Returns their number. A word matches anywhere in a line,
 * and ASCII letters match in both cases. text is changed during the search, and restored. */
size_t page_passages(char *text, const char *query, char (*passages)[PASSAGE_SIZE], size_t max);

#endif
