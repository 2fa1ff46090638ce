"""A web application that counts its visitors in Azure Managed Redis. It serves at the
port that PORT names, as App Service wants it.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from redis_entraid.cred_provider import (
    ManagedIdentityType,
    create_from_managed_identity,
)


# ANCHOR: shown
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    credential_provider = create_from_managed_identity(
        identity_type=ManagedIdentityType.SYSTEM_ASSIGNED,
        resource="https://redis.azure.com",
    )
    # One for all requests, so one provider. A pool would mix up replies when it signs
    # in again (redis-py 8.1.0); this client has a lock for its connection.
    async with redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ.get("REDIS_PORT", "10000")),
        ssl=True,
        credential_provider=credential_provider,
        single_connection_client=True,
    ) as client:
        app.state.redis = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def visit(request: Request) -> PlainTextResponse:
    client: redis.Redis = request.app.state.redis
    try:
        visits = await client.incr("visits")
    except redis.RedisError as error:
        logging.exception("the visit was not counted")
        raise HTTPException(503) from error
    return PlainTextResponse(f"visit {visits}\n")


# ANCHOR_END: shown


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8080"))
    uvicorn.run(app, host="0.0.0.0", port=port, access_log=False)  # noqa: S104
