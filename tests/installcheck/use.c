/*
 * use.c: a program of a user who has installed asqueue. It is compiled against the installed tree
 * as C and as C++, so it uses only features of both languages.
 */
#include <asqueue.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    if (strcmp(asq_version(), ASQ_VERSION) != 0) {
        fprintf(stderr, "header %s, library %s\n", ASQ_VERSION, asq_version());
        return 1;
    }

    asq_value *v = asq_pack("{s:s, s:i}", "url", "http://example.org/", "depth", 2);
    const char *url = NULL;
    size_t n = 0;
    if (!v || asq_value_get_string(asq_map_get(v, "url"), &url, &n) != 0 ||
        strcmp(url, "http://example.org/") != 0 || asq_map_int(v, "depth") != 2) {
        fprintf(stderr, "asq_pack: not what was packed\n");
        return 1;
    }
    asq_value_free(v);

    asq *h = NULL;
    char err[1024] = "";
    asq_options options = ASQ_OPTIONS_INIT;
    if (asq_open("local:", &options, &h, err, sizeof err) < 0) {
        fprintf(stderr, "asq_open: %s\n", err);
        return 1;
    }
    asq_close(h);
    return 0;
}
