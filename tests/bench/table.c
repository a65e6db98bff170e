/*
 * table.c: the output of the bench. It is a table for people, in which each row is printed when it
 * is ready, or a JSON object for each row; and the chart of rates.
 */
#include "bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 512 };

static struct row rows[MAX_ROWS];
static size_t nrows;
static int bars, unmet;

/* Formats v with its significant digits. */
static void number(double v, char *out, size_t n)
{
    if (v != 0 && fabs(v) < 10)
        snprintf(out, n, "%.2f", v);
    else if (fabs(v) < 100)
        snprintf(out, n, "%.1f", v);
    else
        snprintf(out, n, "%.0f", v);
}

static bool is_met(const struct row *r)
{
    double v = r->bar_on_value ? r->value : r->ratio;
    if (v <= 0)
        return false; /* not measured */
    return r->bar == AT_LEAST ? v >= r->bar_value : v <= r->bar_value;
}

static void put_json(const struct row *r, bool met)
{
    printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"", r->name, r->value, r->unit);
    if (*r->yardstick)
        printf(", \"yardstick\": \"%s\", \"ratio\": %.4g", r->yardstick, r->ratio);
    else
        printf(", \"yardstick\": null, \"ratio\": null");
    if (r->bar == NO_BAR)
        printf(", \"bar\": null, \"met\": null");
    else
        printf(", \"bar\": \"%s %s %g\", \"met\": %s", r->bar_on_value ? "value" : "ratio",
               r->bar == AT_LEAST ? ">=" : "<=", r->bar_value, met ? "true" : "false");
    if (r->cpu[0] + r->cpu[1] + r->cpu[2] > 0)
        printf(", \"client_cpu_us\": %.4g, \"worker_cpu_us\": %.4g, \"redis_cpu_us\": %.4g",
               r->cpu[0], r->cpu[1], r->cpu[2]);
    puts("}");
}

void table_add(const struct row *r)
{
    bool met = r->bar != NO_BAR && is_met(r);
    char value[24], ratio_text[64] = "", bar[48] = "", cpu[3][24] = { "", "", "" };
    if (r->bar != NO_BAR) {
        bars++;
        unmet += !met;
    }
    if (nrows < MAX_ROWS)
        rows[nrows++] = *r;
    if (settings.json) {
        put_json(r, met);
        fflush(stdout);
        return;
    }
    number(r->value, value, sizeof value);
    if (*r->yardstick)
        snprintf(ratio_text, sizeof ratio_text, "%.2f x %s", r->ratio, r->yardstick);
    if (r->bar != NO_BAR)
        snprintf(bar, sizeof bar, "%s %g%s %s", r->bar == AT_LEAST ? ">=" : "<=", r->bar_value,
                 r->bar_on_value ? "" : " x", met ? "met" : "NOT MET");
    if (r->cpu[0] + r->cpu[1] + r->cpu[2] > 0)
        for (int i = 0; i < 3; i++)
            number(r->cpu[i], cpu[i], sizeof cpu[i]);
    printf("%-42s %10s %-8s %-32s %-16s %7s %7s %7s\n", r->name, value, r->unit, ratio_text, bar,
           cpu[0], cpu[1], cpu[2]);
    fflush(stdout);
}

void table_note(const char *fmt, ...)
{
    va_list ap;
    FILE *to = settings.json ? stderr : stdout;
    va_start(ap, fmt);
    fputs("  ", to);
    vfprintf(to, fmt, ap);
    fputc('\n', to);
    va_end(ap);
    fflush(to);
}

void table_case(const char *name, const char *what)
{
    if (settings.json)
        return;
    printf("\n%s: %s\n", name, what);
    printf("%-42s %10s %-8s %-32s %-16s %7s %7s %7s\n", "", "median", "", "ratio", "bar", "client",
           "worker", "Redis");
    fflush(stdout);
}

int table_end(void)
{
    if (!settings.json)
        printf("\n%d of %d bars met\n", bars - unmet, bars);
    return unmet;
}

/* Draws horizontal bars of the rates, on a logarithmic scale, because rates differ by three
 * orders. */
int table_svg(const char *path)
{
    double most = 1;
    int n = 0, y = 30;
    for (size_t i = 0; i < nrows; i++)
        if (strcmp(rows[i].unit, "calls/s") == 0 && rows[i].value >= 1) {
            n++;
            if (rows[i].value > most)
                most = rows[i].value;
        }
    FILE *f = fopen(path, "w");
    if (!f)
        return -1;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<text x=\"10\" y=\"18\" font-size=\"14\">calls per second (logarithmic)</text>\n",
            40 + n * 20);
    for (size_t i = 0; i < nrows; i++) {
        if (strcmp(rows[i].unit, "calls/s") != 0 || rows[i].value < 1)
            continue;
        double width = 430 * (log10(rows[i].value) - 1) / (log10(most) - 1);
        fprintf(f,
                "<text x=\"300\" y=\"%d\" text-anchor=\"end\">%s</text>"
                "<rect x=\"308\" y=\"%d\" width=\"%.0f\" height=\"14\" fill=\"%s\"/>"
                "<text x=\"%.0f\" y=\"%d\">%.0f</text>\n",
                y + 12, rows[i].name, y, width > 1 ? width : 1,
                strncmp(rows[i].name, "floor", 5) == 0   ? "#999"
                : strncmp(rows[i].name, "peers", 5) == 0 ? "#c96"
                                                         : "#369",
                316 + (width > 1 ? width : 1), y + 12, rows[i].value);
        y += 20;
    }
    fputs("</svg>\n", f);
    return fclose(f) == 0 ? 0 : -1;
}
