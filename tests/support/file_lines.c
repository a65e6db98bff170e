/*
 * file_lines.c: see file_lines.h.
 */
#include "file_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

void sup_file_add(const char *path, const char *line)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    char *text = sup_format("%s\n", line);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t) n)
        sup_fail("%s: %s", path, strerror(errno));
    free(text);
    close(fd);
}

int sup_file_count(const char *path, const char *text)
{
    char *all = sup_read_file(path);
    int n = sup_count(all, text);
    free(all);
    return n;
}

void sup_log_to_file(void *path, asq_log_level level, const char *message)
{
    char *line = sup_format("%d %s", (int) level, message);
    sup_file_add(path, line);
    free(line);
}
