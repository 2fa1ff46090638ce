"""Signs in to Azure Managed Redis with a token in place of an access key, and goes on
while access keys are turned off, until it is told to stop.
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
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        # In place of `password`.
        credential_provider=credential_provider,
        decode_responses=True,
    ) as client:
        round_trips = 0
        while not stopped.wait(0.1):
            # Turning access keys off drops every connection, those that signed in with
            # a token too. The client then connects again, signs in with the present
            # token and repeats the command.
            client.set("round-trips", round_trips)
            stored = client.get("round-trips")
            if stored != str(round_trips):
                raise RuntimeError(f"wrote {round_trips} and read {stored!r}")
            round_trips += 1
    print(f"{round_trips} round trips, none lost")
    # ANCHOR_END: shown


if __name__ == "__main__":
    main()
