"""Many tasks share a few connections to Azure Managed Redis while tokens are renewed,
until the program is told to stop.
"""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import redis
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())

    # ANCHOR: shown
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    # Every client has a pool. It opens a connection when a thread finds none idle, so
    # it grows to as many as there are threads. (A BlockingConnectionPool is not renewed
    # by redis-py 8.1.0.)
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
    ) as client:
        # Sign in before there are threads: each that is among the first would start a
        # renewal.
        client.ping()

        def work(task: int) -> None:
            client.incr(f"task:{task}")
            time.sleep(0.005)

        commands = 0
        with ThreadPoolExecutor(max_workers=4) as threads:
            while not stopped.is_set():
                commands += len(list(threads.map(work, range(40))))
    print(f"{commands} commands of 40 tasks in 4 threads, none failed")
    # ANCHOR_END: shown


if __name__ == "__main__":
    main()
