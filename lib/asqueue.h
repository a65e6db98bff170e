/*
 * asqueue.h: the whole public interface of libasqueue. Everything else is not API.
 *
 * asqueue runs agents (objects with private state and methods) on many machines with Redis as the
 * only server. A program opens a handle, creates agents, calls their methods and waits for the
 * results; the handle's URL determines where the agents live.
 *
 *     asq *h;
 *     char err[1024];
 *     if (asq_open(NULL, NULL, &h, err, sizeof err) < 0) ...
 *     asq_register(h, &counter_class);
 *     asq_agent *a;
 *     asq_create(h, "Counter", NULL, &a, "{s:i}", "start", 40);
 *     asq_result *r;
 *     asq_call(a, "add", &r, "[i]", 2);
 *     int64_t n;
 *     asq_result_int(r, &n);                      // waits
 *     asq_result_free(r); asq_agent_free(a); asq_close(h);
 *
 * Conventions, unless a function's comment differs:
 *
 * - Functions that can fail return 0, or a negative ASQ_E… code (some return a count). They
 *   never abort and never print. The handle keeps the details of its last failure: asq_errmsg(),
 *   asq_last_error(). `ret…` arguments are written on success only.
 * - A handle, and everything made from it (agents, results, groups), belongs to one thread at
 *   a time. Different handles are independent. Functions on values alone need no handle; one value
 *   belongs to one thread at a time.
 * - Strings are UTF-8, end in NUL, and are copied when passed in. A pointer returned as
 *   `const` is borrowed: it lives as long as its object, or as the comment says.
 * - Arguments of type `asq_value *` that are not const are taken: the function owns the value from
 *   then on, also when it fails. Every …_free accepts NULL.
 * - NULL in place of a handle or another object is refused with ASQ_EINVAL; functions without a
 *   code return "", 0, false or NULL. Agents, results and groups of another handle are refused
 *   with a text, too, and so are futures of its results among arguments. (An agent as a value is
 *   an id and a class, of no handle.)
 * - Times are in milliseconds. ASQ_FOREVER waits without end.
 * - The same functions work in a program and inside a method (on asq_ctx_handle()); inside a method
 *   every wait parks the call and lets others run.
 *
 * Since 0.1.0, all of it.
 */
#ifndef ASQUEUE_H
#define ASQUEUE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ASQ_API          __attribute__((visibility("default")))
#define ASQ_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ASQ_WARN_UNUSED  __attribute__((warn_unused_result))
#else
#define ASQ_API
#define ASQ_PRINTF(f, a)
#define ASQ_WARN_UNUSED
#endif

#define ASQ_VERSION_MAJOR 0
#define ASQ_VERSION_MINOR 1
#define ASQ_VERSION_PATCH 0
#define ASQ_VERSION       "0.1.0"

/* Raised when a struct of plugins changes in a way that its size does not show. */
#define ASQ_ABI_VERSION 1

#define ASQ_FOREVER ((int64_t) -1)

/* Limits, checked with ASQ_ELIMIT. The first is a default that can be changed. */
#define ASQ_MAX_MESSAGE_SIZE ((size_t) 32 * 1024 * 1024) /* bytes of one encoded call or result */
#define ASQ_MAX_DEPTH        64                          /* nesting of lists and maps */
#define ASQ_MAX_FUTURES      100000                      /* results awaited by one call */
#define ASQ_MAX_ID           255                         /* bytes of an agent id or a worker id */
#define ASQ_MAX_NAME         127 /* bytes of a class, method or attribute name */

typedef struct asq asq;               /* a handle: one connection to one deployment */
typedef struct asq_value asq_value;   /* a piece of data */
typedef struct asq_agent asq_agent;   /* a proxy for one agent, wherever the agent lives */
typedef struct asq_result asq_result; /* the AsyncResult of one call */
typedef struct asq_group asq_group;   /* results being waited for together */
typedef struct asq_ctx asq_ctx;       /* a running method's context: its call and agent */
typedef struct asq_worker asq_worker; /* a worker: runs agents */
struct ev_loop;                       /* libev's */

/* Returns the version of the linked library, as "major.minor.patch". Any thread. */
ASQ_API const char *asq_version(void);

/* ------------------------------------------------------------------------------------------------
 * Errors
 *
 * One list has number, name and text of each code. Numbers never change. -1000 and below belong to
 * applications: ASQ_EUSER(0) is -1000.
 */
#define ASQ_ERRORS(X)                                                                              \
    X(ASQ_EINVAL, -1, "invalid argument")                                                          \
    X(ASQ_ENOMEM, -2, "out of memory")                                                             \
    X(ASQ_ETYPE, -3, "value has another type")                                                     \
    X(ASQ_ELIMIT, -4, "limit exceeded")                                                            \
    X(ASQ_EPARSE, -5, "text cannot be parsed")                                                     \
    X(ASQ_EPROTO, -6, "bytes cannot be decoded")                                                   \
    X(ASQ_ENOENT, -7, "no such element")                                                           \
    X(ASQ_ESYS, -8, "a system call failed")                                                        \
    X(ASQ_ESTATE, -9, "not possible in this state")                                                \
    X(ASQ_ENOTSUP, -10, "not supported here")                                                      \
    X(ASQ_ECONN, -20, "Redis cannot be reached")                                                   \
    X(ASQ_EAUTH, -21, "Redis refused the credentials")                                             \
    X(ASQ_EREDIS, -22, "Redis answered with an error")                                             \
    X(ASQ_ENOSERVER, -23, "no redis-server or valkey-server found")                                \
    X(ASQ_EBUSY, -24, "no room for more calls at this time")                                       \
    X(ASQ_ETIMEOUT, -30, "the wait timed out")                                                     \
    X(ASQ_EDEADLINE, -31, "the call's deadline passed")                                            \
    X(ASQ_ECANCELED, -32, "the call was cancelled")                                                \
    X(ASQ_EDEADLK, -33, "calls wait for each other in a cycle")                                    \
    X(ASQ_EINTERRUPTED, -34, "the call was interrupted after part of it took effect")              \
    X(ASQ_EDEADLETTER, -35, "the call was given up and kept as a dead letter")                     \
    X(ASQ_EUNKNOWN, -36, "the outcome of the call is unknown")                                     \
    X(ASQ_EEXPIRED, -37, "the result is not kept any more")                                        \
    X(ASQ_ECLOSED, -38, "the handle was closed")                                                   \
    X(ASQ_EINPUT, -39, "a result that the call was given as an argument failed")                   \
    X(ASQ_ENOAGENT, -40, "no such agent")                                                          \
    X(ASQ_EEXIST, -41, "an agent with this id exists")                                             \
    X(ASQ_ENOCLASS, -42, "no such agent class")                                                    \
    X(ASQ_ENOMETHOD, -43, "no such method")                                                        \
    X(ASQ_ENOATTR, -44, "no such attribute")                                                       \
    X(ASQ_EPRIVATE, -45, "private: not to be used from outside")                                   \
    X(ASQ_EARGS, -46, "wrong arguments for the method")                                            \
    X(ASQ_EVERSION, -47, "incompatible version")                                                   \
    X(ASQ_EPLUGIN, -48, "the plugin cannot be used")                                               \
    X(ASQ_EFAILED, -49, "the method failed")

#define ASQ_ERROR_ENUM(name, number, text) name = number,
enum { ASQ_OK = 0, ASQ_ERRORS(ASQ_ERROR_ENUM) ASQ_E_LAST = -1000 };
#undef ASQ_ERROR_ENUM
#define ASQ_EUSER(n) (-1000 - (n))

