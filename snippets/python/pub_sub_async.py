"""Publishes and subscribes on Azure Managed Redis while tokens are renewed, until it is
told to stop, and checks that no message is lost.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import redis.asyncio as redis
from redis.asyncio.client import PubSub
from redis.auth.token import TokenInterface
from redis.credentials import CredentialProvider
from redis_entraid.cred_provider import (
    EntraIdCredentialsProvider,
    ManagedIdentityType,
    create_from_managed_identity,
)


async def main() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    # ANCHOR: shown
    # A provider for each client: it renews for one only.
    credentials = SubscriberCredentials(managed_identity())
    async with (
        connect(managed_identity()) as publisher,
        connect(credentials) as subscriber,
        subscriber.pubsub(ignore_subscribe_messages=True) as subscription,
    ):
        await subscription.subscribe("orders")
        messages = listen(subscription, credentials)
        received = 0
        while not stopped.is_set():
            await publisher.publish("orders", received)
            message = await anext(messages)
            if message != str(received):
                raise RuntimeError(f"published {received} and received {message}")
            received += 1
            await asyncio.sleep(0.1)
    print(f"{received} messages received, none lost")


class SubscriberCredentials(CredentialProvider):
    """Keeps new tokens for the subscriber to sign in with. With an
    EntraIdCredentialsProvider, redis-py 8.1.0 tries that while the subscriber reads,
    fails, and never renews again.
    """

    def __init__(self, provider: EntraIdCredentialsProvider) -> None:
        self._provider = provider
        self.renewed: asyncio.Queue[TokenInterface] = asyncio.Queue()
        provider.on_next(self.renewed.put)  # type: ignore[arg-type]  # it does take coroutines

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return await self._provider.get_credentials_async()


async def listen(
    subscription: PubSub, credentials: SubscriberCredentials
) -> AsyncIterator[str]:
    while True:
        response = await subscription.parse_response(block=False, timeout=1)
        # A message is a list. The reply to AUTH comes among the messages, and is none.
        if isinstance(response, list) and (
            message := await subscription.handle_message(response)
        ):
            yield message["data"]
        if not credentials.renewed.empty():
            token = credentials.renewed.get_nowait()
            await subscription.execute_command(
                "AUTH", token.try_get("oid"), token.get_value()
            )


def managed_identity() -> EntraIdCredentialsProvider:
    return create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )


def connect(credentials: CredentialProvider) -> redis.Redis:
    return redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credentials,
        decode_responses=True,
        # RESP2 lets no subscriber sign in again. Since redis-py 8 this is the default.
        protocol=3,
    )
    # ANCHOR_END: shown


if __name__ == "__main__":
    asyncio.run(main())
