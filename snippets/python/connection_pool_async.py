"""Many tasks share a few connections to Azure Managed Redis while tokens are renewed,
until the program is told to stop.
"""

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import redis.asyncio as redis
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


async def main() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    # ANCHOR: shown
    # redis-py 8.1.0 signs the connections of its pools in again while tasks use them,
    # and replies get mixed up. So this pool is of clients with one connection each,
    # which have a lock for it.
    async with AsyncExitStack() as stack:
        pool = [await stack.enter_async_context(connect()) for _ in range(4)]
        tasks = (work(task, pool[task % len(pool)], stopped) for task in range(40))
        commands = sum(await asyncio.gather(*tasks))
    print(f"{commands} commands of 40 tasks on 4 connections, none failed")


def connect() -> redis.Redis:
    return redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        single_connection_client=True,
        # One each: a provider signs only the last of its clients in again.
        credential_provider=create_from_managed_identity(
            identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
            resource="https://redis.azure.com",
        ),
    )


async def work(task: int, client: redis.Redis, stopped: asyncio.Event) -> int:
    commands = 0
    while not stopped.is_set():
        await client.incr(f"task:{task}")
        commands += 1
        await asyncio.sleep(0.02)
    return commands
    # ANCHOR_END: shown


if __name__ == "__main__":
    asyncio.run(main())
