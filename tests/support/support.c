/*
 * support.c: temporary files, child processes and waiting for tests; support_redis.c has the
 * redis-servers. Both are described in support.h. Everything here belongs to the process that asked
 * for it (by its pid), because Check forks for every test.
 */
#include "acl.h"
#include "support.h"
#include "support_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct sup_proc {
    pid_t pid;
    pid_t owner; /* process that started it; others may only examine it and send signals */
    bool ended;  /* reaped */
    int status;  /* exit status, or 128 + signal */
    char *name;
    char *log;     /* stdout and stderr, or stdout alone */
    char *err_log; /* stderr, when apart */
    sup_proc *next;
};

/* Resources of the process `owner`; a forked process inherits them unused. */
static struct {
    pid_t owner;
    char dir[PATH_MAX];
    sup_proc *procs;
    unsigned n_files;
    bool at_exit;
} self;

static void (*on_failure)(const char *message);

void sup_on_failure(void (*fn)(const char *message))
{
    on_failure = fn;
}

int sup_skip(const char *why)
{
    printf("skipped: %s\n", why);
    return 77;
}

/* Prints the ends of the outputs of all processes of this test: they tell why it waited in vain. */
static void print_outputs(void)
{
    char tail[2000];
    if (self.owner != getpid())
        return;
    for (const sup_proc *p = self.procs; p; p = p->next) {
        FILE *f = fopen(p->err_log ? p->err_log : p->log, "re");
        if (!f)
            continue;
        if (fseek(f, -(long) sizeof tail, SEEK_END) != 0)
            rewind(f);
        size_t n = fread(tail, 1, sizeof tail, f);
        fclose(f);
        fprintf(stderr, "---- %s (pid %d), the end of its output:\n%.*s\n", p->name, (int) p->pid,
                (int) n, tail);
    }
}

void sup_fail(const char *fmt, ...)
{
    va_list ap;
    char message[8192];
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (on_failure)
        on_failure(message);
    fprintf(stderr, "%s\n", message);
    print_outputs();
    fflush(NULL);
    exit(1);
}

void *sup__alloc(size_t n)
{
    void *p = calloc(1, n);
    if (!p)
        sup_fail("out of memory");
    return p;
}

char *sup_format(const char *fmt, ...)
{
    va_list ap;
    char *s;
    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        sup_fail("out of memory");
    va_end(ap);
    return s;
}

/* ---- Time ---- */

int64_t sup_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void sup_sleep_ms(int64_t ms)
{
    struct timespec ts = { ms / 1000, (ms % 1000) * 1000000 };
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

bool sup_is_wrapped(void)
{
    const char *wrap = getenv("ASQ_TEST_WRAP");
    return wrap && *wrap;
}

int64_t sup_limit_ms(void)
{
    const char *slow = getenv("ASQ_TEST_SLOW");
    int factor = slow ? atoi(slow) : 1;
    return (int64_t) SUP_LIMIT_MS * (factor < 1 ? 1 : factor) * (SUP_SANITIZED ? 2 : 1);
}

/* ---- The temporary directory, and its guard ---- */

static void remove_tree(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return;
    DIR *d = opendir(path);
    if (d) {
        struct dirent *e;
        while ((e = readdir(d))) {
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            char *sub = sup_format("%s/%s", path, e->d_name);
            remove_tree(sub);
            free(sub);
        }
        closedir(d);
    }
    (void) rmdir(path);
}

/* Removes the directory when `owner` is gone, which pidfd tells (-1 on kernels without it). Retries
 * for a while, because a process that is ending may still write there. */
static void guard_run(pid_t owner, int pidfd)
{
    struct pollfd ended = { pidfd, POLLIN, 0 };
    setsid(); /* out of reach of Check's killpg */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (chdir("/") < 0)
        _exit(1);
    for (int fd = 0; fd < 1024; fd++) /* the guard must not keep pipes open */
        if (fd != pidfd)
            close(fd);
    if (pidfd >= 0)
        while (poll(&ended, 1, -1) <= 0)
            ;
    else
        while (kill(owner, 0) == 0)
            sup_sleep_ms(100);
    for (int i = 0; i < 100 && access(self.dir, F_OK) == 0; i++) {
        remove_tree(self.dir);
        sup_sleep_ms(20);
    }
    _exit(0);
}

/* Forks twice, so that the guard is no child of the test, which may count or wait for its
 * children. */
static void guard_start(void)
{
    pid_t owner = getpid();
    int pidfd = (int) syscall(SYS_pidfd_open, owner, 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        sup_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        if (fork() == 0)
            guard_run(owner, pidfd);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    if (pidfd >= 0)
        close(pidfd);
}

static void cleanup(void)
{
    if (self.owner != getpid())
        return;
    sup_proc *p;
    for (p = self.procs; p; p = p->next)
        sup_proc_kill(p);
    if (self.dir[0])
        remove_tree(self.dir);
}

/* Makes `self` this process's own. */
static void own(void)
{
    if (self.owner == getpid())
        return;
    self.owner = getpid();
    self.procs = NULL; /* the parent's, and its memory: left alone */
    self.n_files = 0;
    const char *base = getenv("TMPDIR");
    if (!base || base[0] != '/' || strlen(base) > 60) /* socket paths end at 107 bytes */
        base = "/tmp";
    snprintf(self.dir, sizeof self.dir, "%s/asq-test-XXXXXX", base);
    if (!mkdtemp(self.dir))
        sup_fail("%s: %s", self.dir, strerror(errno));
    if (!self.at_exit && atexit(cleanup) != 0)
        sup_fail("atexit fails");
    self.at_exit = true;
    guard_start();
}

const char *sup_dir(void)
{
    own();
    return self.dir;
}

char *sup_path(const char *name)
{
    return sup_format("%s/%s", sup_dir(), name);
}

char *sup_write_file(const char *name, const char *text)
{
    char *path = sup_path(name);
    FILE *f = fopen(path, "w");
    if (f)
        fchmod(fileno(f), 0600);
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        sup_fail("%s: %s", path, strerror(errno));
    return path;
}

char *sup_read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t n = 0, cap = 0;
    if (!f)
        return sup_format("%s", "");
    size_t got;
    do {
        if (cap - n < 4096) {
            cap = cap ? 2 * cap : 8192;
            char *bigger = realloc(text, cap);
            if (!bigger)
                sup_fail("out of memory");
            text = bigger;
        }
        got = fread(text + n, 1, cap - n - 1, f);
        n += got;
    } while (got > 0);
    fclose(f);
    text[n] = '\0';
    return text;
}

/* ---- Processes ---- */

static void note_status(sup_proc *p, int status)
{
    p->ended = true;
    p->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0)
        sup_fail("%s: %s", path, strerror(errno));
    return fd;
}

