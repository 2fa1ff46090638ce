"""Publishes and subscribes on Azure Managed Redis while tokens are renewed, until it is told to
stop, and checks that no message is lost.
"""

import os
import signal
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import redis
from redis.auth.token import TokenInterface
from redis.client import PubSub
from redis_entraid.cred_provider import (
    EntraIdCredentialsProvider,
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())

    # ANCHOR: shown
    # A client each, with a provider each: a provider knows only one client.
    provider = managed_identity()
    with connect(managed_identity()) as publisher, connect(provider) as subscriber:
        subscription = subscriber.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe("orders")
        # redis-py 8.1.0 would sign the subscription in again from another thread, and the two
        # would take each other's replies. So its new tokens are taken from the provider instead.
        renewed: SimpleQueue[TokenInterface] = SimpleQueue()
        provider.on_next(renewed.put)

        messages = listen(subscription, renewed)
        received = 0
        while not stopped.wait(0.1):
            publisher.publish("orders", received)
            message = next(messages)
            if message != str(received):
                raise RuntimeError(f"published {received} and received {message}")
            received += 1
        subscription.close()
    print(f"{received} messages received, none lost")


def listen(subscription: PubSub, renewed: SimpleQueue[TokenInterface]) -> Iterator[str]:
    while True:
        message = subscription.get_message(timeout=1)
        # The reply to AUTH comes among the messages, and is no `message`.
        if message and message["type"] == "message":
            yield message["data"]
        if not renewed.empty():
            token = renewed.get()
            subscription.execute_command("AUTH", token.try_get("oid"), token.get_value())


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
    main()
