/*
 * title.h: the title of a process in the lists of ps and top, in place of its command line.
 */
#ifndef ASQ_SRC_TITLE_H
#define ASQ_SRC_TITLE_H

/* Makes room for titles. Called first in main; gives a copy of argv, because the original, and the
 * place of the environment's strings, become the title. Without memory it gives argv itself, and
 * there are no titles. */
char **as_title_init(int argc, char **argv);
/* Sets the title to "PROGRAM: TEXT", cut to the room of the old command line and environment. */
void as_title_set(const char *text);

#endif