/* Return the text of a code ("out of memory"), never NULL; its name ("ASQ_ENOMEM"), or NULL if the
 * number is unknown; the number of a name, or 0. Any thread. */
ASQ_API const char *asq_strerror(int code);
ASQ_API const char *asq_error_name(int code);
ASQ_API int asq_error_number(const char *name);

/* A failure in full. Strings are never NULL; they are empty where they do not apply. */
typedef struct asq_error {
    int code;               /* ASQ_E… or an application's code */
    const char *message;    /* the failure, its place, and what to do */
    const char *class_name; /* of the agent whose method failed */
    /* or "create", "delete", "describe" (asq_clone, asq_to_dist), ".name" of an attribute; ""
     * for asq_ready */
    const char *method;
    const char *agent_id;
    const char *worker; /* id of the worker process of the failure */
    const char *call_id;
} asq_error;

/* ------------------------------------------------------------------------------------------------
 * Values
 *
 * A value is a tree with one owner: containers own their items, and freeing the root frees the
 * whole tree. Maps keep the order of insertion; keys are unique strings. Values need no handle.
 */
typedef enum asq_type {
    ASQ_NULL = 1,
    ASQ_BOOL,
    ASQ_INT, /* int64_t */
    ASQ_DOUBLE,
    ASQ_STRING, /* UTF-8; may contain NUL */
    ASQ_BYTES,
    ASQ_LIST,
    ASQ_MAP,
    ASQ_AGENT, /* a reference to an agent: id and class */
    ASQ_FUTURE /* a reference to a call's result: call id */
} asq_type;

/* Make values. NULL if memory is short or an argument is invalid (text that is not UTF-8, an id
 * that is too long). `n` counts bytes; the data is copied. The caller owns the new value. */
ASQ_API asq_value *asq_value_null(void);
ASQ_API asq_value *asq_value_bool(bool b);
ASQ_API asq_value *asq_value_int(int64_t i);
ASQ_API asq_value *asq_value_double(double d);
ASQ_API asq_value *asq_value_string(const char *s);
ASQ_API asq_value *asq_value_stringn(const char *s, size_t n);
ASQ_API asq_value *asq_value_bytes(const void *data, size_t n);
ASQ_API asq_value *asq_value_list(void);
ASQ_API asq_value *asq_value_map(void);
ASQ_API asq_value *asq_value_agent(const asq_agent *agent);
/* Makes a future for `result`'s call; holds a reference to the result until the value is freed. */
ASQ_API asq_value *asq_value_future(asq_result *result);
/* Makes a future that a call with it among its arguments does not wait for: the method gets the
 * future itself, for asq_result_attach or as an argument of its own calls, which wait for it. */
ASQ_API asq_value *asq_value_future_unawaited(asq_result *result);
ASQ_API void asq_value_free(asq_value *v);
/* Makes a deep copy, owned by the caller; NULL if memory is short (or v is NULL). */
ASQ_API asq_value *asq_value_copy(const asq_value *v);
/* Compare values, in a total order: <0, 0, >0. Types order as in asq_type, except that an int and a
 * double compare by number first; NaN equals NaN and comes last; maps compare by sorted keys. */
ASQ_API int asq_value_compare(const asq_value *a, const asq_value *b);
ASQ_API bool asq_value_equal(const asq_value *a, const asq_value *b);
/* Returns the bytes of v when encoded for the wire; ASQ_ELIMIT (negative) if v is too deep. */
ASQ_API int64_t asq_value_encoded_size(const asq_value *v);

/* Get typed contents: ASQ_ETYPE if v (which may be NULL) has another type. get_double also takes
 * an int. Strings and bytes are borrowed from v; ret_n may be NULL. */
ASQ_API asq_type asq_value_type(const asq_value *v); /* ASQ_NULL for NULL */
ASQ_API const char *asq_type_name(asq_type type);    /* "int"; never NULL */
ASQ_API int asq_value_get_bool(const asq_value *v, bool *ret);
ASQ_API int asq_value_get_int(const asq_value *v, int64_t *ret);
ASQ_API int asq_value_get_double(const asq_value *v, double *ret);
ASQ_API int asq_value_get_string(const asq_value *v, const char **ret, size_t *ret_n);
ASQ_API int asq_value_get_bytes(const asq_value *v, const void **ret, size_t *ret_n);
ASQ_API int asq_value_get_agent(const asq_value *v, const char **ret_id, const char **ret_class);
ASQ_API int asq_value_get_future(const asq_value *v, const char **ret_call_id);

/* Lists. Indices count from 0. `item` is taken, also on failure (NULL: ASQ_ENOMEM, so that a
 * constructor can be nested). get returns a borrowed value; NULL beyond the end, or if not a
 * list. */
ASQ_API size_t asq_list_size(const asq_value *list);
ASQ_API const asq_value *asq_list_get(const asq_value *list, size_t i);
ASQ_API asq_value *asq_list_at(asq_value *list, size_t i); /* the same, to be changed in place */
ASQ_API int asq_list_append(asq_value *list, asq_value *item);
ASQ_API int asq_list_set(asq_value *list, size_t i, asq_value *item);
ASQ_API int asq_list_remove(asq_value *list, size_t i);

/* Maps. set replaces a key's value in its place. at returns the i-th pair. */
ASQ_API size_t asq_map_size(const asq_value *map);
ASQ_API const asq_value *asq_map_get(const asq_value *map, const char *key);
ASQ_API asq_value *asq_map_find(asq_value *map, const char *key); /* the same, to be changed */
ASQ_API const asq_value *asq_map_at(const asq_value *map, size_t i, const char **ret_key);
ASQ_API int asq_map_set(asq_value *map, const char *key, asq_value *item);
ASQ_API int asq_map_remove(asq_value *map, const char *key);
/* Get and set an int in a map, as a shorthand for state. Get returns 0 if the key is missing or its
 * value is not an int. */
ASQ_API int64_t asq_map_int(const asq_value *map, const char *key);
ASQ_API int asq_map_set_int(asq_value *map, const char *key, int64_t i);

/*
 * Builds a value from a format, in the manner of Jansson's json_pack:
 *
 *     n  null                          b  bool (int)
 *     i  int                           I  int64 (int64_t)
 *     f  double                        s  string (const char *); s? gives null for NULL
 *     s# string (const char *, size_t) y# bytes (const void *, size_t)
 *     o  value, taken                  O  value, copied (const asq_value *)
 *     a  agent (const asq_agent *)     r  future (asq_result *)
 *     R  future that is not awaited    […] and {…} nest:
 *     [fmt…] list                      {s:fmt, …} map with keys (const char *)
 *
 * Spaces, commas and colons are skipped. NULL if the format is wrong, an argument is invalid or
 * memory is short; values given with `o` are then freed. asq_vpack reports the reason: a code, and
 * up to errlen bytes of text in err (which may be NULL).
 */
ASQ_API asq_value *asq_pack(const char *fmt, ...);
ASQ_API int asq_vpack(asq_value **ret, char *err, size_t errlen, const char *fmt, va_list ap);

/*
 * Reads a value by a format with the same letters, into pointers (bool *, int *, int64_t *,
 * double *, const char **, size_t *, const asq_value **). Strings and values are borrowed.
 * In a map, keys not named are ignored and `s?:i` is optional; in a list, `|` starts the optional
 * part, and more items than the format has are an error. Missing optional parts leave
 * their variables untouched. Variables are written only if the whole format fits. err gets a text
 * that names the place: "[1].depth: int expected, string found".
 * `r` and `R` both read a future of either kind, and yield the value (for asq_value_get_future).
 * Errors: ASQ_ETYPE, ASQ_ENOENT, ASQ_ELIMIT (out of an int's range), ASQ_EINVAL (format).
 */
