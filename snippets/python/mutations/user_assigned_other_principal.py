"""Must fail its judge: signs in with the system-assigned identity."""

import os

import redis
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
    ) as client:
        print(client.ping())


if __name__ == "__main__":
    main()
