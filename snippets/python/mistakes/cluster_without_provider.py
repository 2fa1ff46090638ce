"""Goes wrong: the plain client has a provider, and the cluster client beside it was
forgotten.
"""

import os

from redis.cluster import RedisCluster


def main() -> None:
    host = os.environ["REDIS_HOST"]
    with RedisCluster(
        host=host,
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        address_remap=lambda address: (host, address[1]),
    ) as client:
        print(client.ping())


if __name__ == "__main__":
    main()
