"""Goes wrong: the connections of an asyncio pool sign in again while other tasks use
them.
"""

import asyncio
import os

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


async def main() -> None:
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    client = redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )
    stopped = asyncio.Event()
    tasks = [asyncio.create_task(work(client, f"task {n}", stopped)) for n in range(40)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    stopped.set()
    errors = [it for it in await asyncio.gather(*tasks, return_exceptions=True) if it]
    print(f"the connections signed in again, and {len(errors)} of 40 tasks failed:")
    for error in errors:
        print(f"{type(error).__name__}: {error}")


async def work(client: redis.Redis, task: str, stopped: asyncio.Event) -> None:
    while not stopped.is_set():
        reply = await client.echo(task)
        if reply != task:
            raise ValueError(f"{task} got the reply {reply!r}")
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(main())
