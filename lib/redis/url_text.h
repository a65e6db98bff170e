/*
 * url_text.h: the pieces of a URL's text: escapes, numbers, and characters that need no escape.
 */
#ifndef ASQ_REDIS_URL_TEXT_H
#define ASQ_REDIS_URL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct asq__buf;

/* Replaces *to by a percent-decoded copy. ASQ_EINVAL: a wrong escape, or one for NUL; `what` names
 * the piece in the text. ASQ_ENOMEM. */
int asq__url_decode(char **to, const char *s, size_t n, const char *what, char *err, size_t errlen);
int asq__url_number(const char *s, size_t n, long min, long max, const char *what, long *ret,
                    char *err, size_t errlen);
/* Returns whether c is a letter, a digit or one of `others`. */
bool asq__url_is_plain(unsigned char c, const char *others);
/* Appends s with escapes. plain: characters besides letters and digits that need none. */
void asq__url_put_escaped(struct asq__buf *b, const char *s, const char *plain);

#endif
