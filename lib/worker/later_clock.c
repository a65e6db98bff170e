/*
 * later_clock.c: the clock that measures a partition's delays. It follows the monotonic clock of
 * the owner, so setting the clock of Redis changes no delay. The lease keeps its distance from the
 * clock of Redis:
 *
 *     clock of Redis     12:00 ────── 12:07 ┐ set back        ┌── 11:08 ──────────── 11:12
 *     of the partition   12:00 ────── 12:07 ────────────────── 12:08 ─── new owner ── 12:12
 *     kept in the lease    + 0                      + 1 h ─────────────────▲
 *
 * The owner writes it when it learns that the clock of Redis was set, with every look at due calls
 * (later.lua), and before it hands the partition back. It writes the distance, not its change, so
 * no jump counts twice.
 *
 * The next owner has to know how much time has passed since then:
 *   - On the machine of the last owner the monotonic clock is the same and tells exactly. The lease
 *     names the machine and its boot, and the distance of the partition's clock from its monotonic
 *     clock.
 *   - Elsewhere it is the time that has passed by the clock of Redis, without the jumps that this
 *     process knows.
 *   - An unnoticed jump, while the partition had no owner and before the next one was started,
 *     looks like time that has passed. When the clock of Redis went back, the partition's clock
 *     continues from where it was kept last: a delay becomes longer by at most the time since. When
 *     it went ahead, delays become shorter by the jump.
 * So an unnoticed jump counts once, in partitions without an owner, and never makes a delay longer
 * than the time for which they had none.
 */
#include "worker/later_clock.h"

#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "value/clock.h"
#include "value/hash.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum { NO_SUSPENSION_MS = 100, NO_JUMP_MS = 1000 };
#define LARGEST_MS ((int64_t) 1 << 52) /* scripts count exactly beyond that */

/* Returns how long this machine was suspended, while its monotonic clock stood still. */
static int64_t machine_suspended_ms(void)
{
    return asq__boot_ms() - asq__now_ms();
}

/* Names the machine, whose processes share a monotonic clock, its boot and its time namespace. */
static void name_machine(char machine[ASQ__MACHINE_TEXT])
{
    char text[512] = "";
    size_t n = 0;
    static const char *const paths[] = { "/proc/sys/kernel/random/boot_id",
                                         "/proc/self/timens_offsets" };
    for (size_t i = 0; i < 2; i++) {
        FILE *f = fopen(paths[i], "re");
        if (f) {
            n += fread(text + n, 1, sizeof text / 2, f);
            fclose(f);
        }
        if (n == 0)
            return; /* without a boot id no machine counts as the same */
    }
    snprintf(machine, ASQ__MACHINE_TEXT, "%016llx", (unsigned long long) asq__siphash64(text, n));
}

/* ---- what was kept ---- */

struct kept {
    int64_t plus_ms, at_ms; /* the clock said AT when the clock of Redis said AT - PLUS */
    char machine[ASQ__MACHINE_TEXT];
    int64_t minus_boot_ms; /* the clock minus the machine's time since its boot */
};

static bool is_time(int64_t ms)
{
    return ms >= 0 && ms <= LARGEST_MS;
}

/* Reads a mark. False: the mark is invalid, because of a foreign write into the lease. */
static bool read_kept(const char *text, struct kept *ret)
{
    long long plus, at, minus = 0;
    char machine[ASQ__MACHINE_TEXT] = "";
    int short_end = -1, end = -1;
    if (!text || strlen(text) > 128)
        return false;
    sscanf(text, "%17lld %17lld%n %16[0-9a-f] %17lld%n", &plus, &at, &short_end, machine, &minus,
           &end);
    bool is_short = short_end > 0 && !text[short_end];
    if (!is_short && (end < 0 || text[end]))
        return false;
    if (!is_time(at) || !is_time(at - plus) || minus > LARGEST_MS || minus < -LARGEST_MS)
        return false;
    *ret = (struct kept){ plus, at, "", minus };
    if (!is_short)
        memcpy(ret->machine, machine, sizeof machine);
    return true;
}

static bool is_jump(int64_t ms)
{
    return ms > NO_JUMP_MS || ms < -NO_JUMP_MS;
}

