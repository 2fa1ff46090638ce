"""Goes wrong: a RESP2 subscriber cannot sign in again and ends with its first token."""

import os

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        subscription = client.pubsub()
        subscription.subscribe("news")
        for message in subscription.listen():
            print(message["type"], flush=True)


if __name__ == "__main__":
    main()
