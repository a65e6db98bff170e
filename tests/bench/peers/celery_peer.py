"""Celery: Redis as broker and backend, workers with the solo pool (without hand-over to another
process), prefetching; 1,024 tasks sent at a time by one producer and their results joined."""

import sys
import time

from celery import Celery
from celery.result import ResultSet

WINDOW = 1024
WARM_S = 1
mode, address = sys.argv[1:3]
app = Celery("peer", broker="redis+socket://" + address, backend="redis+socket://" + address)
app.conf.update(
    task_serializer="json",
    worker_prefetch_multiplier=0,
    task_ignore_result=False,
    result_expires=60,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop(payload):
    return None


def main():
    if mode.startswith("worker"):
        quiet = ["-l", "CRITICAL", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        app.worker_main(["worker", "-P", "solo", "-n", f"w{time.monotonic_ns()}@here"] + quiet)
        return
    seconds, payload = float(sys.argv[3]), "x" * int(sys.argv[4])
    with app.producer_or_acquire() as producer:

        def one_round(n):
            tasks = [noop.apply_async((payload,), producer=producer) for _ in range(n)]
            ResultSet(tasks).join_native()

        end = time.monotonic() + WARM_S
        while time.monotonic() < end:
            one_round(WINDOW if mode == "async" else 1)
        if mode == "async":
            done, begin = 0, time.monotonic()
            while time.monotonic() < begin + seconds:
                one_round(WINDOW)
                done += WINDOW
            print(done / (time.monotonic() - begin))
            return
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            at = time.monotonic()
            noop.apply_async((payload,), producer=producer).get()
            times.append((time.monotonic() - at) * 1e6)
    times.sort()
    print(times[len(times) // 2], times[len(times) - 1 - len(times) // 100])


if __name__ == "__main__":
    main()
