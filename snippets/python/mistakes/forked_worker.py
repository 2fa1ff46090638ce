"""Goes wrong: a worker process inherits the client, and not the thread that renews its
tokens.
"""

import multiprocessing
import os
import sys
import time

import redis
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


def main() -> None:
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
    client.ping()
    # As gunicorn does with the application that it has loaded before its workers.
    worker = multiprocessing.get_context("fork").Process(target=work, args=[client])
    worker.start()
    worker.join()
    sys.exit(worker.exitcode)


def work(client: redis.Redis) -> None:
    connection = client.client_id()
    while client.client_id() == connection:
        time.sleep(0.1)
    print("the worker lost its connection, and opened another")


if __name__ == "__main__":
    main()
