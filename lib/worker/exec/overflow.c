/*
 * overflow.c: tells of a crash by code that runs on a fiber, before the process dies of it: to a
 * function, which notes it for the supervisor, or, if nobody takes note of a stack overflow, by a
 * line that names the method. A fault is handled on a separate stack, which every thread that runs
 * fibers must have, and then goes to the former handler, or has its default effect, so that a core
 * dump shows the place of the fault.
 */
#include "worker/exec/fiber.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum { ALT_STACK = 64 << 10 };

static _Thread_local void *alt_stack;

/* Signals that end a process by a fault of its own code. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
enum { FAULTS = sizeof faults / sizeof *faults };

/* Global, because the disposition of a signal belongs to the process and not to a handle. */
static struct sigaction former[FAULTS];
static asq__crash_fn crashed;

/* Writes to standard error. Async-signal-safe, like all functions below. */
static void write_text(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    /* A reader that does not read must not stop the process from dying. */
    struct pollfd ready = { STDERR_FILENO, POLLOUT, 0 };
    ssize_t written = poll(&ready, 1, 0) > 0 ? write(STDERR_FILENO, text, n) : 0;
    (void) written;
}

static void write_number(size_t number)
{
    char digits[24];
    size_t i = sizeof digits - 1;
    digits[i] = '\0';
    do
        digits[--i] = (char) ('0' + number % 10);
    while (number /= 10);
    write_text(digits + i);
}

static void write_overflow(const struct asq__fiber *f)
{
    write_text("asqueue: stack overflow in ");
    write_text(f->class_name ? f->class_name : "?");
    write_text(".");
    write_text(f->method ? f->method : "?");
    write_text(" (stack ");
    write_number(f->stack.size);
    write_text(" bytes; raise the class's stack_size or the worker's --stack-size)\n");
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    const struct asq__fiber *f = asq__fiber_current();
    struct sigaction next = { .sa_handler = SIG_DFL };
    (void) context;
    for (size_t i = 0; i < FAULTS; i++)
        if (faults[i] == signal_number)
            next = former[i];
    bool overflows = signal_number == SIGSEGV && info->si_code > 0 && f &&
                     asq__stack_in_guard(&f->stack, info->si_addr);
    /* A signal that was sent may have reached any thread; abort() sends it to its own. */
    bool told = crashed && f && f->task && (info->si_code > 0 || signal_number == SIGABRT) &&
                crashed(f->task, signal_number, overflows ? f->stack.size : 0);
    if (overflows && !told)
        write_overflow(f);
    if (overflows)
        next = (struct sigaction){ .sa_handler = SIG_DFL };
    sigaction(signal_number, &next, NULL);
    if (info->si_code <= 0)
        raise(signal_number); /* the signal was sent; otherwise the same instruction faults again */
}

void asq__fiber_install_fault_handler(asq__crash_fn on_crash)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    struct sigaction old;
    sigemptyset(&action.sa_mask);
    crashed = on_crash;
    for (size_t i = 0; i < FAULTS; i++) {
        if (sigaction(faults[i], NULL, &old) < 0 ||
            ((old.sa_flags & SA_SIGINFO) && old.sa_sigaction == on_fault))
            continue;
        former[i] = old;
        sigaction(faults[i], &action, NULL);
    }
}

void asq__fiber_thread_init(void)
{
    stack_t old;
    if (sigaltstack(NULL, &old) < 0 || !(old.ss_flags & SS_DISABLE))
        return; /* a foreign one, perhaps of a sanitizer, will do */
    long least = sysconf(_SC_MINSIGSTKSZ);
    stack_t stack = { .ss_size = ALT_STACK + (least > 0 ? (size_t) least : 0) };
    stack.ss_sp = alt_stack = malloc(stack.ss_size);
    if (!alt_stack || sigaltstack(&stack, NULL) < 0) {
        free(alt_stack); /* an overflow then ends the process without its name */
        alt_stack = NULL;
    }
}

void asq__fiber_thread_release(void)
{
    stack_t none = { .ss_flags = SS_DISABLE };
    if (!alt_stack)
        return;
    sigaltstack(&none, NULL);
    free(alt_stack);
    alt_stack = NULL;
}
