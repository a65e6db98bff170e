/*
 * as-ctl.c: main function and tables of commands and options of as-ctl, the tool for people and
 * scripts. ctl_*.c implement the commands. The exit status is part of the contract: 0, 1 (a
 * failure, or a timeout), 2 (wrong usage, nothing was done).
 */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "connect.h"
#include "ctl.h"
#include "options.h"
#include "program.h"

#define MAX_MS    (INT64_C(365) * 86400000)
#define AT(field) offsetof(struct as_ctl, settings.field)

static const struct as_option options[] = {
    { "abort", 0, NULL, NULL, as_option_true, AT(abort), 0, 0, false,
      "gives up a move that has not ended; the source is as\nbefore" },
    { "agent", 0, "ID", NULL, as_option_string, AT(agent), 0, 0, false,
      "calls, or failures of calls, to this agent only" },
    { "all", 0, NULL, NULL, as_option_true, AT(all), 0, 0, false, "all dead letters" },
    { "async", 'a', NULL, NULL, as_option_true, AT(async), 0, 0, false,
      "call: do not wait: print the call's id, and keep its\nresult; cancel: do not wait for the end" },
    { "at", 0, "TIME", NULL, as_ctl_option_at, AT(at_ms), 1, MAX_MS, false,
      "a timer's only time: 2026-11-23T16:24, or 10m from now" },
    { "batch", 0, "N", NULL, as_option_u32, AT(batch), 1, UINT32_MAX, false,
      "N frames as plain text, instead of the screen" },
    { "class", 'c', "CLASS", NULL, as_option_string, AT(class_name), 0, 0, false,
      "agents, calls, failures, figures or a pause of this class\nonly" },
    { "code", 0, "CODE", NULL, as_ctl_option_code, AT(code), 0, 0, false,
      "failures with this code only: ASQ_EDEADLINE, say, or a\nnumber; of a rejection (ASQ_EREJECTED)" },
    { "count", 0, NULL, NULL, as_option_true, AT(count), 0, 0, false, "only how many there are" },
    { "cron", 0, "TIMES", NULL, as_option_string, AT(cron), 0, 0, false,
      "a timer's times: \"0 9 * * mon-fri\", @daily" },
    { "dead", 0, NULL, NULL, as_option_true, AT(dead), 0, 0, false,
      "worker processes that have died in the last day, and who\ntook over from them" },
    { "delayed", 0, NULL, NULL, as_option_true, AT(delayed), 0, 0, false,
      "calls whose delay is not over" },
    { "delete-source", 0, NULL, NULL, as_option_true, AT(delete_source), 0, 0, false,
      "when the namespace has moved, remove what is left" },
    { "dry-run", 0, NULL, NULL, as_option_true, AT(dry_run), 0, 0, false, "only check and count" },
    { "every", 0, "MS", NULL, as_option_ms, AT(every_ms), 100, MAX_MS, false,
      "a timer's interval, in ms or as 500ms, 5s, 1h" },
    { "expires", 0, "TIME", NULL, as_ctl_option_at, AT(expires_ms), 1, MAX_MS, false,
      "when the new agent ends: 2026-11-23T16:24, or 10m from\nnow (never)" },
    { "help", 'h', NULL, NULL, NULL, 0, 0, 0, true, "this text, or that of a command" },
    { "id", 'i', "ID", NULL, as_option_string, AT(id), 0, 0, false,
      "id of the new agent (a random one)" },
    { "interval", 0, "MS", NULL, as_option_ms, AT(interval_ms), 100, 3600000, false,
      "time from one reading to the next, in ms or as 500ms, 5s\n(1s)" },
    { "json", 'j', NULL, NULL, as_option_true, AT(json), 0, 0, true,
      "JSON instead of text, errors (on stderr) included" },
    { "last", 0, "TIME", NULL, as_option_ms, AT(last_ms), 1000, 86400000, false,
      "figures of the time since then: up to a minute in\nsteps of a second, up to 24h of a minute (60s)" },
    { "limit", 'l', "N", NULL, as_option_u32, AT(limit), 1, UINT32_MAX, false,
      "number of lines at most: of letters and failures the\nnewest (100), of agents and calls the first (all)" },
    { "method", 0, "METHOD", NULL, as_option_string, AT(method), 0, 0, false,
      "failures or figures of this method only" },
    { "missed", 0, "WHAT", "one|all|skip", as_option_choice, AT(missed), 0, 0, false,
      "a timer's times that pass while no worker runs: one\ncall for all, all of them, or none (one)" },
    { "namespace", 'n', "NAME", NULL, as_option_string, AT(ns), 0, 0, true,
      "namespace (the URL's ?ns=, else default)" },
    { "no-wait", 0, NULL, NULL, as_option_true, AT(no_wait), 0, 0, false,
      "delete: only until Redis has accepted the deletions" },
    { "overlap", 0, "WHAT", "queue|skip|cancel", as_option_choice, AT(overlap), 0, 0, false,
      "while a timer's last call has not ended: queue the\nnext, skip it, or cancel the last (queue)" },
    { "parked", 0, NULL, NULL, as_option_true, AT(parked), 0, 0, false,
      "calls that have begun and wait" },
    { "password-file", 0, "FILE", "FILE", as_option_string, AT(password_file), 0, 0, true,
      "file whose first line is the password of Redis;\nother users must not be able to read it" },
    { "pool", 0, "POOL", NULL, as_option_string, AT(pool), 0, 0, false,
      "pool of the new agent, if its id names none (that of its\nclass)" },
    { "prefix", 0, "PREFIX", NULL, as_option_string, AT(prefix), 0, 0, false,
      "agents whose id begins so" },
    { "progress", 0, NULL, NULL, as_option_true, AT(progress), 0, 0, false,
      "print what the call emits while it runs, a value a line,\nor a bar where it is a share of 1" },
    { "resume", 0, NULL, NULL, as_option_true, AT(resume), 0, 0, false,
      "goes on with a move that was interrupted" },
    { "retrying", 0, NULL, NULL, as_option_true, AT(retrying), 0, 0, false,
      "calls that have failed and will run again" },
    { "running", 0, NULL, NULL, as_option_true, AT(running), 0, 0, false,
      "calls that run at the moment" },
    { "since", 0, "TIME", NULL, as_ctl_option_since, AT(since_ms), 1, MAX_MS, false,
      "failures since then only: 10m ago, or\n2026-11-23T16:24" },
    { "timeout", 't', "MS", NULL, as_option_ms, AT(timeout_ms), 1, MAX_MS, true,
      "how long to wait, in ms or as 500ms, 30s, 5m, 1h\n(for ever; for Redis alone 30s)" },
    { "to", 0, "URL", NULL, as_option_string, AT(to), 0, 0, false,
      "Redis or Cluster that the namespace moves to" },
    { "to-password-file", 0, "FILE", "FILE", as_option_string, AT(to_password_file), 0, 0, false,
      "file with the password of that one" },
    { "ttl", 0, "MS", NULL, as_option_ms, AT(ttl_ms), 1000, MAX_MS, false,
      "time without a call after which the new agent ends, in\nms or as 30s, 10m, 1h (for ever)" },
    { "url", 'u', "URL", NULL, as_option_string, AT(url), 0, 0, true,
      "Redis (ASQUEUE_URL, else " AS_DEFAULT_URL ")" },
    { "version", 'V', NULL, NULL, NULL, 0, 0, 0, true, "the version" },
    { "wait", 'w', NULL, NULL, as_option_true, AT(wait), 0, 0, false, "until the worker is gone" },
    { "waiting", 0, NULL, NULL, as_option_true, AT(waiting), 0, 0, false,
      "calls that wait for their turn" },
    { "yes", 'y', NULL, NULL, as_option_true, AT(yes), 0, 0, false, "do not ask before deleting" },
    { "zone", 0, "ZONE", NULL, as_option_string, AT(zone), 0, 0, false,
      "time zone of --cron, as Europe/Berlin (UTC)" },
};

