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
 *   asq_last_error(). `ret…` arguments are written on success only. Every function that makes
 *   something can fail with ASQ_ENOMEM.
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
 * - Times are in milliseconds. ASQ_FOREVER waits without end. A timeout of 0 processes what has
 *   arrived, and does not wait.
 * - The same functions work in a program and inside a method (on asq_ctx_handle()); inside a method
 *   every wait parks the call and lets others run.
 * - Every function that waits can also fail with ASQ_ECLOSED (a callback has closed the handle) and
 *   ASQ_ESTATE (a callback of an attached loop waits; in local mode, a wait that would never end);
 *   inside a method with ASQ_ECANCELED and ASQ_EDEADLINE (the method's own call was cancelled, or
 *   its deadline has passed).
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

/* Limits. The first is a default that can be changed. Beyond a limit functions fail with
 * ASQ_ELIMIT; an id or a name that is too long is an invalid one, ASQ_EINVAL. */
#define ASQ_MAX_MESSAGE_SIZE ((size_t) 32 * 1024 * 1024) /* bytes of one encoded call or result */
#define ASQ_MAX_DEPTH        64                          /* nesting of lists and maps */
#define ASQ_MAX_FUTURES      100000                      /* results awaited by one call */
#define ASQ_MAX_ID           255                         /* bytes of an agent id or a worker id */
#define ASQ_MAX_NAME         127 /* bytes of a class, method or attribute name */
#define ASQ_MAX_POOL         63  /* bytes of the name of a pool */

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
    X(ASQ_EFAILED, -49, "the method failed")                                                       \
    X(ASQ_EDIVERGED, -50, "the method has taken another path than in its earlier run")             \
    X(ASQ_EREJECTED, -51, "the promise was rejected")                                              \
    X(ASQ_EUNLOADED, -52, "the run ends here, and the call runs again when its time has come")

#define ASQ_ERROR_ENUM(name, number, text) name = number,
enum { ASQ_OK = 0, ASQ_ERRORS(ASQ_ERROR_ENUM) ASQ_E_LAST = -1000 };
#undef ASQ_ERROR_ENUM
#define ASQ_EUSER(n) (-1000 - (n))

/* Returns the text of a code, such as "out of memory". Never NULL; constant. Any thread. */
ASQ_API const char *asq_strerror(int code);
/* Returns the name of a code, such as "ASQ_ENOMEM"; NULL if the list does not have the number.
 * Constant. Any thread. */
ASQ_API const char *asq_error_name(int code);
/* Returns the number of a name of the list; 0 if the list does not have it. Any thread. */
ASQ_API int asq_error_number(const char *name);

/* A failure in full. Strings are never NULL; they are empty where they do not apply. */
typedef struct asq_error {
    int code;               /* ASQ_E… or an application's code */
    const char *message;    /* the failure, its place, and what to do */
    const char *class_name; /* of the agent whose method failed */
    /* name of the method that failed; else "create", "delete", "describe" (asq_clone, asq_to_dist),
     * ".name" of an attribute, or "" (asq_ready) */
    const char *method;
    const char *agent_id;
    const char *worker; /* id of the worker process in which the call failed */
    const char *call_id;
} asq_error;

/* ------------------------------------------------------------------------------------------------
 * Values
 *
 * A value is a tree with one owner: containers own their items, and freeing the root frees the
 * whole tree. Maps keep the order of insertion; keys are unique strings without NUL. Values need
 * no handle.
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

/* Make values. NULL if memory is short or an argument is invalid (NULL, text that is not UTF-8).
 * `n` counts bytes; the data is copied. The caller owns the new value. */
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
/* Frees a value with everything in it. A value inside of a list or map is freed with its container,
 * and must not be passed here. */
ASQ_API void asq_value_free(asq_value *v);
/* Makes a deep copy, owned by the caller; NULL if memory is short (or v is NULL). */
ASQ_API asq_value *asq_value_copy(const asq_value *v);
/* Compare values, in a total order: <0, 0, >0. Types order as in asq_type, except that an int and a
 * double compare by number first; NaN equals NaN and comes last; maps compare by sorted keys. */
ASQ_API int asq_value_compare(const asq_value *a, const asq_value *b);
ASQ_API bool asq_value_equal(const asq_value *a, const asq_value *b);
/* Returns the size in bytes of v when encoded for the wire; ASQ_ELIMIT (negative) if v is nested
 * too deep. */
ASQ_API int64_t asq_value_encoded_size(const asq_value *v);

/* Get typed contents: ASQ_ETYPE if v (which may be NULL) has another type. get_double also takes an
 * int. Strings, bytes and ids are borrowed from v. *ret_n counts bytes, without the NUL that ends a
 * string; ret_n, ret_id and ret_class may be NULL. The class is "" if it is unknown. */
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
 * constructor can be nested); except an item that belongs to a list or map already, which is
 * refused and stays there. size is 0 if `list` is no list. get and at return a borrowed value; NULL
 * beyond the end, or if not a list. set and remove free the item that was at i.
 * Errors: ASQ_EINVAL (NULL, or an item that belongs to a container), ASQ_ETYPE (not a list),
 * ASQ_ENOENT (nothing at i), ASQ_ELIMIT (nested deeper than ASQ_MAX_DEPTH), ASQ_ENOMEM. */
ASQ_API size_t asq_list_size(const asq_value *list);
ASQ_API const asq_value *asq_list_get(const asq_value *list, size_t i);
ASQ_API asq_value *asq_list_at(asq_value *list, size_t i); /* the same, to be changed in place */
ASQ_API int asq_list_append(asq_value *list, asq_value *item);
ASQ_API int asq_list_set(asq_value *list, size_t i, asq_value *item);
ASQ_API int asq_list_remove(asq_value *list, size_t i);

/* Maps. set copies the key, takes the item as lists do, and puts it behind the other pairs; or in
 * place of the key's value, which it frees. at returns the value of the i-th pair, borrowed, and
 * its key (ret_key may be NULL), in the order of insertion. get, find and at: NULL if there is
 * none, or if `map` is no map; size is 0 then. remove frees the value. Errors: as of lists;
 * ASQ_EINVAL also for a key that is not UTF-8, ASQ_ENOENT for a key that is not there. */
ASQ_API size_t asq_map_size(const asq_value *map);
ASQ_API const asq_value *asq_map_get(const asq_value *map, const char *key);
ASQ_API asq_value *asq_map_find(asq_value *map, const char *key); /* the same, to be changed */
ASQ_API const asq_value *asq_map_at(const asq_value *map, size_t i, const char **ret_key);
ASQ_API int asq_map_set(asq_value *map, const char *key, asq_value *item);
ASQ_API int asq_map_remove(asq_value *map, const char *key);
/* Get what a map has at a key, and set an int, as a shorthand for state and for what functions tell
 * of a deployment. Where the key is missing, or its value is of another type: 0, "" (which is not
 * the map's) and false. The text belongs to the map, and ends with '\0'. asq_map_set_int replaces a
 * value of any type; errors as of asq_map_set. */
ASQ_API int64_t asq_map_int(const asq_value *map, const char *key);
ASQ_API const char *asq_map_string(const asq_value *map, const char *key);
ASQ_API bool asq_map_bool(const asq_value *map, const char *key);
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
 * Spaces, commas and colons are skipped. Strings and bytes are copied. The caller owns the new
 * value. NULL if the format is wrong, an argument is invalid or memory is short; values given with
 * `o` are then freed. asq_vpack reports the reason: ASQ_EINVAL, ASQ_ELIMIT (nested too deep) or
 * ASQ_ENOMEM, and up to errlen bytes of text in err (which may be NULL).
 */
ASQ_API asq_value *asq_pack(const char *fmt, ...);
ASQ_API int asq_vpack(asq_value **ret, char *err, size_t errlen, const char *fmt, va_list ap);

/*
 * Reads a value by a format with the same letters, into pointers (bool *, int *, int64_t *,
 * double *, const char **, size_t *, const asq_value **). Strings and values are borrowed from v.
 * In a map, keys that the format does not name are ignored, and `s?:i` is optional; in a list, `|`
 * starts the optional part, and more items than the format has are an error. Missing optional parts
 * leave their variables untouched. Variables are written only if the whole format fits. err (which
 * may be NULL) gets up to errlen bytes of text that names the place: "[1].depth: int expected,
 * string found".
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
 * and a map whose first key begins with "$" as {"$map": {…}}. Ints outside of int64, invalid UTF-8,
 * duplicate keys, and nesting beyond ASQ_MAX_DEPTH are errors. asq_to_json writes compact JSON, or
 * indents by `indent` spaces if that is above 0; the caller frees *ret with free(). asq_from_json
 * reads n bytes; err (which may be NULL) gets a text that names line and column. Errors:
 * ASQ_EPARSE, ASQ_ELIMIT (nested too deep), ASQ_EINVAL, ASQ_ENOMEM.
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

/* Receives a log message of the library, borrowed for the call; must not call into the library. A
 * worker calls the function in each of its processes, there from several threads at once. */
typedef void (*asq_log_fn)(void *user, asq_log_level level, const char *message);

typedef struct asq_options {
    size_t size;                /* sizeof(asq_options): set by ASQ_OPTIONS_INIT */
    const char *ns;             /* namespace; NULL: the URL's ?ns=, else "default" */
    uint32_t partitions;        /* of a namespace that is created now; 0: 128, child mode: 32 */
    int64_t timeout_ms;         /* of waits without a timeout of their own; 0: ASQ_FOREVER */
    int64_t connect_timeout_ms; /* of asq_open; 0: 5000 */
    size_t max_message_size;    /* 0: ASQ_MAX_MESSAGE_SIZE */
    uint32_t child_processes;   /* child mode: worker processes; 0: processors, at most 4 */
    uint32_t child_capacity;    /* child mode: threads of each; 0: 32 */
    const char *agent_dir;      /* local and child mode: plugins to load; NULL: none */
    /* local and child mode: the file for asq_ctx_model; refused if other users can read it */
    const char *model_config_path;
    asq_log_fn log; /* NULL: no log */
    void *log_user; /* passed to log */
    /* wait of asq_close until Redis has accepted all calls; 0: 5000; negative: no wait */
    int64_t close_timeout_ms;
    /* N replicas of Redis have to have a call before it counts as accepted (asq_flush), and a
     * result before this handle takes it from Redis. At most 100; 0: none. Workers need
     * asq_worker_options.wait_replicas as well: they push results. Ignored in local and child
     * mode. */
    uint32_t wait_replicas;
    int64_t wait_timeout_ms; /* of one WAIT, which is repeated; 10 to 10000; 0: 250 */
    /* URL of a collector that takes OTLP over HTTP (JSON), http[s]://HOST:PORT[/v1/traces]; each
     * traced call is exported there when its result comes, as a span of kind CLIENT, in local and
     * child mode also the runs of calls, as by as-worker(1). A thread of the library sends them;
     * asq_close gives it a second for the last ones, and waits at most two more until it has ended.
     * NULL: none */
    const char *traces;
    double trace_rate;         /* share, 0 to 1, of the calls without a trace that begin one */
    const char *trace_service; /* service.name; NULL: OTEL_SERVICE_NAME, else the program's name */
} asq_options;
#define ASQ_OPTIONS_INIT                                                                           \
    {                                                                                              \
        sizeof(asq_options), NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0,     \
            NULL                                                                                   \
    }

/*
 * Opens a deployment. url:
 *     local:                                    agents live in this process, calls run inline
 *     child:[?processes=N&capacity=N]           a private Redis and worker processes, for this
 *                                               program alone; they end with it
 *     redis://[[user]:password@]host[:port][/db][?ns=N]     workers were started elsewhere
 *     rediss://…[?cacert=F&cert=F&key=F&sni=NAME&verify=full|ca|no]   the same over TLS
 *     redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/MASTER[/db][?ns=N]
 *                                               the same; the hosts are Sentinels, see below
 *     rediss+sentinel://…                       the same over TLS, to Sentinels and master
 *     redis+cluster://[[user]:password@]host[:port][,host[:port]…][?ns=N&nat=A:P=B:Q,…]
 *                                               the same; the hosts are nodes of a Redis Cluster
 *                                               (redis:// of one node leads there as well)
 *     rediss+cluster://…                        the same over TLS, to all nodes
 *     unix:/path[?db=D&ns=N&user=U&password=P]  the same over a Unix socket
 *     NULL                                      ASQUEUE_URL from the environment, else child:
 *
 * In a URL, bytes of a user, password, path or namespace may be written as %XX, and must be if they
 * would end that part. A user without a password (user:@host, ?user=U) is logged in with an empty
 * one. A host is an address or a name in ASCII letters, digits, '.', '-' and '_' (other scripts:
 * its xn-- form).
 *
 * options may be NULL. On failure err (which may be NULL) gets up to errlen bytes of text. The
 * caller ends *ret with asq_close. ASQUEUE_URL is ignored in a program with the rights of another
 * user (setuid).
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
 * Sentinels (port 26379 by default) tell which host is the master, that they call MASTER. They are
 * asked at each connection, one after the other, beginning with the one that has answered last; so
 * are those that they name. When one of them announces another master (+switch-master), the old one
 * is left at once, even if it still answers. While none answers, work goes on with the master that
 * there is, and a warning says so once a minute. User and password are the master's;
 * sentinel-user=U and sentinel-password=P, or sentinel-password-file=F, whose first line is read at
 * each connection, are the Sentinels'. Certificates have to be for the hosts as the URL and the
 * Sentinels call them. What a failover loses of Redis, it loses together: calls and their effects.
 * Calls whose result was not there yet are sent again and keep their order.
 *
 * Cluster (of Redis 7.0 or newer): the hosts are asked, until one answers, for all nodes, and each
 * node is connected to as it announces itself (cluster-preferred-endpoint-type): by its name or its
 * address, for which its certificate has to be, or at the host that was asked, if it announces
 * neither. User and password are those of every node. nat=A:P=B:Q[,…] says that what is announced
 * as host A and port P is reached at B and Q; its certificate may be for A or B. A node that cannot
 * be reached, or is refused, is named by the error or the log, with what to do.
 *
 * After a fork the child may only close the handle. If Redis denies its user a command, asq_open or
 * the call ends in ASQ_EREDIS, whose text names the command. For a dispensable one, such as EVAL, a
 * warning names the consequences once. `as-ctl acl client` prints the commands that a client needs.
 *
 * Errors: ASQ_EINVAL (the URL, or an option), ASQ_ECONN, ASQ_EAUTH, ASQ_EVERSION (Redis too old, a
 * namespace of another format, or options of another version), ASQ_ENOSERVER, ASQ_ENOTSUP (no TLS
 * in this build), ASQ_EPLUGIN, ASQ_EREDIS, ASQ_ESYS.
 */
