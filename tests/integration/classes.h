/*
 * classes.h: the agent classes that integration tests call. Their methods are described in
 * classes.c.
 */
#ifndef ASQ_TESTS_CLASSES_H
#define ASQ_TESTS_CLASSES_H

#include "asqueue.h"

extern const asq_class counter_class;    /* library-held state: attributes, failures */
extern const asq_class echo_class;       /* no state: values, contexts, waiting */
extern const asq_class journal_class;    /* state in a struct: create, save, load */
extern const asq_class relay_class;      /* methods that call other agents */
extern const asq_class poison_class;     /* kills or blocks its worker */
extern const asq_class *const classes[]; /* all classes above, ended by NULL */

#endif
