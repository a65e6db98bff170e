/*
 * output.c: prints results and failures as text or JSON (output.h). Tables are in table.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "value/escape.h"

/* ---- Text ----------------------------------------------------------------------------------- */

/* Returns how many characters come first that are printed as they are: printable ones of ASCII. */
static size_t plain_length(const char *text)
{
    size_t n = 0;
    while (text[n] >= 0x20 && text[n] < 0x7f)
        n++;
    return n;
}

static void print_escaped(FILE *to, const char *text, enum asq__escape_form form)
{
    for (;;) {
        char out[ASQ__ESCAPE_MAX];
        size_t plain = plain_length(text);
        fwrite(text, 1, plain, to);
        text += plain;
        if (!*text)
            break;
        size_t n = asq__escape_next(&text, form, out);
        fwrite(out, 1, n, to);
    }
}

void as_print_text(FILE *to, const char *text, bool lines)
{
    print_escaped(to, text, lines ? ASQ__ESCAPE_LINES : ASQ__ESCAPE_LINE);
}

void as_print_json_text(FILE *to, const char *text)
{
    print_escaped(to, text, ASQ__ESCAPE_JSON);
}

size_t as_text_width(const char *text)
{
    size_t width = 0;
    for (;;) {
        char out[ASQ__ESCAPE_MAX];
        size_t plain = plain_length(text);
        width += plain;
        text += plain;
        if (!*text)
            break;
        size_t n = asq__escape_next(&text, ASQ__ESCAPE_LINE, out);
        width += *out & 0x80 ? 1 : n; /* the character, or its escape in ASCII */
    }
    return width;
}

/* ---- Failures ------------------------------------------------------------------------------- */

const char *as_code_name(int code, char *buf, size_t n)
{
    const char *name = asq_error_name(code);
    if (name)
        return name;
    if (code <= ASQ_EUSER(0))
        snprintf(buf, n, "ASQ_EUSER(%d)", -1000 - code);
    else
        snprintf(buf, n, "%d", code);
    return buf;
}

/* Makes a string for JSON. Text that is not UTF-8, perhaps from the command line, is escaped as for
 * a terminal. */
static asq_value *text_value(const char *s)
{
    if (!s || !*s)
        return asq_value_null();
    char *copy;
    asq_value *v;
    if ((v = asq_value_string(s)) || !(copy = malloc(strlen(s) * ASQ__ESCAPE_MAX + 1)))
        return v;
    char *end;
    for (end = copy; *s;)
        end += asq__escape_next(&s, ASQ__ESCAPE_LINES, end);
    v = asq_value_string(copy);
    free(copy);
    return v;
}

static asq_value *error_value(const char *code, const asq_error *e)
{
    asq_value *map = asq_value_map();
    const struct {
        const char *key, *text;
    } parts[] = {
        { "code", code },          { "message", e->message }, { "class", e->class_name },
        { "method", e->method },   { "agent", e->agent_id },  { "worker", e->worker },
        { "call_id", e->call_id },
    };
    int rc = map ? 0 : ASQ_ENOMEM;

    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof parts[0]; i++) {
        rc = asq_map_set(map, parts[i].key, text_value(parts[i].text));
        if (rc == 0 && i == 0)
            rc = asq_map_set(map, "number", e->code ? asq_value_int(e->code) : asq_value_null());
    }
    if (rc < 0) {
        asq_value_free(map);
        return NULL;
    }
    return map;
}

static bool error_json(const char *code, const asq_error *e)
{
    asq_value *v = error_value(code, e);
    char *text = NULL;
    bool done = v && asq_to_json(v, 0, &text) == 0;
    if (done) {
        as_print_json_text(stderr, text);
        putc('\n', stderr);
    }
    free(text);
    asq_value_free(v);
    return done;
}

static void error_text(const struct as_reporter *who, const char *code, const asq_error *e)
{
    const struct {
        const char *what, *text;
    } parts[] = {
        { "class", e->class_name }, { "method", e->method }, { "agent", e->agent_id },
        { "worker", e->worker },    { "call", e->call_id },
    };
    const char *between = "    ";
    bool attribute;

    fprintf(stderr, "%s: ", who->program);
    as_print_text(stderr, e->message, true);
    fprintf(stderr, " (%s)\n", code);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!parts[i].text || !*parts[i].text)
            continue;
        attribute = parts[i].text == e->method && *e->method == '.';
        fprintf(stderr, "%s%s ", between, attribute ? "attribute" : parts[i].what);
        as_print_text(stderr, parts[i].text + attribute, false);
        between = ", ";
    }
    if (*between == ',')
        putc('\n', stderr);
}

