/*
 * refusal.c: see refusal.h.
 */
#include <string.h>

#include "redis/refusal.h"

/* The first prefix that fits tells the kind. CROSSSLOT means that a command was made for one server
 * and has come to a Cluster: the address leads elsewhere than when the connection was made, and a
 * new connection tells. */
static const struct {
    const char *prefix;
    enum asq__refusal kind;
} prefixes[] = {
    { "LOADING", ASQ__REFUSED_FOR_NOW },
    { "READONLY", ASQ__REFUSED_FOR_NOW },
    { "MASTERDOWN", ASQ__REFUSED_FOR_NOW },
    { "CLUSTERDOWN", ASQ__REFUSED_FOR_NOW },
    { "TRYAGAIN", ASQ__REFUSED_SLOT },
    { "MOVED ", ASQ__REFUSED_FOR_NOW },
    { "ASK ", ASQ__REFUSED_SLOT },
    { "CROSSSLOT", ASQ__REFUSED_FOR_NOW },
    { "MISCONF", ASQ__REFUSED_FOR_NOW },
    { "NOREPLICAS", ASQ__REFUSED_FOR_NOW },
    { "BUSY ", ASQ__REFUSED_FOR_NOW },
    { "UNBLOCKED", ASQ__REFUSED_FOR_NOW },
    { "ERR max number of clients", ASQ__REFUSED_FOR_NOW },
    { "WRONGTYPE", ASQ__REFUSED_TYPE },
    { "OOM", ASQ__REFUSED_MEMORY },
    { "WRONGPASS", ASQ__REFUSED_LOGIN },
    { "NOAUTH", ASQ__REFUSED_LOGIN },
    { "ERR invalid password", ASQ__REFUSED_LOGIN },
    { "ERR AUTH <password> called without any password", ASQ__REFUSED_LOGIN },
    { "ERR Client sent AUTH, but no password is set", ASQ__REFUSED_LOGIN },
    { "NOPERM this user has no permissions to access one of the keys", ASQ__REFUSED_KEY },
    { "NOPERM No permissions to access a key", ASQ__REFUSED_KEY }, /* from Redis 7.2 on */
    { "NOPERM", ASQ__REFUSED_ACCESS },
    /* a node of a Cluster, to a command within a script */
    { "ERR Script attempted to access a non local key", ASQ__REFUSED_FOR_NOW },
    { "ERR Script attempted to access keys that do not hash", ASQ__REFUSED_FOR_NOW },
    { "ERR Script attempted to execute a ", ASQ__REFUSED_FOR_NOW },
    { "ERR Protocol error: invalid bulk length", ASQ__REFUSED_SIZE },
    { "ERR Protocol error: too big", ASQ__REFUSED_SIZE },
    { "ERR string exceeds maximum allowed size", ASQ__REFUSED_SIZE },
};

enum asq__refusal asq__reply_refusal(const redisReply *reply)
{
    if (!reply || reply->type != REDIS_REPLY_ERROR)
        return ASQ__REFUSED_NOT;
    /* Redis before 7.0 writes the place in the script before the command's error. */
    const char *text = reply->str, *inner = strstr(text, ": -");
    if (strncmp(text, "ERR Error running script", 24) == 0 && inner)
        text = inner + 3;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(text, prefixes[i].prefix, strlen(prefixes[i].prefix)) == 0)
            return prefixes[i].kind;
    return ASQ__REFUSED_COMMAND;
}

bool asq__reply_is_transient(const redisReply *reply)
{
    enum asq__refusal kind = asq__reply_refusal(reply);
    return kind == ASQ__REFUSED_FOR_NOW || kind == ASQ__REFUSED_SLOT;
}

/* Texts of Redis 6 and 7 for a denied command within a script. */
static const char *const denials[] = { "can't run this command", "can't access",
                                       "ACL failure in script", "unknown command",
                                       "Unknown Redis command" };

/* Returns whether an error begins in the text with these words. A key before it, whose namespace
 * may be called OOM, is none. */
static bool has_error(const char *text, const char *words)
{
    for (const char *at = text; (at = strstr(at, words)); at++)
        if (at == text || at[-1] == ' ' || at[-1] == '-')
            return true;
    return false;
}

enum asq__refusal asq__text_refusal(const char *text)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (has_error(text, prefixes[i].prefix))
            return prefixes[i].kind;
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
        if (strstr(text, denials[i]))
            return ASQ__REFUSED_ACCESS;
    return ASQ__REFUSED_COMMAND;
}

bool asq__reply_is_denial(const redisReply *reply)
{
    enum asq__refusal kind = asq__reply_refusal(reply);
    if (kind == ASQ__REFUSED_KEY || kind == ASQ__REFUSED_ACCESS ||
        asq__reply_is_error(reply, "ERR unknown command"))
        return true;
    return kind == ASQ__REFUSED_COMMAND && asq__text_refusal(reply->str) == ASQ__REFUSED_ACCESS;
}

bool asq__reply_is_wrong_type(const redisReply *reply)
{
    enum asq__refusal kind = asq__reply_refusal(reply);
    return kind == ASQ__REFUSED_TYPE ||
           (kind == ASQ__REFUSED_COMMAND && asq__text_refusal(reply->str) == ASQ__REFUSED_TYPE);
}

const char *asq__reply_text(const redisReply *reply)
{
    if (!reply)
        return "the connection was lost";
    if (reply->type == REDIS_REPLY_ERROR || reply->type == REDIS_REPLY_STATUS ||
        reply->type == REDIS_REPLY_STRING)
        return reply->str;
    return "an answer of an unexpected type";
}

bool asq__reply_is_error(const redisReply *reply, const char *prefix)
{
    return reply && reply->type == REDIS_REPLY_ERROR &&
           (!prefix || strncmp(reply->str, prefix, strlen(prefix)) == 0);
}

bool asq__reply_is(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}