ASQ_API int asq_open(const char *url, const asq_options *options, asq **ret, char *err,
                     size_t errlen);

/* Closes the handle. Sends all unsent calls, corked or not, and waits until Redis has accepted
 * them, for at most close_timeout_ms, also while Redis is away. Then completes every unfinished
 * result with ASQ_ECLOSED (callbacks run), removes fetched results from Redis, and in child mode
 * ends the private servers. Accepted calls go on (in child mode, they end with the servers).
 *
 * Returns 0 if Redis has accepted all calls; also for NULL, and inside a method, whose handle ends
 * with its call. ASQ_ECONN: it has not; the number of lost calls is logged. Failures of calls
 * without a result that asq_flush would have reported are logged as well, and their code is
 * returned. A program that ends without asq_close, by exit, exec or a signal, loses calls made
 * since its last asq_flush or wait. Agents and results of the handle remain valid only for their
 * _free functions and getters.
 *
 * Inside a callback, asq_close at once ends new calls and waits (ASQ_ECLOSED) and returns 0. The
 * rest follows after the due callbacks of the function that calls back, or of the attached loop;
 * lost calls are then only logged. */
ASQ_API int asq_close(asq *h);

/* Registers a class (below) for local and child mode, before the first agent is used. The table
 * must stay valid until asq_close. In independent mode nothing of it is used but the pool, by which
 * this handle makes ids of agents: a program whose classes have pools registers them there, too, or
 * tables with only a name and a pool, or names the pool in each id. Registering again is no error
 * there.
 * Errors: ASQ_EINVAL (the text names the table's fault), ASQ_EEXIST (a class of this name is
 * registered; independent mode: with another pool), ASQ_EVERSION (the table was built for a newer
 * library), ASQ_ESTATE (child mode: an agent was used already), ASQ_ENOTSUP (inside a method),
 * ASQ_ECLOSED. */
struct asq_class;
ASQ_API int asq_register(asq *h, const struct asq_class *cls);

/* Returns the URL by which other handles and tools reach the same deployment, with its password; in
 * child mode that of the private Redis. Borrowed from h. */
ASQ_API const char *asq_url(const asq *h);
/* Returns the namespace. Borrowed from h. */
ASQ_API const char *asq_namespace(const asq *h);

/* Return the handle's last failure, and its text alone. A success leaves them as they are. Borrowed
 * until the next call on the handle. Never NULL; code 0 and "" before the first failure. */
ASQ_API const asq_error *asq_last_error(const asq *h);
ASQ_API const char *asq_errmsg(const asq *h);

/* Sets the timeout of waits without one of their own; initially asq_options.timeout_ms. */
ASQ_API void asq_set_timeout(asq *h, int64_t timeout_ms);

/* Sets the deadline of later calls without one of their own (see asq_call_options), in ms from
 * each call; 0, the initial value: none. Creations and attributes count as calls. ASQ_EINVAL if
 * negative. */
ASQ_API int asq_set_deadline(asq *h, int64_t deadline_ms);

/* A place in a trace, by the texts of W3C Trace Context: who called, and in which trace. It travels
 * with a call, delayed or not, into all of its runs and into the calls that its method makes. */
typedef struct asq_trace {
    const char *parent; /* traceparent, "00-TRACE-SPAN-FLAGS": 55 lower-case characters */
    const char *state;  /* tracestate, at most 512 bytes; NULL or "": none */
} asq_trace;
/* Sets the trace of later calls without one of their own (see asq_call_options), which is copied.
 * Creations and attributes count as calls. NULL, the initial value: none, in a method that of its
 * own call. Errors: ASQ_EINVAL (malformed; the trace stays as it was), ASQ_ENOMEM. */
ASQ_API int asq_set_trace(asq *h, const asq_trace *trace);

/* Sets how long asq_call_wait retries a call that finds no room (ASQ_EBUSY: Redis has no memory,
 * the partition is full); ASQ_FOREVER; 0, the initial value: fails at once, as the other functions
 * always do. Calls of methods always wait for room. ASQ_EINVAL if negative. */
ASQ_API int asq_set_busy_wait(asq *h, int64_t timeout_ms);

/* Collect calls between cork and uncork, which are sent in batches of up to 64 calls or 64 KiB for
 * each partition. May be nested. A wait sends the calls that it waits for. Data beyond the socket's
 * buffer (some hundred KiB) is sent while the handle waits or is polled, for certain by
 * asq_flush. Errors of asq_uncork: ASQ_ESTATE (not corked), ASQ_ECLOSED. */
ASQ_API void asq_cork(asq *h);
ASQ_API int asq_uncork(asq *h);

/* Waits until Redis has accepted all calls. Then reports, once, the failures since the last flush
 * of calls whose outcome nobody reads: calls without a result, and calls and creations whose result
 * or agent was freed before (see asq_result_free, asq_agent_free). The text has their number and
 * the first failure; refused calls come first, failed ones by the next asq_flush. A full partition
 * (see max_waiting) refuses calls after Redis has accepted them, and methods run later: the next
 * flush reports later failures. Errors: ASQ_ETIMEOUT, ASQ_ECLOSED; of calls without a result:
 * ASQ_EBUSY (no memory in Redis, or no room in the partition), ASQ_EREDIS, ASQ_EUNKNOWN, and every
 * code of a failed method (ASQ_ENOMETHOD, …). */
ASQ_API int asq_flush(asq *h, int64_t timeout_ms);

/* Processes arrived results, waiting up to timeout_ms for one; runs callbacks. Returns the
 * number of completed results (0: none has come in time), or a code. */
ASQ_API int asq_poll(asq *h, int64_t timeout_ms);

/* Sleeps for ms milliseconds, processing arriving results. Inside a method, parks the call. Errors:
 * those of every wait. */
ASQ_API int asq_sleep(asq *h, int64_t ms);

/* Make a libev loop of the program drive the handle: results are completed and callbacks run from
 * the loop, and waits from inside a callback are refused with ASQ_ESTATE. The loop is borrowed,
 * must run on the handle's thread, and must outlive the attachment, which detach (or close) ends.
 * Errors: ASQ_ESTATE (attached already; detach: not attached), ASQ_ECLOSED, ASQ_ENOTSUP (inside a
 * method). In local mode both succeed without effect. */
ASQ_API int asq_attach_ev(asq *h, struct ev_loop *loop);
ASQ_API int asq_detach_ev(asq *h);

/* ------------------------------------------------------------------------------------------------
 * Agents, for their callers
 *
 * An asq_agent is a proxy. Freeing it leaves the agent alone; asq_delete ends the agent.
 * An agent id is 1 to ASQ_MAX_ID bytes of printable UTF-8 without spaces or control characters.
 * If a part is in braces, only that part determines the partition: agents with the same {tag} live
 * together. What stands before a '/' names a pool, if it is 1 to ASQ_MAX_POOL letters, digits, '_'
 * and '-' and begins with a letter: "gpu/bert-1" belongs to pool gpu, whose agents run on workers
 * that serve it (as-worker --pool gpu). A pool is made when a worker with it starts, or with the
 * first call to an agent in it, which then waits for such a worker. That first call of a handle to
 * a pool waits for an answer of Redis, up to the handle's timeout. A pool has partitions of its
 * own, as many as the namespace, whose number never changes, and a namespace has at most 16,384 in
 * all: many ids with something else than a pool before a '/' end in ASQ_ELIMIT. Local mode has no
 * pools: there the '/' has no meaning.
 * An id without a pool's name gets that of the class (asq_class.pool) where an agent is created, if
 * the handle has the class: inside a method, if the worker has it; in independent mode, if the
 * program has registered it. Redis is not asked. Every other function takes the whole id, which
 * asq_agent_id returns.
 * The caller owns the proxy that a function returns in *ret, and frees it with
 * asq_agent_free.
 */

/* Creates an agent of `class_name` and returns at once; calls may follow immediately, and so may
 * calls of other agents that get this one as an argument: in a Cluster, whose nodes keep no order
 * among each other, such a call waits for Redis to answer the creation, up to a second. Whoever
 * passes the id as a text waits for asq_ready first. id NULL: a random one. fmt (asq_pack; NULL:
 * none) builds the creation arguments: a list, or a map of named ones. asq_ready or the first call
 * reports a failed creation, in every mode: an unknown class (ASQ_ENOCLASS; where workers were
 * started elsewhere, the creation waits for one that has the class, up to its deadline, unless they
 * were told otherwise: as-worker --no-class), an id that is in use (ASQ_EEXIST), or the class's own
 * code.
 * Errors: ASQ_EINVAL, ASQ_ENOMEM, ASQ_ELIMIT, ASQ_EBUSY (more than 1 GiB of calls is under way),
 * ASQ_ECLOSED; in local and child mode ASQ_ENOCLASS if no class at all is registered, here and in
 * every call. While Redis is away calls are kept, and sent when it is back. */
ASQ_API int asq_create(asq *h, const char *class_name, const char *id, asq_agent **ret,
                       const char *fmt, ...);
/* Creates an agent like asq_create, with arguments as a value (taken; NULL: none). */
ASQ_API int asq_createv(asq *h, const char *class_name, const char *id, asq_value *args,
                        asq_agent **ret);
/* Creates an agent, or uses an existing one with this id as it is. args (taken; NULL: none) are for
 * a new agent only. An existing agent of another class is a failed creation, ASQ_EEXIST. */
ASQ_API int asq_get_or_create(asq *h, const char *class_name, const char *id, asq_value *args,
                              asq_agent **ret);
/* Creates n agents with packed calls. `ids` has n ids, of which each may be NULL, or is NULL; args
 * (taken; NULL: none) is used for each agent; `ret` has room for n proxies. On failure none of ret
 * is written. Errors as of asq_create. */
ASQ_API int asq_create_many(asq *h, const char *class_name, size_t n, const char *const *ids,
                            asq_value *args, asq_agent **ret);
/* How an agent begins and ends. Times are by the clock of Redis, in local mode by that of the
 * machine. */
typedef struct asq_create_options {
    size_t size;    /* sizeof(asq_create_options): set by ASQ_CREATE_OPTIONS_INIT */
    const char *id; /* NULL: a random one */
    bool or_get;    /* an existing agent with this id is used as it is; see asq_get_or_create */
    /* The agent ends when it had no call for so long since the last one ended, or since its
     * creation: never sooner, and about an eighth later at most. 1000 and more; 0: never. */
    int64_t ttl_ms;
    int64_t expires_ms; /* Unix time in ms at which the agent ends, used or not; 0: never */
    bool with_handle;   /* the agent ends with the handle h that has made it, used or not */
    /* Where the agent is put if its id names no pool; NULL: in that of its class */
    const char *pool;
} asq_create_options;
#define ASQ_CREATE_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(asq_create_options), NULL, false, 0, 0, false, NULL                                 \
    }
/*
 * Creates an agent like asq_createv. options may be NULL.
 *
 * An agent that expires is deleted as by asq_delete, with its timers and its state, by the worker
 * that owns it; if no worker runs, when one comes. Its end is one of its calls: those that were
 * made before it run first, later ones end in ASQ_ENOAGENT. An agent with ttl_ms does not expire
 * while a call of it runs, sleeps, waits for its turn, or will be run again; a call with a delay
 * counts when its delay is over. Each call counts as use, attributes and asq_ready included;
 * asq_show and signals do not. A call that sleeps for a day is use for a day: ttl_ms counts from
 * its end. In local mode agents expire when the program calls a method or waits in a function of
 * the library.
 *
 * with_handle: the agent ends within some seconds after asq_close (within a minute where there are
 * tens of thousands of such agents), and within a minute when the program has ended without it, or
 * was stopped or cut off from Redis for longer than 30 s. A program that reaches Redis again before
 * that loses nothing, nor does one whose Redis is restarted, or replaced in a failover. For this
 * the handle writes a key to Redis every 5 s, from the first such agent on, on a thread and a
 * connection of its own, whatever the program does meanwhile. A forked program that closes its copy
 * of the handle ends nothing, nor does asq_agent_free. With or_get an existing agent keeps the end
 * that it has. In a method it is ASQ_EINVAL. In local mode all agents end with their handle.
 *
 * Errors as of asq_createv, ASQ_EINVAL also for a bad pool, and for a ttl_ms or expires_ms out of
 * range; for with_handle also ASQ_EREDIS (Redis refuses the key to this user) and ASQ_ESYS (no
 * thread can be started). The creation fails with ASQ_ENOTSUP if sorted sets are denied to the
 * worker.
 */
