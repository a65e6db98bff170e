/*
 * password.c: see password.h.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/password.h"
#include "redis/url.h"
#include "value/clock.h"

enum { EVERY_MS = 60000 };

struct asq__password {
    struct asq__password_config config;
    pthread_mutex_t lock;
    char text[ASQ__PASSWORD_MAX]; /* "": the URL's own */
    int64_t last_logged_ms;       /* last line about a failure to read it; 0: none */
};

struct asq__password *asq__password_new(const struct asq__password_config *config)
{
    struct asq__password *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->config = *config;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void asq__password_free(struct asq__password *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    explicit_bzero(p->text, sizeof p->text);
    free(p);
}

const char *asq__password_get(const struct asq__url *url, char room[ASQ__PASSWORD_MAX])
{
    struct asq__password *p = url->renewed;
    if (!p)
        return url->password;
    pthread_mutex_lock(&p->lock);
    bool newer = *p->text != '\0';
    memcpy(room, p->text, sizeof p->text);
    pthread_mutex_unlock(&p->lock);
    return newer ? room : url->password;
}

static void log_line(const struct asq__password *p, asq_log_level level, const char *message)
{
    if (p->config.log && level <= p->config.log_level)
        p->config.log(p->config.user, level, message);
}

/* Logs that the password cannot be read: at once, then once a minute. Call with the lock. */
static void log_failure(struct asq__password *p, const char *why)
{
    char message[700];
    int64_t now = asq__now_ms();
    if (p->last_logged_ms && now - p->last_logged_ms < EVERY_MS)
        return;
    p->last_logged_ms = now;
    snprintf(message, sizeof message,
             "Redis has refused the password, and it cannot be read again: %.500s; trying again",
             why);
    log_line(p, ASQ_LOG_WARNING, message);
}

void asq__password_refused(const struct asq__url *url)
{
    struct asq__password *p = url->renewed;
    char text[ASQ__PASSWORD_MAX] = "", why[500] = "";
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    const char *current = *p->text ? p->text : url->password ? url->password : "";
    if (p->config.read(p->config.user, text, sizeof text, why, sizeof why) < 0) {
        log_failure(p, why);
    } else if (strcmp(text, current) != 0) {
        memcpy(p->text, text, sizeof p->text);
        p->last_logged_ms = 0;
        log_line(p, ASQ_LOG_INFO,
                 "Redis has refused the password, which was read again and has changed: the new "
                 "password is tried now");
    }
    pthread_mutex_unlock(&p->lock);
    explicit_bzero(text, sizeof text);
}