ASQ_API int asq_unpack(const asq_value *v, const char *fmt, ...);
ASQ_API int asq_vunpack(const asq_value *v, char *err, size_t errlen, const char *fmt, va_list ap);

/*
 * JSON, by Jansson. Values without a JSON form are written as an object with one key:
 *     bytes {"$bytes": "base64"}      non-finite doubles {"$double": "nan" | "inf" | "-inf"}
 *     agents {"$agent": "id", "class": "C"}     futures {"$future": "call id"}, unawaited ones
 *                                               with "await": false behind it
 * and a map whose first key begins with "$" as {"$map": {…}}. Ints outside of int64, invalid
 * UTF-8, duplicate keys, and nesting beyond ASQ_MAX_DEPTH are errors.
 * asq_to_json writes compact JSON, or indents by `indent` spaces if that is above 0; *ret is freed
 * with free(). asq_from_json reads n bytes; err names line and column.
 */
ASQ_API int asq_to_json(const asq_value *v, int indent, char **ret);
ASQ_API int asq_from_json(const char *text, size_t n, asq_value **ret, char *err, size_t errlen);

/* ------------------------------------------------------------------------------------------------
 * Handles
 */
typedef enum asq_log_level {
    ASQ_LOG_ERROR,
    ASQ_LOG_WARNING,
    ASQ_LOG_INFO,
    ASQ_LOG_DEBUG
} asq_log_level;

/* Receives log messages of the library; must not call into the library. A worker calls the function
 * from several threads at once. */
typedef void (*asq_log_fn)(void *user, asq_log_level level, const char *message);

typedef struct asq_options {
    size_t size;                /* sizeof(asq_options): set by ASQ_OPTIONS_INIT */
    const char *ns;             /* namespace; NULL: the URL's ?ns=, else "default" */
    uint32_t partitions;        /* of a namespace that is created now; 0: 128 */
    int64_t timeout_ms;         /* of waits without a timeout of their own; 0: ASQ_FOREVER */
    int64_t connect_timeout_ms; /* of asq_open; 0: 5000 */
    size_t max_message_size;    /* 0: ASQ_MAX_MESSAGE_SIZE */
    uint32_t child_processes;   /* child mode: worker processes; 0: processors, at most 4 */
    uint32_t child_capacity;    /* child mode: threads of each; 0: 32 */
    const char *agent_dir;      /* local and child mode: plugins to load; NULL: none */
    /* local and child mode: see asq_ctx_model; others may not read it */
    const char *model_config_path;
    asq_log_fn log; /* NULL: no log */
    void *log_user;
    /* wait of asq_close until Redis has accepted all calls; 0: 5000; negative: no wait */
    int64_t close_timeout_ms;
} asq_options;
#define ASQ_OPTIONS_INIT                                                                           \
    {                                                                                              \
        sizeof(asq_options), NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0                     \
    }

/*
 * Opens a deployment. url:
 *     local:                                    agents live in this process, calls run inline
 *     child:                                    a private Redis and worker processes, for this
 *                                               program alone; they end with it
 *     redis://[[user]:password@]host[:port][/db][?ns=N]     workers were started elsewhere
 *     rediss://…[?cacert=F&cert=F&key=F&sni=NAME&verify=full|ca|no]   the same over TLS
 *     unix:/path[?db=D&ns=N&user=U&password=P]  the same over a Unix socket
 *     NULL                                      ASQUEUE_URL from the environment, else child:
 *
 * In a URL, bytes of a user, password, path or namespace may be written as %XX, and must be if they
 * would end that part. A user without a password (user:@host, ?user=U) is logged in with an empty
 * one. A host is an address or a name in ASCII letters, digits, '.', '-' and '_' (other scripts:
 * its xn-- form).
 *
 * options may be NULL. On failure err (which may be NULL) gets up to errlen bytes of text.
 *
 * In child mode, the program registers its classes after asq_open; the workers are forked at the
 * first use of an agent, so open and use the handle before starting threads that hold locks. The
 * server is ASQUEUE_REDIS_SERVER from the environment, else redis-server or valkey-server on the
 * PATH; its directory is made in XDG_RUNTIME_DIR, if that is this user's alone, TMPDIR or /tmp.
 *
 * TLS (1.2 or newer): the server's certificate has to be valid, from a trusted CA, and for the
 * URL's host, by name or address. `cacert` names the CA's file or directory, else ASQUEUE_TLS_CA,
 * else the system's CAs are trusted. `cert` and `key` (else ASQUEUE_TLS_CERT, ASQUEUE_TLS_KEY) name
 * the client certificate, if the server requires one. `sni` is the name to request and to check in
 * place of the host, as through a tunnel. verify=ca accepts a certificate for any host, verify=no
 * any certificate at all (and warns). Changed files are read again at the next connection.
 *
 * Names are resolved again for each connection; all addresses are tried in turn. connect_timeout_ms
 * limits all of that, and the wait for conditions that pass by themselves (Redis loads its data,
 * has no free connection, …).
 *
 * After a fork the child may only close the handle. If Redis denies its user a command, asq_open or
 * the call ends in ASQ_EREDIS, whose text names the command. For a dispensable one, such as EVAL, a
 * warning names the consequences once. `as-ctl acl client` prints the commands that a client needs.
 *
 * Errors: ASQ_EINVAL (the URL), ASQ_ECONN, ASQ_EAUTH, ASQ_EVERSION (Redis too old, or a namespace
 * of another format), ASQ_ENOSERVER, ASQ_ENOTSUP (no TLS in this build), ASQ_EREDIS, ASQ_ESYS.
 */
ASQ_API int asq_open(const char *url, const asq_options *options, asq **ret, char *err,
                     size_t errlen);

/* Closes the handle. Sends all unsent calls, corked or not, and waits until Redis has accepted
 * them, for at most close_timeout_ms, also while Redis is away. Then completes every unfinished
 * result with ASQ_ECLOSED (callbacks run), removes fetched results from Redis, and in child mode
 * ends the private servers. Accepted calls go on (in child mode, they end with the servers).
 *
 * Returns 0 if Redis has accepted all calls. ASQ_ECONN: it has not; the number of lost calls is
 * logged. Failures of calls without a result that asq_flush would have reported are logged as well,
 * and their code is returned. A program that ends without asq_close, by exit, exec or a signal,
 * loses calls made since its last asq_flush or wait. Agents and results of the handle remain valid
 * only for their _free functions and getters.
 *
 * Inside a callback, asq_close at once ends new calls and waits (ASQ_ECLOSED) and returns 0. The
 * rest follows after the due callbacks of the function that calls back, or of the attached loop;
 * lost calls are then only logged. */
ASQ_API int asq_close(asq *h);

/* Registers a class (below) for local and child mode, before the first agent is used. The table
 * must stay valid until asq_close. Registering when not needed (independent mode) is no error.
 * Errors: ASQ_EINVAL (the text names the table's fault), ASQ_EEXIST, ASQ_EVERSION, ASQ_ESTATE. */
struct asq_class;
ASQ_API int asq_register(asq *h, const struct asq_class *cls);

/* Return the URL by which other handles and tools reach the same deployment, in child mode the
 * private Redis; and the namespace. Borrowed from h. */