ASQ_API int asq_create_with(asq *h, const char *class_name, const asq_create_options *options,
                            asq_value *args, asq_agent **ret);
/* Makes a proxy for an existing agent, without asking Redis. ASQ_EINVAL: the id. */
ASQ_API int asq_attach(asq *h, const char *id, asq_agent **ret);
/* Makes a proxy for the agent to which v refers, without asking Redis. ASQ_ETYPE: v is no agent. */
ASQ_API int asq_attach_value(asq *h, const asq_value *v, asq_agent **ret);
/* Waits until the creation through this proxy has succeeded; for an attached proxy, asks whether
 * the agent exists. Errors: the creation's, ASQ_ENOAGENT, ASQ_ETIMEOUT. */
ASQ_API int asq_ready(asq_agent *agent, int64_t timeout_ms);
/* Returns the agent's id; borrowed from the proxy. */
ASQ_API const char *asq_agent_id(const asq_agent *agent);
/* Returns the name of the agent's class, borrowed from the proxy; "" if it is unknown: that of an
 * attached proxy is, until asq_ready. */
ASQ_API const char *asq_agent_class(const asq_agent *agent);
/* Returns the handle from which the proxy was made. */
ASQ_API asq *asq_agent_handle(const asq_agent *agent);
/* Frees the proxy; the agent lives on. If asq_ready was not called, a failed creation is logged,
 * and reported by asq_flush. */
ASQ_API void asq_agent_free(asq_agent *agent);

/* Deletes the agent after its earlier calls; later calls end in ASQ_ENOAGENT. Waits for the
 * outcome. Errors: those of a call, ASQ_ENOAGENT, ASQ_ETIMEOUT (the deletion goes on). */
ASQ_API int asq_delete(asq_agent *agent, int64_t timeout_ms);
/* The same, but returns at once: the result, which the caller owns, has the outcome. */
ASQ_API int asq_delete_async(asq_agent *agent, asq_result **ret);
/* Creates an agent with the class and the creation arguments of this one (not its state). id NULL:
 * a random one; an id that names no pool gets that of this agent's, or else that of the class.
 * Waits until the arguments are known, at most for the handle's timeout, but not for the new
 * creation. Errors: those of asq_create, ASQ_ENOAGENT, ASQ_ETIMEOUT. */
ASQ_API int asq_clone(asq_agent *agent, const char *id, asq_agent **ret);
/* Creates an agent on a distributed handle like one of a local: handle, with its class, id and
 * creation arguments. The local agent is unchanged, and its state is not copied. Errors as of
 * asq_clone, in full in asq_last_error(h). */
ASQ_API int asq_to_dist(asq_agent *local, asq *h, asq_agent **ret);

/* Read and write attributes. The caller owns *ret; `value` is taken. asq_get and asq_set wait, for
 * at most the handle's timeout; the _async forms return a result at once. They count as calls, and
 * wait for their turn like any; reading one that is ASQ_LIVE does not (asq_ctx_publish). Errors:
 * those of calls, ASQ_ENOATTR, ASQ_EPRIVATE (a name with a leading '_', or an attribute that is
 * set and not ASQ_WRITABLE), ASQ_ENOTSUP (set: the class keeps a struct and has no function for
 * it). */
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

/* A policy for a call whose method fails: the worker that owns the agent runs the method again. The
 * calls that the failed run has made remain; the agent's state is put back to what it was before
 * the run. asq_ctx_attempt returns the number of the run. */
typedef struct asq_retry {
    size_t size;       /* set by ASQ_RETRY_INIT */
    uint32_t attempts; /* maximum number of runs, the first included */
    /* delay before the second run; doubles for each further one. The actual delay is random between
     * half of that and all of it, and at least a quarter of a ms for each failed run, up to a
     * second */
    int64_t delay_ms;
    int64_t max_delay_ms; /* 0: one minute */
    /* codes of the failures to retry, at most 64, ended by 0; NULL: every failure of the method's
     * own function, except those that another run cannot change (ASQ_EARGS, ASQ_ECANCELED, …) */
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
    bool no_result; /* the value is not wanted: a result of the call gets null, or the failure */
    /* time from now before which the call is not started; later calls go ahead. Setting the
     * clock of Redis does not change it. In local mode the caller waits. A call with an earlier
     * deadline fails with ASQ_EDEADLINE. 0: none */
    int64_t delay_ms;
    const asq_retry *retry; /* NULL: the method's policy, if any; borrowed for the call */
    /* the trace that the call belongs to; NULL: that of asq_set_trace, in a method that of its own
     * call; borrowed for the call. ASQ_EINVAL if its texts are malformed */
    const asq_trace *trace;
} asq_call_options;
#define ASQ_CALL_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(asq_call_options), 0, false, 0, NULL, NULL                                          \
    }

/* Calls a method and returns at once; the call is under way. ret may be NULL: a call without a
 * result, like asq_send. The caller owns *ret.
 * Errors: ASQ_EINVAL, ASQ_ENOMEM, ASQ_ELIMIT, ASQ_EBUSY (more than 1 GiB of calls is under way),
 * ASQ_ECLOSED; of a call without a result also ASQ_EINPUT (a result among the arguments has failed
 * already). The result has the outcome of the call itself. While Redis is away calls are kept, and
 * sent when it is back. */
ASQ_API int asq_call(asq_agent *agent, const char *method, asq_result **ret, const char *fmt, ...);
/* Calls a method and waits for its value, at most for the handle's timeout. ret may be NULL. The
 * caller owns *ret. If there is no room for the call, fails with ASQ_EBUSY at once, or retries:
 * asq_set_busy_wait. A retry reads strings and bytes among the arguments again, which must not
 * change until the function returns. Errors: those of asq_call and asq_result_wait, the method's in
 * full in asq_last_error(). */
ASQ_API int asq_call_wait(asq_agent *agent, const char *method, asq_value **ret, const char *fmt,
                          ...);
/* Makes a call without a result. The call runs as reliably as any other, unless asq_flush reports
 * that it was refused. Failures are logged by this handle and by the worker: the first of each
 * method and code at once, further ones as a number, once a minute; asq_flush also reports
 * them. Errors as of asq_call. */
ASQ_API int asq_send(asq_agent *agent, const char *method, const char *fmt, ...);
/* Calls a method with arguments as a value (taken; NULL: none) and options (NULL: defaults;
 * borrowed for the call). ret may be NULL. Errors: those of asq_call, ASQ_EDEADLINE (a negative
 * deadline_ms). */
ASQ_API int asq_callv(asq_agent *agent, const char *method, const asq_call_options *options,
                      asq_value *args, asq_result **ret);
/* Makes the same call to n agents of one handle, packed. args (taken; NULL: none) is used for each.
 * ret has room for n results, which the caller owns, or is NULL. On failure none of ret is written.
 * asq_gather handles the results as they come. Errors as of asq_call. */
ASQ_API int asq_broadcast(asq_agent *const *agents, size_t n, const char *method, asq_value *args,
                          asq_result **ret);

/* ------------------------------------------------------------------------------------------------
 * Timers
 *
 * A timer of an agent calls a method of it: at a time, at intervals, or as a cron expression says.
 * Timers are kept in Redis with the agent, and end with it. Each time is fired exactly once,
 * whatever dies, by the worker that owns the agent; the call is one without a result, as of
 * asq_send, so a failure is logged and kept. The clock is that of Redis: times are not late by what
 * earlier calls took, but they move with the clock if somebody sets it. While no worker runs, times
 * are missed; `missed` says what becomes of them. In local mode timers are fired when the program
 * calls a method or waits in a function of the library.
 *
 * Cron expressions are "MINUTE HOUR DAY MONTH WEEKDAY" with lists, ranges, steps and names
 * ("0 9 * * mon-fri"), or @hourly, @daily, @weekly, @monthly, @yearly, in a zone of the system's
 * database. When its clocks change by less than 3 hours, the rule is that of cron(8): an expression
 * with * in minute or hour follows the clock, so it leaves out what is skipped, and is due again
 * in the hour that comes twice. Any other one is due once: a time that is skipped at the moment of
 * the change, one that comes twice the first time.
 */

/* Policy of a timer whose last call has not ended. */
typedef enum asq_overlap {
    ASQ_OVERLAP_QUEUE, /* calls, and the call waits for its turn */
    ASQ_OVERLAP_SKIP,  /* does not call this time */
    ASQ_OVERLAP_CANCEL /* cancels the last call, and calls; of times due together, for the last */
} asq_overlap;

/* Policy for times that have passed when a worker comes. */
typedef enum asq_missed {
    ASQ_MISSED_ONE, /* one call for all of them */
    ASQ_MISSED_ALL, /* a call for each */
    ASQ_MISSED_SKIP /* none for those that are late by more than 10 s */
} asq_missed;

/* When a timer fires: one of every_ms, at_ms, cron. */
typedef struct asq_timer {
    size_t size;      /* set by ASQ_TIMER_INIT */
    int64_t every_ms; /* interval, 100 ms and more; the first time is one interval from now */
    int64_t at_ms;    /* Unix time in ms; the timer is gone when it has fired */
    const char *cron; /* an expression */
    const char *zone; /* of cron, as Europe/Berlin; NULL: UTC */
    asq_overlap overlap;
    asq_missed missed;
} asq_timer;
#define ASQ_TIMER_INIT                                                                             \
    {                                                                                              \
        sizeof(asq_timer), 0, 0, NULL, NULL, ASQ_OVERLAP_QUEUE, ASQ_MISSED_ONE                     \
    }

/* Sets the timer `name` of the agent: at its times it calls the method, with arguments by fmt
 * (asq_pack; NULL: none). A timer of that name is changed in place; one that is set again as it is
 * goes on undisturbed. Waits until it is set, at most for the handle's timeout. Its calls belong to
 * the trace of this one. Errors: those of asq_call_wait, ASQ_EINVAL (the timer makes no sense: the
 * text says why), ASQ_ENOMETHOD, ASQ_EPRIVATE (a private method), ASQ_ELIMIT (more than 64 KiB of
 * arguments), ASQ_ENOTSUP (sorted sets are denied to the worker). */
ASQ_API int asq_schedule(asq_agent *agent, const char *name, const asq_timer *timer,
                         const char *method, const char *fmt, ...);
/* The same with arguments as a value (taken; NULL: none). */
ASQ_API int asq_schedulev(asq_agent *agent, const char *name, const asq_timer *timer,
                          const char *method, asq_value *args);
/* Removes a timer; calls that it has made go on. One that is not there is no error. Errors: those
 * of asq_call_wait. */
ASQ_API int asq_unschedule(asq_agent *agent, const char *name);
/* Lists the timers of an agent; agent_id NULL: of all agents. A list of maps with `agent`, `name`,
 * `method`, `args`, one of `every_ms`, `at_ms`, `cron`, with `zone`, `overlap` and `missed`;
 * `next_ms`, when it is due; `fired`, how many calls it has made, and of the last one, if there is
 * any, its time `last_ms` and its id `last_call`. The caller owns *ret. Errors: ASQ_EREDIS,
 * ASQ_ETIMEOUT, ASQ_ECLOSED, ASQ_ENOTSUP (inside a method). */
ASQ_API int asq_schedules(asq *h, const char *agent_id, asq_value **ret);

/* Size of a place where a page of a list begins, with its NUL. */
#define ASQ_CURSOR_SIZE 48
/* Chooses the timers of a page. Set it up with ASQ_SCHEDULES_OPTIONS_INIT. */
typedef struct asq_schedules_options {
    size_t size;             /* sizeof: set by ASQ_SCHEDULES_OPTIONS_INIT */
    const char *agent_id;    /* NULL: of all agents */
    const char *prefix;      /* beginning of the agents' ids; NULL: any */
    const char *name_prefix; /* beginning of the timers' names; NULL: any */
    const char *from;        /* where the page begins; NULL: with the timer that is due first */
    size_t limit;            /* timers in the page; 0: 100 */
    int64_t timeout_ms;      /* how long to search for them; 0: 1000 */
} asq_schedules_options;
#define ASQ_SCHEDULES_OPTIONS_INIT                                                                 \
    {                                                                                              \
        .size = sizeof(asq_schedules_options)                                                      \
    }
/* Lists a page of timers, those that are due first first, as maps like those of asq_schedules.
 * options NULL: the first 100 of all. ret_next gets the `from` of the next page, "" at the end. A
 * page ends when it has its limit, or after timeout_ms, perhaps without a timer, and takes memory
 * and time for itself alone, however many timers there are. One that fires between two pages may
 * come twice, or be missed. Errors: those of asq_schedules, ASQ_ENOTSUP also in local mode,
 * ASQ_EVERSION (options of another version), ASQ_EINVAL (`from` is no such place, the id). */
ASQ_API int asq_schedules_page(asq *h, const asq_schedules_options *options, asq_value **ret,
                               char ret_next[ASQ_CURSOR_SIZE]);

/* ------------------------------------------------------------------------------------------------
 * Signals
 *
 * A signal tells something to a method that runs: that a person has agreed, that a payment has
 * come, that it is time to stop. The method waits for it by name (asq_ctx_next_signal). Signals are
 * kept in Redis with the agent, in the order in which they came, until a call of the agent hears
 * them, so one may also come first; those left when the agent is deleted are gone with it. Each is
 * heard by one call, exactly once, whatever dies. An agent has at most 10,000 signals that were not
 * heard, of 1 MiB together; the value of one has at most 64 KiB, encoded.
 */

