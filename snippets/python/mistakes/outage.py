"""Goes wrong: no token can be had when one is due, and then none is asked for."""

import os
import time

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
        connection = client.client_id()
        endpoint = os.environ["IDENTITY_ENDPOINT"]

        def failed(error: Exception) -> None:
            # The outage ends with the first renewal that it met.
            os.environ["IDENTITY_ENDPOINT"] = endpoint
            print(
                "not renewed; the endpoint is back:", type(error).__name__, flush=True
            )

        credential_provider.on_error(failed)
        # For an outage: an address of this machine where nobody listens.
        os.environ["IDENTITY_ENDPOINT"] = "http://127.0.0.1:9/"
        while client.client_id() == connection:
            time.sleep(0.1)
        print("the connection was lost, and another took its place")


if __name__ == "__main__":
    main()
