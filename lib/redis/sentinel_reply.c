/*
 * sentinel_reply.c: see sentinel_reply.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "asqueue.h"
#include "redis/refusal.h"
#include "redis/sentinel_reply.h"
#include "value/decimal.h"
#include "value/error.h"

enum { NAMES_MAX = 16 };

/* ---- addresses ---- */

/* Returns whether a byte may be in a host name or in an address, with a zone. */
static bool is_host_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr(".-_:%", c));
}

bool asq__server_address_set(struct asq__server_address *to, const char *host, const char *port)
{
    uint64_t number = 0;
    size_t n = strlen(host);
    if (n == 0 || n >= sizeof to->host)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_host_byte((unsigned char) host[i]))
            return false;
    if (!asq__decimal_read(&port, &number) || *port || number == 0 || number > 65535)
        return false;
    memcpy(to->host, host, n + 1);
    to->port = (int) number;
    return true;
}

bool asq__server_address_is_same(const struct asq__server_address *a,
                                 const struct asq__server_address *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

void asq__server_address_put(const struct asq__server_address *a, char *out, size_t size)
{
    snprintf(out, size, strchr(a->host, ':') ? "[%s]:%d" : "%s:%d", a->host, a->port);
}

/* ---- replies ---- */

static bool is_string(const redisReply *reply)
{
    /* A NUL within would hide the rest. */
    return reply && reply->type == REDIS_REPLY_STRING && strlen(reply->str) == (size_t) reply->len;
}

/* Tells what an error reply of a Sentinel means for the URL. */
static int read_error(const redisReply *reply, char why[ASQ__SENTINEL_WHY])
{
    switch (asq__reply_refusal(reply)) {
    case ASQ__REFUSED_LOGIN:
        if (asq__reply_is_error(reply, "NOAUTH"))
            return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EAUTH,
                            "this Sentinel wants a password of its own; give it by "
                            "sentinel-password-file= or sentinel-password= (the password before "
                            "the hosts is for the master): %.80s",
                            reply->str);
        return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EAUTH,
                        "this Sentinel does not take the URL's sentinel-user or its password: "
                        "%.120s",
                        reply->str);
    case ASQ__REFUSED_ACCESS:
    case ASQ__REFUSED_KEY:
        return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EAUTH,
                        "this Sentinel's user may not ask it (ACL SETUSER … "
                        "+sentinel|get-master-addr-by-name +sentinel|sentinels +subscribe "
                        "&+switch-master): %.100s",
                        reply->str);
    case ASQ__REFUSED_FOR_NOW:
    case ASQ__REFUSED_SLOT:
        return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EBUSY, "it cannot answer now: %.200s",
                        reply->str);
    default: break;
    }
    if (asq__reply_is_error(reply, "ERR unknown command"))
        return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EINVAL,
                        "this is no Sentinel, but a Redis; the URL's hosts have to be Sentinels "
                        "(usual port: 26379), or use redis:// for a Redis");
    return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EREDIS, "it answers: %.200s", reply->str);
}

int asq__sentinel_read_master(const redisReply *reply, struct asq__server_address *ret,
                              char why[ASQ__SENTINEL_WHY])
{
    if (reply->type == REDIS_REPLY_ERROR)
        return read_error(reply, why);
    if (reply->type == REDIS_REPLY_NIL)
        return asq__err(why, ASQ__SENTINEL_WHY, ASQ_ENOENT, "it knows no master of that name");
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_string(reply->element[0]) ||
        !is_string(reply->element[1]) ||
        !asq__server_address_set(ret, reply->element[0]->str, reply->element[1]->str))
        return asq__err(why, ASQ__SENTINEL_WHY, ASQ_EPROTO,
                        "what it gives for the master is not a host and a port");
    return 0;
}

/* Returns a field of a reply of names and values, or NULL. */
static const char *find_field(const redisReply *fields, const char *name)
{
    if (fields->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (is_string(fields->element[i]) && strcmp(fields->element[i]->str, name) == 0)
            return is_string(fields->element[i + 1]) ? fields->element[i + 1]->str : NULL;
    return NULL;
}

unsigned asq__sentinel_read_others(const redisReply *reply,
                                   struct asq__server_address list[ASQ__SENTINELS_MAX])
{
    unsigned n = 0;
    if (reply->type != REDIS_REPLY_ARRAY)
        return 0;
    for (size_t i = 0; i < reply->elements && n < ASQ__SENTINELS_MAX; i++) {
        const char *host = find_field(reply->element[i], "ip");
        const char *port = find_field(reply->element[i], "port");
        if (host && port && asq__server_address_set(&list[n], host, port))
            n++;
    }
    return n;
}

void asq__sentinel_read_names(const redisReply *reply, char *out, size_t size)
{
    size_t at = 0, shown = 0;
    *out = '\0';
    if (reply->type != REDIS_REPLY_ARRAY)
        return;
    for (size_t i = 0; i < reply->elements && shown < NAMES_MAX; i++) {
        const char *name = find_field(reply->element[i], "name");
        if (!name || !*name || at + strlen(name) + 3 > size)
            continue;
        int n = snprintf(out + at, size - at, "%s%s", shown++ ? ", " : "", name);
        for (char *p = out + at; *p; p++)
            if ((unsigned char) *p < ' ' || *p == 0x7f)
                *p = '?';
        at += (size_t) n;
    }
}

bool asq__sentinel_read_switch(const char *text, size_t n, const char *master,
                               struct asq__server_address *ret)
{
    enum { WORDS = 5 };
    char room[1024], *words[WORDS + 1], *rest = NULL;
    unsigned count = 0;
    if (n >= sizeof room || memchr(text, '\0', n))
        return false;
    memcpy(room, text, n);
    room[n] = '\0';
    for (char *word = strtok_r(room, " ", &rest); word && count <= WORDS;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    return count == WORDS && strcmp(words[0], master) == 0 &&
           asq__server_address_set(ret, words[3], words[4]);
}
