/*
 * descriptors.c: compares the number of files that a process may open with the number that it
 * needs. A worker that cannot open a connection for each 16 streams does not read all calls of its
 * partitions.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "asqueue.h"
#include "worker/descriptors.h"
#include "worker/process.h"
#include "worker/process_log.h"

/* For the connections besides readers, event loop, log, plugins, and what methods open. */
enum { OTHER_DESCRIPTORS = 128 };

void asq__descriptors_check(struct asq__process *w)
{
    struct rlimit limit;
    rlim_t need = (rlim_t) w->nreaders + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= need)
        return;
    rlim_t soft = limit.rlim_cur;
    /* Raises the limit no further than needed, because programs that methods start inherit it, and
     * programs with select() rely on a low one. */
    limit.rlim_cur =
        limit.rlim_max == RLIM_INFINITY || limit.rlim_max > need ? need : limit.rlim_max;
    if (limit.rlim_cur > soft && setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        asq__process_log(w, ASQ_LOG_WARNING, "the limit of open files cannot be raised: %s",
                         strerror(errno));
        limit.rlim_cur = soft;
    }
    if (limit.rlim_cur >= need)
        asq__process_log(
            w, ASQ_LOG_INFO,
            "the limit of open files was raised from %llu to %llu: %zu connections may "
            "be needed to read %u partitions, and %d files otherwise",
            (unsigned long long) soft, (unsigned long long) need, w->nreaders, w->nparts,
            OTHER_DESCRIPTORS);
    else
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "this process may open %llu files, and needs up to %llu: %zu connections to "
            "read %u partitions, and %d files otherwise. Raise the hard limit (ulimit "
            "-Hn, or LimitNOFILE= of its unit), or make the namespace with fewer "
            "partitions",
            (unsigned long long) limit.rlim_cur, (unsigned long long) need, w->nreaders, w->nparts,
            OTHER_DESCRIPTORS);
}
