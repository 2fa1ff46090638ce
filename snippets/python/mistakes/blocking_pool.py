"""Goes wrong: a BlockingConnectionPool cannot be signed in again, and that ends the
renewal.
"""

import os
import time

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
    pool = redis.BlockingConnectionPool(
        max_connections=4,
        connection_class=redis.SSLConnection,
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        credential_provider=credential_provider,
        retry=Retry(NoBackoff(), 1),
    )
    with (
        pool,
        redis.Redis(
            connection_pool=pool, credential_provider=credential_provider
        ) as client,
    ):
        connection = client.client_id()
        while client.client_id() == connection:
            time.sleep(0.1)
        print("the connection was lost, and another took its place")


if __name__ == "__main__":
    main()