/* Sends a signal to the agent, and waits until it is kept, at most for the handle's timeout. It
 * does not wait for calls of the agent, except its creation, and comes to a call that is running or
 * waits. Signals of one handle to an agent stay in order. value is taken; NULL: null. In a method,
 * sending is a call like any other: a second run does not send again. While the class is paused,
 * and no call of the agent runs, the signal may wait for the end of the pause.
 * Errors: those of asq_call_wait, ASQ_ENOAGENT, ASQ_EBUSY (the agent has as many signals as are
 * kept), ASQ_ELIMIT (a larger value), ASQ_EINVAL (also a value with futures to be awaited). */
ASQ_API int asq_signal(asq_agent *agent, const char *name, asq_value *value);
/* Lists the signals to an agent that were not heard yet, the oldest first: maps with `name`,
 * `value`, and `at_ms`, when it came (Unix time). No agent, no signals. The caller owns *ret.
 * Errors: ASQ_EREDIS, ASQ_EPROTO, ASQ_ETIMEOUT, ASQ_ECLOSED, ASQ_ENOTSUP (inside a method). */
ASQ_API int asq_signals(asq *h, const char *agent_id, asq_value **ret);

/* ------------------------------------------------------------------------------------------------
 * Results
 *
 * Every result is completed exactly once: by a value or by an error.
 */

/* Returns whether the result is completed. Processes what has arrived, which may run callbacks;
 * never waits. */
ASQ_API bool asq_result_done(asq_result *r);
/* Waits for the result. 0: completed with a value. ASQ_ETIMEOUT: not completed yet; wait again.
 * After a wait for results of 100 ms and more, asq_errmsg also says if no worker is alive (unless
 * the URL names a user of Redis: clients' users may not see workers). Any other code is the failure
 * of the call, in full in asq_result_error(), or of the wait. */
ASQ_API int asq_result_wait(asq_result *r, int64_t timeout_ms);
/* Gets the value, borrowed from r; waits for at most the handle's timeout. Errors as of
 * asq_result_wait. */
ASQ_API int asq_result_value(asq_result *r, const asq_value **ret);
/* Takes the value, which the caller then owns; later getters find null. Waits like
 * asq_result_value. */
ASQ_API int asq_result_take(asq_result *r, asq_value **ret);
/* Wait like asq_result_value, and get the value by type. asq_result_field gets the value of a map's
 * key, asq_result_unpack reads like asq_unpack. Strings and values are borrowed from r. Errors:
 * those of asq_result_wait, ASQ_ETYPE (the value has another type), ASQ_ENOENT (no such key),
 * ASQ_ELIMIT (unpack: out of an int's range). */
ASQ_API int asq_result_bool(asq_result *r, bool *ret);
ASQ_API int asq_result_int(asq_result *r, int64_t *ret);
ASQ_API int asq_result_double(asq_result *r, double *ret);
ASQ_API int asq_result_string(asq_result *r, const char **ret);
ASQ_API int asq_result_field(asq_result *r, const char *key, const asq_value **ret);
ASQ_API int asq_result_unpack(asq_result *r, const char *fmt, ...);
/* Returns the failure in full; its code is 0 while unfinished and after success. Borrowed from
 * r. */
ASQ_API const asq_error *asq_result_error(const asq_result *r);

/* Calls fn once, on the handle's thread, when the result is completed: from inside a wait, asq_poll
 * or the attached loop, or at once if it is completed already. fn may call into the library, and
 * may free r. Results of several calls are completed as they arrive, which may differ from the
 * order in which the calls ran, because large ones are read from Redis in pieces. Errors:
 * ASQ_EINVAL, ASQ_ESTATE (the result has a callback or a group). */
typedef void (*asq_result_fn)(asq_result *r, void *user);
ASQ_API int asq_result_then(asq_result *r, asq_result_fn fn, void *user);

/* Values that a call emits while it runs (asq_emit), for whoever waits for it.
 *
 * asq_result_next gets what is next, in order, from the first value on that is kept; also of a call
 * that has ended, and of one attached by its id, in any number of processes. It returns
 *
 * - ASQ_NEXT_VALUE: a value, in *ret, which the caller owns;
 * - ASQ_NEXT_AGAIN: the call runs again, because its worker died, has handed the agent over, or by
 *   a retry policy. What was got before is void, and the next value is the first of the new run.
 *   *ret is NULL. Told when the new run emits, or with the end;
 * - ASQ_NEXT_MISSED: *ret is an int, which the caller owns: so many values that come next are not
 *   kept any more (see below), or, at the end, were never written because Redis refused them;
 * - ASQ_NEXT_END: the call has ended, and all that it has emitted was got. *ret is NULL; the
 *   outcome is there without waiting (asq_result_wait).
 *
 * No value is left out without being told, and none comes twice, whatever becomes of connections.
 * Redis keeps about 1 MiB of the newest values of a call, and only those of its last run; until
 * the result is freed that the call was made with, unless it is kept (asq_result_keep), and else
 * for as long as results live. A reader gets them from there when it asks, so a slow one holds up
 * nobody. Values are no effect of the call: they are seen at once, also of a run that fails.
 *
 * In local mode all of it is there when the call has ended, with the same results.
 * Errors: ASQ_ETIMEOUT (nothing has come yet; ask again), ASQ_EREDIS (this user may not read it),
 * ASQ_EPROTO (a value cannot be decoded; the next one comes next), ASQ_ESTATE (the result has a
 * callback for them), ASQ_EINVAL, ASQ_ENOMEM. */
enum { ASQ_NEXT_END = 0, ASQ_NEXT_VALUE = 1, ASQ_NEXT_AGAIN = 2, ASQ_NEXT_MISSED = 3 };
ASQ_API int asq_result_next(asq_result *r, asq_value **ret, int64_t timeout_ms);

/* Takes what a call emits. `what` is what asq_result_next returns; the value, of ASQ_NEXT_VALUE and
 * ASQ_NEXT_MISSED, is borrowed for the call of the function, else NULL. */
typedef void (*asq_emit_fn)(asq_result *r, int what, const asq_value *value, void *user);
/* Calls fn, on the handle's thread, with all that the call emits, one after the other as
 * asq_result_next would return it: from inside a wait, asq_poll or the attached loop, never from
 * asq_result_on_emit itself. ASQ_NEXT_END comes last. A negative `what` is an error, with its text
 * in asq_errmsg: after ASQ_EPROTO more may come, any other one is the last. Until the last, waits
 * for the result go on, and the callback of asq_result_then does not come, though the call has
 * ended; waits inside of a callback do not depend on it.
 *
 * fn may call into the library, and may free r or cancel its call. Freeing ends it: fn is not
 * called again. It is not called while it runs already, and waits. Inside a method it must not make
 * calls or steps (ASQ_ESTATE), because their order would differ when the method runs again, and it
 * is not called any more when the method has returned.
 * Errors: ASQ_EINVAL, ASQ_ESTATE (the result has such a callback, or asq_result_next reads it),
 * ASQ_ECLOSED, ASQ_ENOMEM. */
ASQ_API int asq_result_on_emit(asq_result *r, asq_emit_fn fn, void *user);

/* Gets the last value that a call has emitted, by its id, for somebody who looks now and then:
 * *ret is the caller's. It may be of a run that has failed since. One read of Redis. Errors:
 * ASQ_ENOENT (none is kept), ASQ_EINVAL (the id), ASQ_EREDIS (this user may not read it),
 * ASQ_ENOTSUP (local mode), ASQ_ETIMEOUT, ASQ_ECLOSED. */
ASQ_API int asq_emitted_last(asq *h, const char *call_id, asq_value **ret);

/* Returns the call's id, by which another process can fetch the result while its record lives;
 * keeps the record, like asq_result_keep. Ask for the id before the result is there, because a
 * fetched record is soon removed unless it is kept. Borrowed from r. */
ASQ_API const char *asq_result_id(asq_result *r);
/* Makes a result for a call id, which the caller owns. That of an unknown or expired call ends in
 * ASQ_EEXPIRED. Errors: ASQ_EINVAL (not a call id of this namespace), ASQ_ECLOSED. */
ASQ_API int asq_result_attach(asq *h, const char *call_id, asq_result **ret);
/* Keeps the result in Redis until it expires (the worker's max_expire_time_s), also after it was
 * fetched. */
ASQ_API int asq_result_keep(asq_result *r);
/* Asks the owner to cancel the call: a call that has not started does not run, and ends in
 * ASQ_ECANCELED. Returns at once; the result has the outcome. A running method is not stopped, and
 * none of its effects are undone: asq_ctx_canceled shows the request, its waits end with
 * ASQ_ECANCELED, and a method that nevertheless returns a value has succeeded. Calls that it made
 * go on unless it cancels them. A completed result stays as it is; in local mode every result is
 * completed by then. Errors: ASQ_ECLOSED. */
ASQ_API int asq_result_cancel(asq_result *r);
/* Frees the result; a call under way goes on. If the program has not asked the result for its
 * outcome, or frees it before the outcome has come, a failure is logged by this handle (inside a
 * method: by the worker) and reported by asq_flush, like that of a call without a result. A
 * cancellation is not reported, and no failure of a result that is kept. */
ASQ_API void asq_result_free(asq_result *r);

/* Waits until all results, which are of one handle, are completed, with a value or an error.
 * Errors: ASQ_ETIMEOUT, ASQ_EINVAL. */
ASQ_API int asq_wait_all(asq_result *const *results, size_t n, int64_t timeout_ms);
/* Waits until one of the results is completed, with a value or an error; *ret_index gets its index,
 * the lowest one if there are several. Errors: ASQ_ETIMEOUT, ASQ_EINVAL (also if n is 0). */
ASQ_API int asq_wait_any(asq_result *const *results, size_t n, int64_t timeout_ms,
                         size_t *ret_index);

/* Makes a group, which returns its results as they complete. The caller owns it. */
ASQ_API int asq_group_new(asq *h, asq_group **ret);
/* Adds a result of the group's handle, borrowed: it must stay valid until asq_group_next has
 * returned it or the group is freed. Errors: ASQ_EINVAL, ASQ_ESTATE (the result has a callback or a
 * group). */
ASQ_API int asq_group_add(asq_group *g, asq_result *r);
/* Returns the number of results that asq_group_next has not returned yet. */
ASQ_API size_t asq_group_pending(const asq_group *g);
/* Waits for the next completed result, and returns it in *ret, borrowed as it was added. Errors:
 * ASQ_ENOENT (all were returned), ASQ_ETIMEOUT. */
ASQ_API int asq_group_next(asq_group *g, int64_t timeout_ms, asq_result **ret);
/* Frees the group; its results stay, and their calls go on. */
ASQ_API void asq_group_free(asq_group *g);

/* Handles a completed result: asq_gather, asq_call_each and asq_delete_many call it for each one,
 * in the order of completion. `index` is the place of the result, or of its input; `done` of n are
 * completed by now. A return value other than 0 ends the waiting function, which returns it. Inside
 * a method the function must not make calls (ASQ_ESTATE), because their order would differ when the
 * method runs again. */
typedef int (*asq_gather_fn)(void *user, size_t index, asq_result *r, size_t done, size_t n);

/* Takes what one of the calls of asq_call_each emits, as asq_emit_fn; `index` is the place of its
 * input. A return value other than 0 ends asq_call_each, which returns it. */
typedef int (*asq_each_emit_fn)(void *user, size_t index, asq_result *r, int what,
                                const asq_value *value);

/* Waits for all results, calling fn (may be NULL) for each as it comes; fn may free it. The results
 * are of one handle, borrowed, and without a callback or a group (asq_result_on_emit is fine). 0:
 * all are completed, with a value or an error. Errors: ASQ_ETIMEOUT, ASQ_EINVAL, ASQ_ESTATE (a
 * result has a callback or a group), fn's return value. */
ASQ_API int asq_gather(asq_result *const *results, size_t n, int64_t timeout_ms, asq_gather_fn fn,
                       void *user);

typedef struct asq_each_options {
    size_t size;                  /* sizeof(asq_each_options): set by ASQ_EACH_OPTIONS_INIT */
    size_t limit;                 /* maximum number of calls under way; 0: 64 */
    bool all;                     /* go on after a failed call, to the end */
    int64_t timeout_ms;           /* in total; 0: the handle's */
    const asq_call_options *call; /* of each call; NULL: defaults */
    asq_gather_fn fn;             /* gets each result, borrowed for its call; or NULL */
    void *user;                   /* passed to fn and on_emit */
    asq_each_emit_fn on_emit;     /* gets what calls emit, all of it before fn; or NULL */
} asq_each_options;
#define ASQ_EACH_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(asq_each_options), 0, false, 0, NULL, NULL, NULL, NULL                              \
    }

/*
 * Calls a method once for each item of the list `inputs` (borrowed), and waits for the results.
 * An item that is a list or a map holds the arguments, any other item is the only argument. Input i
 * goes to agent i modulo n; calls are made in the order of the inputs, the next one when fewer
 * than `limit` are under way. options may be NULL.
 *
 * ret (may be NULL) gets a list of the values in the order of the inputs, which the caller owns. If
 * a call fails, no further calls are made, calls under way go on, and the failure's code is
 * returned; asq_last_error has it in full, and names the input ("input 7: …"). With `all`, every
 * call is made, fn is called for failed ones too, the value of a failed one is null, and the number
 * of failed calls is returned; asq_last_error has the failure of the first failed input.
 *
 * When a method runs again, it makes the same calls with the same ids, whichever completes first,
 * except for the point at which a failed call or fn ends it. Returns 0 or, with `all`, the number
 * of failed calls. Errors: ASQ_EINVAL, ASQ_ETIMEOUT (calls under way go on), those of asq_callv, of
 * the method, the return value of fn or on_emit.
 */
