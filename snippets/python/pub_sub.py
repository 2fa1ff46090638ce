"""Publishes and subscribes on Azure Managed Redis while tokens are renewed, until it is
told to stop, and checks that no message is lost.
"""

import os
import signal
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import redis
from redis.auth.token import TokenInterface
from redis.client import PubSub
from redis.credentials import CredentialProvider
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
    # A provider for each client: it renews for one only.
    credentials = SubscriberCredentials(managed_identity())
    with connect(managed_identity()) as publisher, connect(credentials) as subscriber:
        subscription = subscriber.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe("orders")
        messages = listen(subscription, credentials)
        received = 0
        while not stopped.wait(0.1):
            publisher.publish("orders", received)
            message = next(messages)
            if message != str(received):
                raise RuntimeError(f"published {received} and received {message}")
            received += 1
        subscription.close()
    print(f"{received} messages received, none lost")


class SubscriberCredentials(CredentialProvider):
    """Keeps new tokens for the subscriber to sign in with. With an
    EntraIdCredentialsProvider, redis-py 8.1.0 does that in another thread, and the two
    take each other's replies.
    """

    def __init__(self, provider: EntraIdCredentialsProvider) -> None:
        self._provider = provider
        self.renewed: SimpleQueue[TokenInterface] = SimpleQueue()
        provider.on_next(self.renewed.put)

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        return self._provider.get_credentials()


def listen(subscription: PubSub, credentials: SubscriberCredentials) -> Iterator[str]:
    while True:
        response = subscription.parse_response(block=False, timeout=1)
        # A message is a list. The reply to AUTH comes among the messages, and is none.
        if isinstance(response, list) and (
            message := subscription.handle_message(response)
        ):
            yield message["data"]
        if not credentials.renewed.empty():
            token = credentials.renewed.get()
            subscription.execute_command(
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
    main()
