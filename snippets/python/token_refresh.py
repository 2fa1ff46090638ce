"""Keeps one connection to Azure Managed Redis busy while its token is renewed again and
again, until it is told to stop.
"""

import os
import signal
import threading

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
    # A thread of its own fetches the next token when 70 % of this one's life is over.
    # Every idle connection then signs in again at once, and one in use as soon as its
    # command is done.
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        decode_responses=True,
    ) as client:
        round_trips = 0
        while not stopped.wait(0.15):
            client.set("round-trips", round_trips)
            stored = client.get("round-trips")
            if stored != str(round_trips):
                raise RuntimeError(f"wrote {round_trips} and read {stored!r}")
            round_trips += 1
    print(f"{round_trips} round trips on one connection, none failed.")
    # ANCHOR_END: shown


if __name__ == "__main__":
    main()