ASQ_API int asq_call_each(asq_agent *const *agents, size_t n, const char *method,
                          const asq_value *inputs, const asq_each_options *options,
                          asq_value **ret);

typedef struct asq_delete_options {
    size_t size;        /* sizeof(asq_delete_options): set by ASQ_DELETE_OPTIONS_INIT */
    size_t limit;       /* maximum number of deletions under way; 0: 1024 */
    int64_t timeout_ms; /* in total; 0: the handle's */
    /* Returns when Redis has accepted all deletions. fn is not called; failures, ASQ_ENOAGENT too,
     * go to the log of the worker, and a later asq_flush reports them. */
    bool no_wait;
    asq_gather_fn fn; /* gets the result of each id, borrowed for its call; or NULL */
    void *user;       /* passed to fn */
} asq_delete_options;
#define ASQ_DELETE_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(asq_delete_options), 0, 0, false, NULL, NULL                                        \
    }

/*
 * Deletes n agents by their ids, each after its earlier calls as by asq_delete; an id that comes
 * twice is deleted once, and then missing. A failed deletion does not stop the others: fn has each
 * outcome, with the place of its id as `index`, and asq_last_error has the first failure by place.
 * Memory is needed for `limit` deletions, not for n. options may be NULL.
 *
 * Returns the number of deletions that have failed. Errors: ASQ_EINVAL (one of the ids is not
 * valid, which the text names: nothing is deleted), ASQ_ETIMEOUT (those under way go on, the others
 * were not begun), those of making a call, fn's return value; with no_wait also
 * ASQ_EBUSY and ASQ_EREDIS (Redis has not accepted all of them).
 */
ASQ_API int asq_delete_many(asq *h, size_t n, const char *const *ids,
                            const asq_delete_options *options);

/* ------------------------------------------------------------------------------------------------
 * Agents, for their authors
 *
 * A class is a const table. A method runs on a fiber with a stack of 256 KiB by default, one call
 * of an agent at a time. Functions of the same agent may run on different threads, one after the
 * other; one run stays on its thread, also across waits.
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
    ASQ_CONCURRENT = 1 << 3,
    /* attributes: read without waiting for calls of the agent; see asq_ctx_publish */
    ASQ_LIVE = 1 << 4
};

typedef struct asq_method {
    const char *name; /* NULL ends the table; with a leading '_' private to the agent itself */
    asq_method_fn fn;
    const char *params; /* names of the parameters, "url, depth", for named arguments; or NULL */
    unsigned flags;     /* ASQ_READONLY, ASQ_NONBLOCKING, ASQ_CONCURRENT */
    const char *doc;    /* a line for people, or NULL */
} asq_method;

/* Default retry policy for calls to a method. */
typedef struct asq_method_retry {
    const char *method; /* NULL ends the table */
    const asq_retry *retry;
} asq_method_retry;

/* An attribute of a class. Without get and set, an attribute of library-held state is the value
 * under its name in the state map. The library takes the *ret of get; set borrows its value. */
typedef struct asq_attribute {
    const char *name; /* NULL ends the table; with a leading '_' private to the agent itself */
    int (*get)(asq_ctx *ctx, void *self, asq_value **ret);
    int (*set)(asq_ctx *ctx, void *self, const asq_value *value);
    unsigned flags;  /* ASQ_READONLY, ASQ_NONBLOCKING, ASQ_WRITABLE, ASQ_LIVE */
    const char *doc; /* a line for people, or NULL */
} asq_attribute;

