"""Signs in to Azure Managed Redis with the identity at hand: on your machine, yours."""

import os

import redis
from redis_entraid.cred_provider import create_from_default_azure_credential


def main() -> None:
    # ANCHOR: shown
    # Tries one credential after the other. AZURE_TOKEN_CREDENTIALS says which:
    # AzureCliCredential (or `dev`) on your machine, ManagedIdentityCredential (or
    # `prod`) in Azure.
    credential_provider = create_from_default_azure_credential(
        scopes=("https://redis.azure.com/.default",),
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
