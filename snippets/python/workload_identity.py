"""Signs in to Azure Managed Redis with the workload identity of a Kubernetes pod."""

import os

import redis
from redis_entraid.cred_provider import create_from_default_azure_credential


def main() -> None:
    # ANCHOR: shown
    # In a pod, AZURE_FEDERATED_TOKEN_FILE leads DefaultAzureCredential to the workload
    # identity. AZURE_TOKEN_CREDENTIALS=WorkloadIdentityCredential keeps it from trying
    # anything else.
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
