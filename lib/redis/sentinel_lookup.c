/*
 * sentinel_lookup.c: see sentinel_lookup.h. Each Sentinel gets an equal share of the time that is
 * left, so that one that hangs does not keep the others from being asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/link.h"
#include "redis/reply.h"
#include "redis/sentinel_lookup.h"
#include "redis/sentinels.h"
#include "redis/url.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"

enum { SHARE_MIN_MS = 250, READ_SIZE = 4096 };
#define MAX_REPLY ((size_t) 256 * 1024) /* bytes of what one Sentinel answers */

/* The reply that comes next. If the Sentinel does not know the master, NONE, to SENTINELS of that
 * name, and NAMES, those of the masters that it does know. */
enum expected { LOGIN, MASTER, OTHERS, NONE, NAMES };

struct asq__sentinel_lookup {
    const struct asq__url *url;
    struct asq__server_address list[ASQ__SENTINELS_MAX];
    unsigned n, at;     /* at: the one being asked */
    struct asq__url to; /* of the one being asked */
    struct asq__link link;
    redisReader *parser; /* NULL: nobody is being asked */
    struct asq__arena replies;
    struct asq__buf out;
    size_t sent;
    enum expected expected;
    int64_t deadline_ms, share_ms; /* share_ms: when to go on to the next one */
    struct asq__server_address master;
    struct asq__server_address others[ASQ__SENTINELS_MAX];
    unsigned n_others;
    int code;                         /* common to all failures so far; 0: none yet */
    char last_why[ASQ__SENTINEL_WHY]; /* of the failure before, without its address */
    char why[ASQ__TLS_WHY];
    char password[ASQ__SENTINEL_PASSWORD_MAX];
};

struct asq__sentinel_lookup *asq__sentinel_lookup_new(const struct asq__url *url,
                                                      int64_t timeout_ms)
{
    struct asq__sentinel_lookup *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->url = url;
    l->n = asq__sentinels_list(url->sentinels, l->list);
    l->deadline_ms = asq__deadline_ms(timeout_ms);
    asq__link_init(&l->link, &l->to);
    asq__arena_init(&l->replies, MAX_REPLY);
    asq__buf_init(&l->out, MAX_REPLY);
    snprintf(l->why, sizeof l->why, "no Sentinel tells where the master '%.100s' is", url->master);
    return l;
}

static void hang_up(struct asq__sentinel_lookup *l)
{
    asq__link_release(&l->link);
    if (l->parser)
        redisReaderFree(l->parser);
    l->parser = NULL;
    asq__buf_reset(&l->out);
    l->sent = 0;
    explicit_bzero(l->password, sizeof l->password);
}

void asq__sentinel_lookup_free(struct asq__sentinel_lookup *l)
{
    if (!l)
        return;
    hang_up(l);
    asq__buf_release(&l->out);
    asq__arena_release(&l->replies);
    free(l);
}

/* Appends the failure of the Sentinel that was asked to the reasons. */
static void note_failure(struct asq__sentinel_lookup *l, int code, const char *why)
{
    size_t n = strlen(l->why);
    char where[ASQ__SENTINEL_HOST + 10];
    asq__server_address_put(&l->list[l->at], where, sizeof where);
    if (strcmp(why, l->last_why) == 0)
        snprintf(l->why + n, sizeof l->why - n, "; %s: the same", where);
    else
        snprintf(l->why + n, sizeof l->why - n, "%s %s: %s", l->code ? ";" : ":", where, why);
    snprintf(l->last_why, sizeof l->last_why, "%s", why);
    l->code = l->code == 0 || l->code == code ? code : ASQ_ECONN;
}

/* ---- one Sentinel ---- */

static void put_command(struct asq__sentinel_lookup *l, size_t argc, const char *const *argv)
{
    asq__cmd_write_head(&l->out, argc);
    for (size_t i = 0; i < argc; i++)
        asq__cmd_write_arg(&l->out, argv[i], strlen(argv[i]));
}