ASQ_API const char *asq_url(const asq *h);
ASQ_API const char *asq_namespace(const asq *h);

/* Return the handle's last failure; borrowed until the next call on the handle. Never NULL. */
ASQ_API const asq_error *asq_last_error(const asq *h);
ASQ_API const char *asq_errmsg(const asq *h);

/* Sets the timeout of waits without one of their own; initially ASQ_FOREVER. */
ASQ_API void asq_set_timeout(asq *h, int64_t timeout_ms);

/* Sets the deadline of later calls without one of their own (see asq_call_options), in ms from
 * each call; 0, the initial value: none. Creations and attributes count as calls. ASQ_EINVAL if
 * negative. */
ASQ_API int asq_set_deadline(asq *h, int64_t deadline_ms);

/* Sets how long asq_call_wait retries a call that finds no room (ASQ_EBUSY: Redis has no memory,
 * the partition is full); ASQ_FOREVER; 0, the initial value: fails at once, as the other functions
 * always do. Calls of methods always wait for room. ASQ_EINVAL if negative. */
ASQ_API int asq_set_busy_wait(asq *h, int64_t timeout_ms);

/* Collect calls between cork and uncork, which are sent in batches of up to 64 calls or 64 KiB for
 * each partition. May be nested. A wait sends the calls that it waits for. Data beyond the socket's
 * buffer (some hundred KiB) is sent while the handle waits or is polled, for certain by
 * asq_flush. */
ASQ_API void asq_cork(asq *h);
ASQ_API int asq_uncork(asq *h);

/* Waits until Redis has accepted all calls. Also reports, once, failures of calls without a result
 * (or whose result or new agent was freed without a look, see asq_result_free, asq_agent_free)
 * since the last flush: how many were refused, how many have failed, and why the first one did, as
 * far as that is known by now. A full partition (see max_waiting) refuses calls after Redis has
 * accepted them, and methods run later: the next flush reports later failures. Errors:
 * ASQ_ETIMEOUT, ASQ_ECLOSED; of calls without a result: ASQ_EBUSY (no memory in Redis, or no room
 * in the partition), ASQ_EREDIS, ASQ_EUNKNOWN, and every code of a failed method (ASQ_ENOMETHOD,
 * …). */
ASQ_API int asq_flush(asq *h, int64_t timeout_ms);

/* Processes arrived results, waiting up to timeout_ms for one; runs callbacks. Returns the
 * number of completed results, or a code. */
ASQ_API int asq_poll(asq *h, int64_t timeout_ms);

/* Sleeps, processing arriving results. Inside a method, parks the call.
 * Errors: ASQ_ECANCELED, ASQ_EDEADLINE (inside a method). */
ASQ_API int asq_sleep(asq *h, int64_t ms);

/* Make a libev loop of the caller's drive the handle: results are completed and callbacks run from
 * the loop, and waits from inside a callback are refused with ASQ_ESTATE. The loop must outlive the
 * attachment, which detach (or close) ends. Errors: ASQ_ESTATE (attached already), ASQ_ENOTSUP (in
 * a method). In local mode both succeed without effect. */
ASQ_API int asq_attach_ev(asq *h, struct ev_loop *loop);
ASQ_API int asq_detach_ev(asq *h);

/* ------------------------------------------------------------------------------------------------
 * Agents, for their callers
 *
 * An asq_agent is a proxy. Freeing it leaves the agent alone; asq_delete ends the agent.
 * An agent id is 1 to ASQ_MAX_ID bytes of printable UTF-8 without spaces or control characters.
 * If a part is in braces, only that part determines the partition: agents with the same {tag} live
 * together.
 */

/* Creates an agent of `class_name` and returns at once; calls may follow immediately. id NULL: a
 * random one. fmt (asq_pack; NULL: none) builds the creation arguments: a list, or a map of named
 * ones. asq_ready or the first call reports a failed creation, in every mode: an unknown class
 * (ASQ_ENOCLASS), or the class's own code.
 * Errors: ASQ_EINVAL, ASQ_ENOMEM, ASQ_ELIMIT, ASQ_ECONN; in local and child mode ASQ_ENOCLASS if no
 * class at all is registered, here and in every call. */
ASQ_API int asq_create(asq *h, const char *class_name, const char *id, asq_agent **ret,
                       const char *fmt, ...);
ASQ_API int asq_createv(asq *h, const char *class_name, const char *id, asq_value *args,
                        asq_agent **ret);
/* Creates an agent, or uses an existing one with this id as it is, if it is of this class
 * (else ASQ_EEXIST). */
ASQ_API int asq_get_or_create(asq *h, const char *class_name, const char *id, asq_value *args,
                              asq_agent **ret);
/* Creates n agents with packed calls; ids may be NULL, args (taken) is used for each. On failure
 * none of ret is written. */
ASQ_API int asq_create_many(asq *h, const char *class_name, size_t n, const char *const *ids,
                            asq_value *args, asq_agent **ret);
/* Makes a proxy for an existing agent, without asking Redis. */
ASQ_API int asq_attach(asq *h, const char *id, asq_agent **ret);
/* Makes a proxy for the agent that v (ASQ_AGENT) refers to. */
ASQ_API int asq_attach_value(asq *h, const asq_value *v, asq_agent **ret);
/* Waits until the creation through this proxy has succeeded; for an attached proxy, asks whether
 * the agent exists. Errors: the creation's, ASQ_ENOAGENT, ASQ_ETIMEOUT. */
ASQ_API int asq_ready(asq_agent *agent, int64_t timeout_ms);
ASQ_API const char *asq_agent_id(const asq_agent *agent);
ASQ_API const char *asq_agent_class(const asq_agent *agent); /* "" if unknown */
ASQ_API asq *asq_agent_handle(const asq_agent *agent);
/* Frees the proxy; the agent lives on. The failure of a creation that nobody has asked for by
 * asq_ready is logged, and reported by asq_flush. */
ASQ_API void asq_agent_free(asq_agent *agent);

/* Deletes the agent after its earlier calls; later calls end in ASQ_ENOAGENT. Waits for the
 * outcome. */
ASQ_API int asq_delete(asq_agent *agent, int64_t timeout_ms);
/* Creates an agent with the creation arguments of this one (not its state). id NULL: a random one.
 * Waits until the arguments are known, but not for the new creation. */
ASQ_API int asq_clone(asq_agent *agent, const char *id, asq_agent **ret);
/* Creates an agent on a distributed handle like one of a local: handle, with its class, id and
 * creation arguments. The local agent is unchanged, and its state is not copied. */
ASQ_API int asq_to_dist(asq_agent *local, asq *h, asq_agent **ret);

/* Read and write attributes. The _async forms return a result. Errors as for calls; ASQ_ENOATTR. */
ASQ_API int asq_get(asq_agent *agent, const char *attribute, asq_value **ret);
ASQ_API int asq_set(asq_agent *agent, const char *attribute, asq_value *value);
ASQ_API int asq_get_async(asq_agent *agent, const char *attribute, asq_result **ret);
ASQ_API int asq_set_async(asq_agent *agent, const char *attribute, asq_value *value,
                          asq_result **ret);

