/*
 * remains.c: see remains.h. The test is a subreaper (PR_SET_CHILD_SUBREAPER), so "no process is
 * left" is exact: it has no children, whatever their names are.
 */
#include "remains.h"
#include "support.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;

const char *remains_watch(const char *name)
{
    free(dir);
    /* also starts the guard of temporary files, which must not become a child of the test */
    dir = sup_path(name);
    if (mkdir(dir, 0700) < 0)
        sup_fail("%s: %s", dir, strerror(errno));
    setenv("TMPDIR", dir, 1);
    unsetenv("XDG_RUNTIME_DIR");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        sup_fail("PR_SET_CHILD_SUBREAPER: %s", strerror(errno));
    return dir;
}

static size_t n_files(char *one, size_t size)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    if (!d)
        sup_fail("%s: %s", dir, strerror(errno));
    struct dirent *e;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            snprintf(one, size, "%s", e->d_name);
            n++;
        }
    closedir(d);
    return n;
}

bool remains_no_file(void)
{
    char one[256];
    return n_files(one, sizeof one) == 0;
}

void remains_nothing(void)
{
    int64_t end_ms = sup_now_ms() + sup_limit_ms();
    pid_t pid;
    char name[256];
    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) >= 0 || errno != ECHILD) {
        if (pid == 0 && sup_now_ms() > end_ms) {
            pid_t left[8];
            if (remains_descendants(getpid(), left, 8) == 0)
                sup_fail("a process is left");
            remains_name(left[0], name, sizeof name);
            sup_fail("process %d (%s) is left", (int) left[0], name);
        }
        if (pid == 0)
            sup_sleep_ms(2);
    }
    if (n_files(name, sizeof name) > 0) /* no process is left to remove it */
        sup_fail("%s/%s is left", dir, name);
}

/* ---- /proc ---- */

pid_t remains_parent(pid_t pid)
{
    char *path = sup_format("/proc/%d/stat", (int) pid), *stat = sup_read_file(path);
    const char *name_end = strrchr(stat, ')');
    int parent = -1;
    char state;
    if (!name_end || sscanf(name_end, ") %c %d", &state, &parent) != 2)
        parent = -1;
    free(path);
    free(stat);
    return parent;
}

void remains_name(pid_t pid, char *name, size_t size)
{
    char *path = sup_format("/proc/%d/comm", (int) pid), *comm = sup_read_file(path);
    comm[strcspn(comm, "\n")] = '\0';
    snprintf(name, size, "%s", comm);
    free(path);
    free(comm);
}

static bool descends(pid_t pid, pid_t root)
{
    while (pid > 1)
        if ((pid = remains_parent(pid)) == root)
            return true;
    return false;
}

size_t remains_descendants(pid_t root, pid_t *pids, size_t room)
{
    DIR *d = opendir("/proc");
    size_t n = 0;
    if (!d)
        sup_fail("/proc: %s", strerror(errno));
    struct dirent *e;
    while ((e = readdir(d)) && n < room) {
        pid_t pid = isdigit((unsigned char) e->d_name[0]) ? (pid_t) atol(e->d_name) : 0;
        if (pid && sup_pid_running(pid) && descends(pid, root))
            pids[n++] = pid;
    }
    closedir(d);
    return n;
}

pid_t remains_named(pid_t root, const char *name)
{
    pid_t pids[64];
    size_t n = remains_descendants(root, pids, 64);
    for (size_t i = 0; i < n; i++) {
        char is[64];
        remains_name(pids[i], is, sizeof is);
        if (strcmp(is, name) == 0)
            return pids[i];
    }
    return -1;
}
