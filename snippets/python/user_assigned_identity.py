"""Signs in to Azure Managed Redis with a user-assigned identity, chosen by its client
id.
"""

import os

import redis
from redis_entraid.cred_provider import (
    ManagedIdentityIdType,
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    # ANCHOR: shown
    # Fetches a token when the client connects, and a new one before it expires.
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
        credential_provider=credential_provider,
    ) as client:
        print(client.ping())
    # ANCHOR_END: shown


if __name__ == "__main__":
    main()