typedef struct asq_class {
    size_t size; /* set by ASQ_CLASS_INIT, like the next two */
    size_t method_size;
    size_t attribute_size;
    const char *name;                /* letters, digits, '_', '-' and '.'; begins with a letter */
    const char *doc;                 /* a line for people, or NULL */
    const asq_method *methods;       /* or NULL, if there are attributes */
    const asq_attribute *attributes; /* or NULL */
    /* Makes a new agent from its creation arguments (borrowed): sets up asq_ctx_state, or makes
     * *ret_self. May be NULL in a class without save: the state is then the map of the named
     * arguments, and positional ones are refused. */
    int (*create)(asq_ctx *ctx, const asq_value *args, void **ret_self);
    /* Frees self, when the agent leaves memory or is deleted. Only with save; may be NULL. */
    void (*destroy)(void *self);
    /* Struct state: both or none. save makes the state, which the library takes; load makes self
     * from it (borrowed). */
    int (*save)(const void *self, asq_value **ret_state);
    int (*load)(asq_ctx *ctx, const asq_value *state, void **ret_self);
    /* Version of the state's layout. upgrade converts a state of a lower version, in place or by
     * replacing *state (and freeing the old one), before it is loaded. Refused with ASQ_EVERSION: a
     * higher version, and a lower one of a class without upgrade. */
    uint32_t version;
    int (*upgrade)(asq_ctx *ctx, uint32_t from_version, asq_value **state);
    size_t stack_size;               /* bytes; 0: the worker's default */
    void *user;                      /* of the class itself; see asq_ctx_user */
    const asq_method_retry *retries; /* or NULL */
    /* The pool of its agents, as it stands before the '/' in ids: asq_create puts a new agent there
     * whose id names no pool, so that "bert-1" of a class of pool gpu becomes "gpu/bert-1", in every
     * mode. Like the name, it should not change while agents of the class live, as they would not
     * be found by the shorter ids. NULL: ids stay as they are */
    const char *pool;
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

/* Registers a class of a plugin, inside of its init. The table must stay valid for the life of the
 * process; a plugin is never unloaded. Errors as of asq_register. A plugin with a refused class, or
 * without a class, is refused (ASQ_EPLUGIN, or the class's error), whatever init returns. */
ASQ_API int asq_plugin_register(asq_plugin *plugin, const asq_class *cls);

/* Inside a method, or another function of a class. ctx is valid until that function returns, on its
 * own fiber only. */

/* Makes the call fail with a text (fmt NULL: the code's own), and returns code (a positive or zero
 * one counts as ASQ_EFAILED). The last failure counts. */
ASQ_API int asq_fail(asq_ctx *ctx, int code, const char *fmt, ...) ASQ_PRINTF(3, 4);
/* Reads arguments as asq_unpack does: `if ((rc = asq_args(ctx, args, "[i]", &n)) < 0) return rc;`
 * If an argument does not fit, or the format has no place for it, the call fails with ASQ_EARGS and
 * a text that names the argument. Unknown names in maps inside of the arguments are ignored as by
 * asq_unpack; so are all unknown names if args is only a part of the method's arguments. A method
 * without arguments checks that by `asq_args(ctx, args, "[]")`. */
ASQ_API int asq_args(asq_ctx *ctx, const asq_value *args, const char *fmt, ...);
/* Returns the library-held state, to be read and changed in place, and borrowed until
 * asq_ctx_set_state or the end of the call; NULL if the class keeps a struct. */
ASQ_API asq_value *asq_ctx_state(asq_ctx *ctx);
/* Replaces the library-held state by `state` (taken), and frees the old one. Errors: ASQ_ESTATE
 * (the class keeps a struct), ASQ_ENOMEM (state is NULL). */
ASQ_API int asq_ctx_set_state(asq_ctx *ctx, asq_value *state);
/* Keeps the changes to the state even if the call fails. */
ASQ_API void asq_ctx_keep_state(asq_ctx *ctx);
/* Returns the handle for nested calls. It is borrowed and ends with this call, which asq_close does
 * not change. */
ASQ_API asq *asq_ctx_handle(asq_ctx *ctx);
/* Return facts about this call: the id of the call and of the agent, the names of its class and of
 * the method, and the id of the worker process ("" in local mode). Borrowed until the method
 * returns. */
ASQ_API const char *asq_ctx_call_id(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_agent_id(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_class(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_method(const asq_ctx *ctx);
ASQ_API const char *asq_ctx_worker(const asq_ctx *ctx);
/* Returns the partition's epoch, which grows with each change of its owner: with the call id, a
 * fencing token for effects outside of Redis. 0 in local mode. */
ASQ_API uint64_t asq_ctx_epoch(const asq_ctx *ctx);
/* Returns the number of this run of the call, from 1. Above 1, a process has died in the call,
 * Redis has refused its commit, or the method has failed and a retry policy runs it again. A run of
 * a worker that was fenced or whose host was lost, and a run given up for a hand-over, are not
 * counted, because they leave no mark: 1 does not mean that no part of the method has run before.
 * Use asq_ctx_call_id to make effects outside of Redis idempotent. */
ASQ_API uint32_t asq_ctx_attempt(const asq_ctx *ctx);
/* Returns the place of this run in its call's trace, to be handed on to what the method calls
 * outside of asqueue; calls that it makes with its handle belong to the trace without it. The texts
 * are borrowed until the method ends; state is "" if there is none. Errors: ASQ_ENOENT (the call
 * belongs to no trace; *ret is not written), ASQ_EINVAL, ASQ_ENOMEM; they are not set as the
 * call's. */
ASQ_API int asq_ctx_trace(asq_ctx *ctx, asq_trace *ret);
/* Returns milliseconds until the call's deadline; ASQ_FOREVER: none; 0: it has passed. */
ASQ_API int64_t asq_ctx_remaining_ms(const asq_ctx *ctx);
/* Returns whether the call was cancelled or its deadline has passed: stop early. */
ASQ_API bool asq_ctx_canceled(const asq_ctx *ctx);
/* Sleeps for ms milliseconds (ASQ_FOREVER: until the deadline), and parks the call.
 *
 * A sleep of 1000 ms or more is durable: its end is recorded like a step (below), and numbered with
 * the steps and calls, so when the call runs again, it sleeps only for the rest, by the clock of
 * the agent's partition and not that of a machine. ms must be on the same side of 1000 in each run.
 * Not durable are shorter sleeps, those inside of a step or of a callback of asq_call_each or
 * asq_result_on_emit, those in functions of a class other than methods and create, and those for
 * which the call's records have no room. asq_sleep(asq_ctx_handle(ctx), ms) never is: in a loop
 * that polls something outside, which may go round more often in one run than in the other, use
 * that.
 *
 * A durable sleep of a method may end with ASQ_EUNLOADED: when more is left of it than the worker's
 * unload_after_ms, or more than a second and the agent is handed over. The call then gives back its
 * run, and runs again from its start when the sleep is over (a second before its deadline, or when
 * it is cancelled): steps, calls and sleeps before are found by their records, and what else the
 * method has done outside is done again. The method frees what it holds and returns, whatever it
 * returns; it must not undo anything. Until then all functions that the context and its handle
 * offer for steps, calls, waits and emitting give ASQ_EUNLOADED as well. Nothing of the run takes
 * effect, also with asq_ctx_keep_state; the call does not count as failed, and the agent's other
 * calls wait as behind a sleep, except that calls of an ASQ_CONCURRENT method give way to them.
 *
 * A wait may end in the same way, when it has taken longer than unload_after_ms, or a second while
 * the agent is handed over; the call then runs again when what it waits for is there. Such waits
 * are asq_ctx_next_signal and asq_ctx_wait without a limit or with a recorded one, and, in a method
 * that has recorded a step, a promise or a signal, all waits for results without a limit (that of
 * asq_call_wait, asq_result_value, asq_wait_all, asq_gather, …). Others keep the run: a limit of
 * asq_result_wait would begin anew. So do calls of ASQ_CONCURRENT methods, creations, waits for
 * what calls emit, those inside of a step or of a callback, and calls inside of which a re-entrant
 * one runs or has taken effect.
 *
 * Errors: those of every wait; of durable ones those of asq_ctx_now, too, but not ASQ_ELIMIT. They
 * are also set as the call's, as by asq_fail. */
ASQ_API int asq_ctx_sleep(asq_ctx *ctx, int64_t ms);
/* Publishes the values of the agent's attributes that are ASQ_LIVE, as they are now: their get
 * functions run, on the method's thread. asq_get and asq_get_async give such an attribute from what
 * was published last, at once, also while a call of the agent runs, parks or waits for days, and
 * past calls that are queued. So they keep no order with other calls, those of the same handle
 * included.
 *
 * - A call publishes them by itself as it begins, so what is read before the method publishes is
 *   the state that the call found; a method that is ASQ_NONBLOCKING and a call inside of another
 *   one of the agent do not. When no call of the agent is under way, the attribute itself is read.
 * - They are in the memory of the agent's worker alone, and are no part of its state. They end with
 *   the call; those of a call that is inside of another one stay until that one publishes or ends,
 *   unless it fails. If the worker dies, or hands the agent over, readers see the committed state
 *   until the call runs again. The values of a call that has given back its run to sleep (see
 *   asq_ctx_sleep) stay, as long as its worker has room for them.
 * - A get function that fails as the call begins fails the reads, not the call.
 *
 * All values together may have 64 KiB. Errors: ASQ_ENOATTR (the class has no such attribute),
 * ASQ_ESTATE (in a creation, or in a get function while it runs for this), ASQ_ELIMIT, ASQ_ENOMEM,
 * ASQ_EUNLOADED, those of a get function; then nothing is published, and they are also set as the
 * call's, as by asq_fail. */
ASQ_API int asq_ctx_publish(asq_ctx *ctx);
/* Steps: what a method does outside of Redis, once.
 *
 * asq_step runs fn, and records its value before anything that the method does later can be seen by
 * others. When the call runs again, because its worker died or has handed the agent over, asq_step
 * returns the recorded value, and fn does not run. `name` says what the step is (1 to ASQ_MAX_NAME
 * bytes of UTF-8; it need not be unique).
 *
 * - fn may do whatever a method may, except calls of agents and further steps (ASQ_ESTATE). It sets
 *   *ret (NULL: null), or returns a code; asq_fail adds a text. Its value is given to the caller of
 *   asq_step, who frees it; ret may be NULL. The agent's state is no part of the record: the method
 *   changes it by the value that the step gave, not fn.
 * - A failure of fn is its outcome, and is recorded as well: asq_step returns the code, and
 *   asq_errmsg(asq_ctx_handle(ctx)) has the text, in this run and in the next. The call fails if
 *   the method returns that code, and need not: it may undo earlier steps by further ones.
 * - The steps and calls of a method are numbered in one sequence, so it has to make the same ones
 *   in the same order when it runs again. At a place where the earlier run did something else, the
 *   call fails with ASQ_EDIVERGED, which names both; a wrong value is never given. What a path
 *   depends on comes from arguments, state, results, steps, asq_ctx_now and asq_ctx_random.
 * - The record is written under the lease of the agent's partition, and travels with what the
 *   worker commits next; a call made by the method, and the call's own result, leave after it. If
 *   the worker dies between the effect of fn and its record, fn runs again: asq_ctx_call_id with
 *   the name of the step is a key by which a receiver recognises the second time. With wait_record
 *   asq_step returns when Redis has the record (with wait_replicas of workers: its replicas, too).
 * - Records are removed with the call's result, in one step; a run that has failed and is followed
 *   by another, by a retry policy of the call, has ended as well: the next begins with no records.
 * - All records of a call may have as many bytes as one message (max_message_size): ASQ_ELIMIT.
 *
 * In local mode a step runs at once, with the same results, and nothing is kept.
 * Errors: that of fn; ASQ_EINVAL, ASQ_ENOMEM, ASQ_ELIMIT, ASQ_ESTATE, ASQ_EDIVERGED,
 * ASQ_EINTERRUPTED (the records are gone or were overwritten), ASQ_ECANCELED and ASQ_EDEADLINE (of
 * the wait for the record or between two tries), which are also set as the call's, as by
 * asq_fail. */
typedef int (*asq_step_fn)(asq_ctx *ctx, void *user, asq_value **ret);
typedef struct asq_step_options {
    size_t size;      /* set by ASQ_STEP_OPTIONS_INIT */
    bool wait_record; /* return when Redis has the record */
    /* Runs fn again in place when it fails, while the call waits; the last failure is recorded.
     * keep_place has no meaning here. NULL: fn runs once; borrowed for the call */
    const asq_retry *retry;
} asq_step_options;
#define ASQ_STEP_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(asq_step_options), false, NULL                                                      \
    }
ASQ_API int asq_step(asq_ctx *ctx, const char *name, asq_step_fn fn, void *user, asq_value **ret);
ASQ_API int asq_step_with(asq_ctx *ctx, const char *name, const asq_step_options *options,
                          asq_step_fn fn, void *user, asq_value **ret);
/* Gets the time (Unix, ms) and n random bytes (1 to 256), recorded like a step's value: they are
 * the same when the call runs again. Errors as of asq_step. */
ASQ_API int asq_ctx_now(asq_ctx *ctx, int64_t *ret_ms);
ASQ_API int asq_ctx_random(asq_ctx *ctx, void *ret, size_t n);
/* Waits for the oldest signal `name` to the agent (asq_signal) and takes it, parked; of several
 * calls that wait for one, the one that began to wait first gets it. *ret gets the value, which the
 * caller frees; ret may be NULL. ASQ_ETIMEOUT: none has come within timeout_ms (0: none is there).
 * The outcome, also the timeout, is recorded like a step, together with the removal of the signal,
 * and the method goes on when Redis has both: a call that runs again gets the same. A timeout of
 * 1000 ms or more counts from the first run, by the clock of the agent's partition. A run that
 * fails and is followed by another, by a retry policy, has heard what it has heard; so has one that
 * is cancelled at this moment. In local mode nobody sends while a method waits, so what is not
 * there does not come. A long wait may end with ASQ_EUNLOADED (asq_ctx_sleep).
 * Errors: ASQ_ETIMEOUT, which fails the call only if the method returns it; those of asq_step, and
 * ASQ_ENOTSUP (in a creation), which are also set as the call's, as by asq_fail. */
ASQ_API int asq_ctx_next_signal(asq_ctx *ctx, const char *name, asq_value **ret,
                                int64_t timeout_ms);
/* Waits for a result of the method's own handle, of a call or a promise, for at most timeout_ms in
 * all: as asq_result_wait, but when the call runs again, the wait ends at the same time, by the
 * clock of the agent's partition, and with what it has ended with before: a wait that was over
 * stays over, though the result is there by now. A wait with a limit is numbered as two steps. A
 * long one may end with ASQ_EUNLOADED (asq_ctx_sleep).
 * Errors: ASQ_ETIMEOUT, those of the result, and those of asq_ctx_now, which are also set as the
 * call's. */
ASQ_API int asq_ctx_wait(asq_ctx *ctx, asq_result *r, int64_t timeout_ms);
/* Promises: values that come from outside, once.
 *
 * asq_promise_new makes a promise: a result without a call. asq_result_id(*ret) is its id, to be
 * given to whoever knows the value some day: a person, a web server, another agent. Until anybody
 * resolves or rejects it (asq_promise_resolve, asq_promise_reject, as-ctl promise, or Redis
 * commands, see PROTOCOL.md), all that waits for a result waits for it: asq_result_value,
 * asq_ctx_wait, asq_wait_any, asq_result_then, a call that has it among its arguments
 * (asq_value_future), and asq_result_attach elsewhere. A wait for a promise is no part of a cycle
 * (ASQ_EDEADLK).
 *
 * It is a step: asq_promise_new returns when Redis has the promise (with wait_replicas of workers:
 * its replicas, too), and when the call runs again, it gives the same one, settled or not. So a
 * method whose worker dies while it waits goes on waiting elsewhere. A call can make 10,000
 * promises.
 *
 * A promise is kept as long as the call that has made it is not over, and then as long as results
 * are (the worker's max_expire_time_s). In local mode it is kept until the handle is closed, and
 * only what the method itself calls can settle it while the method waits. The caller frees *ret,
 * which leaves the promise as it is. Errors: those of asq_step, and ASQ_ELIMIT; they are also set
 * as the call's, as by asq_fail. */
ASQ_API int asq_promise_new(asq_ctx *ctx, asq_result **ret);
/* Settle a promise, by its id: with any handle, a method's own included. Exactly one of those who
 * try does. The value is taken, also on failure (NULL: ASQ_EINVAL). `code` is negative, as
 * ASQ_EUSER(n); 0: ASQ_EREJECTED. message: UTF-8, of which 4096 bytes are kept; NULL: the code's
 * text; borrowed.
 *
 * An attempt is made again after a lost connection, and counts once; so does a second call with the
 * same outcome and the same handle, after ASQ_ETIMEOUT (of a program's handle). In a method it is a
 * statement as a call is: it leaves when what its agent did before is in Redis, and is the same one
 * when the method runs again. Without wait_replicas a failover, or a restart, may lose the outcome:
 * for a minute the handle (of a method: its worker process) settles it again, and logs that, or
 * that another one has come first. A handle that is closed does not.
 *
 * Errors: ASQ_ESTATE (another one has settled it before; in a step or a callback of asq_call_each
 * or asq_result_on_emit), ASQ_EEXPIRED (there is no such promise, or none any more), ASQ_EINVAL
 * (not the id of a promise of this namespace; a message that is not UTF-8), ASQ_ELIMIT (a value of
 * more than max_message_size), ASQ_ETIMEOUT (Redis has not answered within the handle's timeout: it
 * may be settled), ASQ_EREDIS. */
ASQ_API int asq_promise_resolve(asq *h, const char *id, asq_value *value);
ASQ_API int asq_promise_reject(asq *h, const char *id, int code, const char *message);
/* Makes a map about a promise, which the caller owns: id, state ("open", "resolved", "rejected"), call
 * (that has made it), value or code and message, and expires_ms if that call is over.
 * Errors: ASQ_EEXPIRED, ASQ_EINVAL, ASQ_ENOTSUP (inside a method), ASQ_ETIMEOUT, ASQ_EREDIS. */
ASQ_API int asq_promise_show(asq *h, const char *id, asq_value **ret);
/* Emits a value while the call runs: a token, a row, a share of the work done, for whoever waits
 * for the call (asq_result_next). The value is taken, also on failure (NULL: ASQ_ENOMEM). It leaves
 * within a fraction of a second, together with others. When more than 256 KiB of the call's values
 * have not reached Redis yet (or the process has 16 MiB of them), the call parks until they have.
 * A run that is void, because its worker has lost the agent, emits nothing that is seen. Values
 * that Redis refuses are counted, and the worker logs why.
 * Errors: ASQ_ELIMIT (more than 64 KiB, encoded), ASQ_ENOMEM, ASQ_EINVAL, and those of every wait;
 * they are also set as the call's, as by asq_fail. */
ASQ_API int asq_emit(asq_ctx *ctx, asq_value *value);
/* Logs a text of up to 2 KiB, with class, agent id and method before it, in the worker's log; in
 * local mode, in the handle's. */
ASQ_API void asq_ctx_log(asq_ctx *ctx, asq_log_level level, const char *fmt, ...) ASQ_PRINTF(3, 4);
/* Gets the model configuration `config_name` (NULL: a map of all, by name), borrowed until the
 * worker or the handle ends. The file is a JSON array of objects with "config_name", as in
 * AgentScope, or an object of objects. A file that other users can read (mode 644) is refused at
 * the start, because of the keys in it. ASQ_ENOENT: no such configuration, or no file; its text
 * lists the names. A failure is also set as the call's, as by asq_fail. */
ASQ_API int asq_ctx_model(asq_ctx *ctx, const char *config_name, const asq_value **ret);
/* Returns asq_class.user of the agent's class. */
ASQ_API void *asq_ctx_user(const asq_ctx *ctx);
/* Makes a proxy for the agent itself, to be put into values. The caller frees it. A failure is also
 * set as the call's, as by asq_fail. */
ASQ_API int asq_ctx_self(asq_ctx *ctx, asq_agent **ret);

/* ------------------------------------------------------------------------------------------------
 * Workers: as-worker as a library call
 *
 * A worker belongs to one thread; any thread may call asq_worker_stop, asq_worker_metrics and
 * asq_worker_ready.
 */

/* Tells what a line of a worker's log is about, as far as it is known; borrowed for the call. Later
 * versions may add members. */
typedef struct asq_log_fields {
    const char *worker; /* id of the worker process, or of the worker if its supervisor logs */
    const char *class_name, *method, *agent_id, *call_id; /* "": none */
    int64_t partition;                                    /* -1: none */
    uint64_t epoch;                                       /* of the partition; 0: none */
    int code;                                             /* of a failure; 0: none */
    /* of asq_ctx_log: the method's own text, without the names before it in the message; NULL: the
     * line is not a method's */
    const char *said;
    const char *signal; /* that ended a worker process, like "SIGSEGV"; "": none */
} asq_log_fields;
/* Receives a line of a worker's log with its fields; otherwise as asq_log_fn. */
typedef void (*asq_log_fields_fn)(void *user, asq_log_level level, const char *message,
                                  const asq_log_fields *fields);

typedef struct asq_worker_options {
    size_t size; /* sizeof: set by ASQ_WORKER_OPTIONS_INIT */
    /* as for asq_open, without local: and child:; NULL: ASQUEUE_URL, else redis://127.0.0.1:6379 */
    const char *url;
    const char *ns;                /* namespace; NULL: the URL's, else "default" */
    const char *id;                /* at most 247 bytes; NULL: host name and a random part */
    const char *agent_dir;         /* directory of plugins to load; NULL: none */
    const char *model_config_path; /* file for asq_ctx_model; NULL: none */
    uint32_t partitions;           /* of a namespace that is created now, at most 16384; 0: 128 */
    uint32_t capacity;             /* threads of each process, at most 4096; 0: 32 */
    uint32_t processes;            /* worker processes, at most 1024; 0: 1 */
    uint32_t max_expire_time_s;    /* result TTL in seconds; 0: 7200 */
    size_t max_message_size;       /* bytes, at most 512 MiB; 0: ASQ_MAX_MESSAGE_SIZE */
    size_t stack_size;             /* bytes of a fiber's stack, at least 16384; 0: 256 KiB */
    int64_t lease_time_ms;         /* at least 100; 0: 10000 */
    /* time for running calls after the worker was told to stop; calls that run longer are given up,
     * and run again elsewhere. 0: 30000 */
    int64_t drain_timeout_ms;
    /* deaths of a process after which the call that it ran is given up; 0: 3. See as-worker(1) */
    uint32_t max_attempts;
    bool no_local_mode;      /* allow a remote Redis without password and TLS */
    asq_log_level log_level; /* higher levels are not logged */
    asq_log_fn log;          /* NULL: no log */
    void *log_user;          /* passed to log, log_reopen and read_password */
    /* bytes of waiting calls in a process's memory; further calls stay in Redis until there is
     * room. 0: 256 MiB */
    size_t max_backlog_size;
    /* waiting calls of one partition; further calls end in ASQ_EBUSY at once, unless a method
     * made them. 0: 1,000,000 */
    uint32_t max_waiting;
    /* bytes of agents, with encoded states, in a process's memory; beyond it, idle agents are
     * evicted, and read from Redis when they are called. 0: 1 GiB */
    size_t max_agent_memory;
    int64_t agent_idle_time_ms; /* agents idle for longer are evicted as well; 0: 600000 */
    uint32_t max_dead_letters;  /* of one partition; the oldest are dropped beyond it. 0: 10000 */
    /* reap all children, also the orphans that process 1 inherits; only for a program without
     * children of its own */
    bool reap_orphans;
    /* Called at SIGHUP, in the process that called asq_worker_run; or NULL. */
    void (*log_reopen)(void *log_user);
    /* bytes in Redis of the dead letters of one partition; the oldest are dropped beyond it, except
     * for a single one. 0: 32 MiB */
    size_t max_dead_letters_size;
    /* Reads the password into `password`, of `size` bytes with its NUL: in asq_worker_new for a URL
     * without one, and again, in any process and thread, when Redis has refused the password
     * before. Returns 0, or a code with a text in err. NULL: the URL's password stays. */
    int (*read_password)(void *log_user, char *password, size_t size, char *err, size_t errlen);
    /* N replicas of Redis must have a result before clients get it, and a method's call before it
     * counts as made. At most 100; 0: none. */
    uint32_t wait_replicas;
    int64_t wait_timeout_ms; /* of one WAIT, which is repeated; 10 to 10000; 0: 250 */
    bool metrics;            /* measure calls and processes, for asq_worker_metrics */
    /* last failed runs of a partition that are kept in Redis, for asq_failures, at most 10000 and
     * 1 MiB; 0: 100; below 0: none */
    int32_t keep_failures;
    bool omit_arguments;          /* from kept failures and listed calls: they may be secret */
    asq_log_fields_fn log_fields; /* called in place of log; NULL: log is */
    bool no_stats;                /* keep no figures of the deployment in Redis, for asq_stats */
    /* URL of a collector that takes OTLP over HTTP (JSON), http[s]://HOST:PORT[/v1/traces]; each
     * run of a traced call is exported there, see as-worker(1). NULL: none */
    const char *traces;
    /* share of the calls that are traced, of those that come from outside and belong to no trace:
     * 0, no other than those whose trace says so, to 1 */
    double trace_rate;
    const char *trace_service; /* service.name; NULL: OTEL_SERVICE_NAME, else "as-worker" */
    /* Called by the supervisor and by each worker process, on their main threads, with a text for
     * lists of processes when it has changed: "process 3 of ns=default, 12 partitions". It has no
     * password. NULL: processes have no titles. */
    void (*set_title)(const char *title);
    /* A call that needs a class that no live worker has, or none that has the classes of the other
     * agents in its partition, too, ends in ASQ_ENOCLASS at once. Otherwise it waits for such a
     * worker, up to its deadline, and the log says so. */
    bool fail_no_class;
    /* A call whose asq_ctx_sleep has more than this left, or that has waited so long for a promise,
     * a signal or other calls, gives back its stack and memory, and runs again when that is over:
     * see asq_ctx_sleep. 0: 60000; below 0: only when its agent is handed over. */
    int64_t unload_after_ms;
    /* Pools whose agents it runs, with commas between them; "gpu:64": the pool gets 64 partitions
     * if it is made now, else as many as the namespace has. "default" is the pool of agents whose
     * ids name none. "*": all pools, also those made later. NULL: "default" */
    const char *pools;
} asq_worker_options;
#define ASQ_WORKER_OPTIONS_INIT                                                                    \
    {                                                                                              \
        .size = sizeof(asq_worker_options), .log_level = ASQ_LOG_INFO                              \
    }

/* Makes a worker: checks the options (NULL: defaults), which are borrowed for the call, and loads
 * the plugins; does not connect. The caller frees *ret. On failure err (which may be NULL) gets up
 * to errlen bytes of text. Errors: ASQ_EINVAL (an option, or the URL), ASQ_EVERSION (options of
 * another version), ASQ_EAUTH (a Redis on another host without password and TLS: see
 * no_local_mode), ASQ_ECONN (its name cannot be resolved), ASQ_EPLUGIN, ASQ_ESYS, ASQ_ENOMEM,
 * read_password's. */
ASQ_API int asq_worker_new(const asq_worker_options *options, asq_worker **ret, char *err,
                           size_t errlen);
/* Registers a class, before asq_worker_run. The table must stay valid until asq_worker_free. Errors
 * as of asq_register, with a text in asq_worker_errmsg. */
ASQ_API int asq_worker_register(asq_worker *w, const asq_class *cls);
/* Connects (retrying with backoff until Redis is there), and runs agents until stopped. Forks
 * `processes` worker processes and supervises them. SIGTERM and SIGINT stop them in order, a second
 * one sooner. Some seconds after drain_timeout_ms SIGKILL ends them in any case. Unless the program
 * has its own handlers, SIGQUIT ends all at once, SIGUSR1 logs the state, SIGHUP calls log_reopen,
 * SIGXCPU stops in order, and other signals that would end the process (SIGUSR2, SIGALRM,
 * SIGVTALRM, SIGPROF, SIGIO, SIGPWR, real-time ones) are ignored with a line in the log. SIGPIPE
 * and SIGXFSZ are blocked meanwhile on this thread. Call it from the main thread, before other
 * threads are started. Returns 0 after an orderly stop, else a code, with a text in
 * asq_worker_errmsg: ASQ_ENOCLASS (no class), ASQ_EEXIST (a worker of this id is alive), at the
 * start ASQ_EAUTH, ASQ_EVERSION, ASQ_EINVAL, ASQ_EREDIS (its maxmemory-policy drops keys). */
ASQ_API int asq_worker_run(asq_worker *w);
/* Asks asq_worker_run for an orderly stop. Any thread; may be called from a signal handler. */
ASQ_API void asq_worker_stop(asq_worker *w);
/* Writes the metrics of all processes of the worker, as text for Prometheus: OpenMetrics 1.0, or
 * the older text format 0.0.4. The caller frees *ret by free(). Counters start at 0 with the first
 * asq_worker_run and never go back, also when a process dies. as-worker(1) lists the names. Any
 * thread. Errors: ASQ_ENOTSUP without asq_worker_options.metrics, ASQ_ESTATE before
 * asq_worker_run, ASQ_EINVAL, ASQ_ENOMEM. */
ASQ_API int asq_worker_metrics(const asq_worker *w, bool openmetrics, char **ret);
/* Returns 0 if a process of the worker can use Redis and reads the calls of all its partitions,
 * and ASQ_ESTATE or ASQ_ECONN otherwise; err (which may be NULL) gets the reason. Any thread.
 * Further errors as for asq_worker_metrics. */
ASQ_API int asq_worker_ready(const asq_worker *w, char *err, size_t errlen);
/* Returns the text of the last failure of asq_worker_register or asq_worker_run; borrowed from w
 * until the next one. "" before the first. */
ASQ_API const char *asq_worker_errmsg(const asq_worker *w);
/* Frees the worker, which must not be running. */
ASQ_API void asq_worker_free(asq_worker *w);

/* ------------------------------------------------------------------------------------------------
 * Administration of a deployment, as by as-ctl
 *
 * Inside methods and in local mode these functions fail with ASQ_ENOTSUP, but for asq_ping,
 * asq_classes and asq_stats with `own` of a local: handle. The caller owns *ret. Each function
 * waits for Redis, for at most the handle's timeout (asq_set_timeout) in total, then fails with
 * ASQ_ETIMEOUT. Further errors of all: ASQ_EREDIS (the text names the command), ASQ_ECLOSED,
 * ASQ_EPROTO (another form of answer).
 */

/* Makes a round trip to Redis; *ret_ms (may be NULL) gets its time in milliseconds, 0 in local
 * mode. */
ASQ_API int asq_ping(asq *h, double *ret_ms);
/* Lists the worker processes, by id: a map for each, with the fields of its hash (id, host, pid,
 * version, capacity, partitions, classes, counters, "parked": the number of parked calls,
 * "stack_used": bytes of stack in the deepest use seen), and "alive": whether its last heartbeat is
 * within its lease time. */
ASQ_API int asq_workers(asq *h, asq_value **ret);
/* Lists the workers in the same way, and adds seen_ms, the age of these fields. Then asks each
 * worker, which has some seconds to answer, and adds: uptime_ms; running, parked and waiting (calls
 * that run, that have begun and wait, and that have not begun), paused (how many pauses it obeys,
 * see asq_pause) and figures_age_ms, the age of these at most. Of a worker that has not answered,
 * or must not be asked, there is only what its hash has. */
ASQ_API int asq_workers_live(asq *h, asq_value **ret);
/* Lists the worker processes that have died, newest first: a map for each, with id, time_ms (Unix
 * time), how (text), and as far as they are known: signal (its name) or status (of exit), as the
 * process's supervisor has seen it; silent_ms, if others have missed its heartbeat, and heard_ms,
 * if it has sent one after all; host, pid, found_by (the id of who noted it), and heirs: a map from
 * the id of each worker process that has taken over partitions to their number, "(others)" for
 * those beyond 64. A process that stopped in order has not died. Redis keeps the last 100 deaths,
 * and 10 of each worker process's id, until a day has passed. */
ASQ_API int asq_workers_dead(asq *h, asq_value **ret);
/* Lists the pools, in the order in which they were made: a map for each, with pool (its name; the
 * first one is "default"), first (number of its first partition), partitions, workers (processes
 * that are alive and serve it) and capacity (threads of these). */
ASQ_API int asq_pools(asq *h, asq_value **ret);
/* Lists the partitions, by number: a map for each, with partition, owner (the id of the worker
 * process that has it; null: none), epoch (how often it has changed hands) and pool. Here the
 * handle's timeout applies to each partition. */
ASQ_API int asq_partitions(asq *h, asq_value **ret);
/* Describes classes in a map: class name -> {doc, pool, methods: [{name, params, flags, doc}],
 * attributes: […], workers: n}; pool is null if agents stay where their ids put them. */
ASQ_API int asq_classes(asq *h, asq_value **ret);
/* Lists agents as maps {id, class, partition; if it expires, expires_ms; if it ends with a handle,
 * with_handle: the number of that in hex digits}; class_name NULL: all.
 * Takes some 500 bytes of memory for each; the handle's timeout applies to each page of Redis. */
ASQ_API int asq_agents(asq *h, const char *class_name, asq_value **ret);
/* Calls fn for each agent of the class (NULL: all) whose id begins with `prefix` (NULL: any), with
 * a map as of asq_agents (borrowed for the call), in memory that does not grow with their number.
 * An agent that is created or deleted meanwhile may be missed, and an agent may come twice. A
 * return value of fn other than 0 ends the function, which returns it. fn must not use the handle.
 * timeout_ms is for all agents; each page also has the handle's timeout. Errors: ASQ_EINVAL (no id
 * begins with such a prefix). */
ASQ_API int asq_agents_each(asq *h, const char *class_name, const char *prefix, int64_t timeout_ms,
                            int (*fn)(const asq_value *agent, void *user), void *user);
/* Lists a page of them: about `limit` agents, as maps, behind the place `from` (NULL: the
 * beginning). ret_next gets where the next page begins, "" at the end. A page ends when it has its
 * limit, and may have some hundred more, or after timeout_ms, perhaps without an agent. In memory
 * and time for the page alone. Errors: ASQ_EINVAL (`from` is no such place, the prefix, or limit
 * 0). */
ASQ_API int asq_agents_page(asq *h, const char *class_name, const char *prefix, const char *from,
                            size_t limit, int64_t timeout_ms, asq_value **ret,
                            char ret_next[ASQ_CURSOR_SIZE]);
/* Counts them in the same way. Without class and prefix Redis knows the number; else all agents are
 * looked at, and one may be counted twice, or be missed, when others are created or deleted
 * meanwhile. */
ASQ_API int asq_agents_count(asq *h, const char *class_name, const char *prefix, int64_t timeout_ms,
                             int64_t *ret);
/* Shows an agent's snapshot, the state after its last commit: {id, class, version, partition, owner
 * (a worker's id, or null), args (null: none), state, state_bytes; if it expires, ttl_ms and
 * expires_ms, its end unless it is used before; if it ends with a handle, with_handle, as above}.
 * Errors: ASQ_EINVAL (the id), ASQ_ENOAGENT. */
ASQ_API int asq_show(asq *h, const char *id, asq_value **ret);
/* States of calls that have not ended, as a set. */
enum {
    ASQ_CALLS_RUNNING = 1,   /* on a thread of a worker */
    ASQ_CALLS_PARKED = 2,    /* has begun, and waits through the library, perhaps without a run */
    ASQ_CALLS_WAITING = 4,   /* may run, but it is not its turn, or no worker is there */
    ASQ_CALLS_DELAYED = 8,   /* was made with a delay that is not over, or sleeps without a run */
    ASQ_CALLS_RETRYING = 16, /* has failed, and is to be run again */
};
/* Calls fn for each call that has not ended and is in one of the states (0: in any), to the agent
 * and to agents of the class (NULL: any), in memory that does not grow with their number. `call` is
 * borrowed, a map: id (for asq_result_attach), state ("running", "parked", …), age_ms, agent, class
 * (left out if it is unknown), method (of other requests their kind, as "create"), partition;
 * run_ms, how long ago its method began, worker, the process that has it, and args, the head of its
 * arguments as text if the worker has room and does not omit arguments, and emitted, how many
 * values its run has emitted, if any (running and parked); due_ms
 * (the ms until it is due: delayed and retrying), failed_runs (retrying); why it runs no further,
 * as a text, and waits_for, the first call that it waits for, awaited, their number, and awaits, a
 * list of up to 16 of them if there are several and the worker has room, as its worker tells;
 * behind, the call that its agent is at (waiting calls without another reason);
 * caller, the call whose method has made it (but for calls of very large batches); may_run (true):
 * its worker has not told, so a waiting call may also be running or parked. The workers are asked
 * first, and have some seconds to answer. Of an agent's calls, those come first that run or are
 * parked. A call whose state changes meanwhile may come twice, or be missed. fn and timeout_ms are
 * as in asq_agents_each. Errors: ASQ_EINVAL (the agent's id, or the states). */
ASQ_API int asq_calls_each(asq *h, unsigned states, const char *agent, const char *class_name,
                           int64_t timeout_ms, int (*fn)(const asq_value *call, void *user),
                           void *user);
/* Counts them in the same way, in less time. Calls that their worker has no room to tell count as
 * waiting. */
ASQ_API int asq_calls_count(asq *h, unsigned states, const char *agent, const char *class_name,
                            int64_t timeout_ms, int64_t *ret);
/* Asks a worker (by its id, or that of one of its processes) to drain, hand over and end; does not
 * wait for that. ASQ_ENOENT: there is no such worker, or it is dead; the text lists the workers. */
ASQ_API int asq_stop_worker(asq *h, const char *worker_id);
/* Asks a worker (as asq_stop_worker) to serve a pool no longer, while it goes on with its others;
 * does not wait for that. The worker then begins no calls of the pool, and hands each partition
 * over when the calls that run there have ended, to another worker of the pool or to the next that
 * comes: until then calls wait. It lasts as long as the process: one that is started with the same
 * id serves its pools again. Asking again is no error. asq_workers tells what was drained
 * ("drained") and what is served ("pools"). Errors: ASQ_ENOENT (no such worker, or it does not
 * serve the pool), ASQ_ESTATE (it serves no other pool: stop it), ASQ_EINVAL (no name of a pool),
 * ASQ_ELIMIT (it was asked to drain very many). */
ASQ_API int asq_drain_worker(asq *h, const char *worker_id, const char *pool);

/* Pauses a class, or with NULL the namespace: its calls that have not begun wait, also delayed ones
 * and those that run again after a failure or a death; none is lost. Calls that have begun go on to
 * their end, and so do all calls made inside of methods, because a call that has begun may wait for
 * them: they run before those that wait, and with the creation of their agent if that waits. A
 * deadline ends a call that waits, within a second or so, and so does a cancel. Deletions wait too.
 * The class of a call is that of its agent; without an agent, the one that the call names. What was
 * paused stays so when workers and Redis are restarted, and pausing it again changes nothing. The
 * function does not wait for the workers, who are told at once: asq_workers_live tells how many
 * pauses each obeys ("paused"), and its answers come after the worker has read of earlier ones.
 * Errors: ASQ_EINVAL (no name of a class), ASQ_ELIMIT (1,000 other classes are
 * paused). */
ASQ_API int asq_pause(asq *h, const char *class_name);
/* Ends the pause of a class, or with NULL that of the namespace; what else is paused stays so. No
 * error if there is no such pause. ASQ_EINVAL: no name of a class. */
ASQ_API int asq_resume(asq *h, const char *class_name);
/* Lists what is paused: maps {class, since, since_ms_ago}; the first has the class null if the
 * namespace is paused. since is Unix time in s, by Redis's clock; 0: unknown. */
ASQ_API int asq_paused(asq *h, asq_value **ret);

/* ---- moving a namespace to another Redis ---- */

typedef struct asq_migrate_options {
    size_t size;        /* sizeof(asq_migrate_options): set by ASQ_MIGRATE_OPTIONS_INIT */
    const char *ns;     /* namespace at the source; NULL: ns= of its URL, else "default" */
    int64_t timeout_ms; /* for connecting, and for each answer of Redis; 0: 30 s */
    bool dry_run;       /* only checks and measures; at most one of these three */
    bool resume;        /* goes on with a move that was interrupted */
    bool abort;         /* gives up one that has not ended: the source is as it was before */
    bool delete_source; /* removes the keys of the source when the move has ended */
    asq_log_fn log;     /* gets what is being done, for people; or NULL */
    void *log_user;
} asq_migrate_options;
#define ASQ_MIGRATE_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(asq_migrate_options), NULL, 0, false, false, false, false, NULL, NULL               \
    }

/*
 * Moves a namespace to another Redis or a Cluster: agents, calls that wait or are due later,
 * results, records of steps, promises, emitted values, timers, signals, dead letters, failures and
 * pauses, with their times to live. Registrations of workers, statistics and open handles stay
 * behind: agents that end with a handle end at the target. from and to are
 * URLs as of asq_open, but neither local: nor child:. The target's namespace is that of its
 * URL, else that of the source; it must be empty, and gets as many partitions as the source has.
 *
 * No worker of the source may be alive. From the beginning of the move on no handle opens either
 * side (ASQ_EVERSION), and calls of handles that are connected to the source still are refused
 * (ASQ_EREDIS); calls that were accepted before are moved. When both sides have the same keys with
 * the same content, the target is opened. The source stays closed, and keeps its keys unless they
 * are to be deleted; all but those which tell late clients where the namespace is.
 *
 * A move that was interrupted, or has failed in the middle, leaves both sides closed, until it is
 * resumed or aborted; the text of the error says so. One process at a time works on it: another one
 * waits up to 18 s for its end. With abort `to` may be NULL: then the target is not emptied.
 *
 * ret (may be NULL) gets a map, also with some errors: outcome ("checked", "moved", "given up",
 * "stopped"), from, to (URLs without passwords), namespace, to_namespace, partitions, equal, copied
 * and removed (keys), clock_ms (how far the target's clock is ahead), and kinds, a list of maps
 * {kind, source, target, equal}, where source and target are {keys, items, bytes, checksum};
 * without target and equal after a dry run. The caller owns it.
 *
 * Memory: some 200 bytes for each key, and one element of a key (an agent, a batch). Waits for
 * Redis on the calling thread. Errors: ASQ_EINVAL (also: the target has keys, nothing to resume),
 * ASQ_EBUSY (a live worker, another move, slots on their way), ASQ_ECONN, ASQ_EAUTH, ASQ_EREDIS,
 * ASQ_EVERSION, ASQ_ECANCELED (given up meanwhile), ASQ_ELIMIT, ASQ_EPROTO, ASQ_ENOMEM.
 */
ASQ_API int asq_migrate(const char *from, const char *to, const asq_migrate_options *options,
                        asq_value **ret, char *err, size_t errlen);

/* Chooses the failures that asq_failures lists. Set it up with ASQ_FAILURES_OPTIONS_INIT. */
typedef struct asq_failures_options {
    size_t size;                                /* sizeof: set by ASQ_FAILURES_OPTIONS_INIT */
    const char *class_name, *method, *agent_id; /* each NULL: any */
    int code;                                   /* ASQ_E…, ASQ_EUSER(n); 0: any */
    int64_t since_ms; /* not before this time, Unix time by Redis's clock; 0: any */
    size_t limit;     /* the newest of these; 0: 100 */
} asq_failures_options;
#define ASQ_FAILURES_OPTIONS_INIT                                                                  \
    {                                                                                              \
        .size = sizeof(asq_failures_options)                                                       \
    }
/* Lists the last failed runs of calls that workers have kept (asq_worker_options.keep_failures),
 * those of calls that are run again and of calls that nobody waits for included, newest first.
 * options NULL: the newest 100. They expire 7 days after the last one of their partition. Each is a
 * map with id, time_ms (of its commit, Unix time by Redis's clock), partition, class, method (as in
 * asq_error), agent, code ("ASQ_EUSER(3)"), number (the code), message, attempt (how often the call
 * had run, this run included), again (whether another run followed), worker, call_id, and args: the
 * head of the arguments as text, or null if workers leave it out. Texts are cut at 512 bytes. What
 * is missing in Redis is null. Memory: some kB for each failure up to the limit. Errors besides
 * those of all: ASQ_EINVAL (since_ms), ASQ_EVERSION (options of another version). */
ASQ_API int asq_failures(asq *h, const asq_failures_options *options, asq_value **ret);

/* Chooses what asq_stats tells. Set it up with ASQ_STATS_OPTIONS_INIT. */
typedef struct asq_stats_options {
    size_t size;                     /* sizeof: set by ASQ_STATS_OPTIONS_INIT */
    const char *class_name, *method; /* of these calls only; each NULL: all */
    /* up to 60000: in steps of a second; up to 86400000: of a minute; 0: 60000 */
    int64_t last_ms;
    bool points; /* the course as well, step by step */
    bool own;    /* figures of this handle's own calls, see below */
} asq_stats_options;
#define ASQ_STATS_OPTIONS_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(asq_stats_options)                                                          \
    }
/* Tells what the workers of the deployment have measured and keep in Redis (unless
 * asq_worker_options.no_stats): calls that have ended, each run of one that is run again. options
 * NULL: of the last minute. *ret is a map:
 * - now_ms, from_ms, to_ms: Unix times by Redis's clock; step_ms: 1000 or 60000. The last second
 *   that is not over is left out, the last minute is not.
 * - now: gauges of the processes with a heartbeat: processes, partitions, running, parked, waiting,
 *   oldest_waiting_ms, backlog, agents, agent_bytes, commits_in_flight, round_trip_ms (of Redis);
 *   each null while none has told.
 * - total, and methods, a list with one map for each class and method that has calls, the most
 *   first: class, method, calls, rate (in a second), failed, failures (code as text -> number), and
 *   queue, run, parked, commit: {count, mean_ms, p50_ms, p90_ms, p99_ms, max_ms}, null without a
 *   call. Percentiles are right to some 20 %. Methods beyond 100 in a step are "(other)" of
 *   "(other)"; "(create)" are creations, "(other)" of a class its jobs without a method.
 * - points (with options->points): one map for each step, oldest first: time_ms, calls, rate,
 *   failed, queue_p50_ms, queue_p99_ms, run_p50_ms, run_p99_ms, parked_p99_ms, commit_p99_ms, and
 *   the gauges, about the highest of the step.
 * A worker tells its figures each second (with more than 64 processes less often); those of a
 * connection that is lost, or of a worker that ends with its supervisor, may be missing. What a
 * process has not told when it dies, the one that takes its place tells.
 *
 * With options->own it tells instead, in every mode and without asking Redis, of the calls that the
 * program has made by this handle since it was opened; last_ms and points are not possible then.
 * *ret has now_ms, from_ms and to_ms (from when the handle was opened until now, by this machine's
 * clock), total, and methods, as above, but with
 * - calls: those that were made (rate: in a second, on average), and under_way: those of them
 *   without an outcome so far;
 * - failed and failures: what the program got, so also ASQ_EINPUT, ASQ_EBUSY, ASQ_EUNKNOWN or
 *   ASQ_EEXPIRED of calls that have not run, or may have;
 * - result: {count, mean_ms, p50_ms, p90_ms, p99_ms, max_ms} of the time from a call to the arrival
 *   of its outcome here, in place of queue, run, parked and commit. It includes times in which
 *   Redis was away, and in which the program did not wait for anything.
 * Calls without a result (asq_send) count as others do, asq_result_attach as none. A call that
 * fails at once (asq_call returns an error) was not made. class is null where the handle does not
 * know it, for agents of asq_attach; "(create)", "(delete)", "(get)", "(set)", "(exists)" and
 * "(describe)" stand for what is no method. Beyond 256, further methods count as "(other)" of
 * "(other)". As everything of a handle, the figures are asked for on the handle's thread; a
 * callback may do so. Calls that a method makes are not in here: its worker measures them.
 *
 * Errors besides those of all: ASQ_EINVAL (last_ms; with own: last_ms or points is set),
 * ASQ_EVERSION (options of another version). */
ASQ_API int asq_stats(asq *h, const asq_stats_options *options, asq_value **ret);

/* Lists dead letters. A dead letter is a call that was given up because processes died of it
 * repeatedly, because Redis refused its commit repeatedly, or because it could not be decoded. Its
 * id is "PARTITION-MS-N". It stays until it is resent or dropped. Errors of all functions for dead
 * letters: ASQ_EINVAL (not a possible id), ASQ_ENOENT (no such letter).
 *
 * The list has the letters of all partitions, oldest first; with a limit above 0 only the newest.
 * Each is a map with id, time_ms (when the call was given up, Unix time by Redis's clock), call
 * ("agent.method"), call_id, reason, attempts (deaths and refusals that count), worker (which gave
 * it up) and batch_bytes. */
ASQ_API int asq_dead_list(asq *h, size_t limit, asq_value **ret);
/* Shows a letter: the same fields, and "jobs", a list of its jobs: {kind, class (if the call names
 * it), agent, method, args, …}. For an undecodable letter: "error" and "batch_head", its first bytes
 * in hexadecimal; for undecodable arguments: args_error, args_bytes and args_head of their job. */
ASQ_API int asq_dead_show(asq *h, const char *id, asq_value **ret);
/* Resends a letter's call as a new call without a caller: its attempts count from 0, its deadline
 * begins again, a delay is dropped. The letter is removed in the same step, so that the call is
 * neither lost nor made twice. *ret_call_ids (may be NULL) gets a list of the new call ids, for
 * asq_result_attach. Errors: ASQ_EPROTO (undecodable; the letter stays), ASQ_EREDIS (the letter
 * stays), ASQ_EUNKNOWN (the connection was lost at that moment). */
ASQ_API int asq_dead_retry(asq *h, const char *id, asq_value **ret_call_ids);
/* Drops a letter: its call is lost for good. */
ASQ_API int asq_dead_drop(asq *h, const char *id);

#ifdef __cplusplus
}
#endif
#endif