/* ------------------------------------------------------------------------------------------------
 * Calls
 *
 * fmt (asq_pack; NULL: none) builds the arguments: a list for positional ones, a map for named
 * ones. Calls from one handle to one agent run in the order in which they were made, its creation
 * and deletion included. Later calls wait while an earlier one cannot run: because futures among
 * its arguments are unfinished, or because a process has died of it and its next attempt, on any
 * worker, is delayed. Calls of other callers may overtake a call whose futures are unfinished, but
 * no call overtakes one of which a process has died, or the creation of an agent that does not
 * exist. Three things change the order: a delayed call (delay_ms), and a failed call that is
 * retried by a policy without keep_place, let later calls go ahead; methods marked ASQ_CONCURRENT
 * begin in order, and end in any order. A call that ends without having run (refused, cancelled,
 * its deadline passed, part of a deadlock, given up) no longer blocks later calls: after a failed
 * creation, later calls end in ASQ_ENOAGENT.
 *
 * Results of other calls among the arguments (`r`, asq_value_future), at any depth in lists and
 * maps, are awaited by the worker, not by the caller: the method starts when all are there, and
 * finds their values in place of the futures, so that map and reduce are two statements. Futures
 * inside of those values remain futures. If one of them has failed, the method does not start, and
 * the call ends in ASQ_EINPUT. The same holds for creation arguments and for an attribute's new
 * value. A call has at most ASQ_MAX_FUTURES of them, and their values together are limited to the
 * size of a message (else ASQ_ELIMIT, or ASQ_EINPUT if found later). `R` passes a future on without
 * waiting: the method gets the future. That holds for this one call; if the method passes the
 * future on as an argument, it is awaited.
 */

/* A policy for running calls again whose method has failed, by the worker that owns the agent.
 * Calls that the failed run has made remain; its agent's state is as before. asq_ctx_attempt
 * returns the number of the run. */
typedef struct asq_retry {
    size_t size;       /* ASQ_RETRY_INIT */
    uint32_t attempts; /* maximum number of runs, the first included */
    /* before the second run; doubles for each further one. The actual delay is random between half
     * of that and all of it, and at least a quarter of a ms for each failed run */
    int64_t delay_ms;
    int64_t max_delay_ms; /* 0: one minute */
    /* failures to retry, ended by 0; NULL: all of the method's own function */
    const int *codes;
    bool keep_place; /* later calls to the agent wait; else they go ahead */
} asq_retry;
/* Initializers of a policy. ASQ_RETRY_INIT is for inside the braces of a constant policy, `static
 * const asq_retry r = { ASQ_RETRY_INIT, .attempts = 5 };`, like ASQ_CLASS_INIT; a policy filled in
 * later begins like all options, `asq_retry r = ASQ_RETRY_OPTIONS_INIT; r.attempts = 5;`. */
#define ASQ_RETRY_INIT sizeof(asq_retry)
#define ASQ_RETRY_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(asq_retry), 0, 0, 0, NULL, false                                                    \
    }

typedef struct asq_call_options {
    size_t size; /* sizeof(asq_call_options): set by ASQ_CALL_OPTIONS_INIT */
    /* time from now after which the call is not started; 0: the handle's. A method already running
     * is not stopped, but asq_ctx_canceled and asq_ctx_remaining_ms show it, its waits end with
     * ASQ_EDEADLINE, and its return value counts */
    int64_t deadline_ms;
    bool no_result; /* the result will not be asked for */
    /* time from now before which the call is not started; later calls go ahead. Setting the
     * clock of Redis does not change it. In local mode the caller waits. A call with an earlier
     * deadline fails with ASQ_EDEADLINE. 0: none */
    int64_t delay_ms;
    const asq_retry *retry; /* NULL: the method's policy, if any; borrowed for the call */
} asq_call_options;
#define ASQ_CALL_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(asq_call_options), 0, false, 0, NULL                                                \
    }

/* Calls a method and returns at once; the call is under way. ret may be NULL: a call without a
 * result, like asq_send. The caller owns *ret.
 * Errors: ASQ_EINVAL, ASQ_ENOMEM, ASQ_ELIMIT, ASQ_ECONN, ASQ_EBUSY, ASQ_ECLOSED. The result has
 * the outcome of the call itself. */
ASQ_API int asq_call(asq_agent *agent, const char *method, asq_result **ret, const char *fmt, ...);
/* Calls a method and waits, for the handle's timeout. ret may be NULL. The caller owns *ret. If
 * there is no room for the call, fails with ASQ_EBUSY at once, or retries: asq_set_busy_wait. A
 * retry reads strings and bytes among the arguments again, which must not change until the function
 * returns. Errors: also those of the method, in full in asq_last_error(). */
ASQ_API int asq_call_wait(asq_agent *agent, const char *method, asq_value **ret, const char *fmt,
                          ...);
/* Makes a call without a result. The call runs as reliably as any other, unless asq_flush reports
 * that it was refused. Failures are logged by this handle and by the worker: the first of each
 * method and code at once, further ones as a number, once a minute; asq_flush also reports
 * them. */
ASQ_API int asq_send(asq_agent *agent, const char *method, const char *fmt, ...);
/* Calls a method with arguments as a value (taken; NULL: none) and options (NULL: defaults). */
ASQ_API int asq_callv(asq_agent *agent, const char *method, const asq_call_options *options,
                      asq_value *args, asq_result **ret);
/* Makes the same call to n agents of one handle, packed. args (taken) is used for each. On failure
 * none of ret is written. asq_gather handles the results as they come. */
ASQ_API int asq_broadcast(asq_agent *const *agents, size_t n, const char *method, asq_value *args,
                          asq_result **ret);

/* ------------------------------------------------------------------------------------------------
 * Results
 *
 * Every result is completed exactly once: by a value or by an error.
 */

/* Returns whether the result is completed; processes arrived data, never waits. */
ASQ_API bool asq_result_done(asq_result *r);
/* Waits for the result. 0: completed with a value. ASQ_ETIMEOUT: not completed yet; wait again;
 * asq_errmsg says if no worker is alive, as after every wait for results of 100 ms and more (unless
 * the URL names a user of Redis: clients' users may not see workers). Any other code is the failure
 * of the call, in full in asq_result_error(). */
ASQ_API int asq_result_wait(asq_result *r, int64_t timeout_ms);
/* Gets the value, borrowed from r; waits for the handle's timeout. Errors as asq_result_wait. */
ASQ_API int asq_result_value(asq_result *r, const asq_value **ret);
/* Takes the value, which the caller then owns; later getters see null. */
ASQ_API int asq_result_take(asq_result *r, asq_value **ret);
/* Wait, and get the value by type. field gets the value of a map's key. unpack as asq_unpack. Also
 * ASQ_ETYPE, ASQ_ENOENT. */
ASQ_API int asq_result_bool(asq_result *r, bool *ret);
ASQ_API int asq_result_int(asq_result *r, int64_t *ret);
ASQ_API int asq_result_double(asq_result *r, double *ret);
ASQ_API int asq_result_string(asq_result *r, const char **ret);
ASQ_API int asq_result_field(asq_result *r, const char *key, const asq_value **ret);
ASQ_API int asq_result_unpack(asq_result *r, const char *fmt, ...);
/* Returns the failure in full; its code is 0 while unfinished and after success. Borrowed from
 * r. */
ASQ_API const asq_error *asq_result_error(const asq_result *r);

/* Calls fn once, when the result is completed: from inside a wait, asq_poll or the attached loop,
 * or at once if it is completed already. fn may call into the library, and may free r. Results of
 * several calls are completed as they arrive, which may differ from the order in which the calls
 * ran, because large ones are read from Redis in pieces. */
typedef void (*asq_result_fn)(asq_result *r, void *user);
ASQ_API int asq_result_then(asq_result *r, asq_result_fn fn, void *user);

