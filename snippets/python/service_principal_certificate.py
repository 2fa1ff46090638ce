"""Signs in to Azure Managed Redis as a service principal that has a certificate."""

import os
from pathlib import Path

import redis
from redis_entraid.cred_provider import create_from_service_principal


def main() -> None:
    # ANCHOR: shown
    # A PEM file with the private key and the certificate.
    pem = Path(os.environ["AZURE_CLIENT_CERTIFICATE_PATH"]).read_text()
    credential_provider = create_from_service_principal(
        tenant_id=os.environ["AZURE_TENANT_ID"],
        client_id=os.environ["AZURE_CLIENT_ID"],
        client_credential={"private_key": pem, "public_certificate": pem},
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
