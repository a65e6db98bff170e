"""RQ: jobs enqueued 1,024 at a time, one SimpleWorker (which does not fork for each job). Jobs run in the
order of the queue, so the last one's end is the end of all."""

import os
import sys
import time

import redis
import rq

WINDOW = 1024


def noop(payload):
    return None


def wait_for(job):
    while job.get_status(refresh=True) != rq.job.JobStatus.FINISHED:
        pass


def one_round(queue, payload, n):
    func = "rq_peer.noop"
    jobs = queue.enqueue_many([rq.Queue.prepare_data(func, (payload,), result_ttl=60) for _ in range(n)])
    wait_for(jobs[-1])


def main():
    mode, address = sys.argv[1:3]
    connection = redis.Redis(unix_socket_path=address)
    queue = rq.Queue("calls", connection=connection)
    if mode.startswith("worker"):
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        rq.SimpleWorker([queue], connection=connection).work(logging_level="ERROR")
        return
    seconds, payload = float(sys.argv[3]), b"x" * int(sys.argv[4])
    one_round(queue, payload, 1)  # the worker is there
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