/* Returns the call's id, by which another process can fetch the result while its record lives;
 * keeps the record. Ask for the id before the result is there, because a fetched record is soon
 * removed unless it is kept. Borrowed from r. */
ASQ_API const char *asq_result_id(asq_result *r);
/* Makes a result for a call id. An unknown or expired one ends in ASQ_EEXPIRED. */
ASQ_API int asq_result_attach(asq *h, const char *call_id, asq_result **ret);
/* Keeps the result in Redis until it expires, also after it was fetched. */
ASQ_API int asq_result_keep(asq_result *r);
/* Asks the owner to cancel the call: a call that has not started does not run, and ends in
 * ASQ_ECANCELED. Returns at once; the result has the outcome. A running method is not stopped, and
 * none of its effects are undone: asq_ctx_canceled shows the request, its waits end with
 * ASQ_ECANCELED, and a method that nevertheless returns a value has succeeded. Calls that it made
 * go on unless it cancels them. In local mode every call has ended by then, and cancelling has no
 * effect. */
ASQ_API int asq_result_cancel(asq_result *r);
/* Frees the result; a call under way goes on. If nobody has asked the result for its outcome, or it
 * is freed before it has come, a failure is logged by this handle (inside a method: by the worker),
 * and reported by asq_flush, as that of a call without a result; except a cancellation, and of a
 * result that is kept. */
ASQ_API void asq_result_free(asq_result *r);

/* Wait for all results, or for one (its index in *ret_index). 0: completed, with a value or an
 * error. Errors: ASQ_ETIMEOUT, ASQ_EINVAL. */
ASQ_API int asq_wait_all(asq_result *const *results, size_t n, int64_t timeout_ms);
ASQ_API int asq_wait_any(asq_result *const *results, size_t n, int64_t timeout_ms,
                         size_t *ret_index);

/* A group returns its results as they complete. The results are borrowed: each must stay valid
 * until next has returned it or the group is freed. next: ASQ_ENOENT after the last one,
 * ASQ_ETIMEOUT. */
ASQ_API int asq_group_new(asq *h, asq_group **ret);
ASQ_API int asq_group_add(asq_group *g, asq_result *r);
ASQ_API size_t asq_group_pending(const asq_group *g);
ASQ_API int asq_group_next(asq_group *g, int64_t timeout_ms, asq_result **ret);
ASQ_API void asq_group_free(asq_group *g);

/* Called for each result when it is completed, in the order of completion: `index` is the place of
 * the result, or of its input; `done` of n are completed by now. A return value other than 0 ends
 * the waiting function, which returns it. Inside a method, fn must not make calls (ASQ_ESTATE),
 * because their order would differ when the method runs again. */
typedef int (*asq_gather_fn)(void *user, size_t index, asq_result *r, size_t done, size_t n);

/* Waits for all results, calling fn (may be NULL) for each as it comes; fn may free it. The results
 * are of one handle, and without a callback or a group. 0: all are completed, with a value or an
 * error. Errors: ASQ_ETIMEOUT, ASQ_EINVAL, ASQ_ESTATE (a result has a callback), fn's return
 * value. */
ASQ_API int asq_gather(asq_result *const *results, size_t n, int64_t timeout_ms, asq_gather_fn fn,
                       void *user);

typedef struct asq_each_options {
    size_t size;                  /* sizeof(asq_each_options): set by ASQ_EACH_OPTIONS_INIT */
    size_t limit;                 /* maximum number of calls under way; 0: 64 */
    bool all;                     /* go on after a failed call, to the end */
    int64_t timeout_ms;           /* in total; 0: the handle's */
    const asq_call_options *call; /* of each call; NULL: defaults */
    asq_gather_fn fn;             /* or NULL; its results are borrowed */
    void *user;
} asq_each_options;
#define ASQ_EACH_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(asq_each_options), 0, false, 0, NULL, NULL, NULL                                    \
    }

/*
 * Calls a method once for each item of the list `inputs` (borrowed), and waits for the results.
 * An item that is a list or a map holds the arguments, any other item is the only argument. Input i
 * goes to agent i modulo n; calls are made in the order of the inputs, the next one when fewer
 * than `limit` are under way.
 *
 * ret (may be NULL) gets a list of the values in the order of the inputs. If a call fails, no
 * further calls are made, calls under way go on, and the failure's code is returned;
 * asq_last_error has it in full, and names the input ("input 7: …"). With `all`, every call is
 * made, a failed one's value is null, fn is called for it, and the number of failed calls
 * is returned; asq_last_error has the first failed input's failure. When a method runs again, it
 * makes the same calls with the same ids, whichever completes first, except for the point at which
 * a failed call or fn ends it. Returns 0 or, with `all`, the number of failed calls. Errors:
 * ASQ_EINVAL, ASQ_ETIMEOUT (calls under way go on), those of asq_callv, of the method, fn's return
 * value.
 */
ASQ_API int asq_call_each(asq_agent *const *agents, size_t n, const char *method,
                          const asq_value *inputs, const asq_each_options *options,
                          asq_value **ret);

/* ------------------------------------------------------------------------------------------------
 * Agents, for their authors
 *
 * A class is a const table. A method runs on a fiber with a stack of 256 KiB by default, one call
 * of an agent at a time.
 *
 * State is kept in one of two ways. In the simple way, the library keeps an asq_value
 * (asq_ctx_state), initially an empty map, and saves it with each call's result. In the other, the
 * class has a struct of its own, made by create and passed as `self`, with save and load callbacks.
 * When a method fails, the state from the beginning of the call is restored.
 */

/* The function of a method. Returns 0 and a value (*ret, which the library takes; NULL means null),
 * or fails: `return asq_fail(…)`. A positive number is not a code (but perhaps an errno): the call
 * fails with ASQ_EFAILED and a message that names it. The same holds for the other functions of a
 * class and of an attribute. None of them may let a C++ exception out, because an exception that
 * reaches the library's frames ends the process. asqueue.hpp catches them.
 * 
 * args is borrowed for the call: a list (empty without arguments) or a map of named ones; for a
 * method that declares params always a list, in their order, and never longer: further arguments,
 * or unknown names, are refused (ASQ_EARGS). A method that declares none (params NULL) gets any
 * arguments, and refuses them by asq_args. */
typedef int (*asq_method_fn)(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret);

enum {
    ASQ_READONLY = 1 << 0,    /* changes no state; none is saved */
    ASQ_NONBLOCKING = 1 << 1, /* never blocks: runs on the loop's own thread, which is faster */
    ASQ_WRITABLE = 1 << 2,    /* attributes: may be set from outside */
    /* methods, with ASQ_READONLY: any number of such calls of one agent may run at the same time,
     * on several threads; the data that they read must permit that */
    ASQ_CONCURRENT = 1 << 3
};

typedef struct asq_method {
    const char *name; /* NULL ends the table; with a leading '_' private to the agent itself */
    asq_method_fn fn;
    const char *params; /* names of the parameters, "url, depth", for named arguments; or NULL */
    unsigned flags;
    const char *doc; /* a line for people, or NULL */
} asq_method;

/* Default retry policy for calls to a method. */
typedef struct asq_method_retry {
    const char *method; /* NULL ends the table */
    const asq_retry *retry;
} asq_method_retry;

/* An attribute of a class. Without get, an attribute of library-held state is the value under its
 * name in the state map. */
typedef struct asq_attribute {
    const char *name; /* NULL ends the table */
    int (*get)(asq_ctx *ctx, void *self, asq_value **ret);
    int (*set)(asq_ctx *ctx, void *self, const asq_value *value);
    unsigned flags;
    const char *doc;
} asq_attribute;

