/*
 * trusted_path.c: see trusted_path.h.
 *
 * The result may be opened by its path later, because a name in a folder can be changed only by the
 * folder's owner and by users who may write to the folder. Every folder of `real` was checked on an
 * open descriptor: it belongs to root or to this user, and only they may write to it. In a sticky
 * one (/tmp) others may add names, but not change names that belong to root or to this user. So
 * other users cannot change any step of `real` after its check. dlopen gets this path and not
 * /proc/self/fd/N: the dynamic linker takes two files of one name for the same, and descriptor
 * numbers are reused; $ORIGIN in a plugin's run path and debuggers need the folder; and /proc need
 * not be mounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/trusted_path.h"
#include "value/error.h"

enum { MAX_LINKS = 40 };

struct walk {
    int at; /* the current folder, by O_PATH; checked as a parent */
    char *real;
    size_t len; /* of real; 0: the root */
    char rest[PATH_MAX];
    int links;
    char *err;
    size_t errlen;
};

static int fail_at(struct walk *w, const char *name, const char *why)
{
    return asq__err(w->err, w->errlen, ASQ_EPLUGIN, "%s%s%s: %s", w->real, *name ? "/" : "", name,
                    why);
}

/* Returns whether the group is the user's alone by convention: the primary group, with the user's
 * name and without other members. Systems with umask 002 make every folder of a home writable for
 * it. */
static bool is_private_group(uid_t uid, gid_t gid)
{
    char pw_text[4096], gr_text[4096];
    struct passwd pw, *user = NULL;
    struct group gr, *group = NULL;
    if (uid == 0 || getpwuid_r(uid, &pw, pw_text, sizeof pw_text, &user) != 0 || !user ||
        user->pw_gid != gid || getgrgid_r(gid, &gr, gr_text, sizeof gr_text, &group) != 0 ||
        !group || strcmp(group->gr_name, user->pw_name) != 0)
        return false;
    for (char **member = group->gr_mem; *member; member++)
        if (strcmp(*member, user->pw_name) != 0)
            return false;
    return true;
}

static int check_owner(struct walk *w, const struct stat *st, const char *path, const char *what)
{
    uid_t self = geteuid();
    if (st->st_uid == 0 || st->st_uid == self)
        return 0;
    return asq__err(
        w->err, w->errlen, ASQ_EPLUGIN,
        "%s: the %s belongs to user %u, and could change the code that runs here; chown it to "
        "root%s, or use a folder elsewhere",
        path, what, (unsigned) st->st_uid, self ? " or to the worker's user" : "");
}

static int check_mode(struct walk *w, const struct stat *st, const char *path, const char *what)
{
    if (!(st->st_mode & (S_IWGRP | S_IWOTH)))
        return 0;
    return asq__err(
        w->err, w->errlen, ASQ_EPLUGIN,
        "%s: the %s has mode %04o, so other users can write to it and change the code that runs "
        "here; "
        "chmod go-w %s",
        path, what, (unsigned) (st->st_mode & 07777), path);
}

/* Checks a folder on the way: others may not write to it unless it is sticky, which protects our
 * names. */
static int check_parent(struct walk *w, const struct stat *st, const char *path)
{
    int rc = check_owner(w, st, path, "folder");
    if (rc < 0 || (st->st_mode & S_ISVTX))
        return rc;
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) == S_IWGRP && st->st_uid == geteuid() &&
        is_private_group(st->st_uid, st->st_gid))
        return 0;
    return check_mode(w, st, path, "folder");
}

static int check_end(struct walk *w, const struct stat *st, const char *path, const char *what)
{
    int rc = check_owner(w, st, path, what);
    return rc < 0 ? rc : check_mode(w, st, path, what);
}

static const char *shown_path(const struct walk *w)
{
    return w->len ? w->real : "/";
}

/* Enters a folder and takes its descriptor over. */
static int enter_folder(struct walk *w, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return fail_at(w, "", strerror(errno));
    }
    if (w->at >= 0)
        close(w->at);
    w->at = fd;
    return check_parent(w, &st, shown_path(w));
}

static int go_to_root(struct walk *w)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    w->len = 0;
    *w->real = '\0';
    return fd < 0 ? fail_at(w, "/", strerror(errno)) : enter_folder(w, fd);
}

