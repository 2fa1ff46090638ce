"""Signs in to Azure Managed Redis as a service principal that has a client secret."""

import os

import redis
from redis_entraid.cred_provider import create_from_service_principal


def main() -> None:
    # ANCHOR: shown
    credential_provider = create_from_service_principal(
        tenant_id=os.environ["AZURE_TENANT_ID"],
        client_id=os.environ["AZURE_CLIENT_ID"],
        client_credential=os.environ["AZURE_CLIENT_SECRET"],
    )
    # The user name is the principal's object id. redis-entraid reads it from the token.
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
