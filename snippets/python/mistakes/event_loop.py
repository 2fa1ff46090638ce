"""Goes wrong: the blocking client waits in an event loop for what that event loop has
to do.
"""

import asyncio
import faulthandler
import os

import redis
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
    )
    # After ten seconds: show where it hangs, and give up.
    faulthandler.dump_traceback_later(10, exit=True)
    print(client.ping())  # never returns


if __name__ == "__main__":
    asyncio.run(main())