static int go_up(struct walk *w)
{
    int fd = openat(w->at, "..", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_at(w, "..", strerror(errno));
    while (w->len && w->real[w->len - 1] != '/')
        w->len--;
    if (w->len)
        w->len--;
    w->real[w->len] = '\0';
    return enter_folder(w, fd);
}

/* Puts the target of the link before the rest of the path. */
static int follow_link(struct walk *w, int fd, const struct stat *st, const char *name)
{
    char target[PATH_MAX], path[PATH_MAX + 2];
    size_t n = strlen(w->rest);
    snprintf(path, sizeof path, "%.*s/%s", (int) (sizeof path - 2 - strlen(name)), w->real, name);
    int rc = check_owner(w, st, path, "symbolic link");
    if (rc < 0)
        return rc;
    if (++w->links > MAX_LINKS)
        return fail_at(w, name, strerror(ELOOP));
    ssize_t got = readlinkat(fd, "", target, sizeof target);
    if (got <= 0)
        return fail_at(w, name, got < 0 ? strerror(errno) : strerror(ENOENT));
    if ((size_t) got + 1 + n >= sizeof w->rest)
        return fail_at(w, name, strerror(ENAMETOOLONG));
    memmove(w->rest + got + 1, w->rest, n + 1);
    memcpy(w->rest, target, (size_t) got);
    w->rest[got] = '/';
    return *target == '/' ? go_to_root(w) : 0;
}

/* Takes the next name off the rest; empty: no name is left. */
static int next_name(struct walk *w, char name[NAME_MAX + 1])
{
    size_t skip = strspn(w->rest, "/"), n = strcspn(w->rest + skip, "/");
    if (n > NAME_MAX)
        return fail_at(w, "...", strerror(ENAMETOOLONG));
    memcpy(name, w->rest + skip, n);
    name[n] = '\0';
    skip += n;
    memmove(w->rest, w->rest + skip, strlen(w->rest + skip) + 1);
    return 0;
}

/* Returns whether no name is left, only slashes. */
static bool is_at_end(const struct walk *w)
{
    return w->rest[strspn(w->rest, "/")] == '\0';
}

static int append(struct walk *w, const char *name)
{
    size_t n = strlen(name);
    if (w->len + 1 + n >= PATH_MAX)
        return fail_at(w, name, strerror(ENAMETOOLONG));
    w->real[w->len++] = '/';
    memcpy(w->real + w->len, name, n + 1);
    w->len += n;
    return 0;
}

/* Checks and opens the file at the end of the path, in a checked folder. Returns its descriptor. */
static int open_file(struct walk *w, const struct stat *st, const char *name)
{
    struct stat folder, now;
    int rc = 0, fd;
    if (fstat(w->at, &folder) < 0)
        return fail_at(w, "", strerror(errno));
    if ((rc = check_end(w, &folder, shown_path(w), "folder")) < 0 || (rc = append(w, name)) < 0)
        return rc;
    if (!S_ISREG(st->st_mode))
        return fail_at(w, "", "it is not a regular file; take it out of the folder");
    if ((rc = check_end(w, st, w->real, "plugin")) < 0)
        return rc;
    fd = openat(w->at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail_at(w, "", strerror(errno));
    if (fstat(fd, &now) < 0 || now.st_dev != st->st_dev || now.st_ino != st->st_ino) {
        close(fd);
        return fail_at(w, "", "it was replaced during the check; start again");
    }
    return fd;
}

/* Goes one name further. Sets *ret_fd at a file, which must be the end. */
static int step(struct walk *w, enum asq__trusted_kind kind, const char *name, int *ret_fd)
{
    struct stat st;
    int rc, fd;
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0)
        return go_up(w);
    fd = openat(w->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_at(w, name, strerror(errno));
    if (fstat(fd, &st) < 0) {
        rc = fail_at(w, name, strerror(errno));
    } else if (S_ISLNK(st.st_mode)) {
        rc = follow_link(w, fd, &st, name);
    } else if (kind == ASQ__TRUSTED_FILE && is_at_end(w)) {
        rc = *ret_fd = open_file(w, &st, name);
    } else if (!S_ISDIR(st.st_mode)) {
        rc = fail_at(w, name, strerror(ENOTDIR));
    } else if ((rc = append(w, name)) == 0) {
        return enter_folder(w, fd);
    }
    close(fd);
    return rc;
}

/* Opens the folder that was reached. */
static int open_folder(struct walk *w)
{
    struct stat st;
    int rc, fd = openat(w->at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_at(w, "", strerror(errno));
    rc = fstat(fd, &st) < 0 ? fail_at(w, "", strerror(errno))
                            : check_end(w, &st, shown_path(w), "folder");
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

int asq__trusted_open(const char *path, enum asq__trusted_kind kind, char real[PATH_MAX], char *err,
                      size_t errlen)
{
    struct walk w = { .at = -1, .real = real, .err = err, .errlen = errlen };
    char name[NAME_MAX + 1];
    int rc = 0, fd = -1;
    size_t n = 0;
    *real = '\0';
    if (*path != '/') {
        if (!getcwd(w.rest, sizeof w.rest))
            return asq__err(err, errlen, ASQ_EPLUGIN, "%s: the current folder: %s", path,
                            strerror(errno));
        n = strlen(w.rest);
        w.rest[n++] = '/';
    }
    if (!*path || n + strlen(path) >= sizeof w.rest)
        return asq__err(err, errlen, ASQ_EPLUGIN, "%s: %s", path,
                        strerror(*path ? ENAMETOOLONG : ENOENT));
    memcpy(w.rest + n, path, strlen(path) + 1);
    rc = go_to_root(&w);
    while (rc >= 0 && fd < 0 && (rc = next_name(&w, name)) == 0 && *name)
        rc = step(&w, kind, name, &fd);
    if (rc >= 0 && fd < 0)
        fd = kind == ASQ__TRUSTED_FOLDER ? open_folder(&w)
                                         : fail_at(&w, "", "it is not a regular file");
    if (rc >= 0)
        rc = fd;
    if (rc >= 0 && !w.len)
        strcpy(real, "/");
    if (w.at >= 0)
        close(w.at);
    return rc;
}
