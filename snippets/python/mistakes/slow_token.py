"""Goes wrong: while a token is on its way, the event loop stands still, however long it
takes.
"""

import asyncio
import os
import time

import redis.asyncio as redis
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


async def main() -> None:
    # Its time limit for a token is 100 milliseconds, and nothing looks at it.
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    stopped = asyncio.Event()
    others = asyncio.create_task(longest_pause(stopped))
    await asyncio.sleep(0)
    async with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
    ) as client:
        await client.ping()
    stopped.set()
    print(f"signed in, and no other task ran for {int(await others)} s")


async def longest_pause(stopped: asyncio.Event) -> float:
    """The longest time, in seconds, for which the event loop did something else."""
    longest, last = 0.0, time.monotonic()
    while not stopped.is_set():
        await asyncio.sleep(0.01)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


if __name__ == "__main__":
    asyncio.run(main())
