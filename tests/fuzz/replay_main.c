/*
 * replay_main.c: main for the fuzz targets without libFuzzer. Passes each named file, and each file
 * of a named directory, to LLVMFuzzerTestOneInput. Ignores the options of libFuzzer.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_LIMIT = 64 * 1024 * 1024 };

static unsigned long replayed;

static int replay_file(const char *path, off_t size)
{
    if (size > INPUT_LIMIT) {
        fprintf(stderr, "%s: larger than %d bytes\n", path, INPUT_LIMIT);
        return -1;
    }
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    /* The copy has exactly the size of the input, so that a sanitizer sees a read past its end. */
    size_t n = (size_t) size;
    uint8_t *data = malloc(n ? n : 1);
    int rc = -1;
    if (!data || fread(data, 1, n, f) != n) {
        fprintf(stderr, "%s: cannot be read\n", path);
    } else {
        (void) LLVMFuzzerTestOneInput(data, n);
        replayed++;
        rc = 0;
    }
    free(data);
    fclose(f);
    return rc;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, st.st_size);

    DIR *dir = opendir(path);
    if (!dir) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir))) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        rc = n < 0 || (size_t) n >= sizeof name ? -1 : replay(name);
    }
    closedir(dir);
    return rc;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' && replay(argv[i]) < 0)
            return 1;
    }
    printf("%lu inputs replayed\n", replayed);
    return replayed ? 0 : 1;
}
