/*
 * list.c: lists whose rows are printed as they come (output.h).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "output.h"

int as_list_row(struct as_list *list, const asq_value *v)
{
    char *text;
    if (ferror(stdout))
        return ASQ_ESYS;
    if (list->limit && list->n == list->limit) {
        list->cut = true;
        return 1;
    }
    if (list->who->json) {
        if (asq_to_json(v, 0, &text) < 0)
            return ASQ_ENOMEM;
        putchar(list->n ? ',' : '[');
        as_print_json_text(stdout, text);
        free(text);
    }
    list->n++;
    return 0;
}

void as_list_cell(const char *text, int width)
{
    int pad = width - (int) as_text_width(text);
    as_print_text(stdout, text, false);
    for (pad = pad > 0 ? pad + 2 : 2; pad > 0; pad--)
        putc_unlocked(' ', stdout);
}

bool as_list_end(struct as_list *list, int rc)
{
    if (rc == ASQ_ESYS && ferror(stdout))
        return true; /* as_finish_output reports it */
    if (rc < 0) {
        if (list->n && list->who->json)
            putchar('\n');
        return false;
    }
    if (list->who->json)
        puts(list->n ? "]" : "[]");
    else if (list->cut)
        as_note(list->who, "the first %zu; --limit shows more", list->n);
    return true;
}
