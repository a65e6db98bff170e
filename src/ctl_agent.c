/*
 * ctl_agent.c: as-ctl's commands create, agents, show, delete, clone.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

enum { AGENT_WIDTH = 36, CLASS_WIDTH = 20 };

/* Waits for a new agent and prints its id. Frees the proxy. */
static int print_new(struct as_ctl *ctl, asq_agent *agent)
{
    int status = as_ctl_ready(ctl, agent);
    if (status == AS_EXIT_OK)
        status = as_ctl_print_id(ctl, "id", asq_agent_id(agent));
    asq_agent_free(agent);
    return status;
}

int as_ctl_create(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *args;
    int status = as_ctl_args(ctl, argc > 1 ? argv[1] : NULL, &args);
    if (status != AS_EXIT_OK)
        return status;
    if ((status = as_ctl_open(ctl)) != AS_EXIT_OK) {
        asq_value_free(args);
        return status;
    }
    asq_agent *agent;
    status = as_ctl_outcome(ctl, asq_createv(ctl->h, argv[0], ctl->settings.id, args, &agent));
    return status == AS_EXIT_OK ? print_new(ctl, agent) : status;
}

struct agents_output {
    struct as_ctl *ctl;
    size_t n;
};

/* Prints a cell of a list whose rows are printed as they come, with unknown widths. */
static void print_cell(const char *text, int width)
{
    int pad = width - (int) as_text_width(text);
    as_print_text(stdout, text, false);
    printf("%*s", pad > 0 ? pad + 2 : 2, "");
}

static int print_agent(const asq_value *agent, void *user)
{
    struct agents_output *out = user;
    struct as_ctl *ctl = out->ctl;
    const char *id = "", *class_name = "";
    if (ferror(stdout)) /* the reader is gone */
        return ASQ_ESYS;
    if (ctl->base.who.json) {
        char *text;
        if (asq_to_json(agent, 0, &text) < 0)
            return ASQ_ENOMEM;
        putchar(out->n++ ? ',' : '[');
        as_print_json_text(stdout, text);
        free(text);
        return 0;
    }
    if (out->n++ == 0) {
        print_cell("AGENT", AGENT_WIDTH);
        print_cell("CLASS", CLASS_WIDTH);
        puts("PARTITION");
    }
    asq_value_get_string(asq_map_get(agent, "id"), &id, NULL);
    asq_value_get_string(asq_map_get(agent, "class"), &class_name, NULL);
    print_cell(id, AGENT_WIDTH);
    print_cell(class_name, CLASS_WIDTH);
    printf("%9lld\n", (long long) asq_map_int(agent, "partition"));
    return 0;
}

int as_ctl_agents(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct agents_output out = { ctl, 0 };
    int status = as_ctl_open(ctl);
    (void) argc, (void) argv;
    if (status != AS_EXIT_OK)
        return status;
    int rc = asq_agents_each(ctl->h, ctl->settings.class_name, as_ctl_remaining_ms(ctl),
                             print_agent, &out);
    if (rc == ASQ_ESYS && ferror(stdout))
        return AS_EXIT_OK; /* as_finish_output reports it */
    /* A list printed in part remains unterminated JSON. */
    if (rc < 0) {
        if (out.n && ctl->base.who.json)
            putchar('\n');
        return as_ctl_failed(ctl);
    }
    if (ctl->base.who.json)
        puts(out.n ? "]" : "[]");
    else if (out.n == 0)
        as_note(&ctl->base.who, "no agents%s%s in namespace '%s'",
                ctl->settings.class_name ? " of class " : "",
                ctl->settings.class_name ? ctl->settings.class_name : "", asq_namespace(ctl->h));
    return AS_EXIT_OK;
}

int as_ctl_show(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    asq_value *record;
    if ((status = as_ctl_outcome(ctl, asq_show(ctl->h, argv[0], &record))) != AS_EXIT_OK)
        return status;
    if (ctl->base.who.json) {
        status = as_ctl_print(ctl, record);
        asq_value_free(record);
        return status;
    }
    for (size_t i = 0; status == AS_EXIT_OK && i < asq_map_size(record); i++) {
        const char *key;
        const asq_value *v = asq_map_at(record, i, &key);
        char *word;
        /* Lists are printed as JSON, too, because their structure matters here. */
        if (asq_value_type(v) != ASQ_LIST)
            word = as_word(v);
        else if (asq_to_json(v, 0, &word) < 0)
            word = NULL;
        if (word) {
            printf("%-12s ", key);
            as_print_text(stdout, word, false);
            putchar('\n');
        } else {
            status = as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
        }
        free(word);
    }
    asq_value_free(record);
    return status;
}

int as_ctl_delete(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_agent *agent;
    int status = as_ctl_attach(ctl, argv[0], &agent);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    /* Wait for the creation first: asq_delete can only wait in one piece, unlike as_ctl_ready. */
    if ((status = as_ctl_ready(ctl, agent)) == AS_EXIT_OK)
        status = as_ctl_outcome(ctl, asq_delete(agent, as_ctl_remaining_ms(ctl)));
    asq_agent_free(agent);
    if (status == AS_EXIT_OK && ctl->base.who.json)
        status = as_ctl_print_id(ctl, "deleted", argv[0]);
    return status;
}

int as_ctl_clone(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_agent *agent;
    int status = as_ctl_attach(ctl, argv[0], &agent);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    asq_agent *clone = NULL;
    if ((status = as_ctl_ready(ctl, agent)) == AS_EXIT_OK) {
        asq_set_timeout(ctl->h, as_ctl_remaining_ms(ctl));
        status = as_ctl_outcome(ctl, asq_clone(agent, ctl->settings.id, &clone));
    }
    asq_agent_free(agent);
    return status == AS_EXIT_OK ? print_new(ctl, clone) : status;
}
