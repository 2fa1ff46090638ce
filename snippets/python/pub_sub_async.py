"""Publishes and subscribes on Azure Managed Redis while tokens are renewed, until it is told to
stop, and checks that no message is lost.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import redis.asyncio as redis
from redis.asyncio.client import PubSub
from redis.auth.token import TokenInterface
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
    # A client each, with a provider each: a provider knows only one client.
    provider = managed_identity()
    async with (
        connect(managed_identity()) as publisher,
        connect(provider) as subscriber,
        subscriber.pubsub(ignore_subscribe_messages=True) as subscription,
    ):
        await subscription.subscribe("orders")
        # redis-py 8.1.0 would sign the subscription in again while this task reads from it, fail,
        # and renew nothing any more. So its new tokens are taken from the provider instead.
        renewed: asyncio.Queue[TokenInterface] = asyncio.Queue()
        provider.on_next(renewed.put)  # type: ignore[arg-type]  # it does take coroutines

        messages = listen(subscription, renewed)
        received = 0
        while not stopped.is_set():
            await publisher.publish("orders", received)
            message = await anext(messages)
            if message != str(received):
                raise RuntimeError(f"published {received} and received {message}")
            received += 1
            await asyncio.sleep(0.1)
    print(f"{received} messages received, none lost")


async def listen(
    subscription: PubSub, renewed: asyncio.Queue[TokenInterface]
) -> AsyncIterator[str]:
    while True:
        message = await subscription.get_message(timeout=1)
        # The reply to AUTH comes among the messages, and is no `message`.
        if message and message["type"] == "message":
            yield message["data"]
        if not renewed.empty():
            token = renewed.get_nowait()
            await subscription.execute_command("AUTH", token.try_get("oid"), token.get_value())


def managed_identity() -> EntraIdCredentialsProvider:
    return create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )


def connect(credential_provider: EntraIdCredentialsProvider) -> redis.Redis:
    return redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        decode_responses=True,
        # With RESP2 nobody who has subscribed can sign in again. redis-py 8 has 3 as its default.
        protocol=3,
    )
    # ANCHOR_END: shown


if __name__ == "__main__":
    asyncio.run(main())