static void put_questions(struct asq__sentinel_lookup *l)
{
    const char *user = l->to.user, *password = l->to.password, *master = l->url->master;
    l->expected = password ? LOGIN : MASTER;
    if (password && user)
        put_command(l, 3, (const char *[]){ "AUTH", user, password });
    else if (password)
        put_command(l, 2, (const char *[]){ "AUTH", password });
    put_command(l, 3, (const char *[]){ "SENTINEL", "GET-MASTER-ADDR-BY-NAME", master });
    put_command(l, 3, (const char *[]){ "SENTINEL", "SENTINELS", master });
}

/* Connects to the Sentinel whose turn it is. As the step. */
static int dial(struct asq__sentinel_lookup *l, char why[ASQ__SENTINEL_WHY])
{
    int64_t left = l->deadline_ms - asq__now_ms();
    int64_t share = left / (l->n - l->at);
    if (share < SHARE_MIN_MS)
        share = SHARE_MIN_MS;
    l->share_ms = asq__deadline_ms(share);
    int rc = asq__sentinel_url(l->url, &l->list[l->at], l->password, &l->to, why);
    if (rc < 0)
        return rc;
    asq__link_init(&l->link, &l->to);
    l->parser = redisReaderCreate();
    if (!l->parser)
        return ASQ_ENOMEM;
    asq__reply_in_arena(l->parser, &l->replies);
    rc = asq__link_open(&l->link, share);
    if (rc < 0)
        asq__err(why, ASQ__SENTINEL_WHY, rc, "%s", l->link.why);
    if (rc > 0)
        put_questions(l);
    return rc < 0 ? rc : 0;
}

/* Takes the next reply. 1: the Sentinel has told all. 0: more replies are to come. */
static int take_reply(struct asq__sentinel_lookup *l, const redisReply *reply,
                      char why[ASQ__SENTINEL_WHY])
{
    char names[160];
    int rc;
    switch (l->expected) {
    case LOGIN:
        l->expected = MASTER;
        return reply->type == REDIS_REPLY_ERROR ? asq__sentinel_read_master(reply, &l->master, why)
                                                : 0;
    case MASTER:
        rc = asq__sentinel_read_master(reply, &l->master, why);
        l->expected = rc == ASQ_ENOENT ? NONE : OTHERS;
        if (rc != ASQ_ENOENT)
            return rc;
        put_command(l, 2, (const char *[]){ "SENTINEL", "MASTERS" });
        return 0;
    case OTHERS: l->n_others = asq__sentinel_read_others(reply, l->others); return 1;
    case NONE: l->expected = NAMES; return 0;
    case NAMES:
        asq__sentinel_read_names(reply, names, sizeof names);
        return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EINVAL,
                        *names ? "it knows no master of that name, but these: %s"
                               : "it knows no master of that name%s",
                        names);
    }
    return 0;
}

/* Writes what is to be sent and reads what has come. As take_reply. */
static int converse(struct asq__sentinel_lookup *l, char why[ASQ__SENTINEL_WHY])
{
    char bytes[READ_SIZE];
    for (;;) {
        while (l->sent < l->out.len) {
            ssize_t n = asq__link_send(&l->link, l->out.data + l->sent, l->out.len - l->sent);
            if (n <= 0)
                break; /* after an error: reading tells it */
            l->sent += (size_t) n;
        }
        void *reply = NULL;
        if (redisReaderGetReply(l->parser, &reply) != REDIS_OK)
            return asq__err(why, ASQ__SENTINEL_WHY, ASQ_ECONN,
                            "what it sends is not the Redis protocol, or too much (%.100s)",
                            l->parser->errstr);
        if (reply) {
            int rc = take_reply(l, reply, why);
            asq__arena_reset(&l->replies);
            if (rc != 0)
                return rc;
            continue;
        }
        ssize_t n = asq__link_recv(&l->link, bytes, sizeof bytes);
        if (n == 0)
            return 0;
        if (n < 0)
            return asq__err(why, ASQ__SENTINEL_WHY, ASQ_ECONN, "%s", l->link.why);
        if (l->parser->len - l->parser->pos > MAX_REPLY)
            return asq__err(why, ASQ__SENTINEL_WHY, ASQ_ECONN, "it sends more than was asked for");
        if (redisReaderFeed(l->parser, bytes, (size_t) n) != REDIS_OK)
            return ASQ_ENOMEM;
    }
}

