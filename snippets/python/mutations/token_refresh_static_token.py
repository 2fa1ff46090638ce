"""Must fail its judge: uses its first token as if it were a password."""

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

    credentials = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    ).get_credentials()
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        username=credentials[0],
        password=credentials[-1],
        decode_responses=True,
    ) as client:
        round_trips = 0
        while not stopped.wait(0.15):
            client.set("round-trips", round_trips)
            client.get("round-trips")
            round_trips += 1
    print(f"{round_trips} round trips on one connection, none failed.")


if __name__ == "__main__":
    main()
