/*
 * commit.h: gathers outcomes of calls in commits.
 */
#ifndef ASQ_WORKER_COMMIT_H
#define ASQ_WORKER_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/msg.h"
#include "value/signal_box.h"
#include "worker/core/stream_id.h"

struct asq__cmd;
struct asq__commit;
struct asq__entry;
struct asq__partition;
struct asq__process;
struct asq__run;
struct asq__wcall;

enum {
    ASQ__RESULT_ROOM = 512
}; /* bytes kept free for each result of a batch that is still to come */
/* Size at which a commit is closed. */
#define ASQ__COMMIT_BYTES ((size_t) 2 * 1024 * 1024)

/* Returns how long the record of a batch lives. A nested one lives until the commit of its method's
 * call, which forgets it, and is renewed meanwhile; it expires if that call is never run again. */
int64_t asq__commit_record_ms(const struct asq__process *w, bool nested);
/* Returns how large the call's result may be if its batch's record must stay one string; 0: no
 * limit. */
size_t asq__commit_result_room(const struct asq__wcall *c);
void asq__commit_result(struct asq__wcall *c, struct asq__run *run, const asq_error *error);
/* Adds an encoded value as the result of a call that has not run; n 0: null. */
void asq__commit_value(struct asq__wcall *c, const void *value, size_t n);
/* Has a commit carry the classes that the partition needs, if they are not sent before. */
void asq__commit_needs(struct asq__partition *p);
void asq__commit_remove(struct asq__partition *p, struct asq__stream_id id);
void asq__commit_mark(struct asq__wcall *c);
/* Commits a failed run that is followed by another, at due_ms of the partition's clock. */
void asq__commit_retry(struct asq__wcall *c, struct asq__run *run, uint64_t due_ms);
/* Commits that an unloaded run has ended, and is followed by another at due_ms of the partition's
 * clock. */
void asq__commit_unloaded(struct asq__wcall *call, struct asq__run *run, uint64_t due_ms);
/* Notes for the supervisor that a run has ended, and nothing of it is to be committed. */
void asq__commit_nothing(const struct asq__run *run);
/* Commits records of steps of a call that runs. Returns the seq of the commit; 0: no memory, and
 * the partition is lost. */
uint64_t asq__commit_steps(struct asq__wcall *c, const void *records, size_t n,
                           const uint8_t *promise);
/* Commits the end of a signal's call, which is finished, together with the change of the agent's
 * signals. Returns the seq of the commit; 0: no memory, and the partition is lost. */
uint64_t asq__commit_signal(struct asq__wcall *c, enum asq__signals_change mode,
                            const struct asq__buf *bytes);
/* Commits the record of a step by which a call has heard a signal, together with the change of the
 * agent's signals. Returns as asq__commit_steps. */
uint64_t asq__commit_heard(struct asq__wcall *c, const struct asq__buf *record,
                           enum asq__signals_change mode, const struct asq__buf *bytes);
/* Removes all signals of an agent in the commit of a call that deletes it, whose outcome has to be
 * committed next. Returns its seq; 0: no memory, and the partition is lost. */
uint64_t asq__commit_no_signals(struct asq__wcall *c);
/* Moves a batch out of the stream, until due_ms of the partition's clock. Takes over `kept`, its
 * stored form. */
void asq__commit_later(struct asq__entry *e, uint64_t due_ms, void *kept, size_t n);
/* Marks that an agent's first place is kept for a call of the batch, or (kept false) for none. */
void asq__commit_place(struct asq__partition *p, const char *agent,
                       const uint8_t batch[ASQ__BATCH_ID], bool kept);
/* Deletes the stored form of a finished batch, whose second copy leaves the stream. */
void asq__commit_forget_later(struct asq__entry *e);
/* Reads the lease after a while, and sends the partition's commits again then. */
void asq__commit_recover_later(struct asq__partition *p);
/* Appends id and entry of each call whose outcome is in the commit, and may be blamed for it.
 * Returns how many there are. */
size_t asq__commit_blame(const struct asq__commit *c, struct asq__cmd *out);
void asq__commit_dead_letter(struct asq__wcall *c, const char *label, const char *reason);
/* Closes the open commit of a partition, which leaves in its turn. */
void asq__commit_close(struct asq__partition *p);
bool asq__commits_pending(const struct asq__partition *p);
/* Returns whether too many bytes wait to be committed to start more calls. Calls start again when
 * it is less. */
bool asq__commits_are_many(struct asq__partition *p);
/* Moves entry bytes that cannot be decoded from the stream to the dead letters. */
void asq__dead_letter(struct asq__partition *p, struct asq__stream_id id, const char *label,
                      const void *batch, size_t n, const char *reason, uint32_t attempts);

#endif
