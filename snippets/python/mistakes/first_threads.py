"""Goes wrong: threads that use a new client at the same moment start a renewal each."""

import os
import threading

import redis
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    # How many threads are quick enough is a matter of luck, so it is done five times.
    for _ in range(5):
        credential_provider = create_from_managed_identity(
            identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
            resource="https://redis.azure.com",
        )
        with redis.Redis(
            host=os.environ["REDIS_HOST"],
            port=int(os.environ.get("REDIS_PORT", "10000")),
            ssl=True,
            credential_provider=credential_provider,
        ) as client:
            use(client)
    # What is left besides this thread are renewals.
    renewals = threading.active_count() - 1
    print(f"five clients, five providers, and {renewals} renewals")


def use(client: redis.Redis) -> None:
    together = threading.Barrier(16)

    def ping() -> None:
        together.wait()
        client.ping()

    threads = [threading.Thread(target=ping) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
