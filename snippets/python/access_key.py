"""Signs in to Azure Managed Redis with an access key, as most programs did."""

import os

import redis


def main() -> None:
    # ANCHOR: shown
    with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        password=os.environ["REDIS_ACCESS_KEY"],
    ) as client:
        print(client.ping())
    # ANCHOR_END: shown


if __name__ == "__main__":
    main()
