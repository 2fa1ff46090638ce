"""Goes wrong: a connection that waits in a blocking command is not signed in again."""

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
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        print(client.blpop(["jobs"], timeout=0))


if __name__ == "__main__":
    main()
