"""Goes wrong: two clients share a provider, and only the second is signed in again."""

import os
import time

import redis
from redis_entraid.cred_provider import (
    EntraIdCredentialsProvider,
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    with connect(credential_provider) as first, connect(credential_provider) as second:
        connections = {"first": first.client_id(), "second": second.client_id()}
        while True:
            for name, client in (("first", first), ("second", second)):
                if client.client_id() != connections[name]:
                    print(f"the {name} client lost its connection, and opened another")
                    return
            time.sleep(0.1)


def connect(credential_provider: EntraIdCredentialsProvider) -> redis.Redis:
    return redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
    )


if __name__ == "__main__":
    main()
