"""Goes wrong: redis-py signs a subscription in again while a task reads from it."""

import asyncio
import os
import signal

import redis.asyncio as redis
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


async def main() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    async with (
        redis.Redis(
            host=os.environ["REDIS_HOST"],
            port=int(os.environ.get("REDIS_PORT", "10000")),
            ssl=True,
            credential_provider=credential_provider,
            decode_responses=True,
        ) as client,
        client.pubsub() as subscription,
    ):
        await subscription.subscribe("orders")
        while not stopped.is_set():
            if message := await subscription.get_message(timeout=1):
                print(message["type"], message["channel"], flush=True)


if __name__ == "__main__":
    asyncio.run(main())