typedef struct asq_class {
    size_t size; /* set by ASQ_CLASS_INIT, like the next two */
    size_t method_size;
    size_t attribute_size;
    const char *name; /* letters, digits, '_', '-' and '.'; begins with a letter */
    const char *doc;
    const asq_method *methods;
    const asq_attribute *attributes; /* or NULL */
    /* Makes a new agent from its creation arguments: sets up asq_ctx_state, or makes *ret_self. May
     * be NULL: the state is then the map of the named arguments, and positional ones are
     * refused. */
    int (*create)(asq_ctx *ctx, const asq_value *args, void **ret_self);
    /* Frees self, when the agent leaves memory or is deleted. */
    void (*destroy)(void *self);
    /* Struct state: both or none. save makes the state, which the library takes; load makes self
     * from it. */
    int (*save)(const void *self, asq_value **ret_state);
    int (*load)(asq_ctx *ctx, const asq_value *state, void **ret_self);
    /* The version of the state's layout. upgrade converts a state of a lower version, in place,
     * before it is loaded; a higher version is refused with ASQ_EVERSION. */
    uint32_t version;
    int (*upgrade)(asq_ctx *ctx, uint32_t from_version, asq_value **state);
    size_t stack_size;               /* bytes; 0: the worker's default */
    void *user;                      /* the class's own; see asq_ctx_user */
    const asq_method_retry *retries; /* or NULL */
} asq_class;
#define ASQ_CLASS_INIT                                                                             \
    .size = sizeof(asq_class), .method_size = sizeof(asq_method),                                  \
    .attribute_size = sizeof(asq_attribute)

/* A plugin exports one entry of this type, named asqueue_plugin. Its init function registers the
 * plugin's classes with asq_plugin_register and returns 0 or a code. The macro defines both, with
 * the ABI version that the plugin was built with:
 *
 *     ASQ_PLUGIN { return asq_plugin_register(plugin, &counter_class); }
 */
typedef struct asq_plugin asq_plugin;
typedef struct asq_plugin_entry {
    uint32_t abi_version;
    const char *built_with; /* ASQ_VERSION of the header */
    int (*init)(asq_plugin *plugin);
} asq_plugin_entry;
#define ASQ_PLUGIN_SYMBOL "asqueue_plugin"
#ifdef __cplusplus
#define ASQ_EXTERN_C extern "C"
#else
#define ASQ_EXTERN_C extern
#endif
#define ASQ_PLUGIN                                                                                 \
    static int asq_plugin_init_(asq_plugin *plugin);                                               \
    ASQ_EXTERN_C ASQ_API const asq_plugin_entry asqueue_plugin;                                    \
    const asq_plugin_entry asqueue_plugin = { ASQ_ABI_VERSION, ASQ_VERSION, asq_plugin_init_ };    \
    static int asq_plugin_init_(asq_plugin *plugin)
ASQ_API int asq_plugin_register(asq_plugin *plugin, const asq_class *cls);

/* Inside a method. ctx is valid until the method returns, on its own fiber only. */

/* Makes the call fail, and returns code (a positive or zero one counts as ASQ_EFAILED). */
ASQ_API int asq_fail(asq_ctx *ctx, int code, const char *fmt, ...) ASQ_PRINTF(3, 4);
/* Reads arguments as asq_unpack does: `if ((rc = asq_args(ctx, args, "[i]", &n)) < 0) return rc;`
 * If an argument does not fit, or the format has no place for it, the call fails with ASQ_EARGS and
 * a text that names it (unknown names in lists and maps inside of the arguments are ignored as by
 * asq_unpack, also if args is only a part of the method's arguments). A method without arguments
 * checks that by `asq_args(ctx, args, "[]")`. */
ASQ_API int asq_args(asq_ctx *ctx, const asq_value *args, const char *fmt, ...);
/* Returns the library-held state, to be read and changed in place; NULL if the class keeps a
 * struct. */
ASQ_API asq_value *asq_ctx_state(asq_ctx *ctx);
/* Replaces the library-held state (taken). */
ASQ_API int asq_ctx_set_state(asq_ctx *ctx, asq_value *state);
/* Keeps the state as it is even if the call fails. */
ASQ_API void asq_ctx_keep_state(asq_ctx *ctx);
/* Returns the handle for nested calls, and facts about this call. The handle belongs to this
 * call. */
