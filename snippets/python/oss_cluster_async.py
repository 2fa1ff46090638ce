"""Reads and writes across the shards of an Azure Managed Redis with the clustering
policy OSSCluster. Each shard is a connection of its own, and signs in by itself.
"""

import asyncio
import os

from redis.asyncio.cluster import RedisCluster
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


async def main() -> None:
    host = os.environ["REDIS_HOST"]
    # ANCHOR: shown
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    async with RedisCluster(
        host=host,
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        decode_responses=True,
        # The shards announce IP addresses, and the certificate names the host: reach
        # each by that.
        address_remap=lambda address: (host, address[1]),
    ) as client:
        for n in range(30):
            await client.set(f"order:{n}", n)
            stored = await client.get(f"order:{n}")
            if stored != str(n):
                raise RuntimeError(f"wrote {n} and read {stored!r}")
    print("30 keys written and read, wherever they are")
    # ANCHOR_END: shown


if __name__ == "__main__":
    asyncio.run(main())
