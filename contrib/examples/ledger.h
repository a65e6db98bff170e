/* ledger.h: the class Ledger, which rpc_example uses and dist_server runs. */
#ifndef LEDGER_H
#define LEDGER_H

#include <asqueue.h>

#define LEDGER_EFUNDS ASQ_EUSER(1) /* not enough money for a withdrawal */

extern const asq_class ledger_class;

#endif
