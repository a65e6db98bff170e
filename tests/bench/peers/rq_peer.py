"""RQ: jobs enqueued in bulk, 1,024 at a time, for SimpleWorkers (which do not fork for each job). A result is
awaited by a blocking read of its stream, as RQ itself does from 1.14 on, without polling."""

import os
import sys
import time

import redis
import rq
from rq.results import Result

WINDOW = 1024
LAST = 8  # workers take jobs in the order of the queue: with these done all are
WARM_S = 1


def noop(payload):
    return None


def wait_for(job):
    if not job.connection.xread({Result.get_key(job.id): "0-0"}, count=1, block=20000):
        sys.exit("no result came for 20 s")


def one_round(queue, payload, n):
    func = "rq_peer.noop"
    jobs = [rq.Queue.prepare_data(func, (payload,), result_ttl=60, description="") for _ in range(n)]
    for job in queue.enqueue_many(jobs)[-LAST:]:
        wait_for(job)


def main():
    mode, address = sys.argv[1:3]
    connection = redis.Redis(unix_socket_path=address)
    queue = rq.Queue("calls", connection=connection)
    if mode.startswith("worker"):
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        worker = rq.SimpleWorker([queue], connection=connection, log_job_description=False)
        worker.work(logging_level="ERROR")
        return
    seconds, payload = float(sys.argv[3]), b"x" * int(sys.argv[4])
    window = WINDOW if mode == "async" else 1
    end = time.monotonic() + WARM_S
    while time.monotonic() < end:
        one_round(queue, payload, window)
    if mode == "async":
        done, begin = 0, time.monotonic()
        while time.monotonic() < begin + seconds:
            one_round(queue, payload, WINDOW)
            done += WINDOW
        print(done / (time.monotonic() - begin))
        return
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        at = time.monotonic()
        one_round(queue, payload, 1)
        times.append((time.monotonic() - at) * 1e6)
    times.sort()
    print(times[len(times) // 2], times[len(times) - 1 - len(times) // 100])


if __name__ == "__main__":
    main()
