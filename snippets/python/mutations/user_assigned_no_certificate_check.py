"""Must fail its judge: takes any certificate for that of the server."""

import os

import redis
from redis_entraid.cred_provider import (
    ManagedIdentityIdType,
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.USER_ASSIGNED,
        id_type=ManagedIdentityIdType.CLIENT_ID,
        id_value=os.environ["AZURE_CLIENT_ID"],
        resource="https://redis.azure.com",
    )
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        ssl_cert_reqs="none",
        ssl_check_hostname=False,
        credential_provider=credential_provider,
    ) as client:
        print(client.ping())


if __name__ == "__main__":
    main()