static const struct as_command commands[] = {
    { "acl", "[client|worker|operator|observer|mover]",
      "prints the Redis users of the namespace, each with the\nleast rights that its role needs", 0,
      1, NULL, as_ctl_acl },
    { "agents", "", "lists the agents, or counts them", 0, 0, "class count limit prefix",
      as_ctl_agents },
    { "call", "ID METHOD [ARGS]", "calls a method and prints its result as JSON", 2, 3,
      "async progress", as_ctl_call },
    { "calls", "",
      "lists the calls that have not ended: all, or those in\nthe states that are given", 0, 0,
      "agent class count delayed limit parked retrying running waiting", as_ctl_calls },
    { "cancel", "CALL-ID...", "cancels calls, and prints how each has ended", 1, INT_MAX, "async",
      as_ctl_cancel },
    { "classes", "", "lists the classes that workers have, with methods and\nattributes", 0, 0,
      NULL, as_ctl_classes },
    { "clone", "ID", "makes a new agent from the creation arguments of this\none, prints its id", 1,
      1, "id", as_ctl_clone },
    { "create", "CLASS [ARGS]", "makes an agent, prints its id", 1, 2, "expires id pool ttl",
      as_ctl_create },
    { "dead list", "", "lists the dead letters: calls that were given up", 0, 0, "limit",
      as_ctl_dead_list },
    { "dead show", "LETTER",
      "shows a dead letter, with its calls and their\narguments; LETTER is an id of dead list", 1,
      1, NULL, as_ctl_dead_show },
    { "dead retry", "[LETTER]",
      "sends a letter's call again, prints the new call's id;\n--all: those of all letters", 0, 1,
      "all", as_ctl_dead_retry },
    { "dead drop", "[LETTER]", "removes a letter for good; --all: all of them", 0, 1, "all",
      as_ctl_dead_drop },
    { "delete", "[ID...]", "ends agents: the named ones, or all of a class or with\na prefix", 0,
      INT_MAX, "class no-wait prefix yes", as_ctl_delete },
    { "failures", "", "lists the last failed runs of calls, the newest first", 0, 0,
      "agent class code limit method since", as_ctl_failures },
    { "get", "ID ATTR", "prints an attribute as JSON", 2, 2, NULL, as_ctl_get },
    { "migrate", "", "moves the namespace to the Redis or Cluster of --to; no\nworker may be alive",
      0, 0, "abort delete-source dry-run resume to to-password-file", as_ctl_migrate },
    { "pause", "",
      "lets calls that have not begun wait: all, or those of a\nclass (--class); none is lost", 0,
      0, "class", as_ctl_pause },
    { "ping", "", "asks Redis whether it is there", 0, 0, NULL, as_ctl_ping },
    { "pools", "", "lists the pools, with their partitions and workers", 0, 0, NULL, as_ctl_pools },
    { "promise resolve", "ID VALUE",
      "settles a promise: who waits for it gets the value,\nwhich is JSON", 2, 2, NULL,
      as_ctl_promise_resolve },
    { "promise reject", "ID MESSAGE",
      "settles a promise: who waits for it fails, with the\nmessage (and --code)", 2, 2, "code",
      as_ctl_promise_reject },
    { "promise show", "ID", "shows a promise: whether it is settled, and to what", 1, 1, NULL,
      as_ctl_promise_show },
    { "result", "CALL-ID", "prints the result of a call made elsewhere", 1, 1, "progress",
      as_ctl_result },
    { "resume", "", "ends the pause of all, or of a class (--class)", 0, 0, "class",
      as_ctl_resume },
    { "schedule", "ID NAME METHOD [ARGS]",
      "sets an agent's timer NAME, which calls the method\n--at a time, --every interval or as --cron says",
      3, 4, "at cron every missed overlap zone", as_ctl_schedule },
    { "schedules", "[ID]", "lists the timers of all agents, or of one", 0, 1, NULL,
      as_ctl_schedules },
    { "set", "ID ATTR VALUE", "sets an attribute; VALUE is JSON", 3, 3, NULL, as_ctl_set },
    { "show", "ID", "shows an agent as Redis has it, state included", 1, 1, NULL, as_ctl_show },
    { "signal", "ID NAME [VALUE]",
      "sends a signal to an agent: a method that waits for\nNAME gets VALUE, which is JSON (null)",
      2, 3, NULL, as_ctl_signal },
    { "signals", "ID", "lists an agent's signals that no method has heard", 1, 1, NULL,
      as_ctl_signals },
    { "stats", "",
      "shows rates, times and failures of calls by class and\nmethod, and how things are now", 0, 0,
      "class last method", as_ctl_stats },
    { "stop", "WORKER", "tells a worker to finish its calls, hand over its\npartitions and end", 1,
      1, "wait", as_ctl_stop },
    { "top", "",
      "shows what runs, what waits and what fails, in the\nterminal, from second to second", 0, 0,
      "batch interval", as_ctl_top },
    { "unschedule", "ID NAME", "removes an agent's timer", 2, 2, NULL, as_ctl_unschedule },
    { "workers", "", "lists the workers, or those that have died", 0, 0, "dead", as_ctl_workers },
};

static const struct as_cli cli = {
    .program = "as-ctl",
    .summary = "Looks into an asqueue deployment and uses its agents.",
    .notes = "ARGS are JSON: a list of positional arguments, '[2, \"two\"]', or an object of\n"
             "named ones, '{\"n\": 2}'; \"-\" reads them from standard input, as it does VALUE.\n"
             "Environment: ASQUEUE_URL. The place for a password, which a command line shows to\n"
             "everybody.\n"
             "Exit status: 0, 1 failed or timed out, 2 wrong usage.\n"
             "See also: as-ctl(1), as-worker(1)",
    .options = options,
    .noptions = sizeof options / sizeof options[0],
    .commands = commands,
    .ncommands = sizeof commands / sizeof commands[0],
};

int main(int argc, char **argv)
{
    struct as_ctl ctl = {
        .base = { .cli = &cli,
                  .who = { .program = "as-ctl" },
                  .settings = &ctl,
                  .json = &ctl.settings.json,
                  .complete = as_ctl_complete },
        .settings = { .timeout_ms = ASQ_FOREVER },
    };
    int status = as_program_main(&ctl.base, argc, argv);
    if (ctl.h)
        asq_close(ctl.h);
    return status;
}
