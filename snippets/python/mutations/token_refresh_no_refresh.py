"""Must fail its judge: gets its tokens from the provider, and signs in with the first
one only.
"""

import os
import signal
import threading

import redis
from redis.credentials import CredentialProvider
from redis_entraid.cred_provider import (
    EntraIdCredentialsProvider,
    ManagedIdentityType,
    create_from_managed_identity,
)


class Once(CredentialProvider):
    """No StreamingCredentialProvider, so redis-py asks it when it connects and never
    again.
    """

    def __init__(self, provider: EntraIdCredentialsProvider) -> None:
        self._provider = provider

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        return self._provider.get_credentials()


def main() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())

    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=Once(credential_provider),
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
