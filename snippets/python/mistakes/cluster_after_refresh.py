"""Goes wrong: a cluster client that has read the cluster's layout again signs in no
more.
"""

import os
import time

from redis.cluster import RedisCluster
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    host = os.environ["REDIS_HOST"]
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    with RedisCluster(
        host=host,
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        address_remap=lambda address: (host, address[1]),
    ) as client:
        client.ping(target_nodes=RedisCluster.PRIMARIES)
        # The client does this by itself after a failover, or when slots have moved.
        client.nodes_manager.initialize()
        before = client.client_id(target_nodes=RedisCluster.PRIMARIES)
        kept = before.items()
        while kept:
            time.sleep(0.1)
            kept &= client.client_id(target_nodes=RedisCluster.PRIMARIES).items()
        print("every connection was lost, and another took its place")


if __name__ == "__main__":
    main()
