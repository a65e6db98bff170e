/*
 * server_clock.c: see server_clock.h. The shim reads the difference from a file.
 */
#include "server_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static int clock_fd = -1;

void sup_clock_set(int64_t by_ms)
{
    int64_t ns = by_ms * 1000000;
    if (pwrite(clock_fd, &ns, sizeof ns, 0) != sizeof ns)
        sup_fail("the clock's file: %s", strerror(errno));
}

void sup_clock_start(void)
{
    const char *builddir = getenv("ASQ_TEST_BUILDDIR"), *given = getenv("ASQ_REDIS_SERVER");
    char *clock = sup_path("clock");
    char *text = sup_format("#!/bin/sh\n"
                            "server=%s\n"
                            "[ -n \"$server\" ] || server=$(command -v redis-server) ||\n"
                            "    server=$(command -v valkey-server)\n"
                            "LD_PRELOAD=%s/tests/chaos/.libs/clock_shim.so CHAOS_CLOCK=%s\n"
                            "export LD_PRELOAD CHAOS_CLOCK\n"
                            "exec \"$server\" \"$@\"\n",
                            given ? given : "", builddir ? builddir : ".", clock);
    clock_fd = open(clock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (clock_fd < 0)
        sup_fail("%s: %s", clock, strerror(errno));
    sup_clock_set(0);
    char *program = sup_write_file("server", text);
    if (chmod(program, 0700) < 0 || setenv("ASQ_REDIS_SERVER", program, 1) < 0)
        sup_fail("%s: %s", program, strerror(errno));
    free(program);
    free(text);
    free(clock);
}

void sup_clock_stop(void)
{
    close(clock_fd);
    clock_fd = -1;
}