/* Goes on with the Sentinel that is being asked. */
static int ask(struct asq__sentinel_lookup *l, char why[ASQ__SENTINEL_WHY])
{
    int rc = 1;
    if (l->link.state != ASQ__LINK_OPEN) {
        rc = asq__link_step(&l->link);
        if (rc < 0)
            return asq__err(why, ASQ__SENTINEL_WHY, rc, "%s", l->link.why);
        if (rc > 0)
            put_questions(l);
    }
    if (l->link.state == ASQ__LINK_OPEN && l->out.error)
        return ASQ_ENOMEM;
    return rc > 0 ? converse(l, why) : 0;
}

/* ---- all of them ---- */

static int end_failed(struct asq__sentinel_lookup *l, bool all)
{
    size_t n = strlen(l->why);
    hang_up(l);
    if (!all) {
        /* The next try begins with those that were not asked. */
        asq__sentinels_skip(l->url->sentinels, l->at + 1);
        snprintf(l->why + n, sizeof l->why - n, " (%u of %u asked)", l->at + 1, l->n);
        return ASQ_ECONN;
    }
    return l->code == ASQ_EINVAL || l->code == ASQ_EAUTH ? l->code : ASQ_ECONN;
}

int asq__sentinel_lookup_step(struct asq__sentinel_lookup *l)
{
    for (;;) {
        char why[ASQ__SENTINEL_WHY] = "";
        int rc = l->parser ? ask(l, why) : dial(l, why);
        if (rc == 0 && l->parser && l->link.state == ASQ__LINK_OPEN && !l->sent)
            rc = ask(l, why);
        if (rc > 0) {
            const struct asq__server_address *by = &l->list[l->at];
            asq__sentinels_learn(l->url->sentinels, by, l->others, l->n_others);
            asq__sentinels_told(l->url->sentinels, by, &l->master);
            hang_up(l);
            return 1;
        }
        if (rc == ASQ_ENOMEM) {
            snprintf(l->why, sizeof l->why, "out of memory");
            hang_up(l);
            return rc;
        }
        if (rc == 0 && asq__now_ms() < l->share_ms)
            return 0;
        if (rc == 0 && l->link.state == ASQ__LINK_OPEN)
            rc = asq__err(why, sizeof why, ASQ_ECONN, "connected, but no answer");
        else if (rc == 0)
            rc = asq__err(why, sizeof why, asq__link_give_up(&l->link), "%s", l->link.why);
        note_failure(l, rc, why);
        if (l->at + 1 == l->n || asq__now_ms() >= l->deadline_ms)
            return end_failed(l, l->at + 1 == l->n);
        hang_up(l);
        l->at++;
    }
}

int asq__sentinel_lookup_fd(const struct asq__sentinel_lookup *l, bool *ret_writing)
{
    if (l->link.state != ASQ__LINK_OPEN)
        return asq__link_fd(&l->link, ret_writing);
    bool unsent = l->sent < l->out.len;
    *ret_writing = (unsent && !l->link.send_wants_read) || l->link.recv_wants_write;
    return l->link.fd;
}

int64_t asq__sentinel_lookup_wait_ms(const struct asq__sentinel_lookup *l)
{
    int64_t left = l->share_ms - asq__now_ms();
    if (l->link.state != ASQ__LINK_OPEN && asq__link_wait_ms(&l->link) < left)
        left = asq__link_wait_ms(&l->link);
    return left > 0 ? left : 0;
}

int asq__sentinel_lookup_give_up(struct asq__sentinel_lookup *l)
{
    if (l->link.state == ASQ__LINK_OPEN) {
        note_failure(l, ASQ_ECONN, "connected, but no answer");
    } else {
        int rc = asq__link_give_up(&l->link);
        note_failure(l, rc, l->link.why);
    }
    return end_failed(l, l->at + 1 == l->n);
}

const char *asq__sentinel_lookup_why(const struct asq__sentinel_lookup *l)
{
    return l->why;
}

const struct asq__server_address *asq__sentinel_lookup_master(const struct asq__sentinel_lookup *l)
{
    return &l->master;
}