/* Makes the URLs of as-worker and as-ctl name the user of that program, in a new process. */
static void as_role(const char *program, const char **argv)
{
    const char *role = sup__acl_role(program), *url = getenv("ASQUEUE_URL");
    if (!role)
        return;
    if (url)
        setenv("ASQUEUE_URL", sup_url_as(url, role), 1);
    for (; *argv; argv++)
        *argv = sup_url_as(*argv, role);
}

static sup_proc *spawn(const char *const given[], bool apart)
{
    const char *argv[128] = { NULL };
    sup_proc *p = sup__alloc(sizeof *p);
    const char *base = strrchr(given[0], '/');
    pid_t parent = getpid();
    for (size_t n = 0; given[n]; n++) {
        if (n == sizeof argv / sizeof *argv - 1)
            sup_fail("%s: more than %zu arguments", given[0], n);
        argv[n] = given[n];
    }
    own();
    p->owner = parent;
    p->name = sup_format("%s", base ? base + 1 : given[0]);
    p->log = sup_format("%s/%s.%u.log", self.dir, p->name, ++self.n_files);
    int out_fd = open_log(p->log);
    int err_fd = out_fd;
    if (apart) {
        p->err_log = sup_format("%s/%s.%u.err", self.dir, p->name, self.n_files);
        err_fd = open_log(p->err_log);
    }
    fflush(NULL);
    if ((p->pid = fork()) < 0)
        sup_fail("fork: %s", strerror(errno));
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        int null_fd = open("/dev/null", O_RDONLY);
        dup2(null_fd, 0);
        dup2(out_fd, 1);
        dup2(err_fd, 2);
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        as_role(argv[0], argv);
        execvp(argv[0], (char *const *) (uintptr_t) argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(out_fd);
    if (err_fd != out_fd)
        close(err_fd);
    p->next = self.procs;
    self.procs = p;
    return p;
}

sup_proc *sup_spawn(const char *const argv[])
{
    return spawn(argv, false);
}

pid_t sup_proc_pid(const sup_proc *p)
{
    return p->pid;
}

bool sup_proc_alive(sup_proc *p)
{
    if (p->ended)
        return false;
    if (p->owner != getpid())
        return kill(p->pid, 0) == 0;
    int status;
    if (waitpid(p->pid, &status, WNOHANG) == p->pid)
        note_status(p, status);
    return !p->ended;
}

void sup_proc_signal(sup_proc *p, int sig)
{
    if (sup_proc_alive(p))
        kill(p->pid, sig);
}

int sup_proc_wait(sup_proc *p)
{
    int64_t end_ms = sup_now_ms() + sup_limit_ms();
    while (sup_proc_alive(p)) {
        if (sup_now_ms() > end_ms) {
            char *log = sup_read_file(p->log);
            size_t n = strlen(log);
            sup_fail("%s (pid %d) does not end; the end of its log:\n%s", p->name, (int) p->pid,
                     log + (n > 4000 ? n - 4000 : 0));
        }
        sup_sleep_ms(2);
    }
    return p->status;
}

int sup_proc_stop(sup_proc *p)
{
    sup_proc_signal(p, SIGTERM);
    return sup_proc_wait(p);
}

void sup_proc_kill(sup_proc *p)
{
    if (p->ended)
        return;
    kill(p->pid, SIGKILL);
    int status;
    if (p->owner == getpid() && waitpid(p->pid, &status, 0) == p->pid)
        note_status(p, status);
}

char *sup_proc_output(sup_proc *p)
{
    return sup_read_file(p->log);
}

int sup_count(const char *all, const char *text)
{
    int n = 0;
    for (const char *at = all; (at = strstr(at, text)); at += strlen(text))
        n++;
    return n;
}

int sup_proc_said(sup_proc *p, const char *text)
{
    char *out = sup_proc_output(p);
    int n = sup_count(out, text);
    free(out);
    return n;
}

void sup_proc_free(sup_proc *p)
{
    if (!p)
        return;
    if (p->owner == getpid())
        sup_proc_kill(p);
    sup_proc **at;
    for (at = &self.procs; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    free(p->name);
    free(p->log);
    free(p->err_log);
    free(p);
}

bool sup_pid_running(pid_t pid)
{
    char *path = sup_format("/proc/%d/stat", (int) pid);
    char *stat = sup_read_file(path);
    const char *name_end = strrchr(stat, ')');
    bool running = name_end && strncmp(name_end, ") Z", 3) != 0 && strncmp(name_end, ") X", 3) != 0;
    free(path);
    free(stat);
    return running;
}

int sup_run(const char *const argv[], char **ret_out, char **ret_err)
{
    sup_proc *p = spawn(argv, true);
    int status = sup_proc_wait(p);
    if (ret_out)
        *ret_out = sup_read_file(p->log);
    if (ret_err)
        *ret_err = sup_read_file(p->err_log);
    sup_proc_free(p);
    return status;
}

/* ---- Programs of this build ---- */

/* Finds a path of the build tree: ASQ_TEST_BUILDDIR, else the tree of this program. */
static bool find_built(const char *name, char *path, size_t size)
{
    const char *given = getenv("ASQ_TEST_BUILDDIR");
    if (given && given[0]) {
        snprintf(path, size, "%s/%s", given, name);
        if (access(path, X_OK) == 0)
            return true;
    }
    char dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (n <= 0)
        return false;
    dir[n] = '\0';
    char *slash;
    while ((slash = strrchr(dir, '/'))) {
        *slash = '\0';
        snprintf(path, size, "%s/%s", dir, name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

const char *sup_program(const char *name)
{
    static char path[PATH_MAX + 64];
    const char *variable = strcmp(name, "as-worker") == 0 ? "AS_WORKER"
                           : strcmp(name, "as-ctl") == 0  ? "AS_CTL"
                                                          : NULL;
    const char *given = variable ? getenv(variable) : NULL;
    if (given && given[0]) {
        snprintf(path, sizeof path, "%s", given);
        return path;
    }
    char built[PATH_MAX];
    snprintf(built, sizeof built, "src/%s", name);
    if (!find_built(built, path, sizeof path) && !find_built(name, path, sizeof path))
        sup_fail("%s was not built", name);
    return path;
}

const char *sup_agent_dir(void)
{
    static char path[PATH_MAX + 64];
    const char *given = getenv("ASQ_TEST_AGENT_DIR");
    if (given && given[0])
        snprintf(path, sizeof path, "%s", given);
    else if (!find_built("contrib/examples/agents", path, sizeof path))
        sup_fail("the example plugins (contrib/examples/agents) were not built");
    return path;
}

sup_proc *sup_worker_start(const char *url, ...)
{
    const char *argv[64] = { NULL };
    size_t n = 0;
    argv[n++] = sup_program("as-worker");
    argv[n++] = "--redis-url";
    argv[n++] = url;
    va_list ap;
    va_start(ap, url);
    while (n < 63 && (argv[n] = va_arg(ap, const char *)))
        n++;
    va_end(ap);
    return sup_spawn(argv);
}