ASQ_API asq *asq_ctx_handle(asq_ctx *ctx);
ASQ_API const char *asq_ctx_call_id(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_agent_id(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_class(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_method(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_worker(const asq_ctx *ctx);
/* Returns the partition's epoch, which grows with each change of its owner: with the call id, a
 * fencing token for effects outside of Redis. 0 in local mode. */
ASQ_API uint64_t asq_ctx_epoch(const asq_ctx *ctx);
/* Returns the number of this run of the call, from 1. Above 1, a process has died in the call, or
 * the method has failed and a retry policy runs it again. Runs of a worker that was fenced or lost
 * its host, and runs given up for a hand-over, are not counted, because they leave no mark: 1 does
 * not mean that no part of the method has run before. Use asq_ctx_call_id to make effects outside
 * of Redis idempotent. */
ASQ_API uint32_t asq_ctx_attempt(const asq_ctx *ctx);
/* Returns milliseconds until the call's deadline; ASQ_FOREVER: none; 0: it has passed. */
ASQ_API int64_t asq_ctx_remaining_ms(const asq_ctx *ctx);
/* Returns whether the call was cancelled or its deadline has passed: stop early. */
ASQ_API bool asq_ctx_canceled(const asq_ctx *ctx);
ASQ_API int asq_ctx_sleep(asq_ctx *ctx, int64_t ms);
ASQ_API void asq_ctx_log(asq_ctx *ctx, asq_log_level level, const char *fmt, ...) ASQ_PRINTF(3, 4);
/* Gets the model configuration `config_name` (or the whole file for NULL), borrowed. The file is a
 * JSON array of objects with "config_name", as in AgentScope, or an object of objects. A file that
 * others can read (mode 644) is refused at the start, because of the keys in it. The text of
 * ASQ_ENOENT lists the names. */
ASQ_API int asq_ctx_model(asq_ctx *ctx, const char *config_name, const asq_value **ret);
ASQ_API void *asq_ctx_user(const asq_ctx *ctx); /* asq_class.user */
/* Makes a proxy for the agent itself, to be put into values. The caller frees it. */
ASQ_API int asq_ctx_self(asq_ctx *ctx, asq_agent **ret);

/* ------------------------------------------------------------------------------------------------
 * Workers: as-worker as a library call
 */
typedef struct asq_worker_options {
    size_t size; /* sizeof: set by ASQ_WORKER_OPTIONS_INIT */
    /* as asq_open, without local: and child:; NULL: ASQUEUE_URL, else redis://127.0.0.1:6379 */
    const char *url;
    const char *ns;        /* namespace; NULL: the URL's, else "default" */
    const char *id;        /* NULL: host name and a random part */
    const char *agent_dir; /* plugins; NULL: none */
    const char *model_config_path;
    uint32_t partitions;        /* of a namespace that is created now; 0: 128 */
    uint32_t capacity;          /* threads of each process; 0: 32 */
    uint32_t processes;         /* 0: 1 */
    uint32_t max_expire_time_s; /* result TTL in seconds; 0: 7200 */
    size_t max_message_size;    /* 0: ASQ_MAX_MESSAGE_SIZE */
    size_t stack_size;          /* of fibers; 0: 256 KiB */
    int64_t lease_time_ms;      /* 0: 10000 */
    int64_t drain_timeout_ms;   /* 0: 30000 */
    /* of calls that kill their process; 0: 3. See as-worker(1) for 1 */
    uint32_t max_attempts;
    bool no_local_mode;      /* allow a remote Redis without password and TLS */
    asq_log_level log_level; /* higher levels are not logged */
    asq_log_fn log;          /* NULL: no log */
    void *log_user;
    /* bytes of waiting calls in a process's memory; further calls stay in Redis until there is
     * room. 0: 256 MiB */
    size_t max_backlog_size;
    /* waiting calls of one partition; further calls end in ASQ_EBUSY at once, unless a method
     * made them. 0: 1,000,000 */
    uint32_t max_waiting;
    /* bytes of agents, with encoded states, in a process's memory; beyond, idle agents are
     * evicted, and read from Redis when called. 0: 1 GiB */
    size_t max_agent_memory;
    int64_t agent_idle_time_ms; /* agents idle for longer are evicted as well; 0: 600000 */
    uint32_t max_dead_letters;  /* of one partition; beyond, the oldest are dropped. 0: 10000 */
    /* wait for all children, also orphans that process 1 inherits; only if the program has no
     * children of its own */
    bool reap_orphans;
    /* SIGHUP, in the process that called asq_worker_run; or NULL */
    void (*log_reopen)(void *log_user);
    /* bytes in Redis of the dead letters of one partition; beyond, the oldest are dropped, except
     * for a single one. 0: 32 MiB */
    size_t max_dead_letters_size;
    /* Reads the password into `password`, of `size` bytes with its NUL: at once for a URL without
     * one, and again, in any process and thread, when Redis has refused the one before. 0, or a
     * code with a text in err. NULL: the URL's password stays. */
    int (*read_password)(void *log_user, char *password, size_t size, char *err, size_t errlen);
} asq_worker_options;
#define ASQ_WORKER_OPTIONS_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(asq_worker_options), .log_level = ASQ_LOG_INFO                              \
    }

/* Checks the options and loads the plugins. On failure err gets a text. */
ASQ_API int asq_worker_new(const asq_worker_options *options, asq_worker **ret, char *err,
                           size_t errlen);
/* Registers a class; before asq_worker_run. The table must stay valid. err as above. */
ASQ_API int asq_worker_register(asq_worker *w, const asq_class *cls);
/* Connects (retrying with backoff until Redis is there), and runs agents until stopped.
 * Forks `processes` worker processes and supervises them. SIGTERM and SIGINT stop them in order, a
 * second one sooner. Some seconds after drain_timeout_ms SIGKILL ends them in any case. Unless
 * the program has its own handlers, SIGQUIT ends all at once, SIGUSR1 logs the state, SIGHUP calls
 * log_reopen, SIGXCPU stops in order, and other signals that would end the process (SIGUSR2,
 * SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, real-time ones) are ignored with a line in the log.
 * SIGPIPE and SIGXFSZ are blocked meanwhile on this thread. Call it from the main thread,
 * before other threads are started. Returns 0 after an orderly stop. */
ASQ_API int asq_worker_run(asq_worker *w);
/* Asks asq_worker_run for an orderly stop. Any thread; may be called from a signal handler. */
ASQ_API void asq_worker_stop(asq_worker *w);
ASQ_API const char *asq_worker_errmsg(const asq_worker *w);
ASQ_API void asq_worker_free(asq_worker *w);

/* ------------------------------------------------------------------------------------------------
 * Administration of a deployment (as shown by as-ctl). Not inside methods. The caller owns *ret.
 * Each of these functions waits for Redis for the handle's timeout (asq_set_timeout) in total, then
 * fails with ASQ_ETIMEOUT.
 */

/* Makes a round trip to Redis; *ret_ms (may be NULL) gets its time. */
ASQ_API int asq_ping(asq *h, double *ret_ms);
/* Lists the workers: a map for each, with the fields of its hash (id, host, pid, version, capacity,
 * partitions, classes, counters, calls that are parked, bytes of stack in the deepest use seen
 * as "stack_used"), and "alive": whether its last heartbeat is within its lease time. */
ASQ_API int asq_workers(asq *h, asq_value **ret);
/* Describes classes in a map: class name -> {doc, methods: [{name, params, flags, doc}],
 * attributes: […], workers: n}. */
ASQ_API int asq_classes(asq *h, asq_value **ret);
/* Lists agents as maps {id, class, partition}; class_name NULL: all. Takes some 500 bytes of memory
 * for each; here the handle's timeout applies to each page of Redis. */
ASQ_API int asq_agents(asq *h, const char *class_name, asq_value **ret);
/* Calls fn for each agent, with a map as of asq_agents (borrowed for the call), in memory that
 * does not grow with their number. An agent that is created or deleted meanwhile may be missed, and
 * an agent may come twice. A return value of fn other than 0 ends the function, which returns it.
 * fn must not use the handle. timeout_ms is for all agents; each page also has the handle's
 * timeout. ASQ_ETIMEOUT, ASQ_EREDIS. */
ASQ_API int asq_agents_each(asq *h, const char *class_name, int64_t timeout_ms,
                            int (*fn)(const asq_value *agent, void *user), void *user);
/* Shows an agent's snapshot: {id, class, version, partition, owner, args, state, state_bytes}.
 * ASQ_ENOAGENT. */
ASQ_API int asq_show(asq *h, const char *id, asq_value **ret);
/* Asks a worker (by its id, or that of one of its processes) to drain, hand over and end. The text
 * of ASQ_ENOENT lists the workers. */
ASQ_API int asq_stop_worker(asq *h, const char *worker_id);

/* Lists dead letters. A dead letter is a call that was given up because processes died of it
 * repeatedly, or because it could not be decoded. Its id is "PARTITION-MS-N". It stays until it is
 * resent or dropped. Errors of all functions for dead letters: ASQ_EINVAL (not a possible id),
 * ASQ_ENOENT (no such letter).
 *
 * The list has the letters of all partitions, oldest first; with a limit above 0 only the newest.
 * Each is a map with id, time_ms (when the call was given up, Unix time by Redis's clock), call
 * ("agent.method"), call_id, reason, attempts (processes that died of it), worker (that gave it up)
 * and batch_bytes. */
ASQ_API int asq_dead_list(asq *h, size_t limit, asq_value **ret);
/* Shows a letter: the same fields, and "jobs", a list of its jobs: {kind, class, agent, method,
 * args, …}. For an undecodable letter: "error" and "batch_head", its first bytes in hexadecimal;
 * for undecodable arguments: args_error, args_bytes and args_head of their job. */
ASQ_API int asq_dead_show(asq *h, const char *id, asq_value **ret);
/* Resends a letter's call as a new call without a caller: its attempts count from 0, its deadline
 * begins again, a delay is dropped. The letter is removed in the same step, so that the call is
 * neither lost nor made twice. *ret_call_ids (may be NULL) gets a list of the new call ids, for
 * asq_result_attach. Errors: ASQ_EPROTO (undecodable; the letter stays), ASQ_EREDIS (the letter
 * stays), ASQ_EUNKNOWN (the connection was lost at that moment). */
ASQ_API int asq_dead_retry(asq *h, const char *id, asq_value **ret_call_ids);
ASQ_API int asq_dead_drop(asq *h, const char *id);

#ifdef __cplusplus
}
#endif
#endif
