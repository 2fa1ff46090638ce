"""Keeps one connection to Azure Managed Redis busy while its token is renewed again and
again, until it is told to stop.
"""

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

    # ANCHOR: shown
    # The event loop fetches the next token when 70 % of this one's life is over.
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    async with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        decode_responses=True,
        # One connection, and a lock that keeps commands and sign-ins apart. The
        # connections of a pool sign in while other tasks use them, and replies get
        # mixed up (redis-py 8.1.0).
        single_connection_client=True,
    ) as client:
        round_trips = 0
        while not stopped.is_set():
            await client.set("round-trips", round_trips)
            stored = await client.get("round-trips")
            if stored != str(round_trips):
                raise RuntimeError(f"wrote {round_trips} and read {stored!r}")
            round_trips += 1
            await asyncio.sleep(0.15)
    print(f"{round_trips} round trips on one connection, none failed.")
    # ANCHOR_END: shown


if __name__ == "__main__":
    asyncio.run(main())