int as_report(const struct as_reporter *who, const asq_error *error)
{
    char buf[32];
    const char *code = as_code_name(error->code, buf, sizeof buf);
    fflush(stdout); /* keeps the order of output and failure */
    if (!who->json || !error_json(code, error))
        error_text(who, code, error);
    return AS_EXIT_FAILED;
}

int as_report_code(const struct as_reporter *who, int code, const char *call_id, const char *fmt,
                   ...)
{
    char message[2048];
    asq_error e = { code, message, "", "", "", "", call_id ? call_id : "" };
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    /* The message's advice has the id already; avoid printing it twice as text. */
    if (!who->json)
        e.call_id = "";
    return as_report(who, &e);
}

int as_report_usage(const struct as_reporter *who, const char *message)
{
    asq_error e = { 0, message, "", "", "", "", "" };
    if (!who->json || !error_json("USAGE", &e)) {
        fprintf(stderr, "%s: ", who->program);
        as_print_text(stderr, message, true);
        putc('\n', stderr);
    }
    return AS_EXIT_USAGE;
}

void as_note(const struct as_reporter *who, const char *fmt, ...)
{
    if (who->json || who->quiet)
        return;
    va_list ap;
    char message[1024];
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    fflush(stdout);
    fprintf(stderr, "%s: ", who->program);
    as_print_text(stderr, message, true);
    putc('\n', stderr);
}

/* ---- Values --------------------------------------------------------------------------------- */

int as_print_json(const struct as_reporter *who, const asq_value *v, bool indented)
{
    char *text;
    int rc = asq_to_json(v, indented ? 2 : 0, &text);
    if (rc < 0)
        return as_report_code(who, rc, NULL, "the value cannot be written as JSON: %s",
                              asq_strerror(rc));
    as_print_json_text(stdout, text);
    putchar('\n');
    free(text);
    return AS_EXIT_OK;
}

int as_print_json_own(const struct as_reporter *who, asq_value *v)
{
    if (!v)
        return as_report_code(who, ASQ_ENOMEM, NULL, "out of memory");
    int status = as_print_json(who, v, false);
    asq_value_free(v);
    return status;
}

int as_finish_output(const struct as_reporter *who, int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return as_report_code(who, ASQ_ESYS, NULL, "writing the output: %s", strerror(errno));
}

void as_duration(int64_t ms, char text[32])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" }, { 1000, "s" } };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (ms >= 2 * units[i].ms) {
            snprintf(text, 32, "%lld %s", (long long) (ms / units[i].ms), units[i].unit);
            return;
        }
    snprintf(text, 32, "%lld ms", (long long) (ms > 0 ? ms : 0));
}

const asq_value *as_field(const asq_value *map, const char *key)
{
    const asq_value *v = asq_map_get(map, key);
    return v ? v : asq_map_get(asq_map_get(map, "counters"), key);
}

static char *list_word(const asq_value *list)
{
    char *text = strdup("");
    for (size_t i = 0; text && i < asq_list_size(list); i++) {
        char *item = as_word(asq_list_get(list, i));
        char *longer;
        int n = item ? asprintf(&longer, "%s%s%s", text, i ? "," : "", item) : -1;
        free(item);
        free(text);
        text = n < 0 ? NULL : longer;
    }
    return text;
}

char *as_word(const asq_value *v)
{
    char *text = NULL;
    if (!v || asq_value_type(v) == ASQ_NULL)
        return strdup("-");
    const char *s;
    if (asq_value_get_string(v, &s, NULL) == 0)
        return strdup(*s ? s : "-");
    bool b;
    if (asq_value_get_bool(v, &b) == 0)
        return strdup(b ? "yes" : "no");
    int64_t i;
    if (asq_value_get_int(v, &i) == 0)
        return asprintf(&text, "%" PRId64, i) < 0 ? NULL : text;
    if (asq_value_type(v) == ASQ_LIST)
        return list_word(v);
    return asq_to_json(v, 0, &text) < 0 ? NULL : text;
}