/* Returns whether the clock of Redis was surely set back since the mark was made.
 *
 * Redis writes the mark some time after its owner has read the partition's clock, and may answer a
 * claim some time after it was asked, if one of them is slow. So the clock of Redis may have been
 * read late for the mark, by at most the time since, and early for the claim. Both make it look set
 * back by as much. Only a time before that of the mark proves a step. Neither makes the clock look
 * set forward. */
static bool is_proven_back(const struct asq__later_claim *claim, int64_t kept_redis_ms)
{
    return claim->redis_ms + (claim->now_ms - claim->asked_ms) < kept_redis_ms;
}

bool asq__later_clock_compute(const struct asq__later_claim *claim, int64_t *ret_minus_mono_ms,
                              int64_t *ret_set_ms)
{
    struct asq__redis_clock clock = *claim->clock;
    struct kept kept;
    *ret_set_ms = 0;
    *ret_minus_mono_ms = claim->redis_ms - claim->now_ms;
    if (!read_kept(claim->kept, &kept))
        return false;
    int64_t kept_redis_ms = kept.at_ms - kept.plus_ms;
    asq__redis_clock_take(&clock, claim->redis_ms, claim->asked_ms, claim->now_ms);
    int64_t kept_mono_ms = asq__redis_clock_to_mono(&clock, kept_redis_ms, claim->now_ms);
    *ret_minus_mono_ms = kept.at_ms - kept_mono_ms;
    if (*claim->machine && strcmp(kept.machine, claim->machine) == 0) {
        int64_t minus_mono_ms = kept.minus_boot_ms + claim->suspended_ms;
        int64_t passed_ms = claim->now_ms + minus_mono_ms - kept.at_ms;
        if (passed_ms >= 0 && is_time(kept.at_ms + passed_ms)) {
            int64_t set_ms = claim->redis_ms - kept_redis_ms - passed_ms;
            /* A small difference is a jump that this process knows. */
            if (is_jump(*ret_minus_mono_ms - minus_mono_ms) &&
                (set_ms > 0 || is_proven_back(claim, kept_redis_ms)))
                *ret_set_ms = set_ms;
            *ret_minus_mono_ms = minus_mono_ms;
            return true;
        }
    }
    if (kept_mono_ms == claim->now_ms && is_jump(claim->redis_ms - kept_redis_ms))
        *ret_set_ms = claim->redis_ms - kept_redis_ms; /* the mark is from the future */
    return true;
}

/* ---- a partition's ---- */

void asq__later_clock_begin(struct asq__partition *p, int64_t redis_ms, const char *kept)
{
    struct asq__process *w = p->w;
    int64_t minus_mono_ms, set_ms, suspended_ms = machine_suspended_ms();
    if (!*w->machine)
        name_machine(w->machine);
    struct asq__later_claim claim = { kept,         w->machine,
                                      suspended_ms, asq__redis_clock(w->redis),
                                      redis_ms,     p->claimed_ms,
                                      asq__now_ms() };
    bool computed = asq__later_clock_compute(&claim, &minus_mono_ms, &set_ms);
    if (!computed && p->has_clock)
        /* The lease was deleted; waiting calls are due by the clock that it kept. */
        minus_mono_ms = p->minus_mono_ms + suspended_ms - p->suspended_ms;
    p->has_clock = true;
    p->minus_mono_ms = minus_mono_ms;
    p->suspended_ms = suspended_ms;
    if (set_ms)
        asq__process_log_some(
            w, ASQ_LOG_WARNING,
            "partition %u: the clock of Redis was set %s by about %.1f s while no worker owned "
            "the partition; delays are not affected",
            p->number, set_ms > 0 ? "forward" : "back",
            (double) (set_ms > 0 ? set_ms : -set_ms) / 1000);
}

int64_t asq__later_clock(struct asq__partition *p)
{
    int64_t since_ms = machine_suspended_ms() - p->suspended_ms;
    if (since_ms > NO_SUSPENSION_MS) {
        p->minus_mono_ms += since_ms;
        p->suspended_ms += since_ms;
    }
    int64_t clock_ms = asq__now_ms() + p->minus_mono_ms;
    return clock_ms > 0 ? clock_ms : 0;
}

void asq__later_clock_mark(const struct asq__partition *p, char mark[ASQ__CLOCK_MARK])
{
    *mark = '\0';
    if (*p->w->machine)
        snprintf(mark, ASQ__CLOCK_MARK, "%s %lld", p->w->machine,
                 (long long) (p->minus_mono_ms - p->suspended_ms));
}
